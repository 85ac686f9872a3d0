"""Every kind of damage that a migrated table can take, how it is planted, and what alone is to be found of it.

The table of docs/validation.md is made from this list; tests/unit/test_damage_table.py compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from bridge.memories import Stored, Write, split_content
from bridge.ports import Vectors
from bridge.wiring import open_target
from tests.rig import Rig

SCHEMA = (
    "create table users (id int primary key, name text, email text unique, created_at timestamptz)",
    "create table orders (id int primary key, user_id int references users, by_email text references users (email), note text)",
    """insert into users select n, 'user '||n, 'u'||n||'@x', '2020-01-01'::timestamptz + n * interval '1 hour'
       from generate_series(1, 60) n""",
    "insert into orders select n, 1 + n % 50, 'u'||(1 + n % 50)||'@x', 'note '||n from generate_series(1, 120) n",
)
OLD = ("update users set name = 'renamed' where id = 7", "delete from orders where id = 120")
"""After these, users_7 has an earlier version and orders_120 a dead one."""

ORDERS = ("orders-0", "orders-1")
SHARDED = {"tables": {"orders": {"shards": 2}}}

Finding = tuple[str, str, str]
"""Check, kind and id."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is gone: the first version of users_7, and the space where orders_120 was."""

    content: str
    vector: Vectors
    space: str

    @classmethod
    def of(cls, rig: Rig) -> Earlier:
        """To be asked before `OLD`."""
        target = open_target(rig.config)
        try:
            spaces = ("users", *ORDERS)
            for space in spaces:
                target.open(space)
            found = {one.memory_id: (one.content, vector, space) for space in spaces for one, vector in target.vectors(space)}
        finally:
            target.close()
        content, vector, _space = found["users_7"]
        assert vector is not None
        return cls(content, vector, found["orders_120"][2])


class World:
    """The memories of a rig, as they were when all was right, and the means to spoil and to mend them."""

    def __init__(self, rig: Rig, earlier: Earlier) -> None:
        self.rig = rig
        self.earlier = earlier
        self.target = open_target(rig.config)
        self.vectors: dict[str, Vectors] = {}
        self.stored: dict[str, Stored] = {}
        self.spaces: dict[str, str] = {}
        for space in ("users", *ORDERS):
            self.target.open(space)
            for stored, vector in self.target.vectors(space):
                assert vector is not None
                self.vectors[stored.memory_id], self.spaces[stored.memory_id] = vector, space
        for memory_id, space in self.spaces.items():
            (found,) = self.target.read(space, [memory_id])
            assert found is not None
            self.stored[memory_id] = found

    def close(self) -> None:
        """Close the connections."""
        self.target.close()

    def content(self, memory_id: str) -> str:
        """As it was."""
        return self.stored[memory_id].content

    def damage(self, memory_id: str, do: str, to: object = None) -> None:
        """Where the memory lies, behind everybody's back."""
        self.rig.engram.damage(self.spaces[memory_id], memory_id, do, to)

    def forget(self, memory_id: str, space: str | None = None) -> None:
        """As a client would."""
        self.target.forget(space or self.spaces[memory_id], [memory_id])

    def remember(self, memory_id: str, space: str, like: str, vector: Vectors | None = None) -> None:
        """With the content, time and vector of a memory as it was."""
        known = self.stored[like]
        assert known.timestamp is not None
        when = datetime.fromisoformat(known.timestamp).timestamp()
        vector = self.vectors[like] if vector is None else vector
        self.target.remember(space, [Write(memory_id, known.content, when, 0.9, vector)])

    def heal(self, *memory_ids: str) -> None:
        """Each as it was."""
        for memory_id in memory_ids:
            self.forget(memory_id)
        for memory_id in memory_ids:
            self.remember(memory_id, self.spaces[memory_id], memory_id)

    def ledger(self, statement: str) -> None:
        """Change the ledger behind everybody's back. `{users}` and `{orders}` are the numbers of the tables."""
        numbers = {record.label.removeprefix("public."): record.number for record in self.rig.ledger().tables()}
        self.rig.ledger_sql(statement.format(**numbers))


Deed = Callable[[World], None]


@dataclass(frozen=True, slots=True)
class Damage:
    """`plant` does it, `heal` undoes it; `found`: all that a validation may say then. `what`: for people."""

    what: str
    found: tuple[Finding, ...]
    plant: Deed
    heal: Deed


