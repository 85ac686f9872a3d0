"""While a generation is filled, changes go to both: each gets all from its beginning on, and the frontier waits for both."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bridge.changes import Begin, Commit, Relation, RelationColumn, RelationSeen, Row, RowChange, Truncated
from bridge.frontier import Frontier, Token
from bridge.intake import Intake
from bridge.mapping import Mapping
from bridge.works import Kind, Sweep, Work
from tests.unit.test_mapping import INT8, TEXT, mapping, table

TABLE = table("notes", ("id", INT8), ("body", TEXT))
RELATION = Relation(
    TABLE.oid, "public", "notes", "d", (RelationColumn("id", 20, -1, True), RelationColumn("body", 25, -1, False))
)
SERVING = mapping(TABLE)
BOTH = SERVING.filled(9, "public.notes", ("notes-g2-0", "notes-g2-1"))
SWITCHED = Mapping({"public.notes": BOTH.numbered[9]}, {9: BOTH.numbered[9]})


@dataclass
class Recording:
    """Stands for pool, lanes, shop, ledger and keeper: keeps what was put."""

    mapping: Mapping
    put_: list[Work] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    stopped: dict[int, str] = field(default_factory=dict)
    floors: dict[int, str] = field(default_factory=dict)

    def truncate(self, number: int, version: str, _xid: int) -> None:
        self.floors[number] = max(self.floor(number), version)

    def floor(self, number: int) -> str:
        return self.floors.get(number, "")

    def put(self, work: Work) -> None:
        self.put_.append(work)

    def lane(self, _space: str) -> Any:
        return SimpleNamespace(put_job=self.sweeps.append)

    def wait_for_room(self, **_how: Any) -> bool:
        return True

    def wake(self) -> None:
        pass


def change(kind: str, key: int, other: int, ordinal: int) -> RowChange | Truncated:
    """One change of the table: a new key for an update that names another one."""
    row: Row = (str(key), "text")
    if kind == "truncate":
        return Truncated((RELATION,), ordinal)
    if kind == "insert":
        return RowChange("insert", RELATION, row, None, False, ordinal)
    if kind == "delete":
        return RowChange("delete", RELATION, None, (str(key), None), False, ordinal)
    return RowChange("update", RELATION, row, (str(other), None) if other != key else None, False, ordinal)


KINDS = st.sampled_from(["insert", "update", "delete", "truncate"])
KEYS = st.integers(1, 5)
TRANSACTIONS = st.lists(st.lists(st.tuples(KINDS, KEYS, KEYS), max_size=5), min_size=3, max_size=12)


@given(TRANSACTIONS, st.data())
def test_each_generation_gets_every_change_from_its_beginning_to_its_end(
    transactions: list[list[tuple[str, int, int]]], data: st.DataObject
) -> None:
    """Keys, kinds, versions and sweeps are the same for both, the lanes their own; nothing is confirmed that one lacks."""
    begun = data.draw(st.integers(0, len(transactions)))
    switched = data.draw(st.integers(begun, len(transactions)))
    world: Any = Recording(SERVING)
    frontier = Frontier(0)
    intake = Intake(world, world, frontier, world, 1)
    intake.accept([RelationSeen(RELATION)])
    for number, changes in enumerate(transactions, 1):
        world.mapping = SERVING if number <= begun else BOTH if number <= switched else SWITCHED
        events: list[Any] = [Begin(number * 100, 0.0, number)]
        events += [change(kind, key, other, ordinal) for ordinal, (kind, key, other) in enumerate(changes, 1)]
        intake.accept([*events, Commit(number * 100, number * 100 + 8, 0.0)])
    told = {number: told_of(world, number) for number in (1, 9)}
    first = [what for what in told[1] if what[2] > version_of(begun)]
    last = [what for what in told[9] if what[2] <= version_of(switched)]
    assert first == last
    assert all(what[2] <= version_of(switched) for what in told[1])
    assert all(what[2] > version_of(begun) for what in told[9])
    spaces = {work.plan.space_of(work.key) for work in world.put_ if work.plan.number == 9}
    assert spaces <= {"notes-g2-0", "notes-g2-1"}
    done(world, 1)
    reached = frontier.advance("proven")
    assert reached <= min(open_ends(world, 9), default=len(transactions) * 100 + 8)
    done(world, 9)
    assert frontier.advance("proven") == len(transactions) * 100 + 8


def version_of(transaction: int) -> str:
    """Above every version of this transaction, below those of the next."""
    return f"0001:{transaction * 100:016x}:ffffffff"


def told_of(world: Any, number: int) -> list[tuple[str, str, str]]:
    """What a generation was given, in the order of versions: kind, key and version."""
    works = [(work.kind.value, work.key, work.version) for work in world.put_ if work.plan.number == number]
    sweeps = {("truncate", "", sweep.version) for sweep in world.sweeps if sweep.plan.number == number}
    return sorted([*works, *sweeps], key=lambda what: (what[2], what[0] != Kind.DELETE.value))


def tokens(world: Any, number: int) -> list[Token]:
    """The tokens of a generation's works."""
    works = [token for work in world.put_ if work.plan.number == number for token in work.tokens]
    return works + [token for sweep in world.sweeps if sweep.plan.number == number for token in sweep.tokens]


def open_ends(world: Any, number: int) -> list[int]:
    """The positions of transactions of which this generation has something to do."""
    return [token.end - 1 for token in tokens(world, number)]


def done(world: Any, number: int) -> None:
    """All works of a generation are recorded."""
    for token in tokens(world, number):
        token.done("written")
        token.done("proven")
