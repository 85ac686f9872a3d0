"""Check `extra`: nothing is in our spaces that the ledger does not know.

List pages are hints: they show rows that are gone, and shift under writes. What the ledger does not expect is read by its
id. Deleted keys are asked for as well, in a sample, since a list need not show what a reading by id finds.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridge.ledger import Ledger
from bridge.ledger.dangling import Dangling
from bridge.lsn import Lsn
from bridge.mapping import TablePlan
from bridge.validation.findings import EXTRA, Finding, Tally
from bridge.validation.settling import Look, settle
from bridge.validation.sides import Sides, pages


@dataclass(slots=True)
class ExtraCheck:
    """One space after the other. `plans` are all that have memories there, those that are being filled included."""

    sides: Sides
    plans: Sequence[TablePlan]
    tallies: Mapping[str, Tally]
    parked: Mapping[int, set[str]]
    chance: random.Random
    sample: int | None
    _live: set[str] = field(default_factory=set)
    _dead: list[str] = field(default_factory=list)

    def run(self, space: str) -> None:
        """Compare one space. Raises TargetUnavailable, SourceUnavailable and LedgerUnavailable."""
        here = [plan for plan in self.plans if space in plan.spaces]
        self._read(self.sides.ledger, here, space)
        suspects: dict[str, None] = {}
        listed = 0
        for stored in self.sides.target.scan(space):
            listed += 1
            if stored.memory_id not in self._live:
                suspects[stored.memory_id] = None
        wanted = len(self._dead) if self.sample is None else min(self.sample, len(self._dead))
        suspects |= dict.fromkeys(self.chance.sample(sorted(self._dead), wanted))
        owner = self.tallies[here[0].table.label]
        owner.listed += listed
        for page in pages(suspects):
            settled = settle(page, lambda ids: self._look(space, here, ids), self.sides.passed)
            owner.lag += settled.lag
            owner.unsettled += len(settled.unsettled)
            for memory_id, (kind,) in settled.true.items():
                label = (_of(here, memory_id) or here[0]).table.label
                self.tallies[label].findings.append(Finding(EXTRA, kind, label, memory_id, detail=f"in {space}"))

    def _read(self, ledger: Ledger, here: Sequence[TablePlan], space: str) -> None:
        self._live, self._dead = set(), []
        for plan in here:
            for key, entry in ledger.scan(plan.number, plan.spaces.index(space)):
                if entry.live:
                    self._live.add(plan.prefix + key)
                else:
                    self._dead.append(plan.prefix + key)

    def _look(self, space: str, here: Sequence[TablePlan], ids: Sequence[str]) -> tuple[Mapping[str, Look[str]], Lsn]:
        found = dict(zip(ids, self.sides.target.read(space, ids), strict=True))
        fence = self.sides.position()
        looks = {}
        for memory_id in ids:
            stored = found[memory_id]
            known, live = self._expected(here, space, memory_id)
            live = live or (stored is not None and stored.stamp() is None and self._placeholder(here, space, memory_id))
            kind = () if stored is None or live else ("resurrected" if known else "unknown to the ledger",)
            looks[memory_id] = Look((stored.content if stored is not None else None, known, live), kind)
        return looks, fence

    def _expected(self, here: Sequence[TablePlan], space: str, memory_id: str) -> tuple[bool, bool]:
        """Whether the ledger knows this id here, and whether a memory may stand there: it is live, or its key is parked."""
        known = False
        for plan in here:
            key = memory_id.removeprefix(plan.prefix)
            if key == memory_id or plan.space_of(key) != space:
                continue
            entry = self.sides.ledger.entries(plan.number, [key]).get(key)
            known = known or entry is not None
            if (entry is not None and entry.live) or key in self.parked.get(plan.number, ()):
                return True, True
        return known, False

    def _placeholder(self, here: Sequence[TablePlan], space: str, memory_id: str) -> bool:
        """Made by hand for a parent that PostgreSQL does not have: an orphan's reference leads to it."""
        dangling = Dangling(self.sides.ledger)
        keys = ((plan, memory_id.removeprefix(plan.prefix)) for plan in here if memory_id.startswith(plan.prefix))
        return any(plan.space_of(key) == space and dangling.referred(plan.origin, [key]) for plan, key in keys)


def _of(plans: Sequence[TablePlan], memory_id: str) -> TablePlan | None:
    """The table that an id seems to belong to."""
    fitting = [plan for plan in plans if memory_id.startswith(plan.prefix)]
    return max(fitting, key=lambda plan: len(plan.prefix), default=None)
