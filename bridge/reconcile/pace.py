"""Budgets: so many rows a second, and such a share of the time. What is over is waited for, in small pieces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bridge.ports import Clock

SLICE = 0.2


@dataclass(slots=True)
class Pace:
    """One side's budget. `rate`: rows a second; `share`: of the time that may be worked; `stop`: waiting ends early.

    `worked`: seconds that were, over all.
    """

    rate: float
    share: float
    stop: Callable[[], bool]
    clock: Clock = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    worked: float = 0.0

    @contextmanager
    def spending(self, rows: Callable[[], int]) -> Iterator[None]:
        """Work, and then wait until so many rows in so much time are within the budget."""
        began = self.clock()
        yield
        took = self.clock() - began
        self.worked += took
        self.wait(max(rows() / self.rate, took / self.share) - took)

    def wait(self, seconds: float) -> None:
        """Wait, unless all is to stop."""
        until = self.clock() + seconds
        while (left := until - self.clock()) > 0 and not self.stop():
            self.sleep(min(left, SLICE))
