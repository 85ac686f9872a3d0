"""Edges whose parent is not in Engram, one by one: what `pending_edges` counts. Which are orphans, PostgreSQL can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, text

from bridge.ledger import tables
from bridge.ledger.patience import waits
from bridge.ledger.rows import among
from bridge.ledger.store import Store

PAGE = 2_000

EDGES = """
    select e.key, e.constraint_name, e.parent, e.parent_key
      from edges e
      left join tables t on t.origin = e.parent and t.role = 'serving'
      left join memories m on m.tbl = t.number and m.key = e.parent_key and m.live
     where e.tbl = :table and m.key is null and (e.key, e.constraint_name) > (:key, :constraint)
     order by e.key, e.constraint_name
     limit :limit
"""


@dataclass(frozen=True, slots=True)
class DanglingEdge:
    """A child's key, the constraint, the parent's table by its origin, and the parent's key, None while it is not known."""

    key: str
    constraint: str
    parent: int
    parent_key: str | None


class Dangling:
    """Read from a ledger."""

    def __init__(self, ledger: Store) -> None:
        self._ledger = ledger
        self.patience = ledger.patience

    def edges(self, table: int) -> Iterator[list[DanglingEdge]]:
        """Those of a table's rows, in pages. Raises LedgerUnavailable."""
        after = ("", "")
        while page := self._page(table, after):
            yield page
            after = (page[-1].key, page[-1].constraint)

    @waits
    def _page(self, table: int, after: tuple[str, str]) -> list[DanglingEdge]:
        given = {"table": table, "key": after[0], "constraint": after[1], "limit": PAGE}
        with self._ledger.reading() as connection:
            return [DanglingEdge(*row) for row in connection.execute(text(EDGES), given)]

    @waits
    def referred(self, parent: int, keys: Sequence[str]) -> set[str]:
        """Those of the keys of a table, named by its origin, that some edge leads to. Raises LedgerUnavailable."""
        e = tables.edges.c
        with self._ledger.reading() as connection:
            query = select(e.parent_key).where(e.parent == parent, among(connection, e.parent_key, keys)).distinct()
            return {str(row[0]) for row in connection.execute(query)}

    @waits
    def counts(self) -> dict[int, int]:
        """All edges, by child table."""
        e = tables.edges.c
        with self._ledger.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(select(e.tbl, func.count()).group_by(e.tbl))}
