"""The records of generations: read, and made under numbers that none ever had."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from bridge.ledger import tables
from bridge.ledger.records import TableRecord

LAST_NUMBER = "last_number"
"""The fact that keeps a number from being given twice: edges and facts may still speak of the generation that had it."""


def read(connection: Connection, roles: Sequence[str]) -> list[TableRecord]:
    """The generations of these roles, by number."""
    t = tables.tables.c
    rows = connection.execute(select(tables.tables).where(t.role.in_(roles)).order_by(t.number)).all()
    return [
        TableRecord(
            row.number,
            row.label,
            tuple(json.loads(row.spaces)),
            json.loads(row.columns),
            row.state,
            row.reason,
            row.floor,
            row.reached,
            row.rows_estimated,
            row.role,
            row.origin,
        )
        for row in rows
    ]


def insert(
    connection: Connection,
    label: str,
    role: str,
    origin: int | None,
    spaces: Sequence[str],
    columns: list[dict[str, Any]],
    rows: int,
) -> int:
    """A new generation, under a number that none ever had; its own `origin` when it is the first of its table."""
    f = tables.facts.c
    last = int(connection.execute(select(f.value).where(f.name == LAST_NUMBER)).scalar() or 0)
    number = max(connection.execute(select(func.max(tables.tables.c.number))).scalar() or 0, last) + 1
    connection.execute(
        tables.tables.insert().values(
            number=number,
            label=label,
            role=role,
            origin=number if origin is None else origin,
            spaces=json.dumps(list(spaces)),
            columns=json.dumps(columns),
            state="new",
            floor="",
            reached=0,
            rows_estimated=rows,
        )
    )
    return number
