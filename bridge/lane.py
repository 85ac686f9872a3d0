"""A lane: the one door to the keys of one space (law 3).

Everything that wants to change a key puts it here: stream, snapshot, refresh, retry, comparison. Waiting works of one key
collapse into one. `step` takes a batch of keys, decides each anew from the ledger, writes, proves, records, and only then are its
tokens told. One step at a time, so whatever was accepted before is recorded before the next decision: that is what makes a late
chunk, a second delivery or a reconciler harmless.
"""

from __future__ import annotations

import heapq
import logging
import threading
from collections import deque
from dataclasses import dataclass, field

from bridge.batch import StepBatch
from bridge.blame import Blame, company
from bridge.comparison import compare_space
from bridge.errors import TargetUnavailable, Transient
from bridge.frontier import Token
from bridge.items import Results
from bridge.memories import Key
from bridge.rewriting import Rewriting
from bridge.sweep import sweep_table
from bridge.vacating import vacate_page
from bridge.works import Comparison, Sweep, Vacation, Work, merge
from bridge.workshop import Workshop

logger = logging.getLogger(__name__)

FIRST_BATCH = 32
LAST_BATCH = 500
BACKGROUND_BESIDE = 8
"""Works of the background in a step of a few of the stream's."""

STEP_GOAL = 0.25
ALONE_GOAL = 1.0
ALONE_SECONDS = 10.0
"""Seconds a step should take at most: a slow target gets small batches, so that the stream's keys do not wait for long ones.

While the stream has had nothing for this lane for `ALONE_SECONDS`, steps may take `ALONE_GOAL`: large batches cost less a row.
"""


@dataclass(slots=True)
class Load:
    """What waits in a lane: keys, and the characters of their rows."""

    stream: int = 0
    background: int = 0
    size: int = 0


