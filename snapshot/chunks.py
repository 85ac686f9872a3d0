"""Chunks planned and read: short statements along the index of the key, and one COPY a chunk.

No statement here runs longer than one chunk takes, so no snapshot is held that would hold back vacuum (law 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from bridge.changes import Row
from bridge.errors import Fatal
from bridge.lsn import Lsn, fence, parse_lsn
from bridge.schema import Table
from snapshot.keys import column_list, compare, relation
from snapshot.plan import Chunk, KeyText, chunks_between
from snapshot.texts import as_parameter, copy_rows, fetch

__all__ = ["copy_rows", "plan_chunks", "reached", "read_chunk"]


def plan_chunks(conn: psycopg.Connection[Any], table: Table, rows_per_chunk: int) -> Iterator[Chunk]:
    """The chunks of a table, about `rows_per_chunk` rows each, one short statement a chunk, as they are asked for.

    A table without a key is one chunk. Raises SourceUnavailable and Fatal.
    """
    if rows_per_chunk < 1:
        raise ValueError("a chunk has at least one row")
    return chunks_between(_boundaries(conn, table, rows_per_chunk)) if table.key else chunks_between(())


def _boundaries(conn: psycopg.Connection[Any], table: Table, step: int) -> Iterator[KeyText]:
    """Every `step`-th key. One that is no valid UTF-8 is stepped from but is no boundary: a plan is kept as text."""
    parameters = [sql.SQL("${}").format(sql.Literal(number)) for number in range(1, len(table.key) + 1)]
    query = sql.SQL("select {columns} from {relation}{condition} order by {columns} offset {offset} limit 1")
    parts = {"columns": column_list(table.key), "relation": relation(table), "offset": sql.Literal(step - 1)}
    found = fetch(conn, query.format(condition=sql.SQL(""), **parts))
    following = query.format(condition=sql.SQL(" where {}").format(compare(table, ">", parameters)), **parts)
    while found:
        values = [value for value in found[0] if isinstance(value, str | bytes)]
        if all(isinstance(value, str) for value in values):
            yield tuple([value for value in values if isinstance(value, str)])
        found = fetch(conn, following, [as_parameter(value) for value in values])


def read_chunk(conn: psycopg.Connection[Any], table: Table, chunk: Chunk) -> Iterator[Row]:
    """The rows of a chunk that exist now, by COPY, values in the order of `table.columns`. Raises SourceUnavailable and Fatal."""
    bounds = [
        compare(table, operator, [sql.Literal(value) for value in bound])
        for operator, bound in ((">", chunk.after), ("<=", chunk.upto))
        if bound is not None
    ]
    where = sql.SQL(" where {}").format(sql.SQL(" and ").join(bounds)) if bounds else sql.SQL("")
    query = sql.SQL("select {} from {}{}").format(column_list(table.columns), relation(table), where)
    if table.columns:
        yield from copy_rows(conn, query)
        return
    yield from (() for _row in copy_rows(conn, query))


def reached(conn: psycopg.Connection[Any]) -> Lsn:
    """A position that covers all that a statement which ended before could see; the stream gets there.

    The insert position, because an asynchronous commit is visible before it is flushed. Raises SourceUnavailable and Fatal.
    """
    ((position,),) = fetch(conn, sql.SQL("select pg_current_wal_insert_lsn()"))
    if not isinstance(position, str):
        raise Fatal("PostgreSQL gave no WAL position")
    return fence(parse_lsn(position))
