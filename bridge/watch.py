"""Watches the target for restarts, and has every space compared after one.

The epoch is the birth of the target's default space. It is asked for once a second; a new one is recorded, and each lane gets a
comparison. A space is repaired when all suspicions that its comparison found are settled and recorded (and the keyless tables
among them were read whole), the epoch when all spaces are. Then the space is written through in the background, for search.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bridge.errors import BridgeError, TargetUnavailable, Transient
from bridge.frontier import Token
from bridge.mapping import TablePlan
from bridge.pool import LanePool
from bridge.rewriting import Rewriting
from bridge.rounds import Rounds
from bridge.works import Comparison
from bridge.workshop import Workshop

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
SETTLE_SECONDS = 0.05
"""How often it is looked whether a comparison has ended: so much longer, at most, its table's reads go elsewhere."""


@dataclass(slots=True)
class TargetWatch:
    """Polls the target's epoch. `reload` is told of keyless tables that have to be read whole again.

    `rewrite_share`: how much of a lane's time writing a space through may take after a restart; 0: it is not done.
    """

    shop: Workshop
    pool: LanePool
    reload: Callable[[TablePlan, Token], None]
    epoch: str = ""
    rewrite_share: float = 0.2
    reachable: bool = True
    restarts: int = 0
    jobs: dict[str, Comparison] = field(default_factory=dict)
    _differed: dict[str, bool] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)
    """Spaces that were seen to since the target's last start: written through, or being written through."""

    _losses: dict[int, Token] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Over `jobs`: resyncs have spaces compared, in a thread of their own."""

    _ending: threading.Event = field(default_factory=threading.Event)
    _rounds: Rounds | None = None
    _looked: float = 0.0

    def begin(self, *, compare: bool) -> None:
        """Note the epoch at the start of a run; with `compare`, or after an unseen restart, everything is compared."""
        known = self.shop.ledger.epochs()
        now = self.shop.target.epoch()
        unrepaired = bool(known) and known[-1][2] is None
        restarted = bool(known) and known[-1][0] != now
        self._note(now, restarted=restarted)
        self.shop.lost = self._lost
        if compare or restarted or unrepaired:
            self._compare_all()
        else:
            for space in self.shop.ledger.spaces():  # one that is new in this epoch has nothing to be compared
                self.shop.ledger.put_space(space, repaired=now)
            self.shop.ledger.put_epoch(now, repaired=time.time())

    def start(self) -> None:
        """Start the thread."""
        about = "the watch on the target"
        self._rounds = Rounds("target-watch", about, self._round, self._ending, self._pause, self._waits)
        self._rounds.start()

    def stop(self) -> None:
        """End."""
        self._ending.set()
        if self._rounds is not None:
            self._rounds.join()

    @property
    def failure(self) -> BridgeError | None:
        """What has ended the thread."""
        return self._rounds.failure if self._rounds is not None else None

    def set_share(self, share: float) -> None:
        """Have spaces written through at another share of their lanes' time from now on."""
        self.rewrite_share = share
        self._asked.clear()
        for lane in self.pool.lanes:
            lane.rewriting = None  # begun anew at the next look, where it was

    @property
    def repaired(self) -> bool:
        """All spaces were compared since the target's last start, and what differed is mended."""
        return not self.jobs

    def _pause(self) -> float:
        return SETTLE_SECONDS if self.jobs else POLL_SECONDS

    def _round(self) -> None:
        if time.monotonic() - self._looked >= POLL_SECONDS / 4:
            self._looked = time.monotonic()
            self.look()
        self.settle()

    def _waits(self, error: Transient) -> None:
        if not isinstance(error, TargetUnavailable):
            raise error
        if self.reachable:
            logger.warning("the target cannot be reached: %s", error, extra={"hint": error.hint})
        self.reachable = False

    def look(self) -> None:
        """One look: a new epoch, or comparisons that have ended. Raises TargetUnavailable and LedgerError."""
        now = self.shop.target.epoch()
        if not self.reachable:
            logger.info("the target answers again")
            self.pool.hurry()
        self.reachable = True
        if now != self.epoch:
            self._note(now, restarted=True)
            self._compare_all()
        self.settle()
        self._rewrite()

    def settle(self) -> None:
        """Note the spaces whose suspicions are all recorded."""
        for space, job in list(self.jobs.items()):
            if job.token is None or not job.token.complete("proven"):
                continue
            self._differed[space] = self._differed.get(space, False) or bool(job.found or job.reload)
            if job.reload:
                job.token = self._reload(job.reload)
                job.reload = []
                continue
            self.shop.ledger.put_space(space, repaired=job.epoch)
            with self._lock:
                if self.jobs.get(space) is not job:
                    continue  # another comparison was asked for meanwhile: that one is waited for
                del self.jobs[space]
                self._asked.discard(space)
                last = not self.jobs
            if last:
                self._repaired()

    def _reload(self, plans: list[TablePlan]) -> Token:
        """Have keyless tables read whole; the token is complete when all of their rows are settled and recorded."""
        token = Token(threading.Lock(), streamed=False)
        for plan in plans:
            token.add()
            self.reload(plan, token)
        token.closed = True
        return token

    def _lost(self, plan: TablePlan) -> None:
        """Engram lacks rows of a table without a key: have it read whole, once."""
        reading = self._losses.get(plan.number)
        if reading is None or reading.complete("proven"):
            self._losses[plan.number] = self._reload([plan])

    def _rewrite(self) -> None:
        """Have what an earlier epoch wrote into the spaces written again, unless that is done, under way or not wanted."""
        for lane in self.pool.lanes if self.rewrite_share > 0 else ():
            if lane.space in self.jobs or lane.space in self._asked:
                continue
            self._asked.add(lane.space)
            if self.shop.ledger.rewritten(lane.space) != self.shop.epoch:
                lane.rewriting = Rewriting(lane.space, self.shop.epoch, self.rewrite_share)
        self.pool.wake()

    def _note(self, epoch: str, *, restarted: bool) -> None:
        self.epoch = epoch
        self.shop.epoch = self.shop.ledger.put_epoch(epoch, seen=time.time())
        self._asked.clear()
        for lane in self.pool.lanes:
            lane.rewriting = None  # that of an earlier epoch is of no use any more
        if restarted:
            self.restarts += 1
            self.shop.recorder.commit([], {"target_restarts": 1})
            logger.warning("the target was restarted: everything in it is compared and mended", extra={"epoch": epoch})

    def _compare_all(self) -> None:
        self.compare([lane.space for lane in self.pool.lanes])

    def compare(self, spaces: Sequence[str]) -> None:
        """Have these spaces compared with the ledger, and what differs mended."""
        with self._lock:
            if not self.jobs:
                self._differed = {}
            for space in spaces:
                job = Comparison(space, self.epoch)
                self.jobs[space] = job
                self.pool.lane(space).put_job(job)  # in the same order: in a lane the newest takes the place of the others
        self.pool.wake()

    def _repaired(self) -> None:
        self.shop.ledger.put_epoch(self.epoch, repaired=time.time())
        differed = sum(self._differed.values())
        logger.info("compared %d space(s): %d differed, mended", len(self._differed), differed, extra={"epoch": self.epoch})
