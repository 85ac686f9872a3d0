"""The one thread that writes the ledger for all lanes: what lanes have proven becomes durable, then positions move (law 4).

Lanes hand in outcomes and wait. Everything that waits goes into one transaction (group commit), together with the chunks that
it completes and the frontier that it moves; only what that transaction made durable is published as `confirmed`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bridge.errors import BridgeError, defect
from bridge.frontier import ChunkToken, Frontier
from bridge.ledger import DEPENDENTS, Batch, ChunkRecord, Ledger, Outcome
from bridge.lsn import Lsn
from bridge.memories import Key

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.5
"""How often positions that only keepalives move are made durable."""

COVERED_SECONDS = 0.9
"""How much newer the moment that is covered must be to be made durable where nothing else has changed."""


@dataclass(slots=True)
class _Submission:
    outcomes: Sequence[Outcome]
    counters: dict[str, int]
    done: threading.Event = field(default_factory=threading.Event)
    error: BridgeError | None = None


class Recorder:
    """Owns the ledger's write path while a bridge runs. `confirmed` is the position that the slot may be told.

    `refresh` is told of children whose parent, found by an alternate key, has appeared, moved or gone; `unlinked` is set when
    they are too many to be told of at once: they are those of `Ledger.stale_lookups`. `clock_offset`: seconds that the source's
    clock, which commit times are of, is ahead of ours.
    """

    def __init__(self, ledger: Ledger, frontier: Frontier) -> None:
        self._ledger = ledger
        self._frontier = frontier
        self._condition = threading.Condition()
        self._submissions: list[_Submission] = []
        self._chunks: list[ChunkToken] = []
        self._stepping = threading.Lock()
        self._ending = False
        self._thread: threading.Thread | None = None
        self.refresh: Callable[[list[Key]], None] = lambda _keys: None
        self.unlinked = threading.Event()
        self.confirmed: Lsn = frontier.start
        self.failure: BridgeError | None = None
        self.lags: deque[float] = deque(maxlen=100_000)
        self.changes = 0
        self.dropped = 0
        self.clock_offset = 0.0
        self._covered = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Record what waits, and end."""
        with self._condition:
            self._ending = True
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join()

    def restart(self, start: Lsn) -> None:
        """The stream begins again at `start`. What is sent again counts again, so nothing behind it may be confirmed before."""
        with self._stepping:
            self._frontier.restart(start)
            self.confirmed = start

    def watch(self, chunk: ChunkToken) -> None:
        """Record this chunk as done once each of its rows is."""
        with self._condition:
            self._chunks.append(chunk)

    def commit(self, outcomes: Sequence[Outcome], counters: dict[str, int] | None = None) -> None:
        """Make the outcomes durable. Raises LedgerError."""
        submission = _Submission(outcomes, counters or {})
        with self._condition:
            if self.failure is not None:
                raise self.failure
            self._submissions.append(submission)
            self._condition.notify_all()
        if self._thread is None:
            self.step()
        submission.done.wait()
        if submission.error is not None:
            raise submission.error

    def _run(self) -> None:
        while True:
            with self._condition:
                if not self._submissions and not self._ending:
                    self._condition.wait(IDLE_SECONDS)
                ending = self._ending and not self._submissions
            self.step()
            if ending or self.failure is not None:
                return

    def step(self) -> None:
        """One durable step: all that waits now."""
        with self._condition:
            submissions, self._submissions = self._submissions, []
            chunks = list(self._chunks)
        try:
            with self._stepping:
                self._record(submissions, chunks)
        except Exception as unexpected:
            if not isinstance(unexpected, BridgeError):
                logger.exception("the recorder ended")
            error = unexpected if isinstance(unexpected, BridgeError) else defect("the recorder", unexpected)
            with self._condition:  # nothing is accepted after this, and what came meanwhile must not wait for ever
                self.failure = error
                submissions += self._submissions
                self._submissions = []
            for submission in submissions:
                submission.error = error
        finally:
            for submission in submissions:
                submission.done.set()

    def _record(self, submissions: Sequence[_Submission], chunks: Sequence[ChunkToken]) -> None:
        outcomes = [outcome for submission in submissions for outcome in submission.outcomes]
        counters: dict[str, int] = {}
        for submission in submissions:
            for name, amount in submission.counters.items():
                counters[name] = counters.get(name, 0) + amount
        streamed = 0
        for outcome in outcomes:
            for token in outcome.tokens:
                token.done("proven")
                streamed += token.streamed
        if streamed:
            counters["changes_applied"] = counters.get("changes_applied", 0) + streamed
        complete = [chunk for chunk in chunks if chunk.token.complete("proven")]
        proven = self._frontier.advance("proven")
        written = self._frontier.advance("written")
        covered = self._frontier.covered
        facts = {}
        if proven != self.confirmed or abs(covered - self._covered) >= COVERED_SECONDS:
            facts = {
                "proven": str(proven),
                "written": str(written),
                "confirmed": str(proven),
            }
            if covered:
                facts["covered"] = repr(covered)
        if not outcomes and not complete and not facts and not counters:
            return
        records = [(chunk.table, ChunkRecord(chunk.number, None, None, True, chunk.rows, chunk.reached)) for chunk in complete]
        dependents = self._ledger.record(Batch(list(outcomes), records, facts, counters))
        if len(dependents) > DEPENDENTS:
            self.unlinked.set()
        elif dependents:
            self.refresh(dependents)  # before anybody sees the position and finds nothing left to do
        if facts:
            self._covered = covered
        self._publish(proven, outcomes, complete, counters, streamed)

    def _publish(
        self,
        proven: Lsn,
        outcomes: Sequence[Outcome],
        complete: Sequence[ChunkToken],
        counters: dict[str, int],
        streamed: int,
    ) -> None:
        """It is durable now: positions, chunks and lag may be seen."""
        self.confirmed = proven
        self.changes += streamed
        self.dropped += counters.get("dropped_by_target", 0)
        now = time.time() + self.clock_offset
        self.lags.extend(now - outcome.commit_time for outcome in outcomes if outcome.commit_time is not None)
        for chunk in complete:
            chunk.recorded = True
        with self._condition:
            self._chunks = [chunk for chunk in self._chunks if not chunk.recorded]
            self._condition.notify_all()
