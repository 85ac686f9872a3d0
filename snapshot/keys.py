"""Key comparisons in SQL, composed so that the server uses the index of the key and the key's own order.

A value goes in as text and is cast to the *base* type by its qualified name: without a type modifier nothing is cut off, and
without the domain its collation cannot contradict the column's. Connections have `search_path` pg_catalog (law 10), where the
operators of a type that an extension brought are not found; worse, `citext` would be compared as text, in another order than
its index has. Such a type's operators are taken from the schema of the type, where extensions put them.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from bridge.schema import Column, Table, TypeInfo
from bridge.values import base_of

ALIAS = "t"


def relation(table: Table) -> sql.Composed:
    """The table in a FROM clause, as `t`. Without tables that inherit from it; a partitioned one with its partitions."""
    only = sql.SQL("") if table.kind == "p" else sql.SQL("only ")
    return sql.SQL("{}{} as {}").format(only, sql.Identifier(table.schema, table.name), sql.Identifier(ALIAS))


def column_list(columns: Sequence[Column] | Sequence[str]) -> sql.Composed:
    """Columns of `t`, with commas between them."""
    names = [column if isinstance(column, str) else column.name for column in columns]
    return sql.SQL(", ").join([sql.Identifier(ALIAS, name) for name in names])


def cast(text: sql.Composable, info: TypeInfo) -> sql.Composed:
    """`text`, an expression of type text, cast to the base of `info`."""
    base = base_of(info)
    return sql.SQL("({}::text::{})").format(text, sql.Identifier(base.schema, base.name))


def compare(table: Table, operator: str, values: Sequence[sql.Composable]) -> sql.Composed:
    """`key operator values`, for `>`, `<=` and `=`; `values` are expressions of type text in key order.

    A row comparison finds all its operators by one name. Where they are of several schemas it is written out, with a condition
    on the first column before it so that the index is used all the same.
    """
    columns = [table.column(name) for name in table.key]
    casts = [cast(value, column.type) for value, column in zip(values, columns, strict=True)]
    places = [_operator_schema(column.type) for column in columns]
    names = [sql.Identifier(ALIAS, column.name) for column in columns]
    if len(set(places)) == 1:
        left, right = sql.SQL(", ").join(names), sql.SQL(", ").join(casts)
        if len(names) == 1:
            return sql.SQL("{} {} {}").format(left, _operator(operator, places[0]), right)
        return sql.SQL("({}) {} ({})").format(left, _operator(operator, places[0]), right)
    terms = list(zip(names, casts, places, strict=True))
    if operator == "=":
        return sql.SQL(" and ").join([_term(name, "=", value, place) for name, value, place in terms])
    strict = operator[0]
    condition = _term(*_with(terms[-1], operator))
    for term in reversed(terms[:-1]):
        beyond, equal = _term(*_with(term, strict)), _term(*_with(term, "="))
        condition = sql.SQL("({} or ({} and {}))").format(beyond, equal, condition)
    return sql.SQL("{} and {}").format(_term(*_with(terms[0], strict + "=")), condition)


def equal(left: sql.Composable, right: sql.Composable, info: TypeInfo) -> sql.Composed:
    """`left = right`, two expressions of which the second is of this type."""
    return sql.SQL("{} {} {}").format(left, _operator("=", _operator_schema(info)), right)


_Term = tuple[sql.Identifier, sql.Composed, str]


def _with(term: _Term, operator: str) -> tuple[sql.Identifier, str, sql.Composed, str]:
    return term[0], operator, term[1], term[2]


def _term(name: sql.Identifier, operator: str, value: sql.Composed, place: str) -> sql.Composed:
    return sql.SQL("{} {} {}").format(name, _operator(operator, place), value)


_SIGNS = {sign: sql.SQL(sign) for sign in (">", ">=", "<", "<=", "=")}


def _operator(sign: str, place: str) -> sql.Composed:
    if place == "pg_catalog":
        return sql.Composed([_SIGNS[sign]])
    return sql.SQL("operator({}.{})").format(sql.Identifier(place), _SIGNS[sign])


def _operator_schema(info: TypeInfo) -> str:
    """Arrays, enums, ranges and composites are compared by polymorphic operators of pg_catalog."""
    base = base_of(info)
    return base.schema if base.kind == "b" and base.element is None else "pg_catalog"
