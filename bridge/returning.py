"""The automatic return: a table whose reads go wrong at Engram goes back to PostgreSQL by itself, within seconds.

Anybody who lives may ask: the running bridge's beat and every proxy do, each with a `Returning` of its own over the same ledger.
What proxies count stands there by minutes, so each keeps the sums of some seconds ago and looks at what came since. The change of
the route is made only if the route is still the one that was judged: of several who see the same, one writes the audit line.

`engram-only` is never left by itself: there the operators have said that PostgreSQL stands behind no read.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from bridge.ledger import Serving
from bridge.reads import Counts, Mode, Reason, Route, Served, Shadow, fell_back, group, quantile, served, shadow

logger = logging.getLogger(__name__)

FAILURES = frozenset({Reason.MISSING, Reason.DIFFERS, Reason.ERROR, Reason.TIMEOUT, Reason.BREAKER})
"""Reasons that speak against Engram itself. A ledger that knows of a restart or a parked key is no failure of a read."""

TARGET = "target"
"""Engram itself, among those whose times are counted."""

Sums: TypeAlias = Mapping[tuple[int, str, str], int]
"""Counts by minute, table and name."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may go wrong before a table goes back. Seconds, milliseconds, shares from 0 to 1.

    `window`: how far back is looked. `least`: reads in it below which errors and latency are not judged.
    """

    window: float = 10.0
    least: int = 20
    failed_share: float = 0.1
    p99_ms: float = 1000.0
    mismatches: int = 0


def failures(counts: Counts) -> tuple[int, int]:
    """How many reads Engram was to answer, and how many of them it could not, an answer that nobody could give included."""
    failed = sum(counts.get(fell_back(reason), 0) for reason in FAILURES) + sum(group(counts, "error").values())
    return failed + counts.get(served(Served.ENGRAM), 0), failed


def why_back(counts: Counts, route: Route, budget: Budget) -> str | None:
    """Why a table of this route has to go back to PostgreSQL, by what was counted in the window; None when it has not."""
    if route.mode is not Mode.ENGRAM or route.share <= 0:
        return None
    found = counts.get(shadow(Shadow.MISMATCH), 0)
    if found > budget.mismatches:
        return f"{found} mismatch(es) in {budget.window:.0f} s, allowed are {budget.mismatches}"
    reads, failed = failures(counts)
    if reads >= budget.least and failed > budget.failed_share * reads:
        told = ", ".join(
            f"{reason.value} {counts[fell_back(reason)]}" for reason in sorted(FAILURES) if counts.get(fell_back(reason), 0)
        )
        return (
            f"{failed} of {reads} reads failed in {budget.window:.0f} s ({told or 'nobody could answer'}),"
            f" allowed are {100 * budget.failed_share:g} %"
        )
    p99 = max((late for who in (Served.ENGRAM.value, TARGET) if (late := _late(counts, who, budget)) is not None), default=0.0)
    if p99 > budget.p99_ms:
        return f"Engram took up to {p99:g} ms (p99) in {budget.window:.0f} s, allowed are {budget.p99_ms:g} ms"
    return None


def _late(counts: Counts, who: str, budget: Budget) -> float | None:
    """The p99 of enough answers. That of Engram itself counts too: where PostgreSQL was faster, nobody waited for it."""
    many = sum(count for item, count in group(counts, "ms").items() if item.partition(":")[0] == who)
    return quantile(counts, who, 0.99) if many >= budget.least else None


def since(earlier: Sums, now: Sums) -> dict[str, dict[str, int]]:
    """What was counted between two looks, by table. Minutes that are not looked at any more say nothing."""
    came: dict[str, dict[str, int]] = {}
    for key, count in now.items():
        more = count - earlier.get(key, 0)
        if more > 0:
            names = came.setdefault(key[1], {})
            names[key[2]] = names.get(key[2], 0) + more
    return came


@dataclass(slots=True)
class Returning:
    """Looks once a beat. `who` stands in the audit trail: the bridge, or a proxy."""

    serving: Serving
    budget: Budget
    who: str
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    _looks: deque[tuple[float, Mapping[str, Route], Sums]] = field(default_factory=deque)

    def look(self) -> list[str]:
        """Take back what has to go back; answers the tables. Raises LedgerUnavailable."""
        now = self.clock()
        routes = {label: route for label, route in self.serving.routes().items() if route.mode is Mode.ENGRAM and route.share}
        if not routes:
            self._looks.clear()
            return []
        minutes = int(self.budget.window // 60) + 2
        sums = {(minute, label, what): count for minute, label, what, count in self.serving.series(minutes, now=self.wall())}
        self._looks.append((now, routes, sums))
        while len(self._looks) > 1 and self._looks[1][0] <= now - self.budget.window:
            self._looks.popleft()
        return [label for label, route in routes.items() if self._judge(label, route, sums)]

    def step(self) -> None:
        """The same, for who has nothing to do with the answer."""
        self.look()

    def _judge(self, label: str, route: Route, sums: Sums) -> bool:
        """Only what came since the route was first seen counts: what is older was another route's. No clock is asked for that."""
        before = next(look for look in self._looks if look[1].get(label) == route)
        counts = since(before[2], sums).get(label, {})
        why = why_back(counts, route, self.budget)
        if why is None:
            return False
        detail = {"why": why, "counts": counts, "automatic": True}
        back = Route(Mode.POSTGRES, 0)
        if self.serving.route_from(route, label, back, who=self.who, verb="returned", detail=detail) is None:
            return False  # somebody else was faster, or the operator changed it meanwhile
        logger.warning("a table's reads go back to PostgreSQL: %s: %s", label, why, extra={"table": label})
        return True
