"""How far everything is done: positions that move at commits only (laws 4 and 5).

A stream transaction is *open* until its commit arrives, and *done at a stage* once each of its works is. The frontier of a
stage is the end position of the last transaction up to which all are done. A keepalive on an idle stream counts as an empty
transaction, so a quiet database is never behind. A chunk of the snapshot is the same thing without a position: it is complete
when each of its rows is.

Works that collapse into one keep all their tokens, so nothing is counted done before the work that superseded it is.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from bridge.lsn import Lsn

Stage = Literal["written", "proven"]
STAGES: tuple[Stage, Stage] = ("written", "proven")


class Token:
    """Counts the unfinished works of one transaction or chunk, by stage. Guarded by the frontier's lock."""

    __slots__ = ("_lock", "closed", "commit_time", "end", "pending", "streamed")

    def __init__(self, lock: threading.Lock, *, streamed: bool = True) -> None:
        self._lock = lock
        self.streamed = streamed
        self.pending = {"written": 0, "proven": 0}
        self.closed = False
        self.end: Lsn = 0
        self.commit_time = 0.0

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
    """The transactions that are not done yet, in commit order, and the positions behind which all are."""

    start: Lsn = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    positions: dict[Stage, Lsn] = field(default_factory=dict)
    covered: float = 0.0
    _queues: dict[Stage, deque[Token]] = field(default_factory=dict)
    _open: Token | None = None

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

    def commit(self, end: Lsn, commit_time: float) -> None:
        """The open transaction is complete: `end` is the end of its commit record."""
        with self.lock:
            assert self._open is not None, "a commit without a begin"
            self._open.end, self._open.commit_time, self._open.closed = end, commit_time, True
            self._open = None

    def keepalive(self, wal_end: Lsn, now: float) -> None:
        """Nothing before `wal_end` is left to be sent. Inside a transaction it says nothing (law 5)."""
        with self.lock:
            if self._open is not None:
                return
            for queue in self._queues.values():
                if queue and queue[-1].pending["proven"] == 0 and queue[-1].pending["written"] == 0:
                    queue[-1].end, queue[-1].commit_time = max(queue[-1].end, wal_end), now
                    continue
                token = Token(self.lock)
                token.end, token.commit_time, token.closed = wal_end, now, True
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
                if stage == "proven":
                    self.covered = max(self.covered, token.commit_time)
            return self.positions[stage]

    @property
    def waiting(self) -> int:
        """How many transactions are not proven yet."""
        with self.lock:
            return len(self._queues["proven"])
