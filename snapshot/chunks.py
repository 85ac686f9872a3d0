"""Chunks planned and read: short statements along the index of the key, and one COPY a chunk.

No statement here runs longer than one chunk takes, so no snapshot is held that would hold back vacuum (law 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from bridge.changes import Row
from bridge.errors import Fatal
from bridge.lsn import Lsn, fence, parse_lsn
from bridge.schema import Table
from snapshot.keys import ALIAS, cast, column_list, compare, relation
from snapshot.plan import EVERYTHING, Chunk, KeyText, Restriction, chunks_between
from snapshot.texts import as_parameter, copy_rows, fetch

__all__ = ["copy_rows", "next_chunk", "plan_chunks", "reached", "read_chunk", "within"]


def plan_chunks(
    conn: psycopg.Connection[Any], table: Table, rows_per_chunk: int, only: Restriction = EVERYTHING
) -> Iterator[Chunk]:
    """The chunks of a table, about `rows_per_chunk` rows each, one short statement a chunk, as they are asked for.

    A table without a key is one chunk. Raises SourceUnavailable and Fatal.
    """
    if rows_per_chunk < 1:
        raise ValueError("a chunk has at least one row")
    if not table.key:
        return chunks_between(())
    if only.limit is None:
        return chunks_between(_boundaries(conn, table, rows_per_chunk, only))
    return _limited(conn, table, rows_per_chunk, only, only.limit)


def _boundaries(conn: psycopg.Connection[Any], table: Table, step: int, only: Restriction) -> Iterator[KeyText]:
    """Every `step`-th key. One that is no valid UTF-8 is stepped from but is no boundary: a plan is kept as text."""
    values = _key_at(conn, table, step, only, None)
    while values is not None:
        if all(isinstance(value, str) for value in values):
            yield tuple([value for value in values if isinstance(value, str)])
        values = _key_at(conn, table, step, only, values)


def next_chunk(conn: psycopg.Connection[Any], table: Table, after: KeyText | None, rows: int) -> Chunk:
    """The chunk of about so many rows behind a key; `upto` is None when it is the last. Raises SourceUnavailable and Fatal."""
    values = _key_at(conn, table, rows, EVERYTHING, after) if table.key else None
    while values is not None:
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) == len(values):
            return Chunk(0, after, tuple(texts))
        values = _key_at(conn, table, rows, EVERYTHING, values)
    return Chunk(0, after, None)


def _limited(conn: psycopg.Connection[Any], table: Table, step: int, only: Restriction, limit: int) -> Iterator[Chunk]:
    """The chunks of the first `limit` rows: the last one is open-ended only where the table has no more."""
    last = _key_at(conn, table, limit, only, None)
    end = None if last is None else tuple([value for value in last if isinstance(value, str)])
    if end is not None and last is not None and len(end) != len(last):
        raise Fatal(f"the key of row {limit} of {table.label} is no valid UTF-8, so that reading cannot stop there")
    left = limit
    for chunk in chunks_between(_boundaries(conn, table, step, only)):
        left -= step
        if end is not None and (left <= 0 or chunk.upto is None):
            yield Chunk(chunk.number, chunk.after, end)
            return
        yield chunk


def _key_at(
    conn: psycopg.Connection[Any], table: Table, step: int, only: Restriction, after: Sequence[str | bytes] | None
) -> list[str | bytes] | None:
    """The key `step` rows on from the first one, or from behind `after`; None when there are not so many."""
    conditions = _restricted(table, only)
    if after is not None:
        parameters = [sql.SQL("${}").format(sql.Literal(number)) for number in range(1, len(table.key) + 1)]
        conditions = [compare(table, ">", parameters), *conditions]
    query = sql.SQL("select {columns} from {relation}{where} order by {columns} offset {offset} limit 1").format(
        columns=column_list(table.key), relation=relation(table), where=_where(conditions), offset=sql.Literal(step - 1)
    )
    found = fetch(conn, query, [as_parameter(value) for value in after or ()])
    return [value for value in found[0] if isinstance(value, str | bytes)] if found else None


def _restricted(table: Table, only: Restriction) -> list[sql.Composable]:
    """The conditions of a restriction, but for its limit."""
    if only.column is None:
        return []
    name, info = sql.Identifier(ALIAS, only.column), table.column(only.column).type
    conditions: list[sql.Composable] = []
    if only.since is not None:
        conditions.append(sql.SQL("{} > {}").format(name, cast(sql.Literal(only.since), info)))
    if only.until is not None:
        conditions.append(sql.SQL("({0} <= {1} or {0} is null)").format(name, cast(sql.Literal(only.until), info)))
    return conditions


def keys_of(table: Table, only: Restriction = EVERYTHING) -> sql.Composable:
    """A query for the keys of the rows that are meant."""
    columns = column_list(table.key)
    query = sql.SQL("select {} from {}{}").format(columns, relation(table), restricted_to(table, only))
    if only.limit is None:
        return query
    return sql.SQL("{} order by {} limit {}").format(query, columns, sql.Literal(only.limit))


def restricted_to(table: Table, only: Restriction) -> sql.Composable:
    """The WHERE clause of a restriction; its limit is another matter."""
    return _where(_restricted(table, only))


def _where(conditions: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL(" where {}").format(sql.SQL(" and ").join(conditions)) if conditions else sql.SQL("")


def within(table: Table, chunk: Chunk) -> sql.Composable:
    """The WHERE clause of a chunk."""
    return _where(_bounds(table, chunk))


def _bounds(table: Table, chunk: Chunk) -> list[sql.Composable]:
    return [
        compare(table, operator, [sql.Literal(value) for value in bound])
        for operator, bound in ((">", chunk.after), ("<=", chunk.upto))
        if bound is not None
    ]


def read_chunk(conn: psycopg.Connection[Any], table: Table, chunk: Chunk, only: Restriction = EVERYTHING) -> Iterator[Row]:
    """The rows of a chunk that exist now, by COPY, values in the order of `table.columns`. Raises SourceUnavailable and Fatal."""
    # A table with a key is limited by its plan; one without is read in one piece.
    limit = sql.SQL(" limit {}").format(sql.Literal(only.limit)) if only.limit is not None and not table.key else sql.SQL("")
    query = sql.SQL("select {} from {}{}{}").format(
        column_list(table.columns), relation(table), _where([*_bounds(table, chunk), *_restricted(table, only)]), limit
    )
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
