"""The command line as it may be shown and given again: without the secrets of its connection strings."""

from __future__ import annotations

import shlex

from bridge.config import Config
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
    if "://" not in argument and not any(f"{secret}=" in argument for secret in SECRETS):
        return argument
    try:
        from psycopg.conninfo import conninfo_to_dict

        return password_free(argument) if not SECRETS.isdisjoint(conninfo_to_dict(argument)) else argument
    except Exception:  # noqa: BLE001 - an address of something else: Engram's, an embedding endpoint's
        return argument
