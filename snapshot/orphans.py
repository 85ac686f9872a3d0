"""Foreign keys that lead nowhere, as PostgreSQL sees them: it has such rows behind constraints that are not valid, and where
triggers were off while they were written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from bridge.schema import ForeignKey, Table
from snapshot.keys import ALIAS, compare, equal, relation
from snapshot.plan import KeyText
from snapshot.texts import array_parameter, fetch

PARENT = "p"


def orphaned(
    conn: psycopg.Connection[Any], child: Table, foreign: ForeignKey, parent: Table, keys: Sequence[KeyText]
) -> list[KeyText]:
    """Those of the keys whose row is there and refers to a row of the parent that is not. One statement.

    Raises SourceUnavailable and Fatal.
    """
    if not keys:
        return []
    names = [sql.Identifier("k", f"k{number}") for number in range(len(child.key))]
    query = sql.SQL(
        "select {names} from unnest({arrays}) as k ({columns})"
        " where exists (select from {child} where {same} and {given} and not exists (select from {parent} where {pairs}))"
    ).format(
        names=sql.SQL(", ").join(names),
        arrays=sql.SQL(", ").join([sql.SQL("${}::text[]").format(sql.Literal(n)) for n in range(1, len(names) + 1)]),
        columns=sql.SQL(", ").join([sql.Identifier(f"k{number}") for number in range(len(names))]),
        child=relation(child),
        same=compare(child, "=", names),
        given=_given(foreign),
        parent=_parent(parent),
        pairs=_pairs(foreign, parent),
    )
    rows = fetch(conn, query, [array_parameter(values) for values in zip(*keys, strict=True)])
    return [tuple([str(value) for value in row]) for row in rows]


def references(conn: psycopg.Connection[Any], child: Table, foreign: ForeignKey, keys: Sequence[KeyText] | None = None) -> int:
    """How many rows, all of the table or those of the keys, have this foreign key. Raises SourceUnavailable and Fatal."""
    if keys is None:
        query = sql.SQL("select count(*)::text from {} where {}").format(relation(child), _given(foreign))
        ((number,),) = fetch(conn, query)
        return int(str(number))
    if not keys:
        return 0
    names = [sql.Identifier("k", f"k{number}") for number in range(len(child.key))]
    query = sql.SQL(
        "select count(*)::text from unnest({arrays}) as k ({columns}) where exists (select from {child} where {same} and {given})"
    ).format(
        arrays=sql.SQL(", ").join([sql.SQL("${}::text[]").format(sql.Literal(n)) for n in range(1, len(names) + 1)]),
        columns=sql.SQL(", ").join([sql.Identifier(f"k{number}") for number in range(len(names))]),
        child=relation(child),
        same=compare(child, "=", names),
        given=_given(foreign),
    )
    ((number,),) = fetch(conn, query, [array_parameter(values) for values in zip(*keys, strict=True)])
    return int(str(number))


def _given(foreign: ForeignKey) -> sql.Composed:
    """A reference of which one column is null is none (MATCH SIMPLE)."""
    return sql.SQL(" and ").join([sql.SQL("{} is not null").format(sql.Identifier(ALIAS, name)) for name in foreign.columns])


def _parent(parent: Table) -> sql.Composed:
    only = sql.SQL("") if parent.kind == "p" else sql.SQL("only ")
    return sql.SQL("{}{} as {}").format(only, sql.Identifier(parent.schema, parent.name), sql.Identifier(PARENT))


def _pairs(foreign: ForeignKey, parent: Table) -> sql.Composed:
    pairs = zip(foreign.columns, foreign.parent_columns, strict=True)
    return sql.SQL(" and ").join(
        [equal(sql.Identifier(ALIAS, own), sql.Identifier(PARENT, other), parent.column(other).type) for own, other in pairs]
    )
