"""The end of a step: what is to be written or forgotten is sent, and proven by reading it back (law 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bridge.errors import EmbeddingRefused, TargetRejected, TargetUnavailable
from bridge.gate import Action, Entry
from bridge.items import Item, Results
from bridge.memories import Stored, Write, mark_of
from bridge.works import Kind
from bridge.workshop import Workshop

ROUNDS = 4
"""How often a write is sent before its key is parked as unproven."""


@dataclass(slots=True)
class Prover:
    """Writes and forgets for one step, and ends its items. `epoch`: the target's start before anything was sent."""

    results: Results
    epoch: int
    pristine: bool = False

    @property
    def shop(self) -> Workshop:
        """What lanes share."""
        return self.results.shop

    @property
    def space(self) -> str:
        """The space of the lane."""
        return self.results.space

    def forget(self, items: Sequence[Item]) -> None:
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
            self.results.park(item, "unproven", "Engram still answers the row after it was told to forget it")

    def _forgotten(self, item: Item) -> None:
        self.results.live -= not item.is_new
        if item.entry is None and item.work.kind is Kind.NOTHING and item.parked is None:
            self.results.end(item)  # nobody's memory: the ledger need not know that it is gone
            return
        shard = item.work.plan.spaces.index(self.space)
        migration = item.entry.migration if item.entry is not None else 0
        tombstone = Entry(item.version, "", "", False, shard, item.xid, item.refreshed, migration=migration)
        self.results.end(
            item,
            entry=tombstone,
            edges=(),
            alternates=() if item.work.plan.alternates else None,
            fresh=item.entry is None,
            unpark=item.parked is not None,
        )

    def write(self, items: Sequence[Item]) -> None:
        """Embed and store, and prove it. What is refused, or is not there after some rounds, is parked."""
        waiting = [item for item in items if item.action is Action.WRITE]
        if not waiting:
            return
        self.results.count("embedded", len(waiting))
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
            self.results.live -= item.is_new
            self.results.park(item, "unproven", f"Engram acknowledged the row {ROUNDS} times and does not answer it")

    def _embed(self, items: Sequence[Item]) -> list[tuple[Item, Write]]:
        """The writes, table by table; a row whose text the model cannot take is parked."""
        by_table: dict[int, list[Item]] = {}
        for item in items:
            by_table.setdefault(item.work.plan.number, []).append(item)
        pairs = []
        for group in by_table.values():
            memories = [(item.memory, item.content) for item in group if item.memory is not None]
            urgent = any(not item.work.background for item in group)
            writes, found = self.shop.writes(group[0].work.plan, memories, urgent=urgent)
            for name, number in found.counters.items():
                self.results.count(name, number)
            for place, (item, write) in enumerate(zip(group, writes, strict=True)):
                item.cut = place in found.cut
                if isinstance(write, EmbeddingRefused):
                    self.results.live -= item.is_new
                    self.results.park(item, "embedding", str(write))
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
        self.results.live -= item.is_new
        self.results.park(item, error.reason, str(error))

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
                self.results.end(pair[0])
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
            self.results.count("dropped_by_target")
        if item.cut:
            self.results.count("texts_cut")
            self.shop.tell_cut(item.work.plan)
        if item.again and item.entry is not None:
            self.results.count("rewritten")
            self.results.end(item, entry=replace(item.entry, epoch=self.epoch))
            return
        shard = item.work.plan.spaces.index(self.space)
        made = (self.epoch, self.shop.migration, mark_of(memory.body))
        self.results.end(
            item,
            entry=Entry(item.version, memory.digest, item.references, True, shard, item.xid, item.refreshed, *made),
            edges=item.edges,
            alternates=memory.alternates if item.work.plan.alternates else None,
            fresh=item.entry is None,
            unpark=item.parked is not None,
        )
