"""How long ago the frontier was known to cover everything, also when a clock is set back or is another one's.

That moment stands in the ledger as the bridge's wall clock told it. The difference to our wall clock is the staleness, as long as
both go alike; but a clock that is set back would make old look young, for as long as it was set back. So two more things are held
against it: a moment that lies in our future says nothing, and one that has not moved for a while, by the clock that nobody sets,
is at least that old.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.lsn import Lsn

AHEAD = 1.0
"""Seconds that the bridge's clock may be ahead of ours: those of two machines that are kept in step differ by far less."""

SETTLES = 1.0
"""Seconds until recall knows a row that can be read by its id. Milliseconds are enough for a server that is well, but it says
nothing about them: it puts the row into the index behind its answer."""

BETWEEN = 0.1
"""Seconds between two frontiers that are remembered."""


@dataclass(slots=True)
class Freshness:
    """One for a process, since it remembers when it saw a moment for the first time."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    _covered: float = field(default=-math.inf, init=False)
    _seen: float = field(default=0.0, init=False)

    def now(self, covered: float) -> float:
        """What the bridge's clock shows now, at least, if `covered` is the latest moment that it told, in seconds since 1970; inf
        when nobody can know."""
        if covered != self._covered:
            self._covered, self._seen = covered, self.steady()
        return covered + self._age(covered)

    def age(self, covered: float) -> float | None:
        """How stale what was covered at that moment is now, in seconds; None when nobody can know."""
        age = self._age(covered)
        return age if math.isfinite(age) else None

    def _age(self, covered: float) -> float:
        told = self.wall() - covered
        if told < -AHEAD:
            return math.inf
        return max(told, self.steady() - self._seen if covered == self._covered else 0.0, 0.0)


@dataclass(slots=True)
class Passed:
    """Which positions the frontier has passed long enough ago for recall to know what lies before them, as far as seen here."""

    steady: Callable[[], float] = time.monotonic
    _settled: Lsn = field(default=0, init=False)
    _seen: deque[tuple[float, Lsn]] = field(default_factory=deque, init=False)

    def settled(self, proven: Lsn, wanted: Lsn) -> bool:
        """Whether that position was passed so long ago. `proven`: the frontier now."""
        now = self.steady()
        if self._seen and proven < self._seen[-1][1]:  # another source: positions of the earlier one say nothing
            self._seen.clear()
            self._settled = 0
        if not self._seen or now - self._seen[-1][0] >= BETWEEN:
            self._seen.append((now, proven))
        while self._seen and now - self._seen[0][0] >= SETTLES:
            self._settled = self._seen.popleft()[1]
        return wanted <= self._settled
