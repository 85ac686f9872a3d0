"""A small world in which the laws can be tried out: a PostgreSQL, an Engram and a bridge that can be killed anywhere.

One thread, one step at a time. The ledger is the real one, on a real SQLite file or server; lanes, recorder, frontier, intake
and gate are the product's own; only source and target are models, and the target keeps the real one's bad habits.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from bridge.changes import (
    Begin,
    Commit,
    Event,
    Keepalive,
    RelationSeen,
    Row,
    RowChange,
)
from bridge.compiling import compile_mapping
from bridge.embedding import Embedders
from bridge.errors import TargetUnavailable
from bridge.frontier import ChunkToken, Frontier, Token
from bridge.gate import Entry
from bridge.intake import Intake
from bridge.lane import Lane
from bridge.ledger import ChunkRecord, Ledger
from bridge.lsn import make_version
from bridge.mapping import Identity, TablePlan
from bridge.memories import Stored
from bridge.pool import LanePool
from bridge.recorder import Recorder
from bridge.rewriting import Rewriting
from bridge.spaces import TableOptions
from bridge.works import Comparison, Kind, Work
from bridge.workshop import Workshop
from tests.model.servers import (
    RELATION,
    SNAPSHOT_POINT,
    SPACES,
    TABLE,
    ModelReader,
    ModelTarget,
    Postgres,
    TinyEmbedder,
)

LIMIT = 2
"""Rows that a space takes while all else goes on; at the end there is room for all."""


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
        self.shop.take_up_floor(self.record.number, self.ledger.tables()[0].floor, facts)
        self.pool = LanePool(self.shop)
        for shard, space in enumerate(SPACES):
            lane = Lane(space, self.shop, pristine=not compare)
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
