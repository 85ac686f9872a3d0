"""A beat of our own through the whole path, and with it the moment up to which the source is known to be covered.

Once a second the running bridge writes a small message into the source's WAL, in a transaction of its own, and notes when the
ledger's proven position has passed it: lag as a reader would have it, also where nobody else writes. A beat says more. When it is
sent, everything that anybody can see in PostgreSQL lies before it in the WAL; so once it is proven, everything of the moment
before it was sent is in Engram. That moment is taken from our own clock, never from the source's: a clock that is wrong over
there makes nothing look fresher than it is (law 7).

Where no message may be written the position of the WAL is asked instead, which says the same of that moment, but measures no lag:
a position behind what is flushed is passed only once somebody commits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg

from bridge.errors import BridgeError, Fatal, defect
from bridge.frontier import Frontier
from bridge.lsn import Lsn, fence
from bridge.origin import Origin
from bridge.postgres import translated
from bridge.recorder import Recorder

logger = logging.getLogger(__name__)

PROBE_SECONDS = 1.0
"""How far apart two looks at the source's WAL are at most, whatever the beat."""

WINDOW_SECONDS = 300.0
"""What the percentiles are taken over."""

BUCKET_SECONDS = 5.0
BUCKETS = 180
"""The history: seconds of one point, and how many there are."""

CLOCKS = 8
"""How many measurements of the source's clock are compared: the one with the quickest answer counts."""

MOST = 4096
"""Beats under way that are remembered; of more the oldest are forgotten."""

FLUSH_FROM = 170000
"""From this version of PostgreSQL on the function has a fourth argument."""

FEW_SECONDS = 0.005
STOP_SECONDS = 3.0

_EMIT = "select pg_logical_emit_message(true, 'engram-bridge', '')"
_FLUSHED: LiteralString = "pg_current_wal_flush_lsn()"
_INSERTED: LiteralString = "pg_current_wal_insert_lsn()"


@dataclass(frozen=True, slots=True)
class Beat:
    """One that was sent: the position behind it, and when (our monotonic clock)."""

    position: Lsn
    sent: float


