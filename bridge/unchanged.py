"""The fast path of a resync: rows that are as the ledger says need no lane.

A row that was read, its digest and its references equal to those of the ledger's live entry, of a key that is not parked: then
the entry was right when the row was read, and nothing is to be done. What the entry says was proven when it was recorded; what
was committed before the reading is in the row; what was committed later, or not visible yet, comes by the stream, whose changes
are newer than the entry. Whether Engram still holds what the ledger says is another question, and is asked for whole spaces when
the table is through.

The rows of a table that others refer to by another unique key than its primary key all take the lane: whether their values for
that are recorded does not show in their digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bridge.changes import Row
from bridge.errors import MappingError
from bridge.ledger import Ledger
from bridge.mapping import TablePlan
from bridge.memories import Edge, digest

NO_REFERENCES = digest("[]")


class Differing(NamedTuple):
    """A row that is not as the ledger says, or whose key is parked."""

    key: str
    row: Row
    parked: bool


def differing(ledger: Ledger, plan: TablePlan, rows: Sequence[Row]) -> list[Differing]:
    """Those of the rows that have to go through their lanes, in order. Raises LedgerError, MappingError for a key."""
    keys = [plan.key_of(row) for row in rows]
    parked = ledger.parked_of(plan.number)
    if plan.alternates:
        return [Differing(key, row, key in parked) for key, row in zip(keys, rows, strict=True)]
    known = ledger.digests(plan.number, keys)
    references = _references(ledger, plan, rows) if plan.links else [NO_REFERENCES] * len(rows)
    body, nothing = plan.body, (None, None)
    found = []
    for key, row, refs in zip(keys, rows, references, strict=True):
        try:
            same = known.get(key, nothing) == (digest(body(row)), refs)
        except MappingError:
            same = False  # its lane parks it, with the reason
        if not same or key in parked:
            found.append(Differing(key, row, key in parked))
    return found


def _references(ledger: Ledger, plan: TablePlan, rows: Sequence[Row]) -> list[str]:
    """The digests of the rows' references, as their lanes would make them."""
    each = [tuple(plan.references(row)) for row in rows]
    lookups = {reference.lookup for references in each for reference in references if reference.lookup is not None}
    parents = ledger.resolve(lookups) if lookups else {}
    digests = []
    for references in each:
        edges = [Edge(r.constraint, r.parent, r.to if r.lookup is None else parents.get(r.lookup), r.lookup) for r in references]
        digests.append(digest(plan.references_json(references, edges)) if edges else NO_REFERENCES)
    return digests
