"""The command line as it may be shown and given again: without the secrets of its connection strings."""

from __future__ import annotations

import shlex

import psycopg

from bridge.config import Config, without_password
from bridge.postgres import SECRETS, password_free


def source_secrets(base: Config) -> set[str]:
    """The secrets that stand in the source's connection string."""
    from psycopg.conninfo import conninfo_to_dict

    return {name for name in conninfo_to_dict(base.source.url) if name in SECRETS}


def command_line(arguments: list[str]) -> str:
    """The command as it can be given again, without the secrets of its connection strings."""
    return shlex.join(["migrate-postgresql", *(_shown(one) for one in arguments[1:])])


def _shown(argument: str) -> str:
    name, equals, value = argument.partition("=")
    if argument.startswith("--") and equals:
        return f"{name}={_shown(value)}"
    if "://" in argument:  # a URL stays one: a ledger's is no place in another form
        return without_password(argument)
    if not any(f"{secret}=" in argument for secret in SECRETS):
        return argument
    try:
        return password_free(argument)
    except psycopg.Error:  # a value that only looks like a connection string
        return argument
