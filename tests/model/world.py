"""A small world in which the laws can be tried out: a PostgreSQL, an Engram and a bridge that can be killed anywhere.

One thread, one step at a time. The ledger is the real one, on a real SQLite file or server; lanes, recorder, frontier, intake
and gate are the product's own; only source and target are models, and the target keeps the real one's bad habits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bridge.changes import (
    UNCHANGED,
    Begin,
    Commit,
    Event,
    Keepalive,
    Relation,
    RelationColumn,
    RelationSeen,
    Row,
    RowChange,
    Truncated,
)
from bridge.embedding import Embedders
from bridge.errors import TargetUnavailable
from bridge.frontier import ChunkToken, Frontier, Token
from bridge.gate import Entry
from bridge.intake import Intake
from bridge.lane import Lane
from bridge.ledger import ChunkRecord, Ledger
from bridge.lsn import make_version
from bridge.mapping import Identity, TablePlan, compile_mapping
from bridge.memories import Stored, Write
from bridge.pool import LanePool
from bridge.ports import Kept, SpaceState
from bridge.recorder import Recorder
from bridge.rewriting import Rewriting
from bridge.schema import Column, ForeignKey, Table, TypeInfo
from bridge.spaces import TableOptions
from bridge.works import Comparison, Kind, Work
from bridge.workshop import Workshop

INT4 = TypeInfo(23, "pg_catalog", "int4", category="N")
TEXT = TypeInfo(25, "pg_catalog", "text", category="S")
OID = 4711
NAMES = ("id", "name", "big", "parent", "code", "ref")
NUMBERS = ("id", "parent", "code", "ref")
SPACES = ("things-0", "things-1")
LIMIT = 2
"""Rows that a space takes while all else goes on; at the end there is room for all."""
TABLE = Table(
    oid=OID,
    schema="public",
    name="things",
    columns=tuple(
        Column(name, INT4 if name in NUMBERS else TEXT, "integer" if name in NUMBERS else "text", number)
        for number, name in enumerate(NAMES, 1)
    ),
    key=("id",),
    identity_columns=("id",),
    foreign_keys=(
        ForeignKey("things_parent_fkey", ("parent",), ("public", "things"), ("id",)),
        ForeignKey("things_ref_fkey", ("ref",), ("public", "things"), ("code",)),
    ),
)
RELATION = Relation(
    OID, "public", "things", "d", tuple(RelationColumn(c.name, c.type.oid, -1, c.name == "id") for c in TABLE.columns)
)
SNAPSHOT_POINT = 1000


class Killed(BaseException):
    """The bridge's process is killed here."""


@dataclass(frozen=True)
class Op:
    """One statement of the application. `big` None leaves the large column alone in an update. A `code` is unique: it is taken
    only if no other row has it; `ref` points at a code, whether there is one or not. `untold`: the stream does not tell the value
    of `big`, changed or not."""

    kind: str
    id: int
    name: str = ""
    big: str | None = None
    parent: int | None = None
    new_id: int | None = None
    code: int | None = None
    ref: int | None = None
    untold: bool = False


@dataclass
class Transaction:
    """A committed transaction as the WAL has it."""

    xid: int
    commit_lsn: int
    end_lsn: int
    changes: list[RowChange | Truncated]
    after: dict[int, Row]


