"""A rehearsal of a table's cutover: the whole path of shares, in shadow, so that PostgreSQL answers everything the whole time.

At each share the rehearsal reads some of the keys itself, from both sides, and looks at what the proxies compare meanwhile. It
says which gates would have stopped the step, whether the table would have been taken back, and how long both sides took.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from bridge.errors import ConfigError
from bridge.gates import Thresholds, closed
from bridge.ledger import Serving
from bridge.mapping import TablePlan
from bridge.readiness import gates_now
from bridge.reads import Mode, Reason, Route, Served, Shadow, bucket, fell_back, group, quantile, served, shadow, took
from bridge.returning import Budget, since, why_back
from bridge.status import SlotFigures
from bridge.validation.findings import ROWS, Finding, Tally
from bridge.validation.rows import RowCheck
from bridge.validation.settling import settle
from bridge.validation.sides import Sides

SHARES = (1, 5, 25, 50, 100, 50, 1)
"""The way up and down again; before and behind it Engram answers nothing."""

MINUTES = 30


@dataclass(slots=True)
class Step:
    """One share. Times in milliseconds. `closed`: gates that would have refused it; `back`: why it would have been taken back."""

    share: int
    keys: int = 0
    read: int = 0
    same: int = 0
    lag: int = 0
    unsettled: int = 0
    findings: list[Finding] = field(default_factory=list)
    engram_p50: float | None = None
    engram_p99: float | None = None
    postgres_p50: float | None = None
    postgres_p99: float | None = None
    proxies: Mapping[str, int] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    back: str | None = None


@dataclass(slots=True)
class Rehearsal:
    """Plays it. `reads` of its own at each share, and `seconds` that are waited there for those of the proxies."""

    sides: Sides
    plan: TablePlan
    who: str
    thresholds: Thresholds
    budget: Budget
    slot: Callable[[], SlotFigures | None]
    reads: int = 100
    seconds: float = 5.0
    seed: int = 0

    def play(self) -> Iterator[Step]:
        """The steps, one by one; afterwards, and whatever happens, the route is what it was. Raises ConfigError."""
        serving, label = Serving(self.sides.ledger), self.plan.table.label
        before = serving.routes().get(label, Route())
        if before.mode not in (Mode.POSTGRES, Mode.SHADOW):
            raise ConfigError(
                f"{label} is past rehearsing: Engram answers its reads already",
                hint=f"engram-bridge cutover back {label} first, if it is to be rehearsed again.",
            )
        everything, _without, _lsn = self.sides.keys(self.plan)
        keys = sorted(everything - self.sides.ledger.parked_of(self.plan.number))
        try:
            for share in SHARES:
                why = {"why": f"rehearsal of {share} %"}
                serving.route(label, Route(Mode.SHADOW, share), who=self.who, verb="rehearse", detail=why)
                yield self._step(serving, share, [key for key in keys if bucket(self.plan.prefix + key) < share])
        finally:
            serving.route(label, before, who=self.who, verb="rehearse", detail={"why": "the rehearsal has ended"})

    def _step(self, serving: Serving, share: int, keys: list[str]) -> Step:
        label, began = self.plan.table.label, time.monotonic()
        step = Step(share, keys=len(keys))
        counted = self._counts(serving)
        chance = random.Random(f"{self.seed}/{share}")  # noqa: S311 - a sample, not a secret
        counts = self._read(step, chance.sample(keys, min(self.reads, len(keys))))
        time.sleep(max(0.0, self.seconds - (time.monotonic() - began)))
        step.proxies = since(counted, self._counts(serving)).get(label, {})
        _inputs, gates = gates_now(self.sides.ledger, self.slot(), self.thresholds)
        step.closed = [gate.name for gate in closed(gates, label)]
        together = {name: counts.get(name, 0) + step.proxies.get(name, 0) for name in counts.keys() | step.proxies.keys()}
        step.back = why_back(together, Route(Mode.ENGRAM, share), self.budget)
        return step

    def _counts(self, serving: Serving) -> dict[tuple[int, str, str], int]:
        return {(minute, label, what): count for minute, label, what, count in serving.series(MINUTES)}

    def _read(self, step: Step, keys: list[str]) -> dict[str, int]:
        """Read each key from both sides, one by one as an application does, then compare; answers a proxy's counts."""
        counts: dict[str, int] = {}

        def count(name: str) -> None:
            counts[name] = counts.get(name, 0) + 1

        for key in keys:
            at = time.perf_counter()
            self.sides.target.read(self.plan.space_of(key), [self.plan.prefix + key])
            between = time.perf_counter()
            self.sides.rows(self.plan, [key])
            count(took(Served.ENGRAM, 1000 * (between - at)))
            count(took(Served.POSTGRES, 1000 * (time.perf_counter() - between)))
        settled = settle(keys, RowCheck(self.sides, self.plan, Tally(self.plan.table.label)).look, self.sides.passed)
        step.findings = [found for problems in settled.true.values() for found in problems]
        missing = sum(1 for found in step.findings if found.check == ROWS and found.kind == "missing")
        step.read, step.lag, step.unsettled = len(keys), settled.lag, len(settled.unsettled)
        step.same = step.read - step.lag - step.unsettled - len(settled.true)
        for who in (Served.ENGRAM, Served.POSTGRES):
            for name, share in (("p50", 0.5), ("p99", 0.99)):
                setattr(step, f"{who.value}_{name}", quantile(counts, who.value, share))
        found = {served(Served.ENGRAM): step.read - missing, fell_back(Reason.MISSING): missing}
        return counts | found | {shadow(Shadow.MISMATCH): len(settled.true) - missing}


def stopped_at(steps: list[Step]) -> Step | None:
    """The first step on the way up that gates would have refused, or that would have been taken back."""
    return next((step for step in steps if step.closed or step.back), None)


def compared(step: Step) -> int:
    """What the proxies have compared at this step."""
    return sum(group(step.proxies, "shadow").values())
