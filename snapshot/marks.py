"""Rows compared without being sent: PostgreSQL writes a row's canonical JSON itself, and sends 64 bits of its SHA-256.

What `bridge.values` makes of a value's text, SQL can make of the value for all types but arrays, whose form takes a parser: a
table with an array among its columns is read instead, and so is one in a database without an encoding. That both are the same,
byte for byte, is tested over all types. The texts are those of the types' output functions (law 10): a cast to text is another
one for `bool`, `bpchar`, `inet` and more, so all but a few known types go through `format`, which calls the output function.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from json.encoder import encode_basestring
from typing import Any

import psycopg
from psycopg import sql

from bridge.changes import Row
from bridge.schema import Column, Table
from bridge.values import base_of
from snapshot.chunks import within
from snapshot.keys import ALIAS, column_list, relation
from snapshot.plan import Chunk
from snapshot.texts import copy_rows

_VERBATIM = frozenset({"int2", "int4", "int8", "oid", "json", "jsonb"})
_FLOATS = frozenset({"float4", "float8"})
_QUOTED = frozenset({"numeric", "money", "uuid", "date", "timestamp", "timestamptz"})
"""Types whose text has nothing in it that JSON would escape."""

_CAST = frozenset({*_VERBATIM, *_FLOATS, "numeric", "text", "varchar", "uuid", "date", "timestamp", "timestamptz"})
"""Types whose cast to text is what their output function writes; it costs a third of `format`."""

ARGUMENTS = 80
"""A function takes a hundred arguments. A chain of `||` would copy the row once for each of its columns."""


def comparable_there(conn: psycopg.Connection[Any], table: Table) -> bool:
    """Whether PostgreSQL can compute the marks of this table's rows."""
    plain = all(base_of(column.type).element is None for column in table.columns)
    encoding = conn.info.parameter_status("server_encoding")
    return plain and bool(table.columns) and encoding != "SQL_ASCII"


def read_marks(conn: psycopg.Connection[Any], table: Table, chunk: Chunk) -> Iterator[tuple[Row, int]]:
    """The rows of a chunk that exist now: the values of their key, and the mark of their body. Raises SourceUnavailable
    and Fatal."""
    query = sql.SQL("select {}, {} from {}{}").format(
        column_list(table.key), _mark(table.columns), relation(table), within(table, chunk)
    )
    for row in copy_rows(conn, query):
        yield row[:-1], int(str(row[-1]))


def _mark(columns: tuple[Column, ...]) -> sql.Composed:
    hashed = "('x' || encode(substring(sha256(convert_to({}, 'UTF8')) from 1 for 8), 'hex'))::bit(64)::bigint"
    return sql.SQL(hashed).format(_body(columns))


def _body(columns: tuple[Column, ...]) -> sql.Composed:
    parts: list[sql.Composable] = []
    for number, column in enumerate(columns):
        opening = "," if number else "{"
        parts.append(sql.Literal(f"{opening}{encode_basestring(column.name)}:"))
        parts.append(sql.SQL("coalesce({}, 'null')").format(_value(column)))
    groups = [_concatenated(parts[start : start + ARGUMENTS]) for start in range(0, len(parts), ARGUMENTS)]
    return _concatenated([*groups, sql.Literal("}")])


def _concatenated(parts: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL("concat({})").format(sql.SQL(", ").join(parts))


def _value(column: Column) -> sql.Composed:
    """The JSON of one value; NULL for NULL."""
    base = base_of(column.type)
    name = base.name if base.schema == "pg_catalog" else ""
    mine = sql.Identifier(ALIAS, column.name)
    # `is null` is true of a composite value whose fields are all NULL, and `format` writes NULL as the empty text.
    text = sql.SQL("{0}::text" if name in _CAST else "case when {0} is distinct from null then format('%s', {0}) end").format(
        mine
    )
    if name in _VERBATIM:
        return text
    if name == "bool":
        return sql.SQL("case when {0} then 'true' when not {0} then 'false' end").format(mine)
    if name in _FLOATS:
        return sql.SQL("case when {0} in ('NaN', 'Infinity', '-Infinity') then '\"' || {0} || '\"' else {0} end").format(text)
    if name in _QUOTED:
        return sql.SQL("'\"' || {} || '\"'").format(text)
    return sql.SQL("to_json({})::text").format(text)
