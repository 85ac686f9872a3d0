"""How many rows a table has, or would be read of it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from bridge.errors import Fatal
from bridge.schema import Table
from snapshot.chunks import restricted_to
from snapshot.keys import relation
from snapshot.plan import EVERYTHING, Restriction
from snapshot.texts import fetch


def count_rows(conn: psycopg.Connection[Any], table: Table, only: Restriction = EVERYTHING) -> int:
    """The number of rows that a reading of the table would find now. Raises SourceUnavailable and Fatal."""
    limit = sql.SQL(" limit {}").format(sql.Literal(only.limit)) if only.limit is not None else sql.SQL("")
    query = sql.SQL("select count(*) from (select from {}{}{}) as counted").format(
        relation(table), restricted_to(table, only), limit
    )
    ((found,),) = fetch(conn, query)
    if not isinstance(found, str):
        raise Fatal("PostgreSQL counted no rows")
    return int(found)
