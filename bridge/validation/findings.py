"""What a validation finds, and what it may say of what it has not looked at. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

COUNTS, ROWS, REFERENCES, EXTRA, FORMS = "counts", "rows", "references", "extra", "forms"

CHECKS = {
    COUNTS: "every key of PostgreSQL is live in the ledger, and no other",
    ROWS: "sampled rows are in Engram, field by field, in the version of the ledger",
    REFERENCES: "every foreign key of a sampled row has its edge and its target memory",
    EXTRA: "nothing is in our spaces that the ledger does not know",
    FORMS: "sampled memories echo their id, time and confidence",
}
"""The checks by name, and what each of them says when nothing was found."""

KEPT = 200
"""Findings that are named in a result; the others are counted."""

ASSUMED = (1, 10, 100)
"""For so many damaged rows it is said how probable it is that the sample missed all of them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: `kind` in a word or two, `columns` by name, never a value."""

    check: str
    kind: str
    table: str
    memory_id: str
    columns: tuple[str, ...] = ()
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For the result."""
        found: dict[str, Any] = {"check": self.check, "kind": self.kind, "table": self.table, "id": self.memory_id}
        return (
            found | ({"columns": list(self.columns)} if self.columns else {}) | ({"detail": self.detail} if self.detail else {})
        )


@dataclass(slots=True)
class Tally:
    """One table. `rows` in PostgreSQL, `live` in the ledger, when their keys were read; `lag`: differences that passed by.

    `unsettled`: differences that neither passed by nor stood still: nothing is said of them, and the table is not clean.
    """

    label: str
    rows: int = 0
    live: int = 0
    sampled: int = 0
    listed: int = 0
    edges: int = 0
    orphans: int = 0
    parked: int = 0
    lag: int = 0
    unsettled: int = 0
    skipped: str = ""
    findings: list[Finding] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Everything that was looked at is as it should be."""
        return not self.findings and not self.unsettled and not self.skipped

    def as_dict(self) -> dict[str, Any]:
        """For the result."""
        by_check = Counter(found.check for found in self.findings)
        return {
            "clean": self.clean,
            "rows": self.rows,
            "ledger": self.live,
            "sampled": self.sampled,
            "listed": self.listed,
            "edges": self.edges,
            "orphans": self.orphans,
            "parked": self.parked,
            "lag": self.lag,
            "unsettled": self.unsettled,
            "findings": len(self.findings),
            "checks": {name: by_check.get(name, 0) for name in CHECKS},
            **({"skipped": self.skipped} if self.skipped else {}),
            "chance_to_miss": {str(bad): chance_to_miss(self.rows, self.sampled, bad) for bad in ASSUMED if bad <= self.rows},
        }


def chance_to_miss(rows: int, sampled: int, damaged: int) -> float:
    """How probable it is that a random sample meets none of so many damaged rows (hypergeometric). Rounded up to 6 digits."""
    if damaged > rows or sampled > rows:
        raise ValueError("more rows than there are")
    chance = 1.0
    for place in range(damaged):
        left = rows - sampled - place
        if left <= 0:
            return 0.0
        chance *= left / (rows - place)
    return min(1.0, round(chance + 5e-7, 6))
