"""Figures for those who look all the time: at most once a second, for all of them together, and never held up by PostgreSQL.

A page that is open on ten screens, and a scrape beside it, cost one look. What takes a look at all memories, and the slot, are
asked for in threads of their own, and shown as they were last: a PostgreSQL that is away must not keep anybody from seeing that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bridge.config import Config
from bridge.errors import BridgeError
from bridge.figures import Figures, Heavy, collect, weigh
from bridge.gates import Thresholds
from bridge.ledger import Ledger
from bridge.status import SlotFigures
from bridge.wiring import slot_figures

LIGHT_SECONDS = 0.9
SLOT_SECONDS = 2.0
SLOT_PATIENCE = 4.0
"""How old figures may be, and how old the slot's; after how long a PostgreSQL that has not answered counts as silent."""

HEAVY_SECONDS = 3.0
HEAVY_REST = 20.0
"""Seconds between two looks at all memories, and how many times as long as the last one took they must be apart."""

FIRST_SECONDS = 2.0
"""How long the very first figures wait for the slot."""

_T = TypeVar("_T")


@dataclass(slots=True)
class Looked(Generic[_T]):
    """What was found by looking now and then, in another thread: the last answer, or why there is none."""

    look: Callable[[], _T]
    pool: ThreadPoolExecutor
    every: float
    rest: float = 0.0
    last: _T | None = None
    error: BridgeError | None = None
    began: float = float("-inf")
    took: float = 0.0
    pending: Future[None] | None = None

    def begin(self) -> None:
        """Look again if it is time, and nobody does."""
        now = time.monotonic()
        if (self.pending is None or self.pending.done()) and now - self.began >= max(self.every, self.rest * self.took):
            self.began = now
            self.pending = self.pool.submit(self._look)

    @property
    def waits(self) -> float:
        """Seconds for which an answer has been waited for."""
        return 0.0 if self.pending is None or self.pending.done() else time.monotonic() - self.began

    def _look(self) -> None:
        try:
            self.last, self.error = self.look(), None
        except BridgeError as error:
            self.error = error
        self.took = time.monotonic() - self.began


@dataclass(slots=True)
class Collector:
    """Figures of one ledger. `ask` answers what PostgreSQL says of the slot, and may take its time. Called from any thread."""

    ledger: Ledger
    ask: Callable[[], SlotFigures]
    thresholds: Thresholds | None = None
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "figures"))
    _slot: Looked[SlotFigures] = field(init=False)
    _heavy: Looked[Heavy] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _figures: Figures | None = None

    def __post_init__(self) -> None:
        self._slot = Looked(self.ask, self._pool, SLOT_SECONDS)
        self._heavy = Looked(lambda: weigh(self.ledger, self._known_slot, self.thresholds), self._pool, HEAVY_SECONDS, HEAVY_REST)

    @classmethod
    def of(cls, settings: Config, ledger: Ledger) -> Collector:
        """For a configuration and its ledger."""
        name = settings.source.slot
        return cls(ledger, lambda: slot_figures(settings, ledger.facts().get("slot", name)), settings.cutover.thresholds())

    def now(self) -> Figures:
        """The figures, at most a second old. Raises LedgerUnavailable and LedgerError."""
        with self._lock:
            if self._figures is None or time.time() - self._figures.at > LIGHT_SECONDS:
                self._figures = self._collect()
            return self._figures

    def close(self) -> None:
        """Look no more; what is being looked at is left behind."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _collect(self) -> Figures:
        self._slot.begin()
        if self._slot.last is None and self._slot.error is None and self._slot.pending is not None:
            _wait(self._slot.pending, FIRST_SECONDS)
        self._heavy.begin()
        if self._heavy.last is None and self._heavy.pending is not None:
            self._heavy.pending.result()
            if self._heavy.error is not None:
                raise self._heavy.error
        return collect(
            self.ledger, self._known_slot, source_error=self._source_error, thresholds=self.thresholds, heavy=self._heavy.last
        )

    @property
    def _source_error(self) -> str | None:
        """Why PostgreSQL cannot be asked; None while it answers."""
        if self._slot.waits > SLOT_PATIENCE:
            return f"PostgreSQL has not answered for {self._slot.waits:.0f} s"
        return str(self._slot.error) if self._slot.error is not None else None

    @property
    def _known_slot(self) -> SlotFigures | None:
        return None if self._source_error is not None else self._slot.last


def _wait(pending: Future[None], seconds: float) -> None:
    try:
        pending.result(seconds)
    except TimeoutError:
        return