@dataclass(slots=True)
class Heartbeat:
    """Sends the beat in a thread. `seconds` between two, 0: none, only positions are asked for.

    `held`: the bridge is told to write nothing, or cannot: nothing counts as covered then, and beats wait.
    """

    origin: Origin
    frontier: Frontier
    recorder: Recorder
    seconds: float = 1.0
    held: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    refused: str | None = None
    trouble: str | None = None
    failure: BridgeError | None = None
    history: deque[list[float]] = field(default_factory=lambda: deque(maxlen=BUCKETS))
    _waiting: deque[Beat] = field(default_factory=lambda: deque(maxlen=MOST))
    _passed: deque[tuple[float, float]] = field(default_factory=deque)
    _clocks: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=CLOCKS))
    _highest: Lsn = 0
    _last: float | None = None
    _sent: float = float("-inf")
    _connection: psycopg.Connection | None = None
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)  # one that waits for the ledger or for PostgreSQL is left behind

    @property
    def beats(self) -> bool:
        """Whether messages are written, and not only positions asked for."""
        return self.seconds > 0 and self.refused is None

    def _run(self) -> None:
        pause = min(self.seconds, PROBE_SECONDS) if self.seconds else PROBE_SECONDS
        try:
            while not self._ending.is_set():
                due = self.clock() + pause
                self.look()
                self._settle(due)
        except BridgeError as error:
            self.failure = error
        except Exception as error:
            logger.exception("the heartbeat ended")
            self.failure = defect("the heartbeat", error)
        finally:
            self._close()

    # sending

    def look(self) -> None:
        """Send a beat if it is time, and mark where the WAL stands, with the moment before that."""
        at, now = self.wall(), self.clock()
        try:
            connection = self._open()
            sends = self.beats and now - self._sent >= self.seconds * 0.9 and self._emit(connection)
            position = self._position(connection, _FLUSHED if sends else _INSERTED)
        except BridgeError as error:  # what it means for the run is found out by the stream: here nothing is known, no more
            self._close()
            if self.trouble is None:
                logger.info("the heartbeat waits: %s", error)
            self.trouble = str(error)
            return
        self.trouble = None
        if sends:
            self._sent = now
            with self._lock:
                self._waiting.append(Beat(position, now))
        if position < self._highest:
            self.trouble = "the source's WAL stands before where it stood: another history, or another server"
        elif not self.held():
            self._highest = position
            self.frontier.mark(position, at)

    def _emit(self, connection: psycopg.Connection) -> bool:
        """Write the message; False when that is refused, for good. Raises SourceUnavailable."""
        try:
            with translated():
                connection.execute(_EMIT)
        except Fatal as error:
            self.refused = str(error)
            logger.warning(
                "no heartbeat: the source refuses messages, so lag is not measured end to end: %s",
                error,
                extra={
                    "hint": "GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) TO its role, and run again."
                },
            )
            return False
        return True

    @staticmethod
    def _function(connection: psycopg.Connection) -> str:
        """The function as GRANT names it."""
        flush = ", boolean" if connection.info.server_version >= FLUSH_FROM else ""
        return f"pg_logical_emit_message(boolean, text, text{flush})"

    def _position(self, connection: psycopg.Connection, function: LiteralString) -> Lsn:
        """Where the WAL stands, in a statement of its own (law 5), and the clock there. Raises SourceUnavailable."""
        with translated():
            before = self.wall()
            row = connection.execute(
                "select " + function + " - '0/0'::pg_lsn, extract(epoch from clock_timestamp())::float8"
            ).fetchone()
            after = self.wall()
        assert row is not None
        self._clocks.append((row[1] - (before + after) / 2, (after - before) / 2))
        self.recorder.clock_offset = self.clock_offset[0]
        return fence(int(row[0]))

    @property
    def clock_offset(self) -> tuple[float, float]:
        """Seconds that the source's clock is ahead of ours, and how far that may be off: the closest of the last measurements."""
        return min(list(self._clocks), key=lambda one: one[1], default=(0.0, float("inf")))

    def _open(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self.origin.connect("engram-bridge heartbeat")
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # passing

    def _settle(self, due: float) -> None:
        """Until the next look: have what the frontier passes made durable at once, and see which beats have passed."""
        began = self.clock()
        while not self._ending.is_set() and (left := due - self.clock()) > 0:
            with self._lock:
                first = self._waiting[0] if self._waiting else None
            if first is None or self.held():
                self._ending.wait(left)
                return
            if self.frontier.passes(first.position):
                self.recorder.commit([])
            self.passed()
            self._ending.wait(min(left, max(FEW_SECONDS, (self.clock() - began) / 10)))

    def passed(self) -> None:
        """Count the beats that the durable position has passed."""
        now, wall = self.clock(), self.wall()
        with self._lock:
            while self._waiting and self._waiting[0].position <= self.recorder.confirmed:
                took = now - self._waiting.popleft().sent
                self._last = now
                self._passed.append((wall, took))
                self._note(wall)
            while self._passed and wall - self._passed[0][0] > WINDOW_SECONDS:
                self._passed.popleft()

    def _note(self, wall: float) -> None:
        """Into the history: [moment, median, most] of five seconds, milliseconds."""
        bucket = wall - wall % BUCKET_SECONDS
        within = sorted(lag for at, lag in self._passed if at >= bucket)
        point = [bucket, round(within[len(within) // 2] * 1000, 1), round(within[-1] * 1000, 1)]
        if self.history and self.history[-1][0] == bucket:
            self.history[-1] = point
        else:
            self.history.append(point)

    # what others see

    @property
    def late(self) -> float:
        """Seconds that the path takes: of the slowest beats of the window, or of the one that is still under way."""
        figures = self.figures()
        return max(float(figures["waiting_seconds"]), (figures["p99_ms"] or 0.0) / 1000)

    def figures(self) -> dict[str, Any]:
        """For a gauge. `age_seconds`: since a beat passed; `waiting_seconds`: how long the oldest one is under way."""
        now = self.clock()
        with self._lock:
            lags = sorted(lag for _at, lag in self._passed)
            oldest = self._waiting[0].sent if self._waiting else None
            last = self._passed[-1][1] if self._passed else None
        offset, error = self.clock_offset
        return {
            "every_seconds": self.seconds,
            "refused": self.refused,
            "trouble": self.trouble,
            "count": len(lags),
            "last_ms": _ms(last),
            "age_seconds": round(now - self._last, 3) if self._last is not None else None,
            "waiting_seconds": round(now - oldest, 3) if oldest is not None else 0.0,
            **{f"p{share}_ms": _ms(_quantile(lags, share / 100)) for share in (50, 95, 99)},
            "clock_offset_seconds": round(offset, 6) if self._clocks else None,
            "clock_error_seconds": round(error, 6) if self._clocks else None,
        }


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
