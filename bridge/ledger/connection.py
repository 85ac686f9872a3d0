"""Opening a ledger: engine, durability, schema version, and the one writer.

SQLite runs in WAL mode with `synchronous=FULL`: a commit is on the disk when it returns, which law 4 needs for everything that
precedes a confirm. Transactions that write begin IMMEDIATE, so they never fail for having read first.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from bridge.errors import ConfigError, LedgerError, LedgerHeld
from bridge.ledger import steps, tables

BUSY_MS = 30_000


def ledger_url(location: str) -> URL:
    """The SQLAlchemy URL of a ledger: a path means a SQLite file. Raises ConfigError."""
    if "://" not in location:
        return URL.create("sqlite", database=location)
    try:
        return make_url(location)
    except ArgumentError as error:
        raise ConfigError("ledger: not a path and not an SQLAlchemy URL", hint="Write ledger: engram-bridge.db.") from error


def open_engine(location: str) -> Engine:
    """An engine with our durability. Raises LedgerError when the place cannot be used."""
    url = ledger_url(location)
    if url.get_backend_name() != "sqlite":
        raise ConfigError(
            f"ledger: {url.get_backend_name()} is not supported", hint="Use a path: ledger: engram-bridge.db (SQLite)."
        )
    path = Path(url.database or "")
    if not path.parent.is_dir():
        raise LedgerError(f"the ledger's folder {path.parent} does not exist", hint="Create it, or choose another path.")
    engine = create_engine(url, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False})
    _prepare_sqlite(engine)
    return engine


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}", "cache_size=-16384"):
            connection.execute(f"pragma {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("begin immediate" if writes else "begin")


@contextlib.contextmanager
def translated(location: str) -> Iterator[None]:
    """Database errors of the ledger leave as LedgerError, with the remedy for the usual causes."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(error.orig) if isinstance(error, DBAPIError) else str(error)
        hint = "The run can be started again once the ledger can be written; nothing was acknowledged that is not in it."
        if "full" in cause or "disk I/O error" in cause:
            hint = "The disk is full, or fails: make room. " + hint
        if isinstance(error, OperationalError) and "readonly" in cause:
            hint = "The file or its folder is read-only. " + hint
        raise LedgerError(f"the ledger {location} cannot be used: {cause}", hint=hint) from error


def migrate(engine: Engine, location: str) -> bool:
    """Bring the schema to our version; answers whether the ledger is new. Raises LedgerError for a newer or foreign one."""
    with translated(location), engine.connect().execution_options(writes=True) as connection, connection.begin():
        names = set(inspect(connection).get_table_names())
        known = 0
        if "facts" in names:
            row = connection.execute(select(tables.facts.c.value).where(tables.facts.c.name == "schema_version")).scalar()
            known = int(row or 0)
        elif names:
            raise LedgerError(f"{location} is a database of something else", hint="Choose another path for the ledger.")
        if known > tables.SCHEMA_VERSION:
            raise LedgerError(
                f"the ledger {location} has version {known}; this engram-bridge knows versions up to {tables.SCHEMA_VERSION}",
                hint="Use the engram-bridge that wrote it, or a newer one.",
            )
        for version in range(known + 1, tables.SCHEMA_VERSION + 1):
            steps.take(connection, version)
        if known < tables.SCHEMA_VERSION:
            connection.execute(tables.facts.delete().where(tables.facts.c.name == "schema_version"))
            connection.execute(tables.facts.insert().values(name="schema_version", value=str(tables.SCHEMA_VERSION)))
        return known == 0


class Holder:
    """The right to write: a lock on `<ledger>.lock` that the system frees when its process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock. Raises LedgerHeld, saying who has it."""
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            said = file.read()
            file.close()
            raise held_by_another(describe_holder(said)) from error
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def held_by_another(who: str) -> LedgerHeld:
    """The refusal of a second run; `who` is what `holder_of` says."""
    return LedgerHeld(
        f"another run works with this ledger: {who}", hint="Stop it first, or give this run a ledger and a slot of its own."
    )


def holder_of(path: Path) -> str | None:
    """Who holds the lock now, or None when nobody does."""
    if not path.exists():
        return None
    with path.open("r", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return describe_holder(file.read())
    return None


def describe_holder(said: str) -> str:
    """A sentence part for what a holder wrote about itself."""
    try:
        facts = json.loads(said)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(facts["since"]))
        return f"process {facts['pid']} on {facts['host']} since {since}"
    except (ValueError, KeyError, TypeError):
        return "an unknown process"
