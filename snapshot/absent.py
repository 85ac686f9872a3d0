"""Which of the keys that are known of a table PostgreSQL does not have any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from bridge.schema import Table
from snapshot.keys import ALIAS, compare, relation
from snapshot.plan import KeyText
from snapshot.texts import array_parameter, fetch


def absent_keys(conn: psycopg.Connection[Any], table: Table, keys: Sequence[KeyText]) -> list[KeyText]:
    """Those of the keys for which there is no row now, in one statement.

    A row whose key is equal but written otherwise (`citext`, numeric scale) is another memory, so the text is compared too, as
    the type's output function writes it, which `format` calls; a cast to text would lose the padding of a `character(n)`.
    Raises SourceUnavailable and Fatal.
    """
    if not keys:
        return []
    names = [sql.Identifier("k", f"k{number}") for number in range(len(table.key))]
    own = [sql.Identifier(ALIAS, name) for name in table.key]
    written = [sql.SQL("format('%s', {}) = {} collate \"C\"").format(mine, given) for mine, given in zip(own, names, strict=True)]
    query = sql.SQL(
        "select {names} from unnest({arrays}) as k ({columns})"
        " where not exists (select from {relation} where {equal} and {written})"
    ).format(
        names=sql.SQL(", ").join(names),
        arrays=sql.SQL(", ").join([sql.SQL("${}::text[]").format(sql.Literal(n)) for n in range(1, len(names) + 1)]),
        columns=sql.SQL(", ").join([sql.Identifier(f"k{number}") for number in range(len(names))]),
        relation=relation(table),
        equal=compare(table, "=", names),
        written=sql.SQL(" and ").join(written),
    )
    rows = fetch(conn, query, [array_parameter(values) for values in zip(*keys, strict=True)])
    return [tuple([str(value) for value in row]) for row in rows]
