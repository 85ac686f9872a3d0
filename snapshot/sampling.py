"""A few rows of a table, from many of its pages: enough to tell how long rows are, without reading the table."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from bridge.changes import Row
from bridge.schema import Table
from snapshot.keys import column_list, relation
from snapshot.texts import copy_rows

MARGIN = 4
"""So many times the rows wanted are taken from random pages, since rows of one page come together."""


def sample_rows(conn: psycopg.Connection[Any], table: Table, estimated: int, wanted: int) -> list[Row]:
    """About `wanted` rows, or all that there are; `estimated` rows are in the table. Raises SourceUnavailable and Fatal."""
    if not table.columns:
        return []
    columns, place = column_list(table.columns), relation(table)
    if estimated > 2 * MARGIN * wanted:
        share = sql.Literal(round(100 * MARGIN * wanted / estimated, 6))
        query = sql.SQL("select {} from {} tablesample system ({}) limit {}")
        found = list(copy_rows(conn, query.format(columns, place, share, sql.Literal(2 * MARGIN * wanted))))
        if len(found) >= wanted:
            return found[:: len(found) // wanted]
    return list(copy_rows(conn, sql.SQL("select {} from {} limit {}").format(columns, place, sql.Literal(wanted))))
