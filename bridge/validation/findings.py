"""What a validation finds, and what it may say of what it has not looked at. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

COUNTS, ROWS, REFERENCES, EXTRA, FORMS = "counts", "rows", "references", "extra", "forms"
VECTORS, QUERIES = "vectors", "queries"

CHECKS = {
    COUNTS: "every key of PostgreSQL is live in the ledger and has its memory in Engram, and no other is",
    ROWS: "sampled rows are in Engram, field by field, in the version of the ledger",
    REFERENCES: "every foreign key of a sampled row has its edge and its target memory",
    EXTRA: "nothing is in our spaces that the ledger does not know",
    FORMS: "sampled memories echo their id, time and confidence",
    VECTORS: "no vector is zero, constant or broken; sampled ones are made from their row's text, near no other, and find it",
    QUERIES: "the queries that were given find the rows that they should",
}
"""The checks by name, and what each of them says when nothing was found."""

LEAVABLE = (VECTORS,)
"""Checks that an order can leave out. Queries are only checked where some are given."""

NOT_ITS_OWN, SWAPPED, ANOTHERS, TOO_NEAR = "not made from its text", "swapped", "another row's", "too near to another row"
JUDGED = (NOT_ITS_OWN, SWAPPED, ANOTHERS, TOO_NEAR)
"""What only the vectors of the sample are held against."""

NOT_FOUND = "not found by its own text"

MISSING = "missing"
"""The kind of a row that is not in its space."""

SINCE = "changed since"
"""No check, and no damage: PostgreSQL has gone on, and nobody carries it to Engram."""

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

    `memories`: those of the live ones that the list pages showed; `listed`: all that they showed in its spaces; `targets`:
    memories that edges of sampled rows lead to; `vectors`: vectors that were looked at, of which `recomputed` were made anew, and
    `recalled` so many rows asked for by their own texts.
    `unsettled`: differences that neither passed by nor stood still: nothing is said of them, and the table is not clean.
    `since`: ids of rows that PostgreSQL has changed since they were carried, while nobody carries changes; not clean, no damage.
    `undone`: checks that could not be done, and why: not clean either. `not_recalled`: why no row was asked for by its own text.
    """

    label: str
    rows: int = 0
    live: int = 0
    sampled: int = 0
    memories: int = 0
    listed: int = 0
    edges: int = 0
    targets: int = 0
    orphans: int = 0
    parked: int = 0
    lag: int = 0
    unsettled: int = 0
    vectors: int = 0
    recomputed: int = 0
    recalled: int = 0
    queries: int = 0
    skipped: str = ""
    findings: list[Finding] = field(default_factory=list)
    since: list[str] = field(default_factory=list)
    undone: dict[str, str] = field(default_factory=dict)
    not_recalled: str = ""

    @property
    def clean(self) -> bool:
        """Everything that was looked at is as it should be."""
        return not (self.findings or self.unsettled or self.skipped or self.since or self.undone)

    @property
    def damaged(self) -> float:
        """The largest share of the rows looked at by a check that it found damaged, 0…1.

        Queries find no damage to rows, nor does a recall: a crowded space answers others, whatever the row's own vector is.
        """
        looked = {
            COUNTS: max(self.rows, self.live),
            REFERENCES: self.sampled + self.targets,
            EXTRA: max(self.rows, self.listed),
            VECTORS: self.vectors,
            f"{VECTORS} of the sample": self.recomputed,
        }
        found: dict[str, set[str]] = {}
        for one in self.findings:
            if one.check == QUERIES or one.kind == NOT_FOUND:
                continue
            judged = one.check == VECTORS and one.kind in JUDGED
            found.setdefault(f"{VECTORS} of the sample" if judged else one.check, set()).add(one.memory_id)
        shares = [len(ids) / max(looked.get(check, self.sampled), len(ids)) for check, ids in found.items()]
        return max(shares, default=0.0)

    def note(self, found: Iterable[Finding]) -> None:
        """Take in what was found of one row."""
        for one in found:
            if one.check == SINCE:
                self.since.append(one.memory_id)
            else:
                self.findings.append(one)

    def as_dict(self) -> dict[str, Any]:
        """For the result."""
        by_check = Counter(found.check for found in self.findings)
        return {
            "clean": self.clean,
            "rows": self.rows,
            "ledger": self.live,
            "sampled": self.sampled,
            "memories": self.memories,
            "listed": self.listed,
            "edges": self.edges,
            "orphans": self.orphans,
            "parked": self.parked,
            "lag": self.lag,
            "unsettled": self.unsettled,
            "vectors": self.vectors,
            "recomputed": self.recomputed,
            "recalled": self.recalled,
            "queries": self.queries,
            "changed_since": len(self.since),
            "damaged": round(self.damaged, 6),
            "findings": len(self.findings),
            "checks": {name: by_check.get(name, 0) for name in CHECKS},
            **({"skipped": self.skipped} if self.skipped else {}),
            **({"undone": self.undone} if self.undone else {}),
            **({"not_recalled": self.not_recalled} if self.not_recalled else {}),
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
