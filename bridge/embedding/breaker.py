"""A circuit breaker: an endpoint that fails again and again is left alone for a while, then tried by one caller.

closed     calls go through; `FAILURES` in a row open it
open       nothing goes through until its time has passed
half-open  one call goes through: it closes the breaker, or opens it for twice as long
"""

from __future__ import annotations

import threading
import time

from bridge.ports import Clock

FAILURES = 5
FIRST_PAUSE = 1.0
LAST_PAUSE = 30.0


class Breaker:
    """Thread-safe. Ask `wait` before a call, and tell `succeeded` or `failed` after it."""

    def __init__(self, *, clock: Clock = time.monotonic, failures: int = FAILURES) -> None:
        self._clock = clock
        self._most = failures
        self._lock = threading.Lock()
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._until = 0.0
        self._open = False

    def wait(self) -> float:
        """Seconds that no call may go through; 0: the caller may call, and tries it for all when the breaker is open."""
        with self._lock:
            left = self._until - self._clock()
            if left > 0:
                return left
            if self._open:
                self._until = self._clock() + self._pause  # everybody else waits for what this one finds
            return 0.0

    @property
    def is_open(self) -> bool:
        """The endpoint is left alone."""
        return self._open

    def succeeded(self) -> None:
        """The endpoint has answered."""
        with self._lock:
            self._failures, self._pause, self._until, self._open = 0, FIRST_PAUSE, 0.0, False

    def failed(self, *, asked_for: float = 0.0) -> None:
        """It has not, or has asked to be left alone for so many seconds."""
        with self._lock:
            self._failures += 1
            if self._open:
                self._pause = min(self._pause * 2, LAST_PAUSE)
            if self._failures >= self._most or self._open:
                self._open = True
                self._until = self._clock() + self._pause
            self._until = max(self._until, self._clock() + asked_for)
