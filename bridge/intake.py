"""From events to works: what the stream says becomes keys in lanes, each counted to its transaction.

A relation message is compared with the plan of its table, and where they differ in columns, with the catalogue. A column that
was added is carried on; one that was dropped, renamed or retyped, and an identity that no longer holds the memory key, stop that
table with a sentence, and the others go on (law 8).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bridge.changes import (
    UNCHANGED,
    Begin,
    Commit,
    Event,
    Heartbeat,
    Keepalive,
    Relation,
    RelationSeen,
    Row,
    RowChange,
    Truncated,
)
from bridge.errors import MappingError
from bridge.frontier import Frontier, Token
from bridge.lsn import Version, make_version
from bridge.mapping import Mapping, TablePlan
from bridge.pool import LanePool
from bridge.works import Kind, Sweep, Work
from bridge.workshop import Workshop

logger = logging.getLogger(__name__)

ROOM_EVERY = 64
"""Works between two looks at the bound of what waits."""


class Tables(Protocol):
    """Who may stop a table, and who knows a table's new definition."""

    def stop_table(self, plan: TablePlan, reason: str) -> None:
        """Durably park a whole table."""

    def redefine(self, plan: TablePlan) -> TablePlan | None:
        """The plan that fits the catalogue now, or None when the table cannot be carried any more."""


@dataclass(slots=True)
class _Binding:
    """How rows of a relation become rows of a plan: positions in the relation's order, None when they are the same.

    `incomplete`: the announcement is older than a column of the plan, whose place is -1; such a row is read again.
    """

    plan: TablePlan
    order: tuple[int, ...] | None
    incomplete: bool = False

    def row(self, row: Row) -> Row:
        if self.order is None:
            return row
        if self.incomplete:
            row = (*row, UNCHANGED)
        return tuple([row[position] for position in self.order])


