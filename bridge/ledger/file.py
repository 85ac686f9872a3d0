"""A ledger in a SQLite file.

WAL mode with `synchronous=FULL`: a commit is on the disk when it returns, which law 4 needs for everything that precedes a
confirm. Transactions that write begin IMMEDIATE, so they never fail for having read first.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from bridge.errors import ConfigError, LedgerError
from bridge.ledger.holder import FileHolder

BUSY_MS = 30_000


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A path."""

    path: Path

    @classmethod
    def of(cls, location: str) -> FilePlace:
        """From a path or a URL `sqlite:///path`. Raises ConfigError."""
        if "://" not in location:
            return cls(Path(location))
        try:
            database = make_url(location).database
        except ArgumentError:
            database = None
        if not database:
            raise ConfigError("ledger: not a path and not a URL", hint="Write ledger: engram-bridge.db.")
        return cls(Path(database))

    @property
    def shown(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def lock_path(self) -> Path:
        """Where the lock is."""
        return self.path.with_name(self.path.name + ".lock")

    def exists(self) -> bool:
        """Whether there is a file."""
        return self.path.exists()

    def engine(self) -> Engine:
        """An engine with our durability. Raises LedgerError when the place cannot be used."""
        if not self.path.parent.is_dir():
            raise LedgerError(f"the ledger's folder {self.path.parent} does not exist", hint="Create it, or choose another path.")
        url = URL.create("sqlite", database=str(self.path))
        engine = create_engine(url, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False})
        _prepare(engine)
        return engine

    def holder(self) -> FileHolder:
        """A lock on a file beside it."""
        return FileHolder(self.lock_path)

    def prepare(self, connection: Connection) -> None:
        """Nothing to do."""

    def tables(self, connection: Connection) -> set[str]:
        """All of the file."""
        return set(inspect(connection).get_table_names())

    def columns(self, connection: Connection, table: str) -> set[str]:
        """The columns of one of them."""
        return {column["name"] for column in inspect(connection).get_columns(table)}

    def settle(self, connection: Connection) -> None:
        """Nothing to do: SQLite counts on from the highest number."""

    def reads(self, engine: Engine) -> Connection:
        """Any transaction of SQLite has one view."""
        return engine.connect()


def _prepare(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}", "cache_size=-16384"):
            connection.execute(f"pragma {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("begin immediate" if writes else "begin")