@dataclass
class Postgres:
    """Rows, the WAL, and commits that are in the WAL before they are visible."""

    rows: dict[int, Row] = field(default_factory=dict)
    wal: list[Transaction] = field(default_factory=list)
    visible: int = 0
    base: dict[int, Row] = field(default_factory=dict)

    def commit(self, ops: Sequence[Op]) -> None:
        """Run the statements that make sense now, and commit."""
        changes: list[RowChange | Truncated] = []
        for op in ops:
            self._run(op, changes)
        lsn = SNAPSHOT_POINT + 100 * (len(self.wal) + 1)
        self.wal.append(Transaction(len(self.wal) + 10, lsn, lsn + 50, changes, dict(self.rows)))

    def _run(self, op: Op, changes: list[RowChange | Truncated]) -> None:
        ordinal = len(changes) + 1
        parent = None if op.parent is None else str(op.parent)
        old = self.rows.get(op.id)
        key_only = (str(op.id), None, None, None, None, None)
        taken = {row[4] for key, row in self.rows.items() if key != op.id}
        code = None if op.code is None or str(op.code) in taken else str(op.code)
        ref = None if op.ref is None else str(op.ref)
        if op.kind == "truncate":
            self.rows.clear()
            changes.append(Truncated((RELATION,), ordinal))
        elif op.kind == "insert" and old is None:
            self.rows[op.id] = (str(op.id), op.name, op.big or "", parent, code, ref)
            row = self.rows[op.id]
            sent = (*row[:2], UNCHANGED, *row[3:]) if op.untold else row
            changes.append(RowChange("insert", RELATION, sent, None, False, ordinal, op.untold))
        elif op.kind == "update" and old is not None:
            self.rows[op.id] = (str(op.id), op.name, old[2] if op.big is None else op.big, parent, code, ref)
            sent = (str(op.id), op.name, UNCHANGED if op.big is None or op.untold else op.big, parent, code, ref)
            changes.append(RowChange("update", RELATION, sent, None, False, ordinal, op.untold))
        elif op.kind == "delete" and old is not None:
            del self.rows[op.id]
            changes.append(RowChange("delete", RELATION, None, key_only, False, ordinal))
        elif op.kind == "rekey" and old is not None and op.new_id is not None and op.new_id not in self.rows:
            del self.rows[op.id]
            self.rows[op.new_id] = (str(op.new_id), *old[1:])
            sent = (str(op.new_id), old[1], UNCHANGED, *old[3:])
            changes.append(RowChange("update", RELATION, sent, key_only, False, ordinal))

    def seen(self) -> dict[int, Row]:
        """What a query sees now."""
        return self.wal[self.visible - 1].after if self.visible else self.base

    @property
    def end(self) -> int:
        """The WAL's end."""
        return self.wal[-1].end_lsn if self.wal else SNAPSHOT_POINT


@dataclass
class ModelReading:
    """See `bridge.ports.Reading`."""

    rows: dict[tuple[str, ...], Row]
    lsn: int
    xids: frozenset[int]

    def visible(self, xid: int) -> bool:
        return xid in self.xids


@dataclass
class ModelReader:
    """Reads rows of the model again, as a query sees them."""

    postgres: Postgres

    def read(self, table: Table, keys: Sequence[tuple[str, ...]]) -> ModelReading:
        seen = self.postgres.seen()
        rows = {key: seen[int(key[0])] for key in keys if int(key[0]) in seen}
        return ModelReading(rows, self.postgres.end, frozenset(t.xid for t in self.postgres.wal[: self.postgres.visible]))

    def read_same(self, table: Table, rows: Sequence[Row]) -> ModelReading:
        raise AssertionError("the model's table has a key")

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class ModelTarget:
    """An Engram that acknowledges and drops, loses replies, forgets at a restart, and is a place to be killed at.

    `recall`: ids that recall by embedding knows: stored since the last start, and not as a duplicate of what came back by replay.
    """

    recall: set[str] = field(default_factory=set)
    memories: dict[str, str] = field(default_factory=dict)
    home: dict[str, str] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    starts: int = 1
    drop: set[int] = field(default_factory=set)
    fail_at: int | None = None
    kill_at: int | None = None
    calls: int = 0

    def _tick(self) -> None:
        """One operation: here the process can die, or the reply get lost after it was applied."""
        self.calls += 1
        if self.kill_at is not None and self.calls >= self.kill_at:
            self.kill_at = None
            raise Killed
        if self.fail_at is not None and self.calls >= self.fail_at:
            self.fail_at = None
            raise TargetUnavailable("the reply was lost")

    def open(self, space: str) -> SpaceState:
        return SpaceState(space, len(self.memories), str(self.starts))

    def remember(self, space: str, writes: Sequence[Write]) -> list[Kept | Exception]:
        answers: list[Kept | Exception] = []
        for write in writes:
            dropped = bool(self.drop) and (self.calls % 7) in self.drop
            if not dropped and self.memories.get(write.memory_id) != write.content:
                self.recall.add(write.memory_id)
                self.memories[write.memory_id] = write.content
                assert self.home.setdefault(write.memory_id, space) == space, "a memory has one space"
                self.first.setdefault(write.memory_id, write.content)
            self._tick()
            answers.append(Kept(write.memory_id, dropped and self.calls % 2 == 0))
        return answers

    def forget(self, space: str, memory_ids: Sequence[str]) -> None:
        for memory_id in memory_ids:
            self.memories.pop(memory_id, None)
            self.recall.discard(memory_id)
            self._tick()

    def read(self, space: str, memory_ids: Sequence[str]) -> list[Stored | None]:
        self._tick()
        return [Stored(i, self.memories[i]) if i in self.memories else None for i in memory_ids]

    def scan(self, space: str) -> Iterator[Stored]:
        self._tick()
        yield from [Stored(i, content) for i, content in self.memories.items() if self.home[i] == space]

    def epoch(self) -> str:
        return str(self.starts)

    def healthy(self) -> bool:
        return True

    def restart(self, keep: int) -> None:
        """Come back with first versions, the dead among them, for some ids; nothing for the others."""
        self.starts += 1
        self.recall.clear()
        self.memories = {
            memory_id: content for number, (memory_id, content) in enumerate(self.first.items()) if number % 3 < keep
        }