@dataclass(slots=True)
class Lane:
    """The waiting works of one space, and what was counted in it."""

    space: str
    shop: Workshop
    live: int = 0
    pristine: bool = False
    load: Load = field(default_factory=Load)
    _works: dict[Key, Work] = field(default_factory=dict)
    _stream: deque[Key] = field(default_factory=deque)
    _background: deque[Key] = field(default_factory=deque)
    _jobs: deque[Sweep | Comparison | Vacation] = field(default_factory=deque)
    _deferred: list[tuple[float, Key]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _batch: int = FIRST_BATCH
    _streamed_at: float = -ALONE_SECONDS
    _works_first_until: float = 0.0
    _owes_background: bool = False
    _blame: Blame = field(default_factory=Blame)
    doing: int = 0
    """Background works of the step under way."""

    rewriting: Rewriting | None = None
    """What is done when there is nothing else to do: rows of an earlier epoch of the target are written again."""

    def put(self, work: Work) -> None:
        """Add a work; one that waits for the same key takes it in."""
        with self._lock:
            self._put(work)

    def _put(self, work: Work) -> None:
        key = work.ledger_key
        waiting = self._works.get(key)
        if waiting is None:
            self._works[key] = work
            self._count(work, 1)
            self._queue(key, work)
            return
        both = merge(waiting, work)
        self._works[key] = both
        self._count(waiting, -1)
        self._count(both, 1)
        if waiting.background and not both.background:
            self._stream.append(key)

    def _queue(self, key: Key, work: Work) -> None:
        if work.not_before > self.shop.clock():
            heapq.heappush(self._deferred, (work.not_before, key))
        elif work.background:
            self._background.append(key)
        else:
            self._stream.append(key)

    def _count(self, work: Work, sign: int) -> None:
        if work.background:
            self.load.background += sign
        else:
            self.load.stream += sign
        self.load.size += sign * work.size

    def put_job(self, job: Sweep | Comparison | Vacation) -> None:
        """Add a job over the whole space, or over a table's part in it. A comparison takes the place of one that still waits."""
        with self._lock:
            if isinstance(job, Comparison):
                self._jobs = deque(waiting for waiting in self._jobs if not isinstance(waiting, Comparison))
            self._jobs.append(job)

    def put_back(self, works: list[Work]) -> None:
        """These could not be done now; what was sent is in doubt, and what came meanwhile is newer."""
        with self._lock:
            for work in works:
                work.in_doubt = True
                newer = self._works.pop(work.ledger_key, None)
                if newer is not None:
                    self._count(newer, -1)
                    work = merge(work, newer)
                self._put(work)

    def due(self) -> bool:
        """Something can be done now."""
        with self._lock:
            self._wake()
            return bool(self._jobs or self._stream or self._background) or self._may_rewrite() is not None

    def _may_rewrite(self) -> Rewriting | None:
        job = self.rewriting
        return job if job is not None and job.due(self.shop.clock()) else None

    @property
    def urgent(self) -> bool:
        """Something of the stream's waits, or a job over the space, and could be done now."""
        return bool(self._stream or self._jobs)

    def next_due(self) -> float | None:
        """When the next deferred key is due, or None."""
        with self._lock:
            return self._deferred[0][0] if self._deferred else None

    @property
    def in_doubt(self) -> bool:
        """Something that waits may have been sent, and nobody has recorded it."""
        with self._lock:
            return any(work.in_doubt for work in self._works.values())

    @property
    def waiting(self) -> int:
        """How many keys wait."""
        with self._lock:
            return len(self._works) + len(self._jobs)

    def _wake(self) -> None:
        now = self.shop.clock()
        while self._deferred and self._deferred[0][0] <= now:
            _when, key = heapq.heappop(self._deferred)
            if key in self._works:
                (self._background if self._works[key].background else self._stream).append(key)

    def _take(self) -> list[Work]:
        """The next works: the stream's, with some of the background's so that neither waits for the other for ever."""
        with self._lock:
            self._wake()
            taken: list[Work] = []
            if not self._owes_background:
                self._take_from(self._stream, self._batch, taken)
            if taken:
                self._streamed_at = self.shop.clock()
            room = max(len(taken) // 2, BACKGROUND_BESIDE) if taken else self._batch
            self._owes_background = not self._take_from(self._background, len(taken) + room, taken)
            self.doing = sum(work.background for work in taken)
            return taken

    def _take_from(self, queue: deque[Key], upto: int, taken: list[Work]) -> bool:
        """False when the first of the queue has failed before, and stays behind because there is too much company for it."""
        upto = min([upto, *(company(work.failed, upto) for work in taken if work.failed)])
        while queue and len(taken) < upto:
            work = self._works.get(queue[0])
            if work is not None and work.failed:
                upto = min(upto, company(work.failed, LAST_BATCH))
                if len(taken) >= upto:
                    return False
            key = queue.popleft()
            if work is not None:
                del self._works[key]
                self._count(work, -1)
                taken.append(work)
        return True

    def step(self) -> None:
        """Do the next job or batch.

        Raises Transient when source or target cannot be had now: nothing is lost, it waits here. Raises Fatal otherwise.
        """
        job = self._next_job()
        if job is not None:
            self._do(job)
            return
        works = self._take()
        if not works:
            self._rewrite()
            return
        try:
            self._pace(self._batch_step(works), len(works))
        finally:
            self.doing = 0

    def _next_job(self) -> Sweep | Comparison | Vacation | None:
        """The next job. A comparison waits for a while when it has just had its turn and works wait: a target that restarts all
        the time, or cannot be listed, must not keep the stream out."""
        with self._lock:
            waits = bool(self._stream or self._background)
            if not self._jobs or (
                isinstance(self._jobs[0], Comparison) and waits and self.shop.clock() < self._works_first_until
            ):
                return None
            return self._jobs.popleft()

    def _rewrite(self) -> None:
        """Write the next rows of an earlier epoch again. Those that fail are works like others, and wait for nobody's share."""
        job = self._may_rewrite()
        works = job.next_works(self.shop) if job is not None else []
        if job is not None and works:
            seconds = self._batch_step(works)
            job.took(seconds, len(works), self.shop.clock())

    def _batch_step(self, works: list[Work]) -> float:
        """One batch, recorded; the seconds that it took."""
        started = self.shop.clock()
        batch = StepBatch(works, Results(self.shop, self.space, self.live), pristine=self.pristine)
        try:
            batch.run()
            self._blame.succeeded(wrote=any(outcome.entry is not None for outcome in batch.results.outcomes))
        except TargetUnavailable as error:
            if self._blame.failed(self.shop, works) is None:
                self.put_back(works)
                raise
            batch = StepBatch(works, Results(self.shop, self.space, self.live))
            batch.give_up(str(error))
        except Transient:
            self.put_back(works)
            raise
        self.live = batch.results.live
        seconds = self.shop.clock() - started
        for work in batch.results.deferred:
            self.put(work)
        self.shop.recorder.commit(batch.results.outcomes, batch.results.counters)
        batch.results.tell()
        for plan in batch.lost.values():
            self.shop.lost(plan)
        return seconds

    def _pace(self, seconds: float, works: int) -> None:
        goal = ALONE_GOAL if self.shop.clock() - self._streamed_at > ALONE_SECONDS else STEP_GOAL
        if seconds > goal and works >= self._batch // 2:
            self._batch = max(self._batch // 2, 1)
        elif seconds < goal / 2 and works >= self._batch:
            self._batch = min(self._batch * 2, LAST_BATCH)

    def _do(self, job: Sweep | Comparison | Vacation) -> None:
        started = self.shop.clock()
        try:
            if isinstance(job, Sweep):
                sweep_table(self.shop, self.space, job, self._swept)
            elif isinstance(job, Vacation):
                vacate_page(self.shop, self.space, job, self._swept)
                job.ended.set()
            else:
                self._compare(job)
        except Transient:
            with self._lock:
                if not (isinstance(job, Comparison) and any(isinstance(newer, Comparison) for newer in self._jobs)):
                    self._jobs.appendleft(job)
            raise
        finally:
            if isinstance(job, Comparison):
                now = self.shop.clock()
                self._works_first_until = now + max(now - started, STEP_GOAL)

    def _swept(self, rows: int) -> None:
        self.live -= rows

    def _compare(self, job: Comparison) -> None:
        """Find what differs, put it in order, and note the space as repaired once all of that is recorded."""
        suspects, reload = compare_space(self.shop, self.space)
        job.reload = reload
        logger.debug("compared a space", extra={"space": self.space, "suspects": len(suspects), "epoch": job.epoch})
        token = Token(threading.Lock(), streamed=False)
        for work in suspects:
            work.belongs_to(token)
        token.closed = True
        job.found = len(suspects)
        job.token = token
        for work in suspects:
            self.put(work)
