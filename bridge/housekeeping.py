"""What a running bridge does once a second beside its work: measurements, requests, parked keys whose time has come, resyncs."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bridge import logs
from bridge.errors import BridgeError, Transient
from bridge.figures import HISTORY
from bridge.fullness import Warden
from bridge.lsn import Version, make_version, split_version
from bridge.memories import Key
from bridge.pool import TELL_AGAIN, LanePool
from bridge.recorder import Recorder
from bridge.resyncing import Resyncing, fence_of
from bridge.rounds import Rounds
from bridge.source_queries import Source
from bridge.streaming import Stream
from bridge.trouble import LATE_SECONDS
from bridge.works import ALONE, Work
from bridge.workshop import Workshop

if TYPE_CHECKING:
    from bridge.heartbeat import Heartbeat
    from bridge.oversight import Oversight
    from bridge.slot_watch import SlotWatch
    from bridge.watch import TargetWatch
    from snapshot.loader import Loader

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
STOP_SECONDS = 3.0
ASK_SECONDS = 3.0
VISIBLE_SECONDS = 60.0
COLLECT_SECONDS = 600.0
LOOK_SECONDS = 5.0

RECENT = 2_000
"""How many of the newest lags the percentiles are taken over."""


@dataclass(slots=True)
class _Speed:
    """Rows of a table's snapshot over time."""

    rows: int = 0
    at: float = 0.0
    per_second: float = 0.0


