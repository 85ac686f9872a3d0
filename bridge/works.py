"""What waits to be done to one key, and how waiting works of one key collapse into the last (law 3).

A `Work` says *put this key in order*: by a change with a version (a whole row, a row with unchanged columns, or a delete),
by a refresh (read the row again, law 11), by a suspicion (look whether the target really holds what the ledger expects), or by
several at once. What is really done is decided in the key's lane, from the ledger, when its turn comes.
"""

from __future__ import annotations

import enum
import threading
from dataclasses import dataclass, field

from bridge.changes import UNCHANGED, Row
from bridge.frontier import Token
from bridge.lsn import LOWEST, Version, is_snapshot
from bridge.mapping import TablePlan, completed
from bridge.memories import Key

TOKEN_SIZE = 64
"""What a change that has collapsed into another still takes: so that a hot key, too, finds its bound."""


ALONE = 3
"""A work that has failed so often is tried alone (`bridge.blame`)."""


class Kind(enum.Enum):
    """What the change of a work is, if it has one."""

    NOTHING = "nothing"
    ROW = "row"
    DELETE = "delete"


@dataclass(slots=True)
class Work:
    """One key to put in order.

    `row` is in the plan's column order and may hold UNCHANGED. `version` and `xid` belong to the change. `refresh`: read the row
    again whatever the version says. `suspect`: first look at the target, and leave it alone when it is as expected. `rewrite`:
    write it as it stands, if it was last written before this start of the target (0: no). `anew`: write it even if it is recorded
    as it is. `retry`: a parked key's turn. `carries`: its unchanged columns are those that this key had before. `in_doubt`: the
    target may hold something of it that nobody recorded. `failed`: how many batches with it a sound target has failed,
    `failed_since`: after how many that went through. `tokens` are told when the work is proven and recorded, `unwritten` when it
    is written. `commit_time` (seconds since 1970) is for lag only, `size` (characters) for bounding memory.
    """

    plan: TablePlan
    key: str
    kind: Kind = Kind.NOTHING
    row: Row | None = None
    version: Version = LOWEST
    xid: int | None = None
    commit_time: float | None = None
    refresh: bool = False
    suspect: bool = False
    rewrite: int = 0
    anew: bool = False
    retry: bool = False
    background: bool = False
    in_doubt: bool = False
    carries: bool = True
    attempts: int = 0
    failed: int = 0
    failed_since: int = 0
    not_before: float = 0.0
    waiting_since: float = 0.0
    tokens: list[Token] = field(default_factory=list)
    unwritten: list[Token] = field(default_factory=list)
    size: int = 0

    def belongs_to(self, token: Token) -> None:
        """Count this work to a transaction or chunk."""
        token.add()
        self.tokens.append(token)
        self.unwritten.append(token)

    def written(self) -> None:
        """Engram has acknowledged it, or it needs no write."""
        for token in self.unwritten:
            token.done("written")
        self.unwritten = []

    @property
    def ledger_key(self) -> Key:
        """The key under which the ledger knows it."""
        return (self.plan.number, self.key)

    @property
    def partial(self) -> bool:
        """The row has columns that were not sent."""
        return self.row is not None and UNCHANGED in self.row


def merge(earlier: Work, later: Work) -> Work:
    """One work for two of the same key: the higher version wins, every token and every wish is kept.

    An unchanged column is carried forward from the earlier row only when both came by the stream and in its order: then no
    change of the key lies between them. A snapshot row can be older than a change that has been applied since, and so can a
    change that is delivered again. A row that came to this key by a change of its key has its unchanged columns from elsewhere:
    nothing is carried over it. The earlier work is used up: its lists go on, so that a hot key costs each change the same.
    """
    earlier.tokens.extend(later.tokens)
    earlier.unwritten.extend(later.unwritten)
    newer, older = (later, earlier) if later.version >= earlier.version else (earlier, later)
    if newer.kind is Kind.NOTHING:
        newer, older = older, newer
    row = newer.row
    in_order = newer is later and newer.carries and _streamed(older)
    if row is not None and older.row is not None and in_order and newer.partial:
        row = completed(row, older.row) if newer.plan.table.columns == older.plan.table.columns else row
    return Work(
        plan=newer.plan,
        key=newer.key,
        kind=newer.kind,
        row=row,
        version=newer.version,
        xid=newer.xid,
        commit_time=newer.commit_time,
        refresh=earlier.refresh or later.refresh,
        suspect=earlier.suspect or later.suspect,
        rewrite=max(earlier.rewrite, later.rewrite),
        anew=earlier.anew or later.anew,
        retry=earlier.retry or later.retry,
        background=earlier.background and later.background,
        in_doubt=earlier.in_doubt or later.in_doubt,
        carries=earlier.carries and later.carries,
        attempts=max(earlier.attempts, later.attempts),
        failed=max(earlier.failed, later.failed),
        failed_since=max(earlier.failed_since, later.failed_since),
        not_before=min(earlier.not_before, later.not_before),
        waiting_since=min(filter(None, (earlier.waiting_since, later.waiting_since)), default=0.0),
        tokens=earlier.tokens,
        unwritten=earlier.unwritten,
        size=max(earlier.size, later.size) + TOKEN_SIZE,
    )


def _streamed(work: Work) -> bool:
    """Its change came by the stream."""
    return work.version != LOWEST and not is_snapshot(work.version)


@dataclass(slots=True)
class Sweep:
    """A TRUNCATE in one lane: forget what the table has there below `version`."""

    plan: TablePlan
    version: Version
    tokens: list[Token] = field(default_factory=list)


@dataclass(slots=True)
class Vacation:
    """Forget a page of what a retired generation has in one space. `ended` is set when the job is over, whatever came of it.

    `found`: how many of its memories were still there. `left`: how many Engram still answers after it was told to forget them.
    """

    number: int
    label: str
    prefix: str
    shard: int
    found: int = 0
    left: int = 0
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Comparison:
    """Compare a whole space with the ledger, in its lane (target epoch). `token` is set once `found` suspicions were put;
    `reload` are keyless tables that have to be read whole."""

    space: str
    epoch: str
    found: int = 0
    reload: list[TablePlan] = field(default_factory=list)
    token: Token | None = None
