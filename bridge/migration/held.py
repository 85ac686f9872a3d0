"""One snapshot of the source, exported, and held until the migration and its checks are over.

All workers read the same state of the database, whatever is written meanwhile: that is what a one-shot migration has instead of a
stream. It takes SELECT alone. It holds back vacuum for as long as it lasts, which is why the running bridge has none.

TRUNCATE, and whatever rewrites a table, is not told apart by versions of rows: to an older snapshot the table is empty then, and
its memories would be forgotten (PostgreSQL's manual, MVCC, Caveats). So the tables are locked against it, as pg_dump locks them;
everybody else reads and writes as before.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from bridge.errors import SnapshotLost, SourceUnavailable
from bridge.lsn import Lsn, fence, parse_lsn
from bridge.postgres import connect, translated

LOCK_SECONDS = 60

BEGIN = sql.SQL("begin isolation level repeatable read read only")

# Managed services may take the control functions away: then the server is known by its database alone.
_FACTS = """
    select pg_is_in_recovery(), current_database()::text, current_setting('server_version'),
           case when not pg_is_in_recovery() then substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) end,
           has_function_privilege('pg_control_system()', 'EXECUTE')
"""


@dataclass(frozen=True, slots=True)
class Origins:
    """Which server and history a snapshot is of. `system_identifier` is empty where the role may not ask for it."""

    system_identifier: str
    timeline: int
    database: str
    server_version: str

    def facts(self) -> dict[str, str]:
        """The same for the ledger, in the words of a bridge that streams."""
        return {"system_identifier": self.system_identifier, "timeline": str(self.timeline), "database": self.database}


@dataclass(slots=True)
class HeldSnapshot:
    """An exported snapshot, open until `close`. `position` was taken before it: all that lies below it is visible in it."""

    url: str
    origins: Origins
    name: str
    position: Lsn
    at: datetime
    _holder: psycopg.Connection
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def take(cls, url: str, tables: Iterable[tuple[str, str]] = ()) -> HeldSnapshot:
        """Open one, with these tables (schema, name) locked against being truncated or rewritten until it is closed.

        Raises SourceUnavailable, also for a standby, and ConfigError.
        """
        holder = connect(url, application_name="engram-bridge migrate")
        try:
            with translated():
                origins = _origins(holder)
                (text,) = holder.execute("select pg_current_wal_insert_lsn()::text").fetchone() or ("0/0",)
                names = [sql.Identifier(*name) for name in tables if _may_lock(holder, name)]
                holder.execute(BEGIN)
                _lock(holder, names)
                (name,) = holder.execute("select pg_export_snapshot()").fetchone() or ("",)
        except BaseException:
            holder.close()
            raise
        return cls(url, origins, str(name), fence(parse_lsn(text)), datetime.now(UTC), holder)

    def connect(self, application_name: str) -> psycopg.Connection:
        """A connection whose statements all see this snapshot. Raises SourceUnavailable and SnapshotLost."""
        connection = connect(self.url, application_name=application_name)
        try:
            with translated():
                connection.execute(BEGIN)
            try:
                connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(self.name)))
            except psycopg.Error as error:
                raise SnapshotLost(
                    "the snapshot that all rows are read from has ended: its connection was lost, or this is another server",
                    hint="Run the same command again: what is not written yet is then read at a later snapshot.",
                ) from error
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def alive(self) -> bool:
        """The connection that holds it still answers."""
        with self._lock:
            try:
                self._holder.execute("select 1")
            except psycopg.Error:
                return False
            return True

    def close(self) -> None:
        """Let it go."""
        with self._lock:
            self._holder.close()


def _may_lock(connection: psycopg.Connection, table: tuple[str, str]) -> bool:
    """Where some columns only are granted, the table cannot be locked."""
    row = connection.execute("select has_table_privilege(format('%%I.%%I', %s::text, %s::text), 'select')", table).fetchone()
    return row is not None and bool(row[0])


def _lock(holder: psycopg.Connection, names: Sequence[sql.Identifier]) -> None:
    """Lock these tables; the snapshot is not taken by it, and comes behind it."""
    if not names:
        return
    holder.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(f"{LOCK_SECONDS}s")))
    try:
        holder.execute(sql.SQL("lock table {} in access share mode").format(sql.SQL(", ").join(names)))
    except psycopg.errors.LockNotAvailable as error:
        raise SourceUnavailable(
            f"somebody has held a table of this migration for {LOCK_SECONDS} s, as ALTER TABLE, TRUNCATE or VACUUM FULL do",
            hint="Run the same command when that has ended.",
        ) from error


def _origins(connection: psycopg.Connection) -> Origins:
    row = connection.execute(_FACTS).fetchone()
    standby, database, version, name, allowed = row if row is not None else (True, "", "", None, False)
    if standby or name is None:
        raise SourceUnavailable(
            "PostgreSQL is a standby here, and has no WAL position of its own",
            hint="Let --source lead to the primary (target_session_attrs=read-write helps).",
        )
    found = connection.execute("select system_identifier::text from pg_control_system()").fetchone() if allowed else None
    return Origins(str(found[0]) if found else "", int(name, 16), database, version)
