"""What a proxy counts: in memory, by table and name of `bridge.reads`, added to the ledger once a second from a thread.

A second's counts are lost when a proxy is killed; nothing decides by one second. While the ledger cannot be written they are
kept and added later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable

from bridge.errors import BridgeError
from bridge.ledger import Serving

logger = logging.getLogger(__name__)

BEAT = 1.0


class Counting:
    """Counts of one proxy. Only the event loop's thread adds; `every_beat` are called in another one, after each flush."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._counts: Counter[tuple[str, str]] = Counter()
        self._beat: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._told = False
        self.every_beat: list[Callable[[], None]] = []

    def add(self, label: str, what: str, times: int = 1) -> None:
        """One more of it."""
        self._counts[label, what] += times

    def start(self) -> None:
        """Begin to flush."""
        self._beat = asyncio.create_task(self._beating(), name="counting")

    async def close(self) -> None:
        """Flush what is left."""
        if self._beat is not None:
            self._ending.set()
            await self._beat
        await self.flush()

    async def flush(self) -> None:
        """Add what was counted to the ledger's."""
        counts, self._counts = self._counts, Counter()
        try:
            await asyncio.to_thread(self._serving.count, counts)
        except BridgeError as error:
            self._counts.update(counts)
            if not self._told:
                self._told = True
                logger.warning("what is counted cannot be kept now: %s", error, extra={"hint": error.hint})
            return
        self._told = False

    async def _beating(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), BEAT)
            await self.flush()
            for act in self.every_beat:
                try:
                    await asyncio.to_thread(act)
                except BridgeError as error:
                    logger.warning("what a proxy looks after each second failed: %s", error, extra={"hint": error.hint})
