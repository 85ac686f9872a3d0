"""One step of a lane, from the gate to the proof: look, read again, plan, embed, write, prove.

Each phase takes items from where the phase before has put them; an item ends as an `Outcome`. Nothing is recorded here: if a
phase raises, the lane puts all works back, and the target may or may not hold what was sent, which is what `in_doubt` remembers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.changes import Row
from bridge.errors import Fatal, MappingError, SourceChanged
from bridge.gate import Action, decide, expected_version, visible_needs
from bridge.items import Item, Results
from bridge.mapping import TablePlan
from bridge.memories import Edge, digest, split_content
from bridge.ports import Reading
from bridge.proving import Prover
from bridge.works import Work
from bridge.workshop import Workshop


@dataclass(slots=True)
class StepBatch:
    """The works of one step. What they have come to is in `results`, also when a phase raises."""

    works: list[Work]
    results: Results
    pristine: bool = False
    lost: dict[int, TablePlan] = field(default_factory=dict)
    """Keyless tables of which a row was not there as it should be: they have to be read whole."""

    @property
    def shop(self) -> Workshop:
        """What lanes share."""
        return self.results.shop

    @property
    def space(self) -> str:
        """The space of the lane."""
        return self.results.space

    def run(self) -> None:
        """All phases. Raises Transient, or Fatal when the ledger or the source says so."""
        epoch = self.shop.epoch  # before anything is sent: what is proven was written in this epoch, or in a later one
        prover = Prover(self.results, epoch, self.pristine)
        items = self._gate()
        self._recall([item for item in items if item.action is Action.REWRITE])
        self._look([item for item in items if item.action is Action.LOOK])
        self._refresh([item for item in items if item.action is Action.REFRESH])
        self._plan([item for item in items if item.action is Action.WRITE and not item.again])
        prover.forget([item for item in items if item.action is Action.FORGET])
        prover.write([item for item in items if item.action is Action.WRITE])

    def give_up(self, error: str) -> None:
        """Park these works: the target fails at each of them alone, with an error that says nothing about the row."""
        for item in self._gate():
            self.results.park(item, "rejected", f"Engram fails at this row and at no other: {error}", again=True)

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
                    self.results.end(item)
                elif action is Action.WAIT:
                    self.results.wait(item)
                else:
                    items.append(item)
        return items

    # suspicions

    def _look(self, items: Sequence[Item]) -> None:
        """Read what is suspected; what is as the ledger expects is left alone."""
        if not items:
            return
        found = self.shop.target.read(self.space, [item.memory_id for item in items])
        for item, stored in zip(items, found, strict=True):
            if item.entry is not None and item.entry.live:
                if self.shop.expected(item.entry, stored.stamp() if stored else None):
                    self.results.end(item)
                else:
                    item.action, item.mismatch = Action.REFRESH, True
            elif stored is None:
                self.results.end(item)
            else:
                item.action, item.mismatch = Action.FORGET, True
        self.results.count("mended", sum(item.mismatch for item in items))

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
                    self.results.end(item)
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
        """Read rows again (law 11). What the reading cannot have seen yet waits; what is gone becomes a tombstone.

        Each is read by the plan that it is encoded by: while a table is being altered, works of two definitions of it meet here.
        """
        groups: dict[int, list[Item]] = {}
        for item in items:
            groups.setdefault(id(item.work.plan), []).append(item)
        for group in groups.values():
            plan = group[0].work.plan
            try:
                if plan.keyless:
                    self._refresh_keyless(group)
                    continue
                reading = self.shop.reader.read(plan.table, [plan.key_values(item.work.key) for item in group])
            except SourceChanged:
                raise  # not the row's fault
            except Fatal as error:
                for item in group:
                    self.results.park(item, "unreadable", str(error))
                continue
            for item in group:
                self._refreshed(item, reading, reading.rows.get(plan.key_values(item.work.key)))

    def _refresh_keyless(self, group: Sequence[Item]) -> None:
        """A row without a key is looked for by its own values. Without them nothing can be read again: its key is parked."""
        known = [item for item in group if item.work.row is not None]
        for item in group:
            if item.work.row is None:
                self.results.park(item, "keyless", "a row of a table without a key can only be mended by loading the table again")
        if known:
            rows = [item.work.row for item in known if item.work.row is not None]
            reading = self.shop.reader.read_same(known[0].work.plan.table, rows)
            for item, row in zip(known, rows, strict=True):
                self._refreshed(item, reading, reading.rows.get(row))

    def _refreshed(self, item: Item, reading: Reading, row: Row | None) -> None:
        needs = visible_needs(
            item.work, item.entry, item.parked, self.shop.visible_below, self.shop.last_truncate(item.work.plan.number)
        )
        if not all(reading.visible(xid) for xid in needs):
            self._defer(item)
            return
        item.row, item.xid, item.refreshed = row, None, reading.lsn
        item.action = Action.WRITE if row is not None else Action.FORGET
        self.results.count("refreshed")

    def _defer(self, item: Item) -> None:
        """The commit is not visible yet: try again soon, or set the key aside when that lasts."""
        work = item.work
        now = self.shop.clock()
        work.waiting_since = work.waiting_since or now
        if now - work.waiting_since > self.shop.visibility_patience:
            self.results.park(
                item, "not_visible", "its transaction is in the WAL but not visible yet: a synchronous standby is missing?"
            )
            return
        work.attempts += 1
        work.not_before = now + min(0.02 * 2**work.attempts, 2.0)
        self.results.deferred.append(work)
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
                self.results.park(item, error.reason, str(error))
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
            if item.unchanged and item.entry is not None:
                item.refreshed = item.entry.refreshed  # the very content that is served already need not wait for the frontier
            if item.as_recorded:
                self.results.end(item, alternates=item.memory.alternates if plan.alternates else None)
            elif item.is_new and self.results.live >= self.shop.limit:
                self.results.park(
                    item, "capacity", f"the space {self.space} holds {self.results.live} rows, its limit is {self.shop.limit}"
                )
            else:
                self.results.live += item.is_new
