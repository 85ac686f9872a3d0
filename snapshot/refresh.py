"""Rows read again, with the proof of how new the reading is (law 11).

A commit can be streamed before it is visible, for a moment always and without bound under synchronous replication. So a reading
comes with the snapshot of the very statement that read the rows, and whoever asks can tell whether a transaction was visible to
it. One statement gives both; the WAL position is taken by another one after it, so that it covers all that the first one saw.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from bridge.changes import Row
from bridge.errors import SourceUnavailable
from bridge.lsn import Lsn
from bridge.origin import Rows, open_rows
from bridge.postgres import snapshot_sees
from bridge.schema import Table
from snapshot.chunks import reached
from snapshot.keys import ALIAS, cast, column_list, compare, relation
from snapshot.plan import KeyText
from snapshot.texts import array_parameter, fetch


@dataclass(frozen=True, slots=True)
class Reading:
    """Rows by key text (by all their values, for a keyless table), the statement's snapshot, a WAL position taken after it."""

    rows: dict[tuple[Any, ...], Row]
    snapshot: str
    lsn: Lsn

    def visible(self, xid: int) -> bool:
        """Whether the transaction with this 32-bit id, known to have committed, was visible to the statement."""
        return snapshot_sees(self.snapshot, xid)


class Refresher:
    """Reads rows of the primary again, from any number of threads over at most `size` connections. Close it at the end."""

    def __init__(self, url: Rows, *, size: int = 4) -> None:
        self._url = url
        self._free = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[psycopg.Connection[Any]] = []
        self._closed = False

    def __enter__(self) -> Refresher:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def read(self, table: Table, keys: Sequence[KeyText]) -> Reading:
        """The rows of these keys that exist now, by the key exactly as it was given.

        A row whose key is equal but written otherwise (`citext`, numeric scale) is another memory, and not found.
        Raises SourceUnavailable (also when the server is a standby) and Fatal.
        """
        names = [sql.Identifier("k", f"k{number}") for number in range(len(table.key))]
        condition = compare(table, "=", names)
        texts = [array_parameter(values) for values in zip(*keys, strict=True)] if keys else [b"{}"] * len(names)
        reading = self._read(table, condition, len(names), texts)
        places = [[column.name for column in table.columns].index(name) for name in table.key]
        wanted = set(keys)
        by_key = {tuple([row[place] for place in places]): row for row in reading.rows.values()}
        return Reading({key: row for key, row in by_key.items() if key in wanted}, reading.snapshot, reading.lsn)

    def read_same(self, table: Table, rows: Sequence[Row]) -> Reading:
        """Which of these whole rows of a keyless table still exist; `rows` of the answer is keyed by the row's values.

        Costs a scan of the table. Both sides are compared as text, as arrays, since those are hashed and hold NULLs equal; each
        text is bytewise, so that columns of several collations can stand in one array.
        Raises SourceUnavailable (also when the server is a standby) and Fatal.
        """
        form = sql.SQL('({}::text collate pg_catalog."C")')
        theirs = [form.format(sql.Identifier(ALIAS, column.name)) for column in table.columns]
        ours = [form.format(cast(sql.Identifier("k", f"k{n}"), column.type)) for n, column in enumerate(table.columns)]
        condition = sql.SQL("array[{}]::text[] = array[{}]::text[]").format(sql.SQL(", ").join(theirs), sql.SQL(", ").join(ours))
        texts = [array_parameter(values) for values in zip(*rows, strict=True)] if rows else [b"{}"] * len(ours)
        reading = self._read(table, condition, len(ours), texts)
        wanted = set(rows)
        return Reading({row: row for row in reading.rows.values() if row in wanted}, reading.snapshot, reading.lsn)

    def close(self) -> None:
        """Close the idle connections, and those in use when they come back."""
        with self._lock:
            self._closed = True
        self._close_idle()

    def _read(self, table: Table, condition: sql.Composable, width: int, texts: Sequence[bytes]) -> Reading:
        """Rows that meet `condition` against the given texts, keyed by themselves."""
        with self._connection() as conn:
            answer = fetch(conn, _statement(conn, table, condition, width), texts)
            snapshot, standby = answer[0][0], answer[0][1]
            if standby == "t" or not isinstance(snapshot, str):
                raise SourceUnavailable(
                    "PostgreSQL is a standby, and rows are read again from the primary only",
                    hint="Let the source URL lead to the primary (target_session_attrs=read-write helps).",
                )
            found = [row[3:] for row in answer if row[2] is not None]
            return Reading({row: row for row in found}, snapshot, reached(conn))

    @contextlib.contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of our own for a while; one that saw an error is closed."""
        with self._free:
            with self._lock:
                conn = self._idle.pop() if self._idle else None
            if conn is None:
                conn = open_rows(self._url, "engram-bridge refresh")
            try:
                yield conn
            except BaseException:
                conn.close()
                self._close_idle()  # after a restart they are all dead, and each would cost its caller a failure
                raise
            with self._lock:
                if not self._closed:
                    self._idle.append(conn)
                    return
            conn.close()

    def _close_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def _statement(conn: psycopg.Connection[Any], table: Table, condition: sql.Composable, width: int) -> sql.Composed:
    """The statement's snapshot, whether the server is a standby, and the rows, of which there may be none.

    A row that was found has `true` in front: a row can be all NULLs.
    """
    current = "pg_current_snapshot()" if conn.info.server_version >= 130000 else "txid_current_snapshot()"
    arrays = [sql.SQL("${}::text[]").format(sql.Literal(number)) for number in range(1, width + 1)]
    return sql.SQL(
        "select s.snapshot, s.standby, r.* from (select {current}, pg_is_in_recovery()) as s (snapshot, standby)"
        " left join (select true, {columns} from unnest({arrays}) as k ({names}) join {relation} on {condition}) as r on true"
    ).format(
        current=sql.SQL(current),
        columns=column_list(table.columns),
        arrays=sql.SQL(", ").join(arrays),
        names=sql.SQL(", ").join([sql.Identifier(f"k{number}") for number in range(width)]),
        relation=relation(table),
        condition=condition,
    )
