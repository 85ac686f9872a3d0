"""Models of a PostgreSQL with its stream, and of an Engram that keeps the real one's bad habits; and an embedder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge.changes import (
    UNCHANGED,
    Relation,
    RelationColumn,
    Row,
    RowChange,
    Truncated,
)
from bridge.errors import TargetUnavailable
from bridge.memories import Stored, Write
from bridge.ports import Kept, SpaceState
from bridge.schema import Column, ForeignKey, Table, TypeInfo

INT4 = TypeInfo(23, "pg_catalog", "int4", category="N")


TEXT = TypeInfo(25, "pg_catalog", "text", category="S")


OID = 4711


NAMES = ("id", "name", "big", "parent", "code", "ref")


NUMBERS = ("id", "parent", "code", "ref")


SPACES = ("things-0", "things-1")


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

    def cut(self, texts: Sequence[str]) -> list[int]:
        return []

    def close(self) -> None:
        pass
