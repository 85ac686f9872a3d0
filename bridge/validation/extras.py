"""Check `extra`: nothing is in our spaces that the ledger does not know. And for `counts`: nothing is missing there, in any row.

List pages are hints: they show rows that are gone, and shift under writes. What the ledger does not expect, and what it expects
and they do not show, is read by its id. Deleted keys are asked for as well, in a sample, since a list need not show what a
reading by id finds.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from bridge.gate import Entry
from bridge.ledger import Ledger
from bridge.ledger.dangling import Dangling
from bridge.lsn import Lsn
from bridge.mapping import TablePlan
from bridge.memories import Stored
from bridge.validation.findings import COUNTS, EXTRA, MISSING, ROWS, Finding, Tally
from bridge.validation.settling import Look, settle
from bridge.validation.sides import Sides, pages

STRAYED = "in another space"


@dataclass(slots=True)
class ExtraCheck:
    """One space after the other. `plans` are all that have memories there, those that are being filled included.

    What others have told already is not told again: `lost` are rows that are not in the ledger, `told` those that are not right.
    """

    sides: Sides
    plans: Sequence[TablePlan]
    tallies: Mapping[str, Tally]
    parked: Mapping[int, set[str]]
    chance: random.Random
    sample: int | None
    lost: AbstractSet[str]
    told: AbstractSet[str]
    _live: set[str] = field(default_factory=set)
    _dead: list[str] = field(default_factory=list)

    def run(self, space: str) -> None:
        """Compare one space. Raises TargetUnavailable, SourceUnavailable and LedgerUnavailable."""
        here = [plan for plan in self.plans if space in plan.spaces]
        self._read(self.sides.ledger, here, space)
        suspects: dict[str, None] = {}
        listed = 0
        unseen = set(self._live)
        for stored in self.sides.target.scan(space):
            listed += 1
            unseen.discard(stored.memory_id)
            if stored.memory_id not in self._live and stored.memory_id not in self.lost:
                suspects[stored.memory_id] = None
        self._count(here, unseen)
        suspects |= dict.fromkeys(sorted(unseen - self.told))
        wanted = len(self._dead) if self.sample is None else min(self.sample, len(self._dead))
        suspects |= dict.fromkeys(self.chance.sample(sorted(self._dead), wanted))
        owner = self.tallies[here[0].table.label]
        owner.listed += listed
        for page in pages(suspects):
            settled = settle(page, lambda ids: self._look(space, here, ids), self.sides.rested)
            owner.lag += settled.lag
            owner.unsettled += len(settled.unsettled)
            for (found,) in settled.true.values():
                self.tallies[found.table].findings.append(found)

    def _count(self, here: Sequence[TablePlan], unseen: AbstractSet[str]) -> None:
        """The memories of each table that are expected and were listed."""
        for name in self._live - unseen:
            plan = _of(here, name)
            if plan is not None:
                self.tallies[plan.table.label].memories += 1

    def _read(self, ledger: Ledger, here: Sequence[TablePlan], space: str) -> None:
        self._live, self._dead = set(), []
        for plan in here:
            for key, entry in ledger.scan(plan.number, plan.spaces.index(space)):
                if entry.live:
                    self._live.add(plan.prefix + key)
                else:
                    self._dead.append(plan.prefix + key)

    def _look(self, space: str, here: Sequence[TablePlan], ids: Sequence[str]) -> tuple[Mapping[str, Look[Finding]], Lsn]:
        found = dict(zip(ids, self.sides.target.read(space, ids), strict=True))
        fence = self.sides.position()
        looks = {}
        for memory_id in ids:
            stored = found[memory_id]
            plan, entry, parked = self._expected(here, space, memory_id)
            live = entry is not None and entry.live
            problems: tuple[Finding, ...] = ()
            if stored is None and live and not parked and plan is not None:
                problems = (Finding(COUNTS, MISSING, plan.table.label, memory_id, detail=f"in {space}"),)
            elif stored is not None and not live and not parked and not self._placeholder(here, space, stored):
                problems = (self._found(space, here, stored, entry is not None),)
            mark = (stored.content if stored is not None else None, live, entry.version if entry is not None else None)
            looks[memory_id] = Look(mark, problems)
        return looks, fence

    def _found(self, space: str, here: Sequence[TablePlan], stored: Stored, known: bool) -> Finding:
        home = self._home(stored)
        if home is not None and home[1] != space:
            return Finding(EXTRA, STRAYED, home[0].table.label, stored.memory_id, detail=f"in {space}, belongs in {home[1]}")
        label = (_of(here, stored.memory_id) or here[0]).table.label
        kind = "resurrected" if known else "unknown to the ledger"
        return Finding(EXTRA, kind, label, stored.memory_id, detail=f"in {space}")

    def _home(self, stored: Stored) -> tuple[TablePlan, str] | None:
        """The table and the space that a memory of ours belongs in, by its own stamp."""
        stamp = stored.stamp()
        if stamp is None or stamp.ledger != self.sides.ledger_id:
            return None
        plan = self.sides.mapping.plans.get(stamp.table)
        if plan is None or plan.prefix + stamp.key != stored.memory_id:
            return None
        return plan, plan.space_of(stamp.key)

    def _expected(self, here: Sequence[TablePlan], space: str, memory_id: str) -> tuple[TablePlan | None, Entry | None, bool]:
        """What the ledger says of this id here, a live row before a deleted one, and whether its key is parked."""
        known: tuple[TablePlan | None, Entry | None, bool] = (None, None, False)
        for plan in here:
            key = memory_id.removeprefix(plan.prefix)
            if key == memory_id or plan.space_of(key) != space:
                continue
            entry = self.sides.ledger.entries(plan.number, [key]).get(key)
            if key in self.parked.get(plan.number, ()):
                return plan, entry, True
            if entry is not None and (known[1] is None or entry.live):
                known = (plan, entry, False)
        return known

    def _placeholder(self, here: Sequence[TablePlan], space: str, stored: Stored) -> bool:
        """Made by hand for a parent that PostgreSQL does not have: an orphan's reference leads to it."""
        if stored.stamp() is not None:
            return False
        dangling, name = Dangling(self.sides.ledger), stored.memory_id
        keys = ((plan, name.removeprefix(plan.prefix)) for plan in here if name.startswith(plan.prefix))
        return any(plan.space_of(key) == space and dangling.referred(plan.origin, [key]) for plan, key in keys)


def name_moves(tallies: Iterable[Tally]) -> None:
    """A row that is missing in its space and was met in another one is one finding, of the check that missed it."""
    for tally in tallies:
        strayed = {one.memory_id: one for one in tally.findings if one.check == EXTRA and one.kind == STRAYED}
        moved = {one.memory_id for one in tally.findings if one.kind == MISSING} & strayed.keys()
        kept = [one for one in tally.findings if one.memory_id not in moved or one.kind not in (STRAYED, MISSING)]
        found = [strayed[memory_id] for memory_id in sorted(moved)]
        tally.findings = kept + [Finding(ROWS, "moved", one.table, one.memory_id, detail=one.detail) for one in found]


def _of(plans: Sequence[TablePlan], memory_id: str) -> TablePlan | None:
    """The table that an id seems to belong to."""
    fitting = [plan for plan in plans if memory_id.startswith(plan.prefix)]
    return max(fitting, key=lambda plan: len(plan.prefix), default=None)
