"""Search in PostgreSQL, for when Engram cannot: full text of the columns that are embedded. Pure: plans in, statements out.

The dictionary is `simple`, because nobody knows in what language the rows are. Without an index on the expression (`indexed`)
the server reads the whole table, within its time limit.
"""

from __future__ import annotations

from psycopg import sql

from api.joins import key_text
from bridge.mapping import TablePlan
from snapshot.keys import ALIAS, column_list, relation

LONGEST = 200_000
"""Characters of a row that are looked at: a tsvector holds a megabyte, and a longer one is an error."""


def statement(plan: TablePlan, *, tenant: str | None) -> bytes:
    """The best rows: rank and key, without a key the carried columns. Parameters: query, how many, the tenant."""
    vector = document(plan, ALIAS)
    mine: sql.Composable = sql.SQL("")
    if tenant is not None:
        mine = sql.SQL(" and concat({}) = $3::text").format(sql.Identifier(ALIAS, tenant))
    found = column_list(plan.table.columns) if plan.keyless else key_text(plan.table, ALIAS)
    last: sql.Composable = sql.SQL("") if plan.keyless else sql.SQL(', {} collate "C"').format(key_text(plan.table, ALIAS))
    query = sql.SQL(
        "select ts_rank({vector}, websearch_to_tsquery('simple', $1::text)), {found} from {table}"
        " where {vector} @@ websearch_to_tsquery('simple', $1::text){mine} order by 1 desc{last} limit $2::text::int8"
    )
    return query.format(vector=vector, found=found, table=relation(plan.table), mine=mine, last=last).as_bytes(None)


def document(plan: TablePlan, alias: str) -> sql.Composed:
    """What is searched: the columns that are embedded; all of them where none is."""
    names = [name for _index, name in plan.text_columns] or [column.name for column in plan.table.columns]
    texts = [sql.SQL("coalesce({}::text, '')").format(sql.Identifier(alias, name)) for name in names]
    joined = sql.SQL(" || ' ' || ").join(texts)
    return sql.SQL("to_tsvector('simple', left({}, {}))").format(joined, sql.Literal(LONGEST))
