"""A new source epoch: the ledger's positions belong to a history that has ended, what it expects of Engram does not.

Everything happens in one transaction, so that a run that is killed finds either the old history or none. Positions, floors,
transaction ids and the barrier go; the memories' versions, digests and references stay. Versions of the new epoch rank above
all of them, and a row that has not changed keeps the one it has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select, update

from bridge.ledger import books, tables
from bridge.ledger.ledger import Ledger
from bridge.ledger.records import RESYNC_LOADING

ASKED, BEGUN = "new_slot", "renewing"
"""Facts: a new slot is asked for, and, until there is one, has been begun. Values: the identity of the source, as JSON."""

OF_THE_OLD_HISTORY = (
    ASKED,
    "consistent_point",
    "confirmed",
    "proven",
    "written",
    "covered",
    "barrier",
    "visible_below",
    "making_slot",
    "looked",
)


def begin_epoch(ledger: Ledger, columns: Mapping[int, list[dict[str, Any]]]) -> int:
    """Leave the old history behind; answers the new source epoch. Raises LedgerError.

    `columns`: the tables to be loaded again, by number, as they are defined now. The others stay as they are.
    """
    with ledger.writing() as connection:
        facts = {row.name: row.value for row in connection.execute(select(tables.facts.c.name, tables.facts.c.value))}
        epoch = int(facts.get("source_epoch", "1")) + 1
        gone = [*OF_THE_OLD_HISTORY, *(f"shape:{number}" for number in columns)]
        connection.execute(delete(tables.facts).where(tables.facts.c.name.in_(gone)))
        news = {"source_epoch": str(epoch), BEGUN: facts.get(ASKED, "{}")}
        news |= {f"resync:{number}": RESYNC_LOADING for number in columns}
        books.upsert(connection, tables.facts, ("name",), [{"name": name, "value": value} for name, value in news.items()])
        _forget_positions(connection)
        for number, definition in columns.items():
            connection.execute(delete(tables.chunks).where(tables.chunks.c.tbl == number))
            again = {"state": "new", "reason": None, "columns": json.dumps(definition)}
            connection.execute(update(tables.tables).where(tables.tables.c.number == number).values(**again))
    return epoch


def _forget_positions(connection: Connection) -> None:
    """Positions and transaction ids of the old history say nothing in the new one: others will bear the same numbers."""
    m, p = tables.memories.c, tables.parked.c
    connection.execute(update(tables.memories).where(m.xid.is_not(None) | (m.refreshed != 0)).values(xid=None, refreshed=0))
    connection.execute(update(tables.parked).where(p.xid.is_not(None)).values(xid=None))
    connection.execute(update(tables.tables).values(floor="", reached=0))