@dataclass(slots=True)
class Housekeeping:
    """Runs the beat in a thread, and in another one what reads tables again."""

    shop: Workshop
    pool: LanePool
    recorder: Recorder
    stream: Stream
    loader: Loader
    resync: Resyncing
    source: Source
    warden: Warden
    watch: TargetWatch | None = None
    slot_watch: SlotWatch | None = None
    heartbeat: Heartbeat | None = None
    oversight: Oversight | None = None
    beside: dict[str, Callable[[], None]] = field(default_factory=dict)
    _speeds: dict[int, _Speed] = field(default_factory=dict)
    _mark: tuple[int, Version] | None = None
    _learned: float = field(default_factory=time.monotonic)
    _asked: float = field(default_factory=time.monotonic)
    _guarded: float = field(default_factory=time.monotonic)
    _collected: float = field(default_factory=time.monotonic)
    _looked: float = field(default_factory=time.monotonic)
    _noted: float = 0.0
    _since: dict[str, float] = field(default_factory=dict)
    _told: float = -TELL_AGAIN
    _logged: list[dict[str, object]] = field(default_factory=list)
    _rounds: list[Rounds] = field(default_factory=list)

    def start(self) -> None:
        """Start the threads: its own, and one for each work that is done `beside`."""
        works = {"housekeeping": self.beat, "resync": self.resync.step, "guard": self.guard, **self.beside}
        for name, work in works.items():
            rounds = Rounds(name, "housekeeping", work, self.resync.ending, lambda: BEAT_SECONDS, self._waits)
            self._rounds.append(rounds)
            rounds.start()

    def stop(self) -> None:
        """End."""
        self.resync.ending.set()
        for rounds in self._rounds:
            rounds.join(STOP_SECONDS)  # one that waits for a lock in PostgreSQL is left behind

    @property
    def failure(self) -> BridgeError | None:
        """What has ended one of the threads."""
        return next((rounds.failure for rounds in self._rounds if rounds.failure is not None), None)

    @property
    def resyncs(self) -> set[int]:
        """Numbers of tables whose rows are to be read again."""
        return self.resync.resyncs

    @property
    def reloading(self) -> bool:
        """A table is to be read whole, or children are still to be found whose parents have changed."""
        return self.resync.reloading

    @property
    def adopting(self) -> bool:
        """Memories of another ledger are still being dealt with."""
        return self.resync.adopting

    def beat(self) -> None:
        """One round. Raises LedgerError."""
        self.shop.ledger.put_gauges(self.gauges() | self._log() | self._history())
        self._requests()
        self._due()
        self._look()
        self._collect()
        self._ask_source()
        self._learn_visible()

    def guard(self) -> None:
        """What protects the source, in a thread of its own that never waits for the ledger.

        While target or ledger cannot be written nothing is confirmed: a slot keeps WAL then, and a walsender keeps its server
        from stopping until all it has sent is confirmed, so it is let go. Raises SourceUnavailable and SlotLost.
        """
        if self.slot_watch is not None:
            self.slot_watch.look()
        if time.monotonic() - self._guarded < ASK_SECONDS:
            return
        self._guarded = time.monotonic()
        stuck = self.pool.trouble is not None or self.shop.ledger.patience.waiting
        if self.stream.connected and stuck and self.source.shutting_down():
            self.stream.leave()

    def _learn_visible(self) -> None:
        """Once all transactions have ended that ran when a position was confirmed, everything before it is visible to all."""
        if time.monotonic() - self._learned < VISIBLE_SECONDS:
            return
        self._learned = time.monotonic()
        if self._mark is None:
            position = self.recorder.confirmed
            self._mark = (self.source.mark(), make_version(split_version(self.loader.version)[0], position, 0))
        elif self.source.oldest() > self._mark[0]:
            self.shop.visible_below = self._mark[1]
            self.shop.ledger.put_facts({"visible_below": self._mark[1]})
            self._mark = None

    def _ask_source(self) -> None:
        """Have the server flush what a fence waits for.

        A fence behind the last flush is passed by nothing on a quiet server until somebody commits, for up to 15 seconds.
        """
        if time.monotonic() - self._asked < ASK_SECONDS:
            return
        self._asked = time.monotonic()
        if self.loader.finished and self.stream.connected:
            fences = [fence_of(value) for name, value in self.shop.ledger.facts().items() if name.startswith("resync:")]
            reached = max([record.reached for record in self.shop.ledger.generations()] + fences, default=0)
            if self.stream.received < reached:
                self.source.flush()

    def _waits(self, error: Transient) -> None:
        if time.monotonic() - self._told >= TELL_AGAIN:
            self._told = time.monotonic()
            logger.info("housekeeping waits: %s", error)

    # measurements

    def gauges(self) -> dict[str, Any]:
        """What `status` in another process shows of this one."""
        return {
            "run": getattr(logs.recent(), "run", None),
            "received": self.stream.received,
            "wire_silence": self.stream.silence,
            "source_trouble": self.stream.trouble,
            "target_trouble": self.pool.trouble,
            "comparing": self.watch is not None and not self.watch.repaired,
            "target_reachable": self.watch.reachable if self.watch else None,
            "lag_ms": self.lag(),
            "waiting": sum(lane.waiting + lane.doing for lane in self.pool.lanes) + self.reloading,
            "loading": self._loading(),
            "slot": self.slot_watch.figures if self.slot_watch is not None else {},
            "space_limit": self.shop.limit,
            "heartbeat": self.heartbeat.figures() if self.heartbeat is not None else None,
            "since": self._wrong(),
        }

    def _wrong(self) -> dict[str, float]:
        """What is wrong now, by the names of `bridge.trouble`, and since when."""
        wrong = {
            "source": self.stream.trouble is not None,
            "target": self.pool.trouble is not None,
            "unreachable": self.watch is not None and not self.watch.reachable,
            "paused": self.pool.paused,
            "late": self.heartbeat is not None and self.heartbeat.late > LATE_SECONDS,
        }
        now = time.time()
        self._since = {name: self._since.get(name, now) for name, is_so in wrong.items() if is_so}
        return self._since

    def _history(self) -> dict[str, Any]:
        """Lag over time, when there is a point more than a second ago."""
        history = list(self.heartbeat.history) if self.heartbeat is not None else []
        if len(history) < 2 or history[-2][0] == self._noted:
            return {}
        self._noted = history[-2][0]
        return {HISTORY: history[:-1]}

    def _log(self) -> dict[str, Any]:
        """The newest warnings, when there are others than a second ago, for a support bundle."""
        kept = logs.recent()
        if kept is None or (lines := kept.lines) == self._logged:
            return {}
        self._logged = lines
        return {"recent_log": lines}

    def lag(self, newest: int = RECENT) -> dict[str, float] | None:
        """Commit to proven readable, milliseconds, over the newest changes; None before the first one."""
        return percentiles(list(self.recorder.lags)[-newest:])

    def _loading(self) -> dict[str, dict[str, float | None]]:
        now = time.monotonic()
        figures = {}
        for number, progress in list(self.loader.progress.items()):
            speed = self._speeds.setdefault(number, _Speed(progress.rows, now))
            if progress.rows > speed.rows and now > speed.at:
                speed.per_second = (progress.rows - speed.rows) / (now - speed.at)
                speed.rows, speed.at = progress.rows, now
            left = progress.chunks - progress.chunks_done
            mean = progress.rows / progress.chunks_done if progress.chunks_done else 0
            eta = left * mean / speed.per_second if speed.per_second and left else None
            figures[str(number)] = {"rows_per_second": round(speed.per_second, 1), "eta_seconds": eta and round(eta, 1)}
        return figures

    # keys

    def _refresh(self, key: Key, *, retry: bool) -> None:
        plan = self.shop.mapping.numbered.get(key[0])
        if plan is not None and plan.keyless:
            self.resync.reload(plan)
        elif plan is not None:
            waiting = self.shop.ledger.parked(key[0], [key[1]]).get(key[1]) if retry else None
            failed = ALONE if waiting is not None and waiting.reason == "rejected" else 0  # it must not hold up others again
            self.pool.put(Work(plan, key[1], background=True, refresh=True, retry=retry, failed=failed))
            self.pool.wake()

    def _requests(self) -> None:
        facts = self.shop.ledger.facts()
        (self.loader.paused.set if "snapshot_paused" in facts else self.loader.paused.clear)()
        self.pool.pause(wanted="paused" in facts)
        for verb, key in self.shop.ledger.take_requests():
            plan = self.shop.mapping.numbered.get(key[0])
            label = plan.table.label if plan is not None else key[0]
            logger.info("asked to %s a key", verb, extra={"table": label, "key": key[1]})
            if verb == "retry":
                self._refresh(key, retry=True)

    def _due(self) -> None:
        for key, _parked in self.shop.ledger.parked_keys(due=time.time()):
            self._refresh(key, retry=True)

    # tables

    def _look(self) -> None:
        """How full the spaces are."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self.warden.look(self.shop.limit, [(lane.space, lane.live) for lane in self.pool.lanes])

    def _collect(self) -> None:
        """Tombstones may go when nothing below them can come any more (law 2)."""
        if time.monotonic() - self._collected < COLLECT_SECONDS or not self.loader.finished or self.resyncs:
            return
        if self.watch is None or not self.watch.repaired:
            return
        self._collected = time.monotonic()
        epoch = split_version(self.loader.version)[0]
        for plan in list(self.shop.mapping.numbered.values()):
            gone = self.shop.ledger.collect_tombstones(plan.number, make_version(epoch, self.recorder.confirmed, 0))
            if gone:
                logger.info("tombstones removed", extra={"table": plan.table.label, "count": gone})


def percentiles(seconds: list[float]) -> dict[str, float] | None:
    """p50, p99 and maximum in milliseconds."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    p99 = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
    return {
        "p50": round(statistics.median(ordered) * 1000, 1),
        "p99": round(p99 * 1000, 1),
        "max": round(ordered[-1] * 1000, 1),
    }
