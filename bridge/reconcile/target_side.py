"""The ledger against Engram: the list pages of a space show what may differ, and each of that is read by its id.

List pages are hints: they show rows that are gone and shift under writes. So what they do not show is read by its id, too, and so
is a sample of what was forgotten, since a list need not show what a reading by id finds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.gate import Entry
from bridge.ledger import FILLING, RETIRED, SERVING, TableRecord
from bridge.ledger.dangling import Dangling
from bridge.lsn import Lsn
from bridge.mapping import TablePlan
from bridge.memories import Stamp, Stored, bears, digest
from bridge.reconcile.tallies import BACK, CHANGED, FOREIGN, MISSING, OTHER_STAMP, REVERTED, STRAY, UNSTAMPED, Tallies
from bridge.validation.settling import Look
from bridge.validation.sides import Sides, pages

FORGOTTEN = 200
"""Tombstones of a space that are asked for in a round."""

Known = tuple[TablePlan, str, Entry]


@dataclass(slots=True)
class TargetSide:
    """One space. `plans` are all that have memories there, `compared` the numbers of those that are compared.

    `parked`: keys by table of which nothing was expected when it began. `ours`: the ledgers whose stamps count as ours.
    `homeless`: by id, the tables of memories that were found with our stamp and that no carried table has.
    """

    sides: Sides
    space: str
    plans: Sequence[TablePlan]
    compared: set[int]
    parked: Mapping[int, set[str]]
    ours: frozenset[str]
    tallies: Tallies
    counted: int = 0
    strangers: int = 0
    homeless: dict[str, str] = field(default_factory=dict)
    _here: dict[str, TableRecord] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def open(self) -> None:
        """Before anything is read: the space is there, and how full it is. Raises TargetUnavailable."""
        self.counted = self.sides.target.open(self.space).counted
        known = self.sides.ledger.generations(RETIRED, SERVING, FILLING)
        self._here = {one.label: one for one in sorted(known, key=lambda one: one.role == RETIRED) if self.space in one.spaces}

    def listed(self) -> Iterator[tuple[int, list[str]]]:
        """Page by page: how many memories were compared, and the ids of those that differ."""
        for page in pages(self.sides.target.scan(self.space)):
            self._seen.update(stored.memory_id for stored in page)
            known = self._known([stored.memory_id for stored in page])
            suspects = [one.memory_id for one in page if self._suspicious(one, known.get(one.memory_id))]
            for one in page:
                owner = known.get(one.memory_id)
                if owner is not None or self.plans:
                    self.tallies.of((owner[0] if owner is not None else self.plans[0]).table.label).memories += 1
            yield len(page), suspects

    def unlisted(self) -> Iterator[tuple[int, list[str]]]:
        """What the ledger expects here and no page has shown, and some of what was forgotten: to be read by its id."""
        gone: list[str] = []
        for plan in self.plans:
            suspects = []
            for key, entry in self.sides.ledger.scan(plan.number, plan.spaces.index(self.space)):
                if entry.live and plan.prefix + key not in self._seen:
                    suspects.append(plan.prefix + key)
                elif not entry.live and plan.number in self.compared:
                    gone.append(plan.prefix + key)
            for page in pages(suspects):
                yield len(page), page
        some = random.sample(gone, min(FORGOTTEN, len(gone)))
        yield len(some), some

    def look(self, ids: Sequence[str]) -> tuple[Mapping[str, Look[str]], Lsn]:
        """Both sides of these ids now, Engram first: what was written meanwhile is then in the ledger more often than not."""
        found = dict(zip(ids, self.sides.target.read(self.space, ids), strict=True))
        known, aside = self._known(ids), self._aside(ids)
        fence = self.sides.position()
        looks = {}
        for memory_id in ids:
            stored, owner = found[memory_id], known.get(memory_id)
            kind = None if memory_id in aside else self._judge(memory_id, owner, stored)
            entry = owner[2] if owner is not None else None
            mark = (stored.content if stored is not None else None, (entry.version, entry.live, entry.digest) if entry else None)
            looks[memory_id] = Look(mark, () if kind is None else (kind,))
        return looks, fence

    def _suspicious(self, stored: Stored, owner: Known | None) -> bool:
        parked = any(key in self.parked.get(plan.number, ()) for plan, key in self._candidates(stored.memory_id))
        return not parked and self._judge(stored.memory_id, owner, stored) is not None

    def _aside(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids whose keys are parked now. A stage takes long, and a row may have been set aside in it."""
        by_plan: dict[int, dict[str, str]] = {}
        for memory_id in ids:
            for plan, key in self._candidates(memory_id):
                by_plan.setdefault(plan.number, {})[key] = memory_id
        ledger = self.sides.ledger
        return {keys[key] for number, keys in by_plan.items() for key in ledger.parked(number, list(keys))}

    def strange(self, memory_id: str) -> bool:
        """The ledger expects no memory of this id here."""
        known = self._known([memory_id]).get(memory_id)
        return known is None or not known[2].live

    def owner(self, memory_id: str) -> tuple[TablePlan, str] | None:
        """The table and the key that an id is of: of the one that knows it, else of the one that it looks like."""
        known = self._known([memory_id]).get(memory_id)
        if known is not None:
            return known[0], known[1]
        fitting = list(self._candidates(memory_id))
        return max(fitting, key=lambda one: len(one[0].prefix), default=None)

    def _candidates(self, memory_id: str) -> Iterator[tuple[TablePlan, str]]:
        for plan in self.plans:
            key = memory_id.removeprefix(plan.prefix)
            if key != memory_id and plan.space_of(key) == self.space:
                yield plan, key

    def _known(self, ids: Sequence[str]) -> dict[str, Known]:
        """What the ledger says of these ids: the live one, where several tables could have one of that id."""
        found: dict[str, Known] = {}
        by_plan: dict[int, list[str]] = {}
        for memory_id in ids:
            for plan, key in self._candidates(memory_id):
                by_plan.setdefault(plan.number, []).append(key)
        for plan in self.plans:
            for key, entry in self.sides.ledger.entries(plan.number, by_plan.get(plan.number, [])).items():
                before = found.get(plan.prefix + key)
                if before is None or not before[2].live:
                    found[plan.prefix + key] = (plan, key, entry)
        return found

    def _judge(self, memory_id: str, known: Known | None, stored: Stored | None) -> str | None:
        """What is wrong with a memory as it was found; None when nothing is, or when nothing is expected of it."""
        stamp = stored.stamp() if stored is not None and (known is None or not known[2].live) else None
        if stored is not None and stamp is None and self._placeholder(memory_id, known):
            return None
        if known is not None:
            if known[0].number not in self.compared:
                return None
            return self._judge_known(*known, stored)
        if stored is None:
            return None
        if stamp is None or stamp.ledger not in self.ours:
            return FOREIGN
        owner = next((plan for plan, _key in self._candidates(memory_id) if plan.table.label == stamp.table), None)
        if owner is not None:
            return STRAY if owner.number in self.compared else None
        return self._judge_homeless(memory_id, stamp)

    def _judge_homeless(self, memory_id: str, stamp: Stamp) -> str | None:
        """One of a table that is not carried: it may rest here, when the table was removed and its memories were kept.

        What was forgotten with a migration that was rolled back has a tombstone; of a table that is nowhere here nothing is kept.
        While a generation that has retired is being forgotten, its memories are there and nobody expects them.
        """
        if any(plan.table.label == stamp.table for plan in self.plans):
            return FOREIGN  # our stamp under an id that it is not of: nobody but somebody else writes that
        self.homeless[memory_id] = stamp.table
        record = self._here.get(stamp.table)
        if record is None:
            return STRAY
        entry = self.sides.ledger.entries(record.number, [stamp.key]).get(stamp.key) if record.role != RETIRED else None
        return BACK if entry is not None and not entry.live else None

    def _placeholder(self, memory_id: str, known: Known | None) -> bool:
        """Made by hand for a parent that PostgreSQL does not have: an orphan's reference leads to it."""
        if known is not None and known[2].live:
            return False
        dangling = Dangling(self.sides.ledger)
        return any(dangling.referred(plan.origin, [key]) for plan, key in self._candidates(memory_id))

    def _judge_known(self, plan: TablePlan, key: str, entry: Entry, stored: Stored | None) -> str | None:
        if not entry.live:
            return None if stored is None else BACK
        if stored is None:
            return MISSING
        expected = {"version": entry.version, "body_digest": entry.digest, "references_digest": entry.references}
        if bears(stored.content, fixed=plan.fixed, key=key, **expected):
            return None
        return self._judge_stamp(entry, stored.stamp())

    def _judge_stamp(self, entry: Entry, stamp: Stamp | None) -> str | None:
        if stamp is None or stamp.ledger != self.sides.ledger_id:
            return UNSTAMPED
        if not stamp.intact:
            return CHANGED
        if stamp.version < entry.version:
            return REVERTED
        same = (stamp.version, stamp.digest, digest(stamp.references)) == (entry.version, entry.digest, entry.references)
        return None if same else OTHER_STAMP
