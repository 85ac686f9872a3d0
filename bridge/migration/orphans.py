"""What became of the foreign keys: edges, orphans, references that leave the chosen tables, and placeholders made by hand.

An *orphan* is a reference to a row that PostgreSQL does not have, though its table is carried. A reference to a table that is not
carried is *external*; one whose parent is in PostgreSQL and not in Engram *waits* for it (a row that was left out, or parked);
a null refers to nothing. Somebody may put a memory under a missing parent's id into Engram by hand: such a *placeholder* is found
here, and what refers to it is no orphan any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg

from bridge.ledger import Ledger
from bridge.ledger.dangling import Dangling, DanglingEdge
from bridge.mapping import Mapping, TablePlan
from bridge.origin import Rows, open_rows
from bridge.ports import Target
from bridge.report import Column, Grid, Lines, Orphan, Orphans, Page, Section, orphan_section, orphan_sentence
from bridge.schema import ForeignKey
from bridge.wiring import links_fact
from snapshot.absent import absent_keys
from snapshot.orphans import orphaned, references

LISTED = 1_000
"""Orphans that are named in a report; the others are counted."""

PAGE = 500
KINDS = ("edges", "external", "orphans", "waiting", "placeholders")
SAID = (
    "edges: to memories that are there; external: to tables that are not carried; orphans: to rows that PostgreSQL does not "
    "have; waiting: to rows that are in PostgreSQL and not in Engram; placeholders: to memories made by hand, edges as well."
)


@dataclass(slots=True)
class TableReferences:
    """Those of one table's rows that are in Engram, by what became of them."""

    edges: int = 0
    external: int = 0
    orphans: int = 0
    waiting: int = 0
    placeholders: int = 0


@dataclass(slots=True)
class References:
    """Those of all tables, by label; the orphans by name, the first of them.

    `unlinked`: tables whose rows were carried before a table that they refer to was: their memories name no parent there yet.
    """

    tables: dict[str, TableReferences] = field(default_factory=dict)
    listed: list[Orphan] = field(default_factory=list)
    unlinked: list[str] = field(default_factory=list)

    @property
    def orphans(self) -> Orphans:
        """As a report has them."""
        count = sum(one.orphans for one in self.tables.values())
        return {"count": count, "listed": list(self.listed), "not_listed": count - len(self.listed)}

    @property
    def edges(self) -> int:
        """All edges that lead to a memory."""
        return sum(one.edges for one in self.tables.values())

    @property
    def advice(self) -> list[str]:
        """What to do about tables that are `unlinked`."""
        return [
            f"{label} was carried before a table that it refers to, or with other foreign keys: its references are no edges "
            f"yet. Migrate it again (--tables {label.removeprefix('public.')}), or start `engram-bridge run`"
            for label in self.unlinked
        ]

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "edges": self.edges,
            "tables": {label: asdict(one) for label, one in self.tables.items()},
            "orphans": self.orphans,
            "unlinked": list(self.unlinked),
        }

    def page(self) -> Page:
        """For people."""
        orphans = self.orphans
        columns = (Column("table"), *(Column(name, number=True) for name in KINDS))
        numbers = [tuple(asdict(one)[name] for name in KINDS) for one in self.tables.values()]
        rows = tuple((label, *(f"{number:,}" for number in some)) for label, some in zip(self.tables, numbers, strict=True))
        total = ("total", *(f"{sum(some):,}" for some in zip(*numbers, strict=True)))
        sections: tuple[Section, ...] = (Section("References", (Grid(columns, rows, total),), SAID),) if rows else ()
        if orphans["count"]:
            sections += (orphan_section(orphans),)
        if self.unlinked:
            sections += (Section("Not linked yet", (Lines(tuple(self.advice)),)),)
        return Page(
            "Foreign keys", "", orphan_sentence(orphans["count"]), "warn" if orphans["count"] else "good", (), (), sections
        )


def find_references(
    ledger: Ledger,
    mapping: Mapping,
    rows: Rows,
    target: Target,
    *,
    labels: Iterable[str] | None = None,
    partial: Collection[str] = (),
) -> References:
    """Look at the foreign keys of these tables, or of all: what the ledger has as edges, asked again of PostgreSQL and Engram.

    `rows`: where PostgreSQL is read, such as the snapshot of the migration. `partial`: labels of tables of which not all rows
    were read. Raises SourceUnavailable, TargetUnavailable, LedgerUnavailable and Fatal.
    """
    facts = ledger.facts()
    known = {label: facts.get(f"links:{plan.number}") for label, plan in mapping.plans.items()}
    unlinked = [label for label, plan in mapping.plans.items() if known[label] not in (None, links_fact(plan))]
    found = References(unlinked=unlinked)
    counts = Dangling(ledger).counts()
    by_origin = {plan.origin: plan for plan in mapping.plans.values()}
    wanted = set(mapping.plans if labels is None else labels)
    with open_rows(rows, "engram-bridge references") as connection:
        for label, plan in mapping.plans.items():
            if label not in wanted:
                continue
            one = found.tables[label] = TableReferences(edges=counts.get(plan.number, 0))
            one.external = _external(connection, ledger, plan, mapping, whole=label not in partial)
            check = _Check(connection, target, plan, by_origin, one, found.listed)
            for page in Dangling(ledger).edges(plan.number):
                check.sort(page)
    return found