@dataclass(slots=True)
class Intake:
    """Takes events in the order of the stream. `tend` is called while there is no room, so that the walsender hears from us."""

    shop: Workshop
    pool: LanePool
    frontier: Frontier
    tables: Tables
    source_epoch: int
    tend: Callable[[], None] = lambda: None
    on_heartbeat: Callable[[Heartbeat], None] = lambda _beat: None
    stopping: Callable[[], bool] = lambda: False
    _bindings: dict[int, list[_Binding]] = field(default_factory=dict)
    _mapping: Mapping | None = None
    _begin: Begin | None = None
    _token: Token | None = None
    _since_room: int = 0

    def accept(self, events: Sequence[Event]) -> bool:
        """Put all of it into lanes; False when it was interrupted by `stopping`. Raises what ended the pool."""
        for event in events:
            if isinstance(event, RowChange):
                if not self._room():
                    return False
                self._row_change(event)
            elif isinstance(event, Begin):
                self._begin, self._token = event, self.frontier.begin()
            elif isinstance(event, Commit):
                self.frontier.commit(event.end_lsn)
                self._begin = self._token = None
            elif isinstance(event, Keepalive):
                self.frontier.keepalive(event.wal_end)
            elif isinstance(event, RelationSeen):
                self._bindings.pop(event.relation.oid, None)
                self._bound(event.relation)
            elif isinstance(event, Truncated):
                self._truncated(event)
            else:
                self.on_heartbeat(event)
        self.pool.wake()
        return True

    def restart(self) -> None:
        """A new connection: relations are announced again, and an open transaction is delivered from its beginning."""
        self._bindings.clear()
        self._begin = self._token = None

    def _room(self) -> bool:
        self._since_room += 1
        if self._since_room < ROOM_EVERY:
            return True
        self._since_room = 0
        while not self.pool.wait_for_room(background=False, timeout=0.5):
            self.tend()
            if self.stopping():
                return False
        return True

    # definitions

    def _bound(self, relation: Relation) -> list[_Binding]:
        """A binding for each plan of the table that can carry its changes: one, two while another generation is filled, or none.

        With other plans all are bound anew: a table was added or removed, a generation has come or gone, a definition is new.
        """
        if self._mapping is not self.shop.mapping:
            self._mapping = self.shop.mapping
            self._bindings.clear()
        found = self._bindings.get(relation.oid)
        if found is None:
            plans = self._mapping.generations(relation.label)
            if not plans:
                self._renamed(relation)
            bindings = [self._bind(plan, relation) for plan in plans]
            found = self._bindings[relation.oid] = [binding for binding in bindings if binding is not None]
        return found

    def _bind(self, plan: TablePlan, relation: Relation) -> _Binding | None:
        if plan.number in self.shop.stopped:
            return None
        position = {column.name: index for index, column in enumerate(relation.columns)}
        known = {column.name for column in plan.table.columns} | set(plan.left_out)
        if any(name not in known for name in position) or any(column.name not in position for column in plan.table.columns):
            # The stream can be behind the catalogue: a column that is not announced yet, or not any more, is no fault by itself.
            changed = self.tables.redefine(plan)
            if changed is None:
                return None
            plan = changed
        reason = broken(plan, relation)
        if reason is not None:
            self.tables.stop_table(plan, reason)
            return None
        order = tuple(position.get(column.name, -1) for column in plan.table.columns)
        return _Binding(plan, None if order == tuple(range(len(relation.columns))) else order, incomplete=-1 in order)

    def _renamed(self, relation: Relation) -> None:
        """A table that is carried comes under a name that is not: none of its changes would be seen."""
        for plan in list(self.shop.mapping.numbered.values()):
            if plan.table.oid == relation.oid:
                self.tables.stop_table(plan, f"it was renamed to {relation.label}")

    # rows

    def _row_change(self, change: RowChange) -> None:
        for binding in self._bound(change.relation):
            if binding.plan.number not in self.shop.stopped:
                self._change_of(binding, change)

    def _change_of(self, binding: _Binding, change: RowChange) -> None:
        plan = binding.plan
        old = binding.row(change.old) if change.old is not None else None
        new = binding.row(change.new) if change.new is not None else None
        try:
            old_key = plan.key_of(old) if old is not None else None
            new_key = plan.key_of(new) if new is not None else None
        except MappingError as error:
            self.tables.stop_table(plan, str(error))
            return
        if old_key is not None and old_key != new_key:
            self._put(plan, old_key, Kind.DELETE, old if plan.keyless else None, change.ordinal)
        if new_key is not None:
            moved = old_key is not None and old_key != new_key
            self._put(plan, new_key, Kind.ROW, new, change.ordinal, carries=not moved and not change.ambiguous)

    def _put(self, plan: TablePlan, key: str, kind: Kind, row: Row | None, ordinal: int, *, carries: bool = True) -> None:
        assert self._begin is not None
        assert self._token is not None
        work = Work(
            plan=plan,
            key=key,
            kind=kind,
            row=row,
            version=make_version(self.source_epoch, self._begin.commit_lsn, ordinal),
            xid=self._begin.xid,
            commit_time=self._begin.commit_time,
            carries=carries,
            size=row_size(row),
        )
        work.belongs_to(self._token)
        self.pool.put(work)

    def _truncated(self, event: Truncated) -> None:
        """Raise the floors durably, then sweep each lane of the tables.

        One that comes again is swept again: the floor says that it was seen, not that what lies below is gone.
        """
        assert self._begin is not None
        assert self._token is not None
        version = make_version(self.source_epoch, self._begin.commit_lsn, event.ordinal)
        for relation in event.relations:
            for binding in self._bound(relation):
                self._sweep(binding.plan, version, self._token)

    def _sweep(self, plan: TablePlan, version: Version, token: Token) -> None:
        assert self._begin is not None
        known = self.shop.floor(plan.number)
        self.shop.truncate(plan.number, version, self._begin.xid)
        if known < version:
            logger.info("a table was truncated", extra={"table": plan.table.label})
        for space in plan.spaces:
            token.add()
            self.pool.lane(space).put_job(Sweep(plan, version, [token]))


def broken(plan: TablePlan, relation: Relation) -> str | None:
    """Why the announced definition cannot be carried by this plan; None when it can.

    That a column of the plan is not announced says nothing here: the announcement can be older than the column. A table that is
    announced without an oid is not in the catalogue any more.
    """
    if not relation.oid:
        return "it was dropped or renamed"
    announced = {column.name: column for column in relation.columns}
    for column in plan.table.columns:
        now = announced.get(column.name)
        if now is not None and now.type_oid != column.type.oid:
            return f"its column {column.name!r} has another type"
    if relation.identity == "n" or (plan.keyless and relation.identity != "f"):
        return "its replica identity no longer names the rows that change"
    lacking = [name for name in plan.table.key if name not in announced or not announced[name].is_identity]
    if lacking:
        return f"its replica identity no longer holds the key column {lacking[0]!r}"
    return None


def row_size(row: Row | None) -> int:
    """Characters of a row, for bounding what waits."""
    if row is None:
        return 0
    try:
        return sum(map(len, row)) + 200  # type: ignore[arg-type]  # the usual row has text only
    except TypeError:
        return sum([len(value) for value in row if isinstance(value, str | bytes)]) + 200
