"""Watches what the slot keeps: how much WAL, how fast it grows, and how long it takes until the slot is lost.

A slot that nobody reads fills the disk of a server that others need. What PostgreSQL may be asked to keep is said beforehand
(`source.max_retained_wal`), and so is what is to happen then: `keep`, which warns, or `drop`, which ends the run. It is dropped
only when it is this bridge that lags and does not catch up, not when a long transaction on the source holds it back.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridge.errors import RENEW, SlotLost
from bridge.lsn import Lsn
from bridge.postgres import connect, flush_position
from cdc import slot as slots

logger = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
WINDOW_SECONDS = 600.0
LEAST_SECONDS = 30.0
"""Seconds over which the growth of the WAL is measured: at most, and at least before anything is said of it."""

SOON_SECONDS = 7_200.0
TELL_AGAIN = 600.0
DROP_TRIES = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """Where the WAL and the slot stood at a moment."""

    at: float
    flushed: Lsn
    confirmed: Lsn


@dataclass(slots=True)
class SlotWatch:
    """Looks at the slot now and then. `limit` bytes of WAL may be kept, None for no limit of ours; `drop` beyond it.

    `leave` ends the stream, so that its slot can be dropped. `paused`: somebody has told the bridge to write nothing.
    """

    url: str
    slot: str
    limit: int | None = None
    drop: bool = False
    leave: Callable[[], None] = lambda: None
    paused: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    every: float = EVERY_SECONDS
    patience: float = LEAST_SECONDS
    figures: dict[str, Any] = field(default_factory=dict)
    _samples: deque[Sample] = field(default_factory=deque)
    _looked: float = -EVERY_SECONDS
    _told: dict[str, float] = field(default_factory=dict)

    def look(self) -> None:
        """Look if it is time. Raises SourceUnavailable, and SlotLost when the slot has been dropped by what was chosen."""
        now = self.clock()
        if now - self._looked < self.every:
            return
        self._looked = now
        with connect(self.url, application_name="engram-bridge housekeeping") as connection:
            found = slots.inspect_slot(connection, self.slot)
            flushed = flush_position(connection)
        if found is None or found.restart_lsn is None:
            self.figures = {}
            return
        self.add(Sample(now, flushed, found.confirmed_flush_lsn or found.restart_lsn))
        self._judge(max(flushed - found.restart_lsn, 0), found.safe_wal_size)

    def add(self, sample: Sample) -> None:
        """Take a measurement. A server that begins its WAL anew is measured anew."""
        if self._samples and sample.flushed < self._samples[-1].flushed:
            self._samples.clear()
        self._samples.append(sample)
        while sample.at - self._samples[0].at > WINDOW_SECONDS:
            self._samples.popleft()

    def rate(self) -> float | None:
        """Bytes of WAL a second; None as long as too little is known."""
        first, last = self._samples[0], self._samples[-1]
        seconds = last.at - first.at
        return (last.flushed - first.flushed) / seconds if seconds >= self.patience else None

    def hopeless(self, limit: int) -> bool:
        """Whether this bridge lags by more than the limit, and has not been catching up for a while."""
        last = self._samples[-1]
        before = next((one for one in reversed(self._samples) if last.at - one.at >= self.patience), None)
        lag = last.flushed - last.confirmed
        return before is not None and lag >= limit and lag >= before.flushed - before.confirmed

    def _judge(self, retained: int, safe: int | None) -> None:
        rate = self.rate()
        seconds = safe / rate if safe is not None and rate else None
        warning = self._warning(retained, seconds)
        self.figures = {
            "retained": retained,
            "bytes_per_second": round(rate, 1) if rate is not None else None,
            "seconds_to_loss": round(seconds, 1) if seconds is not None else None,
            "limit": self.limit,
            "warning": warning,
        }
        told = f"{(warning or '').split(':')[0]}, paused: {self.paused()}"
        if warning is not None and self.clock() - self._told.get(told, -TELL_AGAIN) >= TELL_AGAIN:
            self._told[told] = self.clock()
            logger.warning("%s", warning, extra={"slot": self.slot, "retained_bytes": retained})
        if self.limit is not None and self.drop and retained >= self.limit and self.hopeless(self.limit):
            self._drop(retained, self.limit)

    def _warning(self, retained: int, seconds: float | None) -> str | None:
        """The most urgent thing to be said."""
        if seconds is not None and seconds < SOON_SECONDS:
            return f"the slot is about to be lost: at the rate of the last minutes in {duration(seconds)}"
        if self.limit is not None and retained >= self.limit:
            return (
                f"the slot keeps more WAL than it may: {megabytes(retained)}, source.max_retained_wal is {megabytes(self.limit)}"
                f"{self._of_the_pause()}"
            )
        if self.limit is not None and 2 * retained >= self.limit:
            half = f"the slot keeps half of the WAL that it may: {megabytes(retained)} of {megabytes(self.limit)}"
            return half + self._of_the_pause()
        return None

    def _of_the_pause(self) -> str:
        """Who has paused the bridge may have forgotten it, and what was chosen for a bridge that cannot keep up."""
        if not self.paused():
            return ""
        return "; the bridge is paused" + (
            ", and source.on_max_retained: drop drops the slot for it" if self.drop else ": engram-bridge resume lets it go on"
        )

    def _drop(self, retained: int, limit: int) -> None:
        """End the stream and drop the slot, as was chosen. Raises SlotLost."""
        paused = self.paused()
        logger.error("the slot is dropped, as chosen by source.on_max_retained", extra={"slot": self.slot})
        self.leave()
        with connect(self.url, application_name="engram-bridge housekeeping") as connection:
            for _try in range(DROP_TRIES):  # our own walsender ends a moment after its connection
                found = slots.inspect_slot(connection, self.slot)
                if found is None or not found.active:
                    break
                time.sleep(0.1)
            slots.drop_slot(connection, self.slot)
        raise SlotLost(
            f"the slot {self.slot!r} was dropped: it kept {megabytes(retained)} of WAL, source.max_retained_wal is"
            f" {megabytes(limit)}, and the bridge {'is paused (engram-bridge pause)' if paused else 'did not catch up'}",
            hint=f"{'It stays paused until engram-bridge resume.' if paused else 'Mend what held it up.'} {RENEW}",
        )


def megabytes(number: int) -> str:
    """Bytes for people."""
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.1f} MB"


def duration(seconds: float) -> str:
    """Seconds for people."""
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"
