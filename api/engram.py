"""Engram as a proxy reads it: one GET over kept connections, with a deadline, a circuit breaker and a measure of its own.

Only spaces that the ledger names are ever asked: a read of another one would create it, at gigabytes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote, urlencode

from api import recall
from api.kept import KeptConnections
from api.recall import Recalled
from bridge.errors import TargetUnavailable
from bridge.memories import Stored

KEPT_SAMPLES = 512
LEAST_SAMPLES = 20
MEASURE_EVERY = 32
LEAST_HEDGE = 0.005
"""Seconds. Where Engram answers faster than that, a second question costs more than it saves."""

LONGER = 2
"""How many times as long a question would have taken that was not waited for: nobody knows. If it were taken for what it was
waited, nearly all would be asked twice at a jump of load, until the measure has crept up, one that hangs be asked for ever."""

CONNECTIONS = 100
FAILURES = 5
PAUSE = 1.0

_MEMORIES = "/api/v1/memories"

THRESHOLD = 0.0
"""Cosine from which on a row comes up: below it, it has nothing to do with the question."""

_Answer = TypeVar("_Answer")


class BreakerOpen(TargetUnavailable):
    """Engram failed several times in a row, and is left alone for a moment."""


class DeadlineExceeded(TargetUnavailable):
    """Engram did not answer in time."""


class HurriedUp(TargetUnavailable):
    """Another answer came before that of Engram."""


class EngramReads:
    """Reads memories of one server. `took` is told for which table, and how many milliseconds, each answer took."""

    def __init__(self, http: str, api_key: str | None, *, deadline: float, took: Callable[[str, float], None]) -> None:
        key = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._kept = KeptConnections(http, key, limit=CONNECTIONS)
        self._deadline = deadline
        self._took = took
        self._breaker = Breaker()
        self._samples: deque[float] = deque(maxlen=KEPT_SAMPLES)
        self._measured = 0
        self.slow: float | None = None
        """Seconds within which it answers 95 of 100 questions, at least LEAST_HEDGE; None while that is not known."""

    async def open(self) -> None:
        """Before the first question. Nothing is sent."""

    async def close(self) -> None:
        """After the last one."""
        self._kept.close()

    async def get(
        self, space: str, memory_id: str, label: str, late: Callable[[asyncio.Timeout], None] | None = None
    ) -> Stored | None:
        """The memory, None when Engram has none. `label`: the table that the time is counted for.

        `late` is called when Engram is slower than it mostly is, with the limit of this question: who sets that to now does not
        wait any more, and HurriedUp is raised. Raises BreakerOpen, DeadlineExceeded, and TargetUnavailable for any other answer
        than a memory or its absence.
        """
        target = f"{_MEMORIES}/{quote(memory_id, safe='')}"
        return await self._ask(target, space, lambda status, body: _read(status, body, memory_id), label, late)

    async def recall(self, space: str, cue: str, most: int) -> Recalled:
        """What comes up for a vector (`api.recall.cue`). Raises as `get` does."""
        query = {"embedding": cue, "max_results": str(most), "threshold": str(THRESHOLD), "mode": "similarity"}
        return await self._ask(f"{_MEMORIES}/recall?{urlencode(query, safe=',')}", space, recall.recalled)

    async def warm(self, space: str) -> int:
        """How many rows of a space come up whatever is asked. Raises as `get` does."""
        return await self._ask(f"{_MEMORIES}?limit=1", space, recall.warm)

    async def epoch(self) -> str:
        """The server's present start, as the bridge notes it (`Target.epoch`). Raises as `get` does."""
        return await self._ask("/api/v1/spaces", None, recall.epoch)

    async def _ask(
        self,
        target: str,
        space: str | None,
        read: Callable[[int, bytes], _Answer],
        label: str | None = None,
        late: Callable[[asyncio.Timeout], None] | None = None,
    ) -> _Answer:
        """One GET. Its time is measured when it is one for a table's row: all other questions take another time."""
        self._breaker.enter()
        loop = asyncio.get_running_loop()
        began = loop.time()
        timer = None
        try:
            async with asyncio.timeout_at(began + self._deadline) as limit:
                if late is not None and self.slow is not None:
                    timer = loop.call_later(self.slow, late, limit)
                status, body = await self._kept.get(target, {} if space is None else {"X-Memory-Space": space})
            found = read(status, body)
        except TimeoutError as error:
            hurried = limit.when() != began + self._deadline
            self._measure(label, loop.time() - began, times=LONGER if hurried else 1)
            if hurried:
                self._breaker.left()
                raise HurriedUp from error
            self._breaker.failed()
            raise DeadlineExceeded from error
        except TargetUnavailable:
            self._breaker.failed()
            raise
        except asyncio.CancelledError:
            self._breaker.left()
            raise
        finally:
            if timer is not None:
                timer.cancel()
        self._breaker.succeeded()
        self._measure(label, loop.time() - began)
        return found

    def _measure(self, label: str | None, seconds: float, times: int = 1) -> None:
        if label is None:
            return
        self._took(label, seconds * 1000)
        self._samples.append(seconds * times)
        self._measured += 1
        if len(self._samples) >= LEAST_SAMPLES and self._measured % MEASURE_EVERY == 0:
            ordered = sorted(self._samples)
            self.slow = max(ordered[int(0.95 * len(ordered))], LEAST_HEDGE)


def _read(status: int, body: bytes, memory_id: str) -> Stored | None:
    if status == 404:
        return None
    if status != 200:
        raise TargetUnavailable(f"Engram answered {status}")
    try:
        memory = json.loads(body)
        if memory["id"] != memory_id or not isinstance(memory["content"], str):
            raise TargetUnavailable("Engram answered with another memory than was asked for")
        return Stored(memory_id, memory["content"])
    except (ValueError, KeyError, TypeError) as error:
        raise TargetUnavailable("Engram answered a memory in a form that is not its own") from error


class Breaker:
    """After some failures in a row nobody is let through for a moment; then one, whose answer decides."""

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0
        self._trying = False

    @property
    def open(self) -> bool:
        """Whether the next one would be turned away."""
        return self._failures >= FAILURES and (self._trying or time.monotonic() < self._until)

    def enter(self) -> None:
        """Before a question. Raises BreakerOpen."""
        if self._failures >= FAILURES:
            if self.open:
                raise BreakerOpen
            self._trying = True

    def succeeded(self) -> None:
        """It was answered."""
        self._failures, self._trying = 0, False

    def failed(self) -> None:
        """It was not."""
        self._failures, self._trying = self._failures + 1, False
        self._until = time.monotonic() + PAUSE

    def left(self) -> None:
        """Nobody waited for the answer."""
        self._trying = False