def _external(connection: psycopg.Connection, ledger: Ledger, plan: TablePlan, mapping: Mapping, *, whole: bool) -> int:
    """References to tables that are not carried. Of a table that was not read whole they are counted by the keys it has."""
    outside = [key for key in plan.table.foreign_keys if ".".join(key.parent) not in mapping.plans]
    if not outside or not plan.options.edges:
        return 0
    if whole or plan.keyless:
        return sum(references(connection, plan.table, key) for key in outside)
    return sum(
        references(connection, plan.table, key, [plan.key_values(one) for one in page])
        for page in ledger.live_keys(plan.number, page=PAGE)
        for key in outside
    )


@dataclass(slots=True)
class _Check:
    """The edges of one table that lead to no memory of ours, page by page."""

    connection: psycopg.Connection
    target: Target
    plan: TablePlan
    by_origin: dict[int, TablePlan]
    found: TableReferences
    listed: list[Orphan]

    def sort(self, page: Sequence[DanglingEdge]) -> None:
        """Which of them are orphans, which wait, and which have a placeholder."""
        self.found.edges -= len(page)
        orphans = self._orphans(page)
        self.found.waiting += len(page) - len(orphans)
        standing = self._placeholders(orphans)
        for edge in orphans:
            if (edge.parent, edge.parent_key) in standing:
                self.found.placeholders += 1
                self.found.edges += 1
                continue
            self.found.orphans += 1
            if len(self.listed) < LISTED:
                child = self.plan.prefix + edge.key
                self.listed.append({"constraint": edge.constraint, "child": child, "parent": self._parent(edge)})

    def _orphans(self, page: Sequence[DanglingEdge]) -> list[DanglingEdge]:
        """Those whose parent PostgreSQL does not have."""
        by_constraint: dict[str, list[DanglingEdge]] = {}
        for edge in page:
            by_constraint.setdefault(edge.constraint, []).append(edge)
        found = []
        for constraint, edges in by_constraint.items():
            foreign = next((key for key in self.plan.table.foreign_keys if key.name == constraint), None)
            parent = self.by_origin.get(edges[0].parent)
            if foreign is None or parent is None:
                continue  # the constraint has gone since, or the parent is not carried any more
            absent = self._absent(parent, edges) if self.plan.keyless else self._childless(foreign, parent, edges)
            found += [edge for edge in edges if edge.key in absent]
        return found

    def _childless(self, foreign: ForeignKey, parent: TablePlan, edges: Sequence[DanglingEdge]) -> set[str]:
        keys = {self.plan.key_values(edge.key): edge.key for edge in edges}
        return {keys[key] for key in orphaned(self.connection, self.plan.table, foreign, parent.table, list(keys))}

    def _absent(self, parent: TablePlan, edges: Sequence[DanglingEdge]) -> set[str]:
        """A child without a key cannot be asked for; its parent can, where it is known by its own key."""
        named = {edge.parent_key for edge in edges if edge.parent_key is not None}
        keys = {parent.key_values(key): key for key in named} if not parent.keyless else {}
        gone = {keys[key] for key in absent_keys(self.connection, parent.table, list(keys))}
        return {edge.key for edge in edges if edge.parent_key is None or edge.parent_key in gone}

    def _placeholders(self, orphans: Sequence[DanglingEdge]) -> set[tuple[int, str | None]]:
        """Parents that stand in Engram all the same, by origin and key."""
        standing: set[tuple[int, str | None]] = set()
        places: dict[tuple[int, str], dict[str, None]] = {}
        for edge in orphans:
            if edge.parent_key is not None:
                space = self.by_origin[edge.parent].space_of(edge.parent_key)
                places.setdefault((edge.parent, space), {})[edge.parent_key] = None
        for (origin, space), keys in places.items():
            names = list(keys)
            self.target.open(space)
            for start in range(0, len(names), PAGE):
                some = names[start : start + PAGE]
                stored = self.target.read(space, [self.by_origin[origin].prefix + key for key in some])
                standing |= {(origin, key) for key, one in zip(some, stored, strict=True) if one is not None}
        return standing

    def _parent(self, edge: DanglingEdge) -> str:
        """The missing memory's id; where it is referred to by another unique key, no id can be told."""
        parent = self.by_origin[edge.parent]
        if edge.parent_key is not None:
            return parent.prefix + edge.parent_key
        foreign = next(key for key in self.plan.table.foreign_keys if key.name == edge.constraint)
        return f"{parent.table.label}, found by {', '.join(foreign.parent_columns)}"
