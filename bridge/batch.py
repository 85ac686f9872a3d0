"""One step of a lane, from the gate to the proof: look, read again, plan, embed, write, prove.

Each phase takes items from where the phase before has put them; an item ends as an `Outcome`. Nothing is recorded here: if a
phase raises, the lane puts all works back, and the target may or may not hold what was sent, which is what `in_doubt` remembers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.changes import Row
from bridge.errors import EmbeddingRefused, Fatal, MappingError, SourceChanged, TargetRejected, TargetUnavailable
from bridge.gate import Action, Entry, Parked, decide, expected_version, visible_needs
from bridge.ledger import Outcome
from bridge.lsn import Lsn, Version, is_snapshot
from bridge.mapping import TablePlan
from bridge.memories import Edge, Memory, Stored, Write, digest, split_content
from bridge.ports import Reading
from bridge.works import Kind, Work
from bridge.workshop import Workshop

logger = logging.getLogger(__name__)

ROUNDS = 4
"""How often a write is sent before its key is parked as unproven."""

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

    @property
    def memory_id(self) -> str:
        """The id in Engram."""
        return self.work.plan.prefix + self.work.key


@dataclass(slots=True)
class StepBatch:
    """The works of one step, and what has become of them."""

    shop: Workshop
    space: str
    works: list[Work]
    pristine: bool = False
    live: int = 0
    epoch: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    deferred: list[Work] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    set_aside: list[tuple[str, str, str]] = field(default_factory=list)
    lost: dict[int, TablePlan] = field(default_factory=dict)
    """Keyless tables of which a row was not there as it should be: they have to be read whole."""

    def run(self) -> None:
        """All phases. Raises Transient, or Fatal when the ledger or the source says so."""
        self.epoch = self.shop.epoch  # before anything is sent: what is proven was written in this epoch, or in a later one
        items = self._gate()
        self._recall([item for item in items if item.action is Action.REWRITE])
        self._look([item for item in items if item.action is Action.LOOK])
        self._refresh([item for item in items if item.action is Action.REFRESH])
        self._plan([item for item in items if item.action is Action.WRITE and not item.again])
        self._forget([item for item in items if item.action is Action.FORGET])
        self._write([item for item in items if item.action is Action.WRITE])

    def give_up(self, error: str) -> None:
        """Park these works: the target fails at each of them alone, with an error that says nothing about the row."""
        for item in self._gate():
            self._park(item, "rejected", f"Engram fails at this row and at no other: {error}", again=True)

    def tell(self) -> None:
        """Say which keys were parked in this step, once that is recorded. The reason's code alone: details may quote a row."""
        for label, key, reason in self.set_aside[:TOLD_KEYS]:
            logger.warning("a key is parked", extra={"table": label, "key": key, "reason": reason})
        if len(self.set_aside) > TOLD_KEYS:
            logger.warning("more keys are parked", extra={"space": self.space, "count": len(self.set_aside) - TOLD_KEYS})

    # the gate

    def _gate(self) -> list[Item]:
        by_table: dict[int, list[Work]] = {}
        for work in self.works:
            by_table.setdefault(work.plan.number, []).append(work)
        items = []
        for table, works in by_table.items():
            keys = [work.key for work in works]
            entries = self.shop.ledger.entries(table, keys)
            parked = self.shop.ledger.parked(table, keys)
            floor = self.shop.floor(table)
            for work in works:
                entry, waiting = entries.get(work.key), parked.get(work.key)
                action = Action.SUPERSEDED if table in self.shop.stopped else decide(work, entry, floor, waiting)
                item = Item(work, entry, waiting, action, expected_version(work, entry, waiting, floor), work.xid, row=work.row)
                if action is Action.SUPERSEDED:
                    self._end(item)
                elif action is Action.WAIT:
                    self._wait(item)
                else:
                    items.append(item)
        return items

    def _end(self, item: Item, **changes: Any) -> None:
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

    def _wait(self, item: Item) -> None:
        """The key is parked: only the version of what waits moves."""
        assert item.parked is not None
        if item.version > item.parked.version:
            item.parked.version, item.parked.xid = item.version, item.work.xid
            self._end(item, park=item.parked)
        else:
            self._end(item)

    def _park(self, item: Item, reason: str, detail: str, *, again: bool = False) -> None:
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
        self._count("parked")
        if item.parked is None or item.parked.reason != reason:
            self.set_aside.append((item.work.plan.table.label, item.work.key, reason))
        self._end(item, park=parked)

    def _count(self, name: str, amount: int = 1) -> None:
        self.counters[name] = self.counters.get(name, 0) + amount

    # suspicions

    def _look(self, items: Sequence[Item]) -> None:
        """Read what is suspected; what is as the ledger expects is left alone."""
        if not items:
            return
        found = self.shop.target.read(self.space, [item.memory_id for item in items])
        for item, stored in zip(items, found, strict=True):
            if item.entry is not None and item.entry.live:
                if self.shop.expected(item.entry, stored.stamp() if stored else None):
                    self._end(item)
                else:
                    item.action, item.mismatch = Action.REFRESH, True
            elif stored is None:
                self._end(item)
            else:
                item.action, item.mismatch = Action.FORGET, True
        self._count("mended", sum(item.mismatch for item in items))

    # rewriting

    def _recall(self, items: Sequence[Item]) -> None:
        """What is to be written again as it stands is read back, and written if it is as the ledger expects.

        The content stays the same byte for byte, so this asks nothing of the source and needs no proof of how new it is. What is
        not as expected is mended like any suspicion.
        """
        if not items:
            return
        found = self.shop.target.read(self.space, [item.memory_id for item in items])
        for item, stored in zip(items, found, strict=True):
            assert item.entry is not None
            plan = item.work.plan
            if stored is None or not self.shop.expected(item.entry, stored.stamp()):
                item.action, item.mismatch = Action.REFRESH, True
                if plan.keyless:
                    self.lost[plan.number] = plan
                    self._end(item)
                continue
            body, _stamp = split_content(stored.content) or ("{}", "")
            item.memory = plan.recalled(item.work.key, body)
            if item.memory is None:
                item.action = Action.REFRESH
                continue
            item.action, item.again = Action.WRITE, True
            item.content, item.references = stored.content, item.entry.references

    # refreshes

    def _refresh(self, items: Sequence[Item]) -> None:
        """Read rows again (law 11). What the reading cannot have seen yet waits; what is gone becomes a tombstone."""
        groups: dict[tuple[int, bool], list[Item]] = {}
        for item in items:
            groups.setdefault((item.work.plan.number, item.work.plan.keyless), []).append(item)
        for (_table, keyless), group in groups.items():
            plan = group[0].work.plan
            try:
                if keyless:
                    self._refresh_keyless(group)
                    continue
                reading = self.shop.reader.read(plan.table, [plan.key_values(item.work.key) for item in group])
            except SourceChanged:
                raise  # not the row's fault
            except Fatal as error:
                for item in group:
                    self._park(item, "unreadable", str(error))
                continue
            for item in group:
                self._refreshed(item, reading, reading.rows.get(plan.key_values(item.work.key)))

    def _refresh_keyless(self, group: Sequence[Item]) -> None:
        """A row without a key is looked for by its own values. Without them nothing can be read again: its key is parked."""
        known = [item for item in group if item.work.row is not None]
        for item in group:
            if item.work.row is None:
                self._park(item, "keyless", "a row of a table without a key can only be mended by loading the table again")
        if known:
            rows = [item.work.row for item in known if item.work.row is not None]
            reading = self.shop.reader.read_same(known[0].work.plan.table, rows)
            for item, row in zip(known, rows, strict=True):
                self._refreshed(item, reading, reading.rows.get(row))

    def _refreshed(self, item: Item, reading: Reading, row: Row | None) -> None:
        needs = visible_needs(item.work, item.entry, item.parked, self.shop.visible_below)
        if not all(reading.visible(xid) for xid in needs):
            self._defer(item)
            return
        item.row, item.xid, item.refreshed = row, None, reading.lsn
        item.action = Action.WRITE if row is not None else Action.FORGET
        self._count("refreshed")

    def _defer(self, item: Item) -> None:
        """The commit is not visible yet: try again soon, or set the key aside when that lasts."""
        work = item.work
        now = self.shop.clock()
        work.waiting_since = work.waiting_since or now
        if now - work.waiting_since > self.shop.visibility_patience:
            self._park(
                item, "not_visible", "its transaction is in the WAL but not visible yet: a synchronous standby is missing?"
            )
            return
        work.attempts += 1
        work.not_before = now + min(0.02 * 2**work.attempts, 2.0)
        self.deferred.append(work)
        item.action = Action.SUPERSEDED

    # planning

    def _plan(self, items: Sequence[Item]) -> None:
        """Rows become contents; a row that cannot is parked."""
        planned = []
        for item in items:
            assert item.row is not None
            try:
                item.memory = item.work.plan.memory(item.row, item.work.key)
            except MappingError as error:
                self._park(item, error.reason, str(error))
                continue
            planned.append(item)
        lookups = [r.lookup for item in planned if item.memory for r in item.memory.references if r.lookup]
        parents = self.shop.ledger.resolve(lookups) if lookups else {}
        for item in planned:
            assert item.memory is not None
            item.edges = [
                Edge(r.constraint, r.parent, r.to if r.lookup is None else parents.get(r.lookup), r.lookup)
                for r in item.memory.references
            ]
            plan = item.work.plan
            references = plan.references_json(item.memory.references, item.edges) if item.edges else "[]"
            item.references = digest(references)
            item.content = plan.content(item.memory, item.version, references)
            if self._unchanged(item) and item.entry is not None:
                item.refreshed = item.entry.refreshed  # the very content that is served already need not wait for the frontier
            if self._as_recorded(item):
                self._end(item, alternates=item.memory.alternates if plan.alternates else None)
            elif self._is_new(item) and self.live >= self.shop.limit:
                self._park(item, "capacity", f"the space {self.space} holds {self.live} rows, its limit is {self.shop.limit}")
            else:
                self.live += self._is_new(item)

    @staticmethod
    def _as_recorded(item: Item) -> bool:
        """A refresh that finds what is recorded and was not found missing has nothing to do."""
        return (
            StepBatch._unchanged(item)
            and not item.work.anew
            and not item.mismatch
            and not item.work.in_doubt
            and not item.work.suspect
            and item.parked is None
            and (item.entry is None or item.entry.epoch >= item.work.rewrite)
        )

    @staticmethod
    def _unchanged(item: Item) -> bool:
        """What the ledger expects is what is to be written now.

        Of a snapshot's row the version says nothing: what is recorded is right as it is, whichever epoch it is of (resync).
        """
        entry, memory = item.entry, item.memory
        return (
            entry is not None
            and memory is not None
            and entry.live
            and (entry.version == item.version or is_snapshot(item.version))
            and entry.digest == memory.digest
            and entry.references == item.references
        )

    @staticmethod
    def _is_new(item: Item) -> bool:
        return item.entry is None or not item.entry.live

    # writing and proving

    def _forget(self, items: Sequence[Item]) -> None:
        """Forget, and prove that it is gone. A restart in between is seen by the next read-back."""
        waiting = list(items)
        for _round in range(ROUNDS):
            if not waiting:
                return
            ids = [item.memory_id for item in waiting]
            self.shop.target.forget(self.space, ids)
            found = self.shop.target.read(self.space, ids)
            for item, stored in zip(waiting, found, strict=True):
                if stored is None:
                    self._forgotten(item)
            waiting = [item for item, stored in zip(waiting, found, strict=True) if stored is not None]
        for item in waiting:
            self._park(item, "unproven", "Engram still answers the row after it was told to forget it")

    def _forgotten(self, item: Item) -> None:
        self.live -= not self._is_new(item)
        if item.entry is None and item.work.kind is Kind.NOTHING and item.parked is None:
            self._end(item)  # nobody's memory: the ledger need not know that it is gone
            return
        shard = item.work.plan.spaces.index(self.space)
        tombstone = Entry(item.version, "", "", False, shard, item.xid, item.refreshed)
        self._end(
            item,
            entry=tombstone,
            edges=(),
            alternates=() if item.work.plan.alternates else None,
            fresh=item.entry is None,
            unpark=item.parked is not None,
        )

    def _write(self, items: Sequence[Item]) -> None:
        waiting = [item for item in items if item.action is Action.WRITE]
        if not waiting:
            return
        self._count("embedded", len(waiting))
        pairs = self._embed(waiting)
        unseen: list[tuple[Item, Write]] = []
        known: list[tuple[Item, Write]] = []
        for pair in pairs:
            plain = self.pristine and pair[0].entry is None and not pair[0].work.in_doubt
            (unseen if plain else known).append(pair)
        for round_ in range(ROUNDS):
            if known:
                self.shop.target.forget(self.space, [item.memory_id for item, _write in known])
            pairs = self._prove(self._remember(unseen + known))
            if not pairs:
                return
            if round_ < ROUNDS - 1:
                for item, _write in pairs:
                    item.dropped = True
            unseen, known = [], pairs
        for item, _write in pairs:
            self.live -= self._is_new(item)
            self._park(item, "unproven", f"Engram acknowledged the row {ROUNDS} times and does not answer it")

    def _embed(self, items: Sequence[Item]) -> list[tuple[Item, Write]]:
        """The writes, table by table; a row whose text the model cannot take is parked."""
        by_table: dict[int, list[Item]] = {}
        for item in items:
            by_table.setdefault(item.work.plan.number, []).append(item)
        pairs = []
        for group in by_table.values():
            memories = [(item.memory, item.content) for item in group if item.memory is not None]
            urgent = any(not item.work.background for item in group)
            writes, counted = self.shop.writes(group[0].work.plan, memories, urgent=urgent)
            for name, number in counted.items():
                self._count(name, number)
            for item, write in zip(group, writes, strict=True):
                if isinstance(write, EmbeddingRefused):
                    self.live -= self._is_new(item)
                    self._park(item, "embedding", str(write))
                else:
                    pairs.append((item, write))
        return pairs

    def _remember(self, pairs: list[tuple[Item, Write]]) -> list[tuple[Item, Write]]:
        """Store; a hint that one was dropped is believed at once. Refused rows are parked if the target is otherwise sound."""
        answers = self.shop.target.remember(self.space, [write for _item, write in pairs])
        suspects = []
        stored = []
        for pair, answer in zip(pairs, answers, strict=True):
            if isinstance(answer, TargetRejected):
                self._refused(pair[0], answer)
            elif isinstance(answer, Exception):
                raise answer
            else:
                stored.append(pair)
                if answer.suspect:
                    suspects.append(pair)
        if suspects:
            for item, _write in suspects:
                item.dropped = True
            self.shop.target.forget(self.space, [item.memory_id for item, _write in suspects])
            again = self.shop.target.remember(self.space, [write for _item, write in suspects])
            for (item, _write), answer in zip(suspects, again, strict=True):
                if isinstance(answer, TargetRejected):
                    self._refused(item, answer)
                    stored = [pair for pair in stored if pair[0] is not item]
        for item, _write in stored:
            item.work.written()
        return stored

    def _refused(self, item: Item, error: TargetRejected) -> None:
        if error.reason != "too_large" and not self.shop.target.healthy():
            raise TargetUnavailable("Engram refuses ordinary writes as well") from error
        self.live -= self._is_new(item)
        self._park(item, error.reason, str(error))

    def _prove(self, pairs: list[tuple[Item, Write]]) -> list[tuple[Item, Write]]:
        """Read back; answers what is not there as it was written."""
        if not pairs:
            return []
        found = self.shop.target.read(self.space, [item.memory_id for item, _write in pairs])
        failed = []
        for pair, stored in zip(pairs, found, strict=True):
            if stored is not None and stored.content == pair[0].content:
                self._proven(pair[0])
            elif stored is not None and self._newer(pair[0], stored):
                self._end(pair[0])
            else:
                failed.append(pair)
        return failed

    def _newer(self, item: Item, stored: Stored) -> bool:
        """A newer version of ours proves the older one superseded (law 3)."""
        stamp = stored.stamp()
        return stamp is not None and stamp.intact and stamp.ledger == self.shop.ledger_id and stamp.version > item.version

    def _proven(self, item: Item) -> None:
        memory = item.memory
        assert memory is not None
        if item.dropped:
            self._count("dropped_by_target")
        if item.again and item.entry is not None:
            self._count("rewritten")
            self._end(item, entry=replace(item.entry, epoch=self.epoch))
            return
        shard = item.work.plan.spaces.index(self.space)
        self._end(
            item,
            entry=Entry(item.version, memory.digest, item.references, True, shard, item.xid, item.refreshed, self.epoch),
            edges=item.edges,
            alternates=memory.alternates if item.work.plan.alternates else None,
            fresh=item.entry is None,
            unpark=item.parked is not None,
        )
