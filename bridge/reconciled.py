"""Reconciliation as figures: which round is under way, how long the last one took, what was found and is not mended, and why.

From the ledger alone, so that whoever can read it sees the same.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bridge.ledger import Finding, Findings, Ledger, Reconciliation, Reconciliations

RECENT_SECONDS = 24 * 3600.0
"""Findings of so long count as recent."""

REPEATED = 3
"""Findings of one cause from which on it is no accident any more."""

NEWEST = 20


@dataclass(frozen=True, slots=True)
class RoundUnderWay:
    """A round that has begun. `stages` of it, `done` so many; `rows`, `memories`: compared so far. `seen`: worked at last."""

    number: int
    who: str
    began: float
    seen: float | None
    done: int
    stages: int
    rows: int
    memories: int
    found: int


@dataclass(frozen=True, slots=True)
class RoundEnded:
    """A round over everything that has ended. `seconds` from its begin to its end; `clean`: nothing was found or left open."""

    number: int
    began: float
    ended: float
    seconds: float
    rows: int
    marked: int
    memories: int
    found: int
    mended: int
    clean: bool


@dataclass(frozen=True, slots=True)
class Recent:
    """Findings of one table, kind and cause in the last day, and how many of them are mended."""

    table: str
    kind: str
    cause: str | None
    count: int
    mended: int


@dataclass(slots=True)
class ReconcileFigures:
    """All of it. `open`: findings that are not mended, by table; `open_since`: when the oldest of them was found."""

    under_way: RoundUnderWay | None = None
    last: RoundEnded | None = None
    open: dict[str, int] = field(default_factory=dict)
    open_since: float | None = None
    recent: list[Recent] = field(default_factory=list)
    newest: list[Finding] = field(default_factory=list)

    @property
    def repeated(self) -> dict[str, int]:
        """Causes that are no accident any more, and how often they were found in the last day."""
        causes: Counter[str] = Counter()
        for one in self.recent:
            if one.cause is not None:
                causes[one.cause] += one.count
        return {cause: count for cause, count in causes.items() if count >= REPEATED}


def reconciled(ledger: Ledger) -> ReconcileFigures:
    """The figures now. Raises LedgerUnavailable."""
    book, rounds = Findings(ledger), Reconciliations(ledger)
    waiting = [one for one in rounds.waiting() if one.began is not None]
    last = rounds.last_ended()
    unmended = book.open()
    counted: dict[tuple[str, str, str | None], list[int]] = {}
    for label, kind, cause, mended, count in book.counts(time.time() - RECENT_SECONDS):
        both = counted.setdefault((label, kind, cause), [0, 0])
        both[0] += count
        both[1] += count if mended else 0
    return ReconcileFigures(
        under_way=_under_way(waiting[0]) if waiting else None,
        last=_ended(last) if last is not None else None,
        open=dict(Counter(one.label for one in unmended)),
        open_since=unmended[0].found if unmended else None,
        recent=[Recent(*what, *both) for what, both in sorted(counted.items(), key=str)],
        newest=book.newest(NEWEST),
    )


def _under_way(one: Reconciliation) -> RoundUnderWay:
    position: dict[str, Any] = one.position or {}
    tables = (position.get("tallies") or {}).get("tables", {}).values()
    return RoundUnderWay(
        number=one.number,
        who=one.who,
        began=one.began or one.asked,
        seen=one.seen,
        done=len(position.get("done", [])),
        stages=int(position.get("of", 0)),
        rows=sum(table["rows"] for table in tables),
        memories=sum(table["memories"] for table in tables),
        found=sum(table["found"] for table in tables),
    )


def _ended(one: Reconciliation) -> RoundEnded | None:
    result = one.result
    if result is None or one.ended is None:
        return None
    counts = {name: int(result[name]) for name in ("rows", "marked", "memories", "found", "mended")}
    return RoundEnded(one.number, result["began"], one.ended, result["seconds"], **counts, clean=bool(result["clean"]))
