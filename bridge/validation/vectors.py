"""Check `vectors`: what Engram finds rows by is what the bridge made of them.

Engram gives vectors back in its list pages and nowhere else, each beside the content of the very same version of its memory. So a
vector is held against the text that its own content tells, and lag cannot be mistaken for damage: whether that content is the
right version is what the check `rows` asks. Of every memory that the ledger expects the vector is looked at; those of the sample
are made anew and compared, and held against all others of the space, for Engram drops a write within 0.95 of another row.

What looks wrong is read once more before it is told: a list may show what a reading by its id no longer finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np

from bridge.embedding.identity import SERVER_DIMENSIONS
from bridge.making import made_so
from bridge.mapping import TablePlan
from bridge.models import made_by, other_model
from bridge.ports import Vectors
from bridge.validation.findings import ANOTHERS, KEPT, NOT_ITS_OWN, SWAPPED, TOO_NEAR, VECTORS, Finding, Tally
from bridge.validation.remaking import Found, remake
from bridge.validation.sides import Sides, pages
from bridge.validation.spool import Spool

NEAR = 0.95
"""The cosine from which on Engram takes two rows for one."""

EQUAL = 0.99
"""The cosine from which on a vector is that of a certain row."""

READINGS = 4
"""How often a space is read again for what looked wrong, or was not seen: pages shift under writes."""

NOT_GIVEN = "Engram gives no vectors back in its lists"
OLD_MAPPING = "the mapping was changed: rows written before have vectors of other texts, until a resync"

ZERO, BROKEN, CONSTANT, SIZE = "zero", "not finite", "constant", "wrong dimension"


@dataclass(frozen=True, slots=True)
class Suspect:
    """What seems to be wrong with one vector. `other`: the row that it is too near to."""

    kind: str
    detail: str = ""
    other: str = ""


@dataclass(slots=True)
class _Pass:
    """What one reading of a space has shown. `named`: what was stored and what should have been, of the first wrong ones."""

    suspects: dict[str, Suspect] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    untold: set[str] = field(default_factory=set)
    named: dict[str, tuple[Vectors, Vectors]] = field(default_factory=dict)
    vectors: dict[str, Vectors] = field(default_factory=dict)


@dataclass(slots=True)
class VectorCheck:
    """One space after the other. `plans` are the loaded tables; `chosen` the sampled ids of which nothing was found yet."""

    sides: Sides
    plans: Sequence[TablePlan]
    tallies: Mapping[str, Tally]
    chosen: AbstractSet[str]
    _live: dict[str, tuple[TablePlan, str]] = field(default_factory=dict)
    _mixed: set[int] = field(default_factory=set)

    def run(self, space: str) -> None:
        """Compare one space. Raises what reading raises, EmbedderUnavailable, and ConfigError for a model not the ledger's."""
        here = [plan for plan in self.plans if space in plan.spaces]
        self._begin(here, space)
        chosen = self._live.keys() & self.chosen
        with Spool(SERVER_DIMENSIONS) as spool:
            first = _Pass()
            given = self._read(space, first, chosen, spool, self._live.keys())
            if self._live and not given:
                for plan in here:
                    self.tallies[plan.table.label].undone[VECTORS] = NOT_GIVEN
                return
            first.suspects |= self._too_near(spool, chosen - first.suspects.keys(), first.suspects.keys())
            doubts = first.suspects.keys() | first.untold | (self._live.keys() - first.seen)
            if doubts and not self.sides.ending():  # one that ends early has not seen the rest, and says so of the table
                true = self._confirmed(space, first, doubts, chosen)
                self._tell(_renamed(true, first, spool))

    def _begin(self, here: Sequence[TablePlan], space: str) -> None:
        facts = self.sides.ledger.facts()
        self._live, self._mixed = {}, set()
        for plan in here:
            encoder = self.sides.embedders().for_table(plan)
            now, made = (encoder.embedder.name, encoder.identity), made_by(facts, plan.number)
            if made[1] != now[1]:
                raise other_model(plan.table.label, made, now)
            if not made_so(facts, plan):
                self._mixed.add(plan.number)
                self.tallies[plan.table.label].undone[VECTORS] = OLD_MAPPING
            for key, entry in self.sides.ledger.scan(plan.number, plan.spaces.index(space)):
                if entry.live:
                    self._live[plan.prefix + key] = (plan, key)

    def _read(self, space: str, found: _Pass, chosen: AbstractSet[str], spool: Spool | None, wanted: AbstractSet[str]) -> bool:
        """Look at the vectors of the `wanted` ids; whether any was given."""
        given = False
        for page in pages(self.sides.target.vectors(space)):
            whole: list[Found] = []
            for stored, vector in page:
                if stored.memory_id not in wanted or stored.memory_id in found.seen:
                    continue
                found.seen.add(stored.memory_id)
                plan, key = self._live[stored.memory_id]
                given = given or vector is not None
                wrong = _flaw(vector)
                if wrong is not None:
                    found.suspects[stored.memory_id] = wrong
                elif vector is not None:
                    whole.append(Found(plan, key, stored, vector))
                self.tallies[plan.table.label].vectors += vector is not None and spool is not None
            if spool is not None and whole:
                spool.add([one.stored.memory_id for one in whole], np.stack([one.vector for one in whole]))
            elif spool is None:
                found.vectors |= {one.stored.memory_id: one.vector for one in whole}
            self._judge(found, [one for one in whole if one.stored.memory_id in chosen], count=spool is not None)
            if self.sides.ending():
                break
        return given

    def _judge(self, found: _Pass, some: Sequence[Found], *, count: bool) -> None:
        """Make the vectors of these anew, and compare."""
        some = [one for one in some if one.plan.number not in self._mixed]
        stored = {one.stored.memory_id: one for one in some}
        remade = remake(self.sides, some)
        found.untold |= remade.untold
        for memory_id, wanted in remade.wrong.items():
            found.suspects[memory_id] = Suspect(NOT_ITS_OWN)
            if len(found.named) < KEPT:
                found.named[memory_id] = (stored[memory_id].vector, wanted)
        for one in some if count else ():
            self.tallies[one.plan.table.label].recomputed += one.stored.memory_id not in remade.untold

    def _too_near(self, spool: Spool, probes: AbstractSet[str], wrong: AbstractSet[str]) -> dict[str, Suspect]:
        """Those of the probes that are too near to another of the space which is not wrong by itself."""
        found: dict[str, Suspect] = {}
        for ids, vectors in spool.of(set(probes)):
            for one, other, cosine in spool.near(ids, vectors, NEAR):
                if other not in wrong and found.get(other, Suspect("")).other != one:
                    found.setdefault(one, Suspect(TOO_NEAR, f"{cosine:.3f} to {other}", other))
        return found

    def _confirmed(self, space: str, first: _Pass, doubts: AbstractSet[str], chosen: AbstractSet[str]) -> dict[str, Suspect]:
        """What was wrong in a second reading as well, of memories that a reading by id finds. What neither shows is unsettled."""
        others = {one.other for one in first.suspects.values()} - {""}
        living = {
            memory_id
            for page in pages(sorted(doubts | others))
            for memory_id, stored in zip(page, self.sides.target.read(space, page), strict=True)
            if stored is not None
        }
        again = _Pass()
        for _reading in range(READINGS):
            again.seen -= again.untold
            again.untold = set()
            self._read(space, again, chosen & doubts, None, living)
            if again.seen >= living & doubts and not again.untold:
                break
        true = {memory_id: one for memory_id, one in again.suspects.items() if memory_id in doubts}
        for memory_id, one in first.suspects.items():
            if one.other and _near(again.vectors, memory_id, one.other):
                true.setdefault(memory_id, one)
        for memory_id in doubts & living:
            tally = self._tally(memory_id)
            if memory_id not in again.seen or memory_id in again.untold:
                tally.unsettled += 1
            elif memory_id not in true:
                tally.lag += 1
        return true

    def _tell(self, true: Mapping[str, Suspect]) -> None:
        for memory_id, one in sorted(true.items()):
            tally = self._tally(memory_id)
            tally.findings.append(Finding(VECTORS, one.kind, tally.label, memory_id, detail=one.detail))

    def _tally(self, memory_id: str) -> Tally:
        return self.tallies[self._live[memory_id][0].table.label]


