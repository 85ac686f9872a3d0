"""One round: stage by stage, kept where it is after each page, so that it goes on there after a kill.

For each table PostgreSQL is compared with the ledger, and then what the ledger expects with PostgreSQL; for each space the ledger
with Engram. What differs is collected as suspects; a difference is true when both sides stood still, unlike, over two fences that
the frontier passed (`bridge.validation.settling`). What is true is mended, and looked at once more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bridge.changes import Row
from bridge.ledger import Finding, Findings
from bridge.ledger.findings import SOURCE, TARGET
from bridge.lsn import Lsn
from bridge.mapping import TablePlan
from bridge.origin import open_rows
from bridge.reconcile.causes import NEAR, Evidence
from bridge.reconcile.mending import Broken, Mender
from bridge.reconcile.orders import Order
from bridge.reconcile.pace import Pace
from bridge.reconcile.source_side import SourceSide
from bridge.reconcile.tallies import BACK, FOREIGN, MISSING, ONLY_HERE, STRAY, Tallies, Tally
from bridge.reconcile.target_side import TargetSide
from bridge.validation.settling import Look, settle
from bridge.validation.sides import Sides, pages

logger = logging.getLogger(__name__)

MANY = 500
"""So many suspects are settled at once, at most; fewer at the end of a stage."""

SAVE_SECONDS = 2.0
APPLICATION = "engram-bridge reconcile"

RIGHT = "it was right when it was looked at again"
NOT_CARRIED = "its table is not carried any more"
NO_SPACE = "its space is none of this ledger any more"
"""How a finding is closed that nothing was done about."""

Looks = Callable[[Sequence[str]], tuple[Mapping[str, Look[str]], Lsn]]


class Stopped(Exception):
    """The round is to stop where it is, and to go on later."""


@dataclass(slots=True)
class Round:
    """One round over `plans`. `position` is what `save` was given last, or empty.

    `stop`: whether it is to stop where it is. `passed` waits for the frontier (as `Sides.passed`); without a stream nothing
    passes it, and a difference between PostgreSQL and the ledger stays unsettled. `mender` is None where nothing is mended.
    """

    sides: Sides
    order: Order
    plans: Sequence[TablePlan]
    compared: set[int]
    at_source: Pace
    at_target: Pace
    stop: Callable[[], bool]
    save: Callable[[dict[str, Any]], None]
    evidence: Callable[[TargetSide], Evidence]
    mender: Mender | None = None
    followed: bool = True
    learn: bool = True
    ours: frozenset[str] = frozenset()
    tallies: Tallies = field(default_factory=Tallies)
    _position: dict[str, Any] = field(default_factory=dict)
    _saved: float = 0.0

    def go_on(self, position: dict[str, Any] | None) -> None:
        """Begin where an earlier process has stopped."""
        if position:
            self._position = position
            self.tallies = Tallies.again(position["tallies"])
            self.tallies.resumed += 1

    def run(self) -> None:
        """All that is left of it. Raises Stopped, SourceUnavailable, TargetUnavailable, LedgerUnavailable and Fatal."""
        for label in [plan.table.label for plan in self.plans]:
            self.tallies.of(label)
        done = self._position.setdefault("done", [])
        stages = dict(self._stages())
        for name, stage in stages.items():
            if name in done:
                continue
            self._require()
            if self._position.get("stage") != name:
                self._position |= {"stage": name, "after": None, "suspects": []}
            self._position["of"] = len(stages)
            stage()
            done.append(name)
            self._keep(now=True)

    def _stages(self) -> Iterator[tuple[str, Callable[[], None]]]:
        for plan in self.plans:
            yield f"open:{plan.number}", partial(self._revisit, plan)
        if not self.order.tables:
            yield "open", self._revisit_others
        for plan in self.plans:
            yield f"rows:{plan.number}", partial(self._rows, plan)
            if not plan.keyless:
                yield f"keys:{plan.number}", partial(self._keys, plan)
        spaces = [space for plan in self.plans for space in plan.spaces]
        for space in dict.fromkeys([*spaces, *(() if self.order.tables else self.sides.ledger.spaces())]):
            yield f"space:{space}", partial(self._space, space)

    # PostgreSQL against the ledger

    def _source(self, plan: TablePlan) -> SourceSide:
        parked = self.sides.ledger.parked_of(plan.number)
        return SourceSide(self.sides, plan, parked, self.tallies.of(plan.table.label), learn=self.learn)

    def _rows(self, plan: TablePlan) -> None:
        side = self._source(plan)
        tally = side.tally
        if plan.keyless:
            with self._at_source(tally):
                suspects = side.whole()
            self._suspect(plan, side, suspects)
        after = tuple(self._position["after"]) if self._position["after"] is not None else None
        with open_rows(self.sides.origin, APPLICATION) as connection:
            while not plan.keyless:
                with self._at_source(tally):
                    after, suspects = side.chunk(connection, after)
                self._suspect(plan, side, suspects)
                if after is None:
                    break
                self._at(list(after))
        self._settle_source(plan, side)

    def _keys(self, plan: TablePlan) -> None:
        side = self._source(plan)
        tally, after = side.tally, self._position["after"]
        with open_rows(self.sides.origin, APPLICATION) as connection:
            while True:
                with self._at_source(tally):
                    after, suspects = side.expected(connection, after)
                self._suspect(plan, side, suspects)
                if after is None:
                    break
                self._at(after)
        self._settle_source(plan, side)

    @contextmanager
    def _at_source(self, tally: Tally) -> Iterator[None]:
        self._require()
        before = tally.rows + tally.keys
        with self.at_source.spending(lambda: tally.rows + tally.keys - before):
            yield

    def _suspect(self, plan: TablePlan, side: SourceSide, keys: Sequence[str]) -> None:
        self._position["suspects"] += keys
        if len(self._position["suspects"]) >= MANY:
            self._settle_source(plan, side)

    def _settle_source(self, plan: TablePlan, side: SourceSide) -> None:
        for page in pages(self._position["suspects"], MANY):
            passed = self.sides.passed if self.followed else lambda _fence: False
            found = self._settled(plan.table.label, page, side.look, passed)
            findings = {key: Finding(plan.table.label, key, kind, SOURCE) for key, kind in found.items()}
            self._conclude(findings, {key: (plan, key, kind) for key, kind in found.items()}, side.look)
        if self._position["suspects"]:
            self._position["suspects"] = []
            self._keep(now=True)

    # the ledger against Engram

    def _space(self, space: str) -> None:
        side = self._side(space)
        side.open()
        suspects: dict[str, None] = {}
        for listing in (side.listed(), side.unlisted()):
            while self._page(listing, suspects):
                pass  # not kept: pages shift under writes, so a space is gone through from its beginning again
        for page in pages(suspects, MANY):
            self._settle_target(side, page)

    def _page(self, listing: Iterator[tuple[int, list[str]]], suspects: dict[str, None]) -> bool:
        """One page more within the budget; False when there is none."""
        self._require()
        rows, found = 0, None
        with self.at_target.spending(lambda: rows):
            found = next(listing, None)
            rows = found[0] if found is not None else 0
        suspects.update(dict.fromkeys(found[1] if found is not None else ()))
        return found is not None

    def _settle_target(self, side: TargetSide, ids: Sequence[str]) -> None:
        owners = {memory_id: side.owner(memory_id) for memory_id in ids}
        passed = self.sides.rested if self.followed else lambda _fence: True
        here = side.plans[0].table.label if side.plans else side.space
        found = self._settled(here, ids, side.look, passed)
        self.at_target.wait(len(ids) / self.at_target.rate)
        side.strangers += sum(kind == FOREIGN for kind in found.values())
        causes = self._causes(side, owners, found)
        findings, broken = {}, {}
        for memory_id, kind in found.items():
            owner = owners[memory_id] if memory_id not in side.homeless else None
            if owner is not None:
                broken[memory_id] = (owner[0], owner[1], kind)
            label = owner[0].table.label if owner is not None else side.homeless.get(memory_id, here)
            key = owner[1] if owner is not None and kind != FOREIGN else f"{side.space}/{memory_id}"
            findings[memory_id] = Finding(label, key, kind, TARGET, causes[memory_id])
        homeless = any(memory_id in side.homeless for memory_id in found)
        self._conclude(findings, broken, side.look, clear=side.space if homeless else None)

    def _causes(
        self, side: TargetSide, owners: Mapping[str, tuple[TablePlan, str] | None], found: Mapping[str, str]
    ) -> dict[str, str | None]:
        """By id, as far as there is evidence."""
        evidence = self.evidence(side)
        causes = {memory_id: evidence.cause(kind) for memory_id, kind in found.items()}
        for plan in side.plans:
            mine = {owner[1]: memory_id for memory_id in found if (owner := owners[memory_id]) and owner[0] is plan}
            crowded = evidence.crowded_out(plan, [key for key, memory_id in mine.items() if found[memory_id] == MISSING])
            causes |= {mine[key]: NEAR for key in crowded}
        return causes

    # both

    def _settled(self, label: str, keys: Sequence[str], look: Looks, passed: Callable[[Lsn], bool]) -> dict[str, str]:
        """What is truly wrong, by key. Raises Stopped."""
        settled = settle(keys, look, passed)
        self._require()
        tally = self.tallies.of(label)
        tally.lag += settled.lag
        tally.unsettled += len(settled.unsettled)
        return {key: kinds[0] for key, kinds in settled.true.items()}

    def _conclude(
        self, findings: Mapping[str, Finding], broken: Mapping[str, Broken], look: Looks, clear: str | None = None
    ) -> None:
        """Note what is wrong, have it mended, and see whether it is right now. Keys are those that `look` takes.

        `clear`: a space in which something is nobody's.
        """
        if not findings:
            return
        for found in findings.values():
            logger.warning(
                "reconciliation found: %s", found.kind, extra={"table": found.label, "key": found.key, "cause": found.cause}
            )
        book = Findings(self.sides.ledger)
        how: dict[tuple[str, str, str], str] = {}
        if self.mender is not None and self.order.repair:
            book.keep(list(findings.values()))
            self.mender.mend([one for one in broken.values() if one[2] != FOREIGN], self._read)
            if clear is not None:
                self.mender.clear(clear)
            ours = [key for key, found in findings.items() if found.kind != FOREIGN]
            how = {findings[key].what: _how(findings[key].kind) for key in set(ours) - set(_unlike(ours, look))}
            book.mend(list(how.items()))
        self.tallies.note(findings.values(), how)

    def _read(self, plan: TablePlan, keys: list[str]) -> Mapping[str, Row]:
        with self.at_source.spending(lambda: self.tallies.of(plan.table.label).rows):  # without a key: the whole table
            return self.sides.rows(plan, keys)[0]

    def _revisit(self, plan: TablePlan) -> None:
        """What an earlier round has left open is looked at first: it may be as it should be by now."""
        found = Findings(self.sides.ledger).open(plan.table.label)
        keys = [one.key for one in found if one.side == SOURCE]
        wrong = {(SOURCE, key) for page in pages(keys) for key in _unlike(page, self._source(plan).look)}
        known, ids = set(self.sides.ledger.spaces()), dict[str, dict[str, str]]()
        gone = [one for one in found if one.kind == FOREIGN and place_of(one, known) is None]
        for one in found:
            named = place_of(one, known)
            places = [] if one.kind == FOREIGN else [(space, plan.prefix + one.key) for space in plan.spaces]
            for space, memory_id in [*places, *([named] if named is not None else [])] if one.side == TARGET else []:
                ids.setdefault(space, {})[memory_id] = one.key
        for space, here in ids.items():
            side = self._side(space)
            side.open()
            wrong |= {(TARGET, here[memory_id]) for page in pages(here) for memory_id in _unlike(page, side.look)}
        self._close((one for one in found if one not in gone and (one.side, one.key) not in wrong), RIGHT)
        self._close(gone, NO_SPACE)

    def _revisit_others(self) -> None:
        """The same of what no table that is carried has. Only a memory in a space of ours can still be wrong."""
        carried = {plan.table.label for plan in self.sides.mapping.numbered.values()}
        known, right, gone = set(self.sides.ledger.spaces()), [], []
        for one in Findings(self.sides.ledger).open():
            place = place_of(one, known)
            if one.label in carried:
                continue
            if place is None:
                gone.append(one)
                continue
            side = self._side(place[0])
            side.open()
            right += [one] if not _unlike([place[1]], side.look) else []
        self._close(right, RIGHT)
        self._close(gone, NOT_CARRIED)

    def _close(self, found: Iterable[Finding], why: str) -> None:
        if self.order.repair and self.mender is not None:
            Findings(self.sides.ledger).mend([(one.what, why) for one in found])

    def _side(self, space: str) -> TargetSide:
        here = [plan for plan in self.sides.mapping.numbered.values() if space in plan.spaces]
        parked = {plan.number: self.sides.ledger.parked_of(plan.number) for plan in here}
        return TargetSide(self.sides, space, here, self.compared, parked, self.ours, self.tallies)

    def _at(self, after: Any) -> None:
        self._position["after"] = after
        self._keep()

    def _keep(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self._saved >= SAVE_SECONDS:
            self._saved = time.monotonic()
            self.tallies.at_source += self.at_source.worked
            self.tallies.at_target += self.at_target.worked
            self.at_source.worked = self.at_target.worked = 0.0
            self.save(self._position | {"tallies": self.tallies.kept()})

    def _require(self) -> None:
        if self.stop():
            raise Stopped


def place_of(found: Finding, spaces: Collection[str]) -> tuple[str, str] | None:
    """The space and the id that a finding's key names, as those of memories that are nobody's do; a row's key names neither.

    A row's key may have a slash as well, and an id more than one; no space has any.
    """
    space, slash, memory_id = found.key.partition("/")
    return (space, memory_id) if found.side == TARGET and slash and space in spaces else None


def _unlike(keys: Sequence[str], look: Looks) -> list[str]:
    looks, _fence = look(keys)
    return [key for key, found in looks.items() if found.problems]


def _how(kind: str) -> str:
    return "forgotten" if kind in (ONLY_HERE, BACK, STRAY) else "read again from PostgreSQL and written"
