"""What the rows of a database really were at each moment: an independent record, against which answers of a proxy are judged.

Triggers note every row that a transaction leaves behind, in a schema of their own and within that transaction; so what was rolled
back is not there, and TRUNCATE and cascades are. PostgreSQL knows the moment of a commit (`track_commit_timestamp`). When
everybody could see it, and which WAL position covers it, is known from *looks* that are taken all the time: a look's snapshot
says which transactions are visible, and the position that is asked for after it is behind the commits of them all.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from bridge.lsn import Lsn
from bridge.mapping import TablePlan
from bridge.memories import digest
from bridge.postgres import connect, flush_position, translated
from bridge.sandbox.promises import UNKNOWN, History, State
from snapshot.texts import fetch

SCHEMA = "witness"
SETTINGS = {"track_commit_timestamp": "on"}
"""What the server needs."""

NEVER: Lsn = 1 << 64
"""The position of what no look has seen."""

_NOTES = """
create table {noted} (like {table}, witness_gone boolean not null,
    witness_seq bigint generated always as identity primary key, witness_xid xid8 not null default pg_current_xact_id());
create function {function}() returns trigger language plpgsql as $$
begin
    if tg_op = 'TRUNCATE' then
        insert into {noted} select *, true from {table};
    elsif tg_op = 'DELETE' then
        insert into {noted} values (old.*, true);
    else
        if tg_op = 'UPDATE' and ({old_key}) is distinct from ({new_key}) then
            insert into {noted} values (old.*, true);
        end if;
        insert into {noted} values (new.*, false);
    end if;
    return null;
end $$;
create trigger {first} after insert or update or delete on {table} for each row execute function {function}();
create trigger witness_truncate before truncate on {table} for each statement execute function {function}();
"""
_FIRST = "A_witness"
"""Triggers fire in the order of their names: this one before those that cascade."""


def call(url: str, keys: dict[str, tuple[str, ...]]) -> None:
    """Have every change of these tables of `public`, by name with their key columns, noted from now on; they must be empty."""
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("create schema {}").format(sql.Identifier(SCHEMA)))
        for table, key in keys.items():
            row = [sql.SQL(",").join([sql.Identifier(side, column) for column in key]) for side in ("old", "new")]
            connection.execute(
                sql.SQL(_NOTES).format(
                    noted=sql.Identifier(SCHEMA, table),
                    table=sql.Identifier("public", table),
                    function=sql.Identifier(SCHEMA, f"note_{table}"),
                    first=sql.Identifier(_FIRST),
                    old_key=row[0],
                    new_key=row[1],
                )
            )


@dataclass(frozen=True, slots=True)
class Look:
    """At the moment `at` everything was visible that `snapshot` sees, and `lsn` is behind the commits of all of it."""

    at: float
    snapshot: str
    lsn: Lsn

    def sees(self, xid: int) -> bool:
        """Whether it shows the transaction with this 64-bit id."""
        _least, above, running = self.snapshot.split(":")
        return xid < int(above) and str(xid) not in running.split(",")


class Witness:
    """Looks at the database, from one thread, and tells the histories of rows at the end. Close it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = connect(url, application_name="witness")
        self._lock = threading.Lock()
        self.looks: list[Look] = []

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def look(self) -> Look:
        """What is visible now. Raises SourceUnavailable."""
        with self._lock:
            if self._connection.closed:
                self._connection = connect(self._url, application_name="witness")
            with translated():
                row = self._connection.execute("select pg_current_snapshot()::text").fetchone()
            assert row is not None
            at = time.time()
            look = Look(at, row[0], flush_position(self._connection))
            self.looks.append(look)
            return look

    def touched(self, plan: TablePlan, most: int) -> list[str]:
        """The keys of the latest changes, deleted ones among them, each once."""
        query = sql.SQL("select {} from {} order by witness_seq desc limit {}").format(
            _columns(plan), sql.Identifier(SCHEMA, plan.table.name), sql.Literal(most)
        )
        with self._lock:
            rows = fetch(self._connection, query)
        return list(dict.fromkeys(plan.key_of(row) for row in rows))

    def histories(self, plans: Iterable[TablePlan]) -> dict[Hashable, History]:
        """The states of every row that there ever was, by (label, key); a state's value is the digest of the row's body."""
        found: dict[Hashable, History] = {}
        for plan in plans:
            for key, states in self._states(plan).items():
                found[plan.table.label, key] = History(states)
        return found

    def _states(self, plan: TablePlan) -> dict[str, list[State]]:
        query = sql.SQL(
            "select {}, witness_gone, witness_xid, extract(epoch from pg_xact_commit_timestamp(witness_xid::xid)) from {} "
            "order by witness_seq"
        ).format(_columns(plan), sql.Identifier(SCHEMA, plan.table.name))
        with self._lock:
            rows = fetch(self._connection, query)
        width = len(plan.table.columns)
        states: dict[str, dict[int, State]] = {}
        first_seen = _memo(self._first_seen)
        for row in rows:
            body, (gone, xid, committed) = row[:width], map(str, row[width:])
            seen, lsn = first_seen(int(xid))
            value = None if gone == "t" else digest(plan.body(body))
            # Of several states within a transaction only the last one was ever to be seen.
            states.setdefault(plan.key_of(body), {})[int(xid)] = State(value, float(committed), seen, lsn)
        return {key: list(by_transaction.values()) for key, by_transaction in states.items()}

    def _first_seen(self, xid: int) -> tuple[float, Lsn]:
        place = bisect_left(self.looks, True, key=lambda look: look.sees(xid))
        return (self.looks[place].at, self.looks[place].lsn) if place < len(self.looks) else (UNKNOWN, NEVER)


def _columns(plan: TablePlan) -> sql.Composed:
    return sql.SQL(",").join([sql.Identifier(column.name) for column in plan.table.columns])


def _memo(find: Callable[[int], Any]) -> Callable[[int], Any]:
    known: dict[int, Any] = {}

    def look_up(xid: int) -> Any:
        if xid not in known:
            known[xid] = find(xid)
        return known[xid]

    return look_up