def _flaw(vector: Vectors | None) -> Suspect | None:
    """What can be seen to be wrong with a vector by itself."""
    if vector is None:
        return Suspect(ZERO, "there is none")
    if vector.shape != (SERVER_DIMENSIONS,):
        return Suspect(SIZE, f"{len(vector)} numbers")
    if not np.isfinite(vector).all():
        return Suspect(BROKEN)
    if not vector.any():
        return Suspect(ZERO)
    if (vector == vector[0]).all():
        return Suspect(CONSTANT, "what the server gives to a memory that is sent without one")
    return None


def _near(vectors: Mapping[str, Vectors], one: str, other: str) -> bool:
    if one not in vectors or other not in vectors:
        return False
    first, second = (vectors[name] / np.linalg.norm(vectors[name]) for name in (one, other))
    return float(first @ second) >= NEAR


def _renamed(true: Mapping[str, Suspect], first: _Pass, spool: Spool) -> dict[str, Suspect]:
    """Vectors that are not made from their row's text, named by whose they are, as far as the space can tell."""
    ids = [name for name in first.named if name in true and true[name].kind == NOT_ITS_OWN]
    if not ids:
        return dict(true)
    own = _nearest(spool, ids, np.stack([first.named[name][1] for name in ids]))
    whose = _nearest(spool, ids, np.stack([_unit(first.named[name][0]) for name in ids]))
    renamed = dict(true)
    for name in ids:
        if name in own and own.get(own[name]) == name:
            renamed[name] = Suspect(SWAPPED, f"with that of {own[name]}")
        elif name in own or name in whose:
            renamed[name] = Suspect(ANOTHERS, f"its own is at {own[name]}" if name in own else f"that of {whose[name]}")
    return renamed


def _nearest(spool: Spool, ids: Sequence[str], vectors: Vectors) -> dict[str, str]:
    """Whose vector is each of these, under another id than its own."""
    found: dict[str, tuple[float, str]] = {}
    for one, other, cosine in spool.near(ids, vectors, EQUAL):
        found[one] = max(found.get(one, (0.0, "")), (cosine, other))
    return {one: other for one, (_cosine, other) in found.items()}


def _unit(vector: Vectors) -> Vectors:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