def apart(number: int) -> Vectors:
    """A unit vector that has nothing to do with any other."""
    vector = np.random.default_rng(number).standard_normal(768)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def _spoil(memory_id: str, do: str, to: Callable[[World], object] = lambda _world: None) -> tuple[Deed, Deed]:
    return lambda world: world.damage(memory_id, do, to(world)), lambda world: world.heal(memory_id)


def _rewrite(memory_id: str, how: Callable[[World, str], str]) -> tuple[Deed, Deed]:
    def to(world: World) -> str:
        new = how(world, world.content(memory_id))
        assert new != world.content(memory_id)
        return new

    return lambda world: world.damage(memory_id, "content", to(world)), lambda world: world.damage(
        memory_id, "content", world.content(memory_id)
    )


def _without_reference(_world: World, content: str) -> str:
    parts = split_content(content)
    assert parts is not None
    return content.replace(json.dumps(json.loads(parts[1])["refs"][0], separators=(",", ":")) + ",", "", 1)


def _move(memory_id: str, space: str) -> tuple[Deed, Deed]:
    def plant(world: World) -> None:
        assert world.spaces[memory_id] != space
        world.forget(memory_id)
        world.remember(memory_id, space, memory_id)

    def heal(world: World) -> None:
        world.forget(memory_id, space)
        world.heal(memory_id)

    return plant, heal


def _copy(memory_id: str, space: str) -> tuple[Deed, Deed]:
    return lambda world: world.remember(memory_id, space, memory_id), lambda world: world.forget(memory_id, space)


def _swap(first: str, second: str) -> tuple[Deed, Deed]:
    def plant(world: World) -> None:
        world.damage(first, "vector", world.vectors[second].tolist())
        world.damage(second, "vector", world.vectors[first].tolist())

    return plant, lambda world: world.heal(first, second)


def _with_vector(memory_id: str, vector: Callable[[], Vectors]) -> tuple[Deed, Deed]:
    """Written again by somebody, with another vector."""

    def plant(world: World) -> None:
        world.forget(memory_id)
        world.remember(memory_id, world.spaces[memory_id], memory_id, vector())

    return plant, lambda world: world.heal(memory_id)


def _ledger(spoil: str, mend: str) -> tuple[Deed, Deed]:
    return lambda world: world.ledger(spoil), lambda world: world.ledger(mend)


def _nan() -> Vectors:
    vector = apart(3)
    vector[5] = np.nan
    return vector


IN_ENGRAM: tuple[Damage, ...] = (
    Damage("a row dropped", (("rows", "missing", "users_9"),), *_spoil("users_9", "remove")),
    Damage("a row dropped that lists still show", (("rows", "missing", "users_10"),), *_spoil("users_10", "hide")),
    Damage(
        "one character changed",
        (("rows", "changed", "users_8"),),
        *_rewrite("users_8", lambda _world, content: content.replace("user 8", "user 9", 1)),
    ),
    Damage(
        "an earlier version of the row",
        (("rows", "reverted", "users_7"),),
        *_rewrite("users_7", lambda world, _new: world.earlier.content),
    ),
    Damage(
        "another row's content",
        (("rows", "another row", "users_11"),),
        *_rewrite("users_11", lambda world, _old: world.content("users_12")),
    ),
    Damage(
        "a content that the bridge did not write",
        (("rows", "without our stamp", "users_13"),),
        *_rewrite("users_13", lambda _world, _old: '{"id":13,"name":"user 13"}'),
    ),
    Damage("a row moved to another shard of its table", (("rows", "moved", "orders_1"),), *_move("orders_1", "orders-1")),
    Damage("a row moved to another table's space", (("rows", "moved", "users_14"),), *_move("users_14", "orders-0")),
    Damage("a row copied to another space", (("extra", "in another space", "users_15"),), *_copy("users_15", "orders-1")),
    Damage(
        "a deleted row that is back",
        (("extra", "resurrected", "orders_120"),),
        lambda world: world.rig.engram.damage(world.earlier.space, "orders_120", "resurrect"),
        lambda world: world.forget("orders_120", world.earlier.space),
    ),
    Damage(
        "a stray memory",
        (("extra", "unknown to the ledger", "users_9999"),),
        lambda world: world.remember("users_9999", "users", "users_16", apart(1)),
        lambda world: world.forget("users_9999", "users"),
    ),
    Damage(
        "an edge lost",
        (("references", "edge missing in Engram", "orders_3"),),
        *_rewrite("orders_3", _without_reference),
    ),
    Damage(
        "an edge that leads elsewhere",
        (("references", "edge leads elsewhere in Engram", "orders_3"),),
        *_rewrite("orders_3", lambda _world, content: content.replace('"to":"users_4"', '"to":"users_5"', 1)),
    ),
    Damage(
        "another time",
        (("forms", "another time", "users_17"),),
        *_spoil("users_17", "time", lambda _world: datetime(2021, 1, 1, tzinfo=UTC).isoformat()),
    ),
    Damage(
        "another confidence", (("forms", "another confidence", "users_18"),), *_spoil("users_18", "confidence", lambda _w: 0.4)
    ),
    Damage(
        "another class in its stamp",
        (("forms", "its stamp says otherwise", "users_28"),),
        *_rewrite("users_28", lambda _world, content: content.replace('"class":"verified"', '"class":"derived"', 1)),
    ),
    Damage("a vector of zeros", (("vectors", "zero", "users_19"),), *_spoil("users_19", "vector", lambda _w: [0.0] * 768)),
    Damage("a vector with a NaN", (("vectors", "not finite", "users_20"),), *_with_vector("users_20", _nan)),
    Damage(
        "the constant vector of a memory that is sent without one",
        (("vectors", "constant", "users_21"),),
        *_spoil("users_21", "vector", lambda _w: [0.5] * 768),
    ),
    Damage(
        "a vector of another dimension",
        (("vectors", "wrong dimension", "users_22"),),
        *_spoil("users_22", "vector", lambda _w: [0.05] * 400),
    ),
    Damage(
        "two vectors swapped",
        (("vectors", "swapped", "users_23"), ("vectors", "swapped", "users_24")),
        *_swap("users_23", "users_24"),
    ),
    Damage(
        "another row's vector",
        (("vectors", "another row's", "users_25"),),
        *_spoil("users_25", "vector", lambda world: world.vectors["users_26"].tolist()),
    ),
    Damage(
        "the vector of another text",
        (("vectors", "not made from its text", "users_27"),),
        *_spoil("users_27", "vector", lambda _w: apart(2).tolist()),
    ),
    Damage(
        "the vector of an earlier version",
        (("vectors", "not made from its text", "users_7"),),
        *_spoil("users_7", "vector", lambda world: world.earlier.vector.tolist()),
    ),
)

