"""The command line, one module a group of commands; `app` puts them together."""

from bridge.cli.app import app, main

__all__ = ["app", "main"]
