"""A work on its way through a step of a lane, and what the works of a step have come to."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from bridge.changes import Row
from bridge.gate import Action, Entry, Parked
from bridge.ledger import Outcome
from bridge.lsn import Lsn, Version, is_snapshot
from bridge.memories import Edge, Memory
from bridge.works import Work
from bridge.workshop import Workshop

logger = logging.getLogger(__name__)

TOLD_KEYS = 10
"""Keys that a step parks and names in the log; of the others it tells the number."""

RETRIED_ALONE = frozenset({"not_visible", "unproven", "capacity"})
"""Reasons that can end without anybody doing anything: their keys are tried again by a timer."""


@dataclass(slots=True)
class Item:
    """A work on its way through a step."""

    work: Work
    entry: Entry | None
    parked: Parked | None
    action: Action
    version: Version = ""
    xid: int | None = None
    refreshed: Lsn = 0
    row: Row | None = None
    memory: Memory | None = None
    edges: list[Edge] = field(default_factory=list)
    references: str = "[]"
    content: str = ""
    mismatch: bool = False
    dropped: bool = False
    again: bool = False
    cut: bool = False

    @property
    def memory_id(self) -> str:
        """The id in Engram."""
        return self.work.plan.prefix + self.work.key

    @property
    def is_new(self) -> bool:
        """Engram has to hold one memory more when it is written."""
        return self.entry is None or not self.entry.live

    @property
    def unchanged(self) -> bool:
        """What the ledger expects is what is to be written now.

        Of a snapshot's row the version says nothing: what is recorded is right as it is, whichever epoch it is of (resync).
        """
        entry, memory = self.entry, self.memory
        return (
            entry is not None
            and memory is not None
            and entry.live
            and (entry.version == self.version or is_snapshot(self.version))
            and entry.digest == memory.digest
            and entry.references == self.references
        )

    @property
    def as_recorded(self) -> bool:
        """A refresh that finds what is recorded and was not found missing has nothing to do."""
        return (
            self.unchanged
            and not self.work.anew
            and not self.mismatch
            and not self.work.in_doubt
            and not self.work.suspect
            and self.parked is None
            and (self.entry is None or self.entry.epoch >= self.work.rewrite)
        )


@dataclass(slots=True)
class Results:
    """What a step has come to: nothing of it is recorded yet. `live`: the memories of the space, counted as they come and go."""

    shop: Workshop
    space: str
    live: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    deferred: list[Work] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    set_aside: list[tuple[str, str, str]] = field(default_factory=list)

    def end(self, item: Item, **changes: Any) -> None:
        """The item is finished: nothing is left to be written for it."""
        item.work.written()
        self.outcomes.append(
            Outcome(
                item.work.ledger_key,
                tokens=item.work.tokens,
                commit_time=item.work.commit_time,
                **changes,
            )
        )
        item.action = Action.SUPERSEDED

    def wait(self, item: Item) -> None:
        """The key is parked: only the version of what waits moves."""
        assert item.parked is not None
        if item.version > item.parked.version:
            item.parked.version, item.parked.xid = item.version, item.work.xid
            self.end(item, park=item.parked)
        else:
            self.end(item)

    def park(self, item: Item, reason: str, detail: str, *, again: bool = False) -> None:
        """Durably set the key aside, so that all others flow on; `again`: a timer tries it again whatever the reason."""
        attempts = item.parked.attempts + 1 if item.parked else 0
        unseen = item.parked.xid if item.parked else None  # a retry has no transaction of its own: the one that waits stays
        now = self.shop.wall()
        parked = Parked(
            reason=reason,
            detail=detail,
            version=item.version,
            xid=unseen if item.xid is None else item.xid,
            since=item.parked.since if item.parked else now,
            attempts=attempts,
            retry_at=now + self.shop.retry_delay(attempts) if again or reason in RETRIED_ALONE else None,
        )
        self.count("parked")
        if item.parked is None or item.parked.reason != reason:
            self.set_aside.append((item.work.plan.table.label, item.work.key, reason))
        self.end(item, park=parked)

    def count(self, name: str, amount: int = 1) -> None:
        self.counters[name] = self.counters.get(name, 0) + amount

    def tell(self) -> None:
        """Say which keys were parked in this step, once that is recorded. The reason's code alone: details may quote a row."""
        for label, key, reason in self.set_aside[:TOLD_KEYS]:
            logger.warning("a key is parked", extra={"table": label, "key": key, "reason": reason})
        if len(self.set_aside) > TOLD_KEYS:
            logger.warning("more keys are parked", extra={"space": self.space, "count": len(self.set_aside) - TOLD_KEYS})