IN_THE_LEDGER: tuple[Damage, ...] = (
    Damage(
        "a row lost from the ledger",
        (("counts", "not in the ledger", "users_55"),),
        *_ledger(  # no table has the number 0
            "update memories set tbl = 0 where tbl = {users} and key = '55'",
            "update memories set tbl = {users} where tbl = 0 and key = '55'",
        ),
    ),
    Damage(
        "a row too many in the ledger",
        (("counts", "only in the ledger", "users_777"),),
        *_ledger(
            "insert into memories (tbl, key, shard, version, digest, refs, live, refreshed) "
            "select tbl, '777', shard, version, digest, refs, live, refreshed from memories where tbl = {users} and key = '1'",
            "delete from memories where tbl = {users} and key = '777'",
        ),
    ),
    Damage(
        "an edge lost from the ledger",
        (("references", "edge missing in the ledger", "orders_4"),),
        *_ledger(
            "update edges set tbl = 0 where tbl = {orders} and key = '4' and lookup is null",
            "update edges set tbl = {orders} where tbl = 0 and key = '4'",
        ),
    ),
    Damage(
        "an edge of the ledger that leads elsewhere",
        (("references", "edge leads elsewhere in the ledger", "orders_5"),),
        *_ledger(
            "update edges set parent_key = '9' where tbl = {orders} and key = '5' and lookup is null",
            "update edges set parent_key = '6' where tbl = {orders} and key = '5' and lookup is null",
        ),
    ),
)


def at_once(damages: Sequence[Damage]) -> list[list[Damage]]:
    """In as few groups as may be, of which no two damages concern the same memory."""
    groups: list[list[Damage]] = []
    for one in damages:
        mine = {memory_id for _check, _kind, memory_id in one.found}
        fitting = (some for some in groups if not mine & {found[2] for other in some for found in other.found})
        group = next(fitting, None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    return groups


@contextmanager
def opened(rig: Rig, earlier: Earlier) -> Iterator[World]:
    """The world of a rig, in which all is right now."""
    world = World(rig, earlier)
    try:
        yield world
    finally:
        world.close()


def as_markdown() -> str:
    """The table of the document."""
    lines = ["| damage | the check that finds it | what it says |", "|---|---|---|"]
    for one in (*IN_ENGRAM, *IN_THE_LEDGER):
        kinds = ", ".join(dict.fromkeys(kind for _check, kind, _id in one.found))
        lines.append(f"| {one.what} | `{one.found[0][0]}` | {kinds} |")
    return "\n".join(lines)
