"""What is to be done to a key now: the version gate (law 2). Pure.

known   the highest of: the version that the ledger expects of the key, and its table's floor (TRUNCATE)
parked  the key waits for a person or a timer (law 8): only the version of what waits moves
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from bridge.lsn import LOWEST, Lsn, Version
from bridge.works import Kind, Work


@dataclass(slots=True)
class Entry:
    """What the ledger expects of one key: the row's version, digests of body and references, or a tombstone.

    `xid` is the transaction of the version, None for a snapshot row (it was visible when it was read). `refreshed` is a WAL
    position: the content may be newer than the version says, as new as this; it is served once the frontier has passed it.
    `epoch` is the number of the target's start that was known when the row was sent: it was written in that one or a later one.
    `migration` is the number of the migration whose id the memory bears, or bore when it is a tombstone; 0: none is known.
    `mark` is the body's second digest (`mark_of`); 0: not known.
    """

    version: Version
    digest: str
    references: str
    live: bool
    shard: int
    xid: int | None = None
    refreshed: Lsn = 0
    epoch: int = 0
    migration: int = 0
    mark: int = 0


@dataclass(slots=True)
class Parked:
    """A key that could not be applied: a reason and the latest version that waits, never the content."""

    reason: str
    detail: str
    version: Version
    xid: int | None
    since: float
    attempts: int = 0
    retry_at: float | None = None
    dropped: bool = False


class Action(enum.Enum):
    """The gate's answer."""

    SUPERSEDED = "superseded"
    WAIT = "wait"
    WRITE = "write"
    FORGET = "forget"
    REFRESH = "refresh"
    LOOK = "look"
    REWRITE = "rewrite"


def decide(work: Work, entry: Entry | None, floor: Version, parked: Parked | None) -> Action:
    """What the lane does for this work.

    `LOOK` is for a suspicion: read the memory first, then refresh what differs. A refresh of a key that the ledger does not know
    is a look as well: what is found there is nobody's; unless it comes with a row, which a floor may hide (a table that was
    truncated once, and is loaded again). So is a superseded work that may have been sent before (a TRUNCATE came
    between): nothing else would find what it left.
    """
    known = max(entry.version if entry else LOWEST, floor)
    if parked is not None and not parked.dropped and work.retry and _not_found(work):
        return Action.FORGET if work.version >= max(parked.version, known) else Action.SUPERSEDED
    fresh = work.kind is not Kind.NOTHING and work.version > known
    if parked is not None and not parked.dropped and not work.retry:
        return Action.WAIT if fresh or work.refresh or work.suspect else Action.SUPERSEDED
    if fresh:
        if work.kind is Kind.DELETE:
            duplicates = work.plan.keyless and work.row is not None  # another row of the same values may be left
            return Action.REFRESH if duplicates else Action.FORGET
        return Action.REFRESH if work.partial else Action.WRITE
    if parked is not None and not parked.dropped:
        return Action.REFRESH
    if work.refresh and (entry is not None or work.kind is Kind.ROW):
        return Action.REFRESH  # before any suspicion: to find the old row in its place does not make it the new one
    if entry is not None and entry.live and entry.epoch < work.rewrite:
        return Action.REWRITE
    return Action.LOOK if work.suspect or work.in_doubt or work.refresh else Action.SUPERSEDED


def _not_found(work: Work) -> bool:
    """A table without a key was read whole, and no row of this key was in it."""
    return work.plan.keyless and work.kind is Kind.DELETE and work.row is None


def expected_version(work: Work, entry: Entry | None, parked: Parked | None, floor: Version) -> Version:
    """The version that a refreshed row is written under: the newest that is known of its key."""
    waiting = work.version if work.kind is not Kind.NOTHING else LOWEST
    return max(waiting, entry.version if entry else LOWEST, parked.version if parked else LOWEST, floor)


def visible_needs(
    work: Work, entry: Entry | None, parked: Parked | None, below: Version, truncated: tuple[Version, int | None] = (LOWEST, None)
) -> list[int]:
    """The transactions that a re-read must have seen to count (law 11).

    `truncated`: the table's last TRUNCATE, its version and id; what is read again is written under that version or a later one.

    Those of versions under `below` are known to be visible: an id is asked for only while it is young, since after 2^31 others it
    would be taken for one to come.
    """
    known = (
        (work.version, work.xid),
        (entry.version, entry.xid) if entry else None,
        (parked.version, parked.xid) if parked else None,
        truncated,
    )
    return [pair[1] for pair in known if pair is not None and pair[1] is not None and pair[0] >= below]
