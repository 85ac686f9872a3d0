"""Errors of the ledger's database leave as ours, with the remedy for the usual causes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from bridge import postgres
from bridge.errors import BridgeError, ConfigError, LedgerError, LedgerUnavailable, SourceUnavailable

AGAIN = "The run can be started again once the ledger can be written; nothing was acknowledged that is not in it."


@contextlib.contextmanager
def translated(shown: str) -> Iterator[None]:
    """Raises LedgerUnavailable for what goes away by itself, LedgerError otherwise."""
    try:
        yield
    except psycopg.Error as error:
        raise _of_server(shown, postgres.translate(error)) from error
    except SQLAlchemyError as error:
        if isinstance(error, DBAPIError) and isinstance(error.orig, psycopg.Error):
            raise _of_server(shown, postgres.translate(error.orig)) from error
        raise _of_file(shown, error) from error


@contextlib.contextmanager
def reached(shown: str) -> Iterator[None]:
    """The same for a connection that is made; a login that is refused raises ConfigError."""
    try:
        with translated(shown):
            yield
    except (LedgerError, LedgerUnavailable):
        raise
    except BridgeError as error:  # of `bridge.postgres.connect`, which speaks of any server
        raise _of_server(shown, error) from error


def _of_server(shown: str, error: BridgeError) -> BridgeError:
    said = f"the ledger {shown}: {error}"
    if isinstance(error, SourceUnavailable):
        return LedgerUnavailable(said, hint="Check that its server is running and can be reached from here.")
    if isinstance(error, ConfigError):
        return ConfigError(said, hint="Check user, password and database in `ledger:`, PGPASSWORD or the password file.")
    if "SQLSTATE 42501" in said:
        return LedgerError(said, hint="The role needs a schema of its own: CREATE SCHEMA engram_bridge AUTHORIZATION role;")
    return LedgerError(said, hint=error.hint or AGAIN)


def _of_file(shown: str, error: SQLAlchemyError) -> LedgerError:
    cause = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    hint = AGAIN
    if "full" in cause or "disk I/O error" in cause:
        hint = "The disk is full, or fails: make room. " + hint
    if isinstance(error, OperationalError) and "readonly" in cause:
        hint = "The file or its folder is read-only. " + hint
    return LedgerError(f"the ledger {shown} cannot be used: {cause}", hint=hint)
