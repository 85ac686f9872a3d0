"""One look at the figures for everybody who watches: collected in a thread, at most once a second, told to all pages.

Nobody watches: it looks now and then all the same, so that "since when" is known to whoever is woken. A look that is slow is made
less often: it takes no more than a fifth of the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from bridge.errors import BridgeError

logger = logging.getLogger(__name__)

WATCHED_SECONDS, IDLE_SECONDS = 1.0, 10.0
"""Seconds between two looks: while a page is open, and while none is."""

SPARE = 4.0
"""A look is followed by a pause of at least so many times its own length."""

POINT_SECONDS = 5.0
POINTS = 720
"""The lag over time: seconds of one point, and how many are kept, an hour."""

MOST_WATCHERS = 64
"""Streams at once; the others poll, which asks the ledger no more often."""

View = Mapping[str, Any]
"""What the page shows: JSON-ready."""


class Watching:
    """Looks, remembers since when what was wrong, and hands the newest view to whoever waits.

    `look` answers the figures and the lists beside them; it is called in a thread, and may raise BridgeError.
    """

    def __init__(self, look: Callable[[], dict[str, Any]], clock: Callable[[], float] = time.time) -> None:
        self._look = look
        self._clock = clock
        self._since: dict[str, float] = {}
        self._points: deque[list[float | None]] = deque(maxlen=POINTS)
        self._reads: deque[tuple[float, int]] = deque(maxlen=16)
        self._view: View | None = None
        self._watchers = 0
        self._changed = asyncio.Condition()
        self._hurry = asyncio.Event()
        self._alone = asyncio.Lock()

    @property
    def full(self) -> bool:
        """No more streams are begun."""
        return self._watchers >= MOST_WATCHERS

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            began = time.monotonic()
            await self.refresh()
            took = time.monotonic() - began
            pause = max(WATCHED_SECONDS if self._watchers else IDLE_SECONDS, SPARE * took)
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), pause)

    def hurry(self) -> None:
        """Something was changed: look at once."""
        self._hurry.set()

    async def refresh(self) -> View:
        """Look now, and tell everybody."""
        async with self._alone:
            return await self._told()

    async def now(self) -> View:
        """The newest view, not older than a watched one should be. Who comes while somebody looks gets what that one sees."""
        async with self._alone:
            view = self._view
            if view is not None and self._clock() - view["at"] <= 2 * WATCHED_SECONDS:
                return view
            return await self._told()

    async def _told(self) -> View:
        view = await asyncio.to_thread(self._seen)
        async with self._changed:
            self._view = view
            self._changed.notify_all()
        return view

    async def views(self) -> AsyncGenerator[View]:
        """Each view as it comes, beginning with the one that is there; as long as somebody asks, looks are frequent."""
        self._watchers += 1
        self._hurry.set()
        try:
            yield (seen := await self.now())
            while True:
                async with self._changed:
                    while self._view is seen or self._view is None:
                        await self._changed.wait()
                    seen = self._view
                yield seen
        finally:
            self._watchers -= 1

    # one look

    def _seen(self) -> View:
        now = self._clock()
        try:
            seen = self._look()
        except BridgeError as error:
            logger.info("the page shows no figures: %s", error)
            return {"at": now, "figures": None, "trouble": self._dated([_no_ledger(error)], now)}
        figures = seen["figures"]
        self._note(figures, now)
        return {
            "at": now,
            **seen,
            "trouble": self._dated(figures["trouble"], now),
            "lag": list(self._points),
            "reads_per_second": self._rate(figures["reads_together"]["all"]["answered"], now),
        }

    def _dated(self, found: list[dict[str, Any]], now: float) -> list[dict[str, Any]]:
        """With the moment since which each is there: its own, or else when it was first seen from here."""
        names = [f"{one['name']}/{one['table'] or ''}" for one in found]
        self._since = {name: self._since.get(name, now) for name in names}
        return [{**one, "since": one["since"] or self._since[name]} for one, name in zip(found, names, strict=True)]

    def _note(self, figures: View, now: float) -> None:
        beat = figures["heartbeat"]
        if not self._points or now - (self._points[-1][0] or 0.0) >= POINT_SECONDS * 0.9:
            self._points.append([round(now, 1), beat["p50_ms"], beat["p95_ms"], beat["p99_ms"]])

    def _rate(self, counted: int, now: float) -> float | None:
        """Reads a second over the last looks; None until two were made."""
        if self._reads and counted < self._reads[-1][1]:
            self._reads.clear()  # minutes that are older than a week went
        self._reads.append((now, counted))
        first = self._reads[0]
        return round((counted - first[1]) / (now - first[0]), 1) if now - first[0] > 0.5 else None


def _no_ledger(error: BridgeError) -> dict[str, Any]:
    """The ledger cannot be asked: nothing else is known then. In the form of `bridge.trouble`."""
    return {
        "severity": "critical",
        "name": "ledger",
        "what": f"the ledger cannot be read, so all reads go to PostgreSQL: {error}",
        "since": None,
        "do": error.hint,
        "runbook": "ledgers-server-away",
        "table": None,
    }
