"""What reconciliation found to differ, and what became of it. One line for each thing that is wrong, open until it is mended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Row, delete, func, select, update

from bridge.ledger import tables
from bridge.ledger.ledger import Ledger
from bridge.ledger.patience import waits

KEPT = 10_000
"""Findings that are kept. Of more, those go first that were mended longest ago."""

SOURCE, TARGET = "source", "target"
"""The sides: between PostgreSQL and the ledger, and between the ledger and Engram."""

Wrong = tuple[str, str, str]
"""What a finding is of: table, key (for a memory that is nobody's: its id), side."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that differed. `found`, `mended` are in seconds since 1970; `cause` is None where none is known."""

    label: str
    key: str
    kind: str
    side: str
    cause: str | None = None
    found: float = 0.0
    mended: float | None = None
    how: str | None = None
    number: int = 0

    @property
    def what(self) -> Wrong:
        """What it is of."""
        return self.label, self.key, self.side


class Findings:
    """What a ledger keeps of them. Any process may write here: it decides nothing about what is written to the target."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.patience = ledger.patience

    @waits
    def keep(self, found: Sequence[Finding]) -> int:
        """Keep these; one that is open already stays as old as it is. Answers how many are new."""
        if not found:
            return 0
        f, now, new = tables.findings, time.time(), 0
        with self._ledger.shared() as connection:
            for one in found:
                here = (f.c.label == one.label, f.c.key == one.key, f.c.side == one.side, f.c.mended.is_(None))
                again = update(f).where(*here).values(kind=one.kind, cause=one.cause)
                if connection.execute(again).rowcount == 0:
                    row = {"label": one.label, "key": one.key, "kind": one.kind, "side": one.side, "cause": one.cause}
                    connection.execute(f.insert().values(found=now, **row))
                    new += 1
            newest = select(f.c.id).order_by(f.c.mended.is_(None).desc(), f.c.mended.desc(), f.c.id.desc()).limit(KEPT)
            if connection.execute(select(func.count()).select_from(f)).scalar_one() > KEPT:
                connection.execute(delete(f).where(f.c.id.not_in(newest)))
        return new

    @waits
    def mend(self, what: Iterable[tuple[Wrong, str]]) -> None:
        """These are as they should be again, each with how."""
        f, now = tables.findings, time.time()
        with self._ledger.shared() as connection:
            for (label, key, side), how in what:
                here = (f.c.label == label, f.c.key == key, f.c.side == side, f.c.mended.is_(None))
                connection.execute(update(f).where(*here).values(mended=now, how=how))

    @waits
    def open(self, label: str | None = None, limit: int = KEPT) -> list[Finding]:
        """Those that are not mended, the oldest first."""
        f = tables.findings.c
        query = select(tables.findings).where(f.mended.is_(None)).order_by(f.id).limit(limit)
        with self._ledger.reading() as connection:
            rows = connection.execute(query if label is None else query.where(f.label == label)).all()
        return [_finding(row) for row in rows]

    @waits
    def newest(self, limit: int = 50) -> list[Finding]:
        """Those that were found last, the newest first."""
        with self._ledger.reading() as connection:
            rows = connection.execute(select(tables.findings).order_by(tables.findings.c.id.desc()).limit(limit)).all()
        return [_finding(row) for row in rows]

    @waits
    def counts(self, since: float = 0.0) -> list[tuple[str, str, str | None, bool, int]]:
        """How many were found since then: by table, kind, cause, and whether they are mended."""
        f = tables.findings.c
        mended = f.mended.is_not(None)
        query = select(f.label, f.kind, f.cause, mended, func.count()).where(f.found >= since)
        with self._ledger.reading() as connection:
            rows = connection.execute(query.group_by(f.label, f.kind, f.cause, mended)).all()
        return [(row[0], row[1], row[2], bool(row[3]), int(row[4])) for row in rows]


def _finding(row: Row[tuple[object, ...]]) -> Finding:
    return Finding(row.label, row.key, row.kind, row.side, row.cause, row.found, row.mended, row.how, row.id)
