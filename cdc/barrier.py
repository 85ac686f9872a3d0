"""The barrier of law 2: every transaction that runs now has ended when it returns.

Without it, a row whose commit precedes the slot, or the table's joining of the publication, and is not visible yet, would be in
neither a chunk nor the stream. What it compares: a transaction id of our own, given out now, is higher than that of every
transaction that may have written something before; once the `xmin` of a later snapshot, the lowest id still running, is beyond
it, they have all ended. (The first snapshot's `xmax` will not do: it follows the last id that was *completed*, and a running
transaction can have just that one.) Prepared transactions count as running. Nothing is locked, nobody is cancelled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, LiteralString

import psycopg

from bridge.postgres import translated

_CURRENT: Final[tuple[LiteralString, LiteralString]] = (
    "select pg_current_xact_id()::text::bigint",
    "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
)
_BEFORE_13: Final[tuple[LiteralString, LiteralString]] = (
    "select txid_current()",
    "select txid_snapshot_xmin(txid_current_snapshot())",
)
"""A new transaction id, and the lowest that still runs, both with the epoch: 64 bits, never wrapping around."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A transaction that holds up the barrier. `seconds` is its age, `pid` None for a prepared one, whose gid is `name`."""

    pid: int | None
    name: str
    database: str
    state: str
    seconds: float

    def __str__(self) -> str:
        who = f"pid {self.pid} ({self.name})" if self.pid is not None else f"prepared transaction {self.name!r}"
        return f"{who} in {self.database}, {self.state} for {self.seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the barrier waits for. `holders` can be empty: others' transactions are shown to `pg_read_all_stats` only."""

    holders: tuple[Holder, ...]
    seconds: float

    def __str__(self) -> str:
        if not self.holders:
            return "a transaction of another user (grant pg_read_all_stats to see whose)"
        return "; ".join(str(holder) for holder in self.holders)


def barrier(
    connection: psycopg.Connection,
    *,
    on_wait: Callable[[Waiting], None] | None = None,
    patience: float = 3.0,
    interval: float = 0.1,
) -> None:
    """Return when every transaction that was running at the call has ended, however long that takes.

    `on_wait` is told who holds it up after `patience` seconds, and again whenever that changes; what it raises ends the wait.
    `connection` must be in autocommit mode (inside a snapshot of its own it would wait for ever). Raises SourceUnavailable.
    """
    if not connection.autocommit:
        raise ValueError("the barrier needs an autocommit connection")
    own, lowest = _CURRENT if connection.info.server_version >= 130000 else _BEFORE_13
    began = time.monotonic()
    told: set[tuple[int | None, str]] | None = None
    with translated():
        target = _one(connection, own)
        while _one(connection, lowest) <= target:
            waited = time.monotonic() - began
            if on_wait is not None and waited >= patience:
                waiting = Waiting(_holders(connection, target), waited)
                who = {(holder.pid, holder.name) for holder in waiting.holders}
                if who != told:
                    told = who
                    on_wait(waiting)
            time.sleep(interval)


def _one(connection: psycopg.Connection, query: LiteralString) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _holders(connection: psycopg.Connection, target: int) -> tuple[Holder, ...]:
    """Whoever has a transaction id below `target`. Ids there have 32 bits and wrap around: ages compare them."""
    rows = connection.execute(
        """
        with target as (select %s::text::pg_catalog.xid as xid)
        select pid, coalesce(nullif(application_name, ''), backend_type), coalesce(datname, '-'), coalesce(state, '-'),
            extract(epoch from clock_timestamp() - xact_start)::float8
        from pg_catalog.pg_stat_activity, target
        where backend_xid is not null and age(backend_xid) > age(target.xid)
        union all
        select null, gid, database, 'prepared', extract(epoch from clock_timestamp() - prepared)::float8
        from pg_catalog.pg_prepared_xacts, target
        where age(transaction) > age(target.xid)
        order by 5 desc nulls last
        """,
        (str(target % 2**32),),
    ).fetchall()
    return tuple(Holder(pid, name, database, state, seconds or 0.0) for pid, name, database, state, seconds in rows)