class TinyEmbedder:
    """Vectors are of no interest here."""

    name = "tiny"
    dimensions = 64
    identity = "tiny"
    kept = False

    def embed(self, texts: Sequence[str], *, urgent: bool = False) -> np.ndarray:
        return np.full((len(texts), self.dimensions), 1 / 8, dtype=np.float32)

    def cut(self, texts: Sequence[str]) -> int:
        return 0

    def close(self) -> None:
        pass


class World:
    """PostgreSQL, Engram, a ledger on disk, and the bridge's volatile part, which `kill` throws away."""

    def __init__(self, folder: Path, ledger: str | None = None) -> None:
        self.folder = folder
        self.postgres = Postgres()
        self.target = ModelTarget()
        self.time = 0.0
        self.limit = LIMIT
        self.ledger = Ledger(ledger or str(folder / "ledger.db"))
        self.record = self.ledger.register("public.things", SPACES, [], 0)
        self.ledger.plan(self.record.number, [ChunkRecord(0, None, ("3",)), ChunkRecord(1, ("3",), None)])
        self.start(compare=False)

    def start(self, *, compare: bool) -> None:
        """A new process of the bridge on what is durable."""
        facts = self.ledger.facts()
        confirmed = int(facts.get("confirmed", SNAPSHOT_POINT))
        self.frontier = Frontier(confirmed)
        self.recorder = Recorder(self.ledger, self.frontier)
        mapping = compile_mapping(
            [TABLE],
            {"public.things": TableOptions(shards=len(SPACES))},
            Identity("ledger", "migration", "2026-01-01T00:00:00+00:00"),
            {"public.things": self.record.number},
        )
        self.plan: TablePlan = mapping.plans["public.things"]
        self.shop = Workshop(
            ledger=self.ledger,
            recorder=self.recorder,
            target=self.target,
            embedders=Embedders.of(TinyEmbedder()),
            reader=ModelReader(self.postgres),
            mapping=mapping,
            ledger_id="ledger",
            clock=lambda: self.time,
            wall=lambda: self.time,
            visibility_patience=60.0,
            limit=self.limit,
        )
        self.shop.floors[self.record.number] = self.ledger.tables()[0].floor
        self.pool = LanePool(self.shop)
        for shard, space in enumerate(SPACES):
            lane = Lane(space, self.shop, pristine=True)
            lane.live = self.ledger.live_counts().get((self.record.number, shard), 0)
            self.pool.add(lane)
        self.pool.refresh(self.ledger.stale_lookups())
        self.intake = Intake(self.shop, self.pool, self.frontier, self, 1)
        self.intake.accept([RelationSeen(RELATION)])
        self.delivered = next(
            (number for number, t in enumerate(self.postgres.wal) if t.end_lsn > confirmed), len(self.postgres.wal)
        )
        self.within = 0
        self.reading: dict[int, tuple[Token, list[Row], int]] = {}
        self.look()
        if compare:
            self.compare()

    def look(self) -> None:
        """The watch asks for the target's epoch: after a restart everything is compared, and a rewriting of before ends."""
        known = self.ledger.epochs()
        self.shop.epoch = self.ledger.put_epoch(self.target.epoch())
        if known and known[-1][0] != self.target.epoch():
            for lane in self.lanes:
                lane.rewriting = None
            self.compare()

    def rewrite(self) -> None:
        """Both spaces are written through, as far as that is due."""
        for lane in self.lanes:
            if lane.rewriting is None and self.ledger.rewritten(lane.space) != self.shop.epoch:
                lane.rewriting = Rewriting(lane.space, self.shop.epoch, 0.5)

    @property
    def rewriting(self) -> bool:
        """Some space is being written through."""
        return any(lane.rewriting is not None and not lane.rewriting.done for lane in self.lanes)

    def compare(self) -> None:
        """Have every space compared."""
        for lane in self.lanes:
            lane.put_job(Comparison(lane.space, self.target.epoch()))

    @property
    def lanes(self) -> list[Lane]:
        """Both lanes."""
        return self.pool.lanes

    @property
    def waiting(self) -> int:
        """What waits in any lane."""
        return sum(lane.waiting for lane in self.lanes)

    def reconnect(self) -> None:
        """The stream breaks and begins again at the confirmed position; what waits in the lanes stays there."""
        start = self.recorder.confirmed
        self.recorder.restart(start)
        self.intake.restart()
        self.intake.accept([RelationSeen(RELATION)])
        self.delivered = next((n for n, t in enumerate(self.postgres.wal) if t.end_lsn > start), len(self.postgres.wal))
        self.within = 0

    def tick(self) -> None:
        """The timer: parked keys whose time has come are tried again."""
        for (_table, key), _parked in self.ledger.parked_keys(due=self.time):
            self.pool.put(Work(self.plan, key, refresh=True, retry=True, background=True))

    # the bridge's steps

    def stop_table(self, plan: TablePlan, reason: str) -> None:
        raise AssertionError(reason)

    def redefine(self, plan: TablePlan) -> TablePlan | None:
        raise AssertionError("no column is added here")

    def deliver(self, changes: int) -> None:
        """Some more of the stream."""
        if self.delivered >= len(self.postgres.wal):
            self.intake.accept([Keepalive(self.postgres.end)])
            return
        transaction = self.postgres.wal[self.delivered]
        events: list[Event] = []
        if self.within == 0:
            events.append(Begin(transaction.commit_lsn, time.time(), transaction.xid))
        events += transaction.changes[self.within : self.within + changes]
        self.within += changes
        if self.within >= len(transaction.changes):
            events.append(Commit(transaction.commit_lsn, transaction.end_lsn, time.time()))
            self.delivered, self.within = self.delivered + 1, 0
        self.intake.accept(events)

    def begin_chunk(self, number: int) -> None:
        """A COPY begins: it sees what is visible now, however long it takes to send it."""
        low, high = ((None, 3), (3, None))[number]
        seen = self.postgres.seen().items()
        rows = [row for key, row in seen if (low is None or key > low) and (high is None or key <= high)]
        self.reading[number] = (Token(self.frontier.lock, streamed=False), rows, len(rows))

    def go_on_with_chunk(self, number: int, count: int) -> None:
        """Some more of its rows arrive and are put; after the last one it is complete."""
        token, rows, whole = self.reading[number]
        for row in rows[:count]:
            key = self.plan.key_of(row)
            work = Work(self.plan, key, Kind.ROW, row, version=make_version(1, SNAPSHOT_POINT, 0), background=True)
            work.belongs_to(token)
            self.pool.put(work)
        del rows[:count]
        if not rows:
            token.closed = True
            self.recorder.watch(ChunkToken(self.record.number, number, token, self.postgres.end, whole))
            del self.reading[number]

    def read_chunk(self, number: int) -> None:
        """Read one chunk to its end."""
        if number not in self.reading:
            self.begin_chunk(number)
        self.go_on_with_chunk(number, 100)

    def put(self, key: int, *, suspect: bool) -> None:
        """A repair, a retry, a reconciler: put a key."""
        self.pool.put(Work(self.plan, str(key), refresh=not suspect, suspect=suspect, background=True))

    def step(self, number: int | None = None) -> bool:
        """One step of a lane, or of both; False when it could not be done."""
        self.time += 5.0
        try:
            for lane in self.lanes if number is None else [self.pool.lane(SPACES[number])]:
                lane.step()
            return True
        except TargetUnavailable:
            return False

    def kill(self) -> None:
        """The process dies; another one starts on the ledger and compares."""
        self.start(compare=True)

    def collect(self) -> None:
        """Tombstones go when nothing below them can come any more."""
        chunks = self.ledger.chunks(self.record.number)
        if all(chunk.done for chunk in chunks) and self.waiting == 0:
            self.ledger.collect_tombstones(self.record.number, make_version(1, self.recorder.confirmed, 0))

    # the end

    def settle(self) -> None:
        """Let everything come through."""
        self.target.drop.clear()
        self.target.fail_at = self.target.kill_at = None
        self.postgres.visible = len(self.postgres.wal)
        for chunk in self.ledger.chunks(self.record.number):
            if not chunk.done:
                self.read_chunk(chunk.number)
        while self.delivered < len(self.postgres.wal):
            self.deliver(100)
        self.deliver(1)
        self.limit = self.shop.limit = 100
        self.look()
        self.rewrite()
        for _ in range(400):
            if self.waiting == 0 and not self.ledger.parked_keys() and not self.rewriting:
                break
            self.step()
            if self.waiting == 0:
                self.time += 1_000.0
                self.tick()
        self.recorder.step()

    def expected(self) -> dict[str, str]:
        """Bodies that Engram must hold, by memory id."""
        return {f"things_{key}": self.plan.body(row) for key, row in self.postgres.rows.items()}

    def check(self) -> None:
        """Engram and the ledger are what PostgreSQL is; nothing waits, nothing is parked."""
        assert self.waiting == 0, "the lanes do not come to rest"
        assert self.ledger.parked_keys() == []
        found = {}
        for memory_id, content in self.target.memories.items():
            stamp = Stored(memory_id, content).stamp()
            assert stamp is not None
            assert stamp.intact
            found[memory_id] = content[: content.rindex(',"_bridge":')] + "}"
        assert found == self.expected()
        entries = self.entries()
        assert {f"things_{key}" for key, entry in entries.items() if entry.live} == set(found)
        for key, entry in entries.items():
            if entry.live:
                stamp = Stored("", self.target.memories[f"things_{key}"]).stamp()
                assert self.shop.expected(entry, stamp)
        assert self.edges() == self.wanted_edges()
        assert self.referred() == self.wanted_edges()
        assert set(found) == self.target.recall, "search does not find every row"
        assert not any(self.ledger.left_behind(self.record.number, shard, self.shop.epoch) for shard in range(len(SPACES)))
        assert self.recorder.confirmed >= self.postgres.end
        for lane in self.lanes:
            assert lane.live == sum(self.target.home[memory_id] == lane.space for memory_id in found)

    def entries(self) -> dict[str, Entry]:
        """All that the ledger expects."""
        return {key: entry for shard in range(len(SPACES)) for key, entry in self.ledger.scan(self.record.number, shard)}

    def wanted_edges(self) -> set[tuple[str, str, str | None]]:
        """The edges that PostgreSQL's rows make: child, constraint, key of the parent or None."""
        codes = {row[4]: str(key) for key, row in self.postgres.rows.items() if row[4] is not None}
        rows = [(f"things_{key}", row) for key, row in self.postgres.rows.items()]
        direct = {(child, "things_parent_fkey", str(row[3])) for child, row in rows if row[3] is not None}
        return direct | {(child, "things_ref_fkey", codes.get(row[5])) for child, row in rows if row[5] is not None}

    def edges(self) -> set[tuple[str, str, str | None]]:
        """The ledger's edges."""
        with self.ledger.reading() as connection:
            rows = connection.exec_driver_sql("select key, constraint_name, parent_key from edges").all()
        return {(f"things_{row[0]}", row[1], row[2]) for row in rows}

    def referred(self) -> set[tuple[str, str, str | None]]:
        """The edges in Engram's content."""
        found = set()
        for memory_id, content in self.target.memories.items():
            for reference in json.loads(content)["_bridge"].get("refs", []):
                to = reference["to"]
                found.add((memory_id, reference["constraint"], None if to is None else to.removeprefix("things_")))
        return found

    def confirmed_is_durable(self) -> None:
        """Law 4: every change up to the confirmed position is in the ledger, under its own or a later version, or parked."""
        floor = self.ledger.tables()[0].floor
        entries = self.entries()
        parked = {key[1]: waiting.version for key, waiting in self.ledger.parked_keys()}
        for transaction in self.postgres.wal:
            if transaction.end_lsn > self.recorder.confirmed:
                break
            for change in transaction.changes:
                if isinstance(change, RowChange):
                    row = change.new or change.old
                    assert row is not None
                    version = make_version(1, transaction.commit_lsn, change.ordinal)
                    known = entries.get(str(row[0]))
                    gone = known is None and row[0] not in {str(key) for key in self.postgres.rows}  # its tombstone was collected
                    recorded = known is not None and known.version >= version
                    assert gone or version <= floor or recorded or parked.get(str(row[0]), "") >= version
