"""How far everything is done: positions that move at commits only (laws 4 and 5).

A stream transaction is *open* until its commit arrives, and *done at a stage* once each of its works is. The frontier of a
stage is the end position of the last transaction up to which all are done. A keepalive on an idle stream counts as an empty
transaction, so a quiet database is never behind. A chunk of the snapshot is the same thing without a position: it is complete
when each of its rows is.

Beside the positions stands the moment up to which the source is known to be covered. It comes from marks alone: a position that
lies behind everything that was visible at a moment of our own clock. Commit times are the source's clock, which may differ from
ours; and a keepalive may have waited here, or come from a walsender that is behind. Where the stream does not tell everything, a
mark counts only when somebody has looked at the rest since it was made (`looked`).

Works that collapse into one keep all their tokens, so nothing is counted done before the work that superseded it is.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from bridge.lsn import Lsn

Stage = Literal["written", "proven"]
STAGES: tuple[Stage, Stage] = ("written", "proven")

MARKS = 4096
"""How many marks are remembered; of more the oldest go first, which only makes `covered` move later."""


class Token:
    """Counts the unfinished works of one transaction or chunk, by stage. Guarded by the frontier's lock."""

    __slots__ = ("_lock", "closed", "end", "pending", "streamed")

    def __init__(self, lock: threading.Lock, *, streamed: bool = True) -> None:
        self._lock = lock
        self.streamed = streamed
        self.pending = {"written": 0, "proven": 0}
        self.closed = False
        self.end: Lsn = 0

    def add(self, works: int = 1) -> None:
        """That many more works belong to it."""
        with self._lock:
            self.pending["written"] += works
            self.pending["proven"] += works

    def done(self, stage: Stage, works: int = 1) -> None:
        """That many of its works have passed the stage."""
        with self._lock:
            self.pending[stage] -= works
            assert self.pending[stage] >= 0, "a work was counted done twice"

    def complete(self, stage: Stage) -> bool:
        """No more works will come, and all have passed the stage."""
        return self.closed and self.pending[stage] == 0


@dataclass(slots=True)
class ChunkToken:
    """The rows of one chunk that was read; `number` is the chunk's, `reached` the position taken after its statement."""

    table: int
    number: int
    token: Token
    reached: Lsn = 0
    rows: int = 0
    recorded: bool = False


@dataclass(slots=True)
class Frontier:
    """The transactions that are not done yet, in commit order, and the positions behind which all are.

    `covered`: everything that was visible at that moment of our clock, seconds since 1970, lies below the proven position.
    """

    start: Lsn = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    positions: dict[Stage, Lsn] = field(default_factory=dict)
    covered: float = 0.0
    _queues: dict[Stage, deque[Token]] = field(default_factory=dict)
    _open: Token | None = None
    marked: int = 0
    """How many marks were made."""

    _looked: float = math.inf
    _marks: deque[tuple[int, Lsn, float]] = field(default_factory=lambda: deque(maxlen=MARKS))

    def __post_init__(self) -> None:
        self.positions = dict.fromkeys(STAGES, self.start)
        self._queues = {stage: deque() for stage in STAGES}

    def begin(self) -> Token:
        """A transaction begins; works are added to the token it answers."""
        token = Token(self.lock)
        with self.lock:
            self._open = token
            for queue in self._queues.values():
                queue.append(token)
        return token

    def commit(self, end: Lsn) -> None:
        """The open transaction is complete: `end` is the end of its commit record."""
        with self.lock:
            assert self._open is not None, "a commit without a begin"
            self._open.end, self._open.closed = end, True
            self._open = None

    def keepalive(self, wal_end: Lsn) -> None:
        """Nothing before `wal_end` is left to be sent. Inside a transaction it says nothing (law 5)."""
        with self.lock:
            if self._open is not None:
                return
            for queue in self._queues.values():
                if queue and queue[-1].pending["proven"] == 0 and queue[-1].pending["written"] == 0:
                    queue[-1].end = max(queue[-1].end, wal_end)
                    continue
                token = Token(self.lock)
                token.end, token.closed = wal_end, True
                queue.append(token)

    def restart(self, start: Lsn) -> None:
        """The stream begins again at `start`: what was open or waiting, or lies behind it, is delivered a second time."""
        with self.lock:
            self._open = None
            for queue in self._queues.values():
                queue.clear()
            for stage in STAGES:
                self.positions[stage] = start

    def advance(self, stage: Stage) -> Lsn:
        """Move the stage's position over all that is done, and answer it."""
        with self.lock:
            queue = self._queues[stage]
            while queue and queue[0].complete(stage):
                token = queue.popleft()
                self.positions[stage] = max(self.positions[stage], token.end)
            while stage == "proven" and self._marks and self._counts(*self._marks[0]):
                self.covered = self._marks.popleft()[2]  # the newest, not the highest: our clock may be set back
            return self.positions[stage]

    def _counts(self, number: int, position: Lsn, _at: float) -> bool:
        return number <= self._looked and position <= self.positions["proven"]

    def mark(self, position: Lsn, at: float) -> None:
        """Everything that was visible at the moment `at` of our clock ends at `position` or before it."""
        with self.lock:
            self.marked += 1
            self._marks.append((self.marked, position, at))

    def look_first(self) -> None:
        """From now on a mark counts only when it was made before a look that has ended."""
        with self.lock:
            self._looked = 0

    def looked(self, marked: int) -> None:
        """A look has ended that began when so many marks were made (`marked`)."""
        with self.lock:
            self._looked = max(self._looked, marked)

    def passes(self, position: Lsn) -> bool:
        """Whether `advance` would move the proven position to there, or it stands there."""
        with self.lock:
            if self.positions["proven"] >= position:
                return True
            done = itertools.takewhile(lambda token: token.complete("proven"), self._queues["proven"])
            return any(token.end >= position for token in done)

    @property
    def waiting(self) -> int:
        """How many transactions are not proven yet."""
        with self.lock:
            return len(self._queues["proven"])
