"""What reconciliation has found and left open: where it is looked at again, and what is said of it then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.changes import Row
from bridge.gate import Entry, Parked
from bridge.ledger import Batch, Finding, Findings, Ledger, Outcome
from bridge.ledger.findings import SOURCE, TARGET
from bridge.lsn import Lsn
from bridge.mapping import TablePlan
from bridge.memories import Stored
from bridge.reconcile.mending import Mender, _read_again
from bridge.reconcile.orders import Order
from bridge.reconcile.pace import Pace
from bridge.reconcile.round import NOT_CARRIED, RIGHT, Round, place_of
from bridge.reconcile.source_side import SourceSide
from bridge.reconcile.tallies import FOREIGN, MISSING, ONLY_HERE, STRAY, UNKNOWN_HERE, Tallies, Tally
from bridge.reconcile.target_side import TargetSide
from bridge.spaces import TableOptions
from bridge.validation.settling import Look, settle
from bridge.validation.sides import Sides
from tests.unit.test_mapping import INT8, TEXT, mapping, table

USERS = table("users", ("id", INT8), ("name", TEXT))


@dataclass
class Target:
    """An Engram of some memories; `opened`: the spaces that were asked for, in order."""

    memories: dict[tuple[str, str], str] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)

    def open(self, space: str) -> Any:
        """As the client does: a space that is not there is made."""
        self.opened.append(space)
        return SimpleNamespace(counted=0)

    def read(self, space: str, ids: Sequence[str]) -> list[Stored | None]:
        """By id."""
        found = [self.memories.get((space, memory_id)) for memory_id in ids]
        return [None if one is None else Stored(name, one, 0.0, 0.9) for name, one in zip(ids, found, strict=True)]


@dataclass
class World:
    """A ledger with the table users, an Engram, and a PostgreSQL of some rows."""

    ledger: Ledger
    plan: TablePlan
    target: Target = field(default_factory=Target)
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def sides(self) -> Sides:
        """What a round reads."""
        made = SimpleNamespace(
            ledger=self.ledger,
            target=self.target,
            mapping=SimpleNamespace(numbered={self.plan.number: self.plan}, plans={self.plan.table.label: self.plan}),
            ledger_id="ledger-1",
            position=lambda: 1,
            rows=self.read,
        )
        return cast(Sides, made)

    def read(self, _plan: TablePlan, keys: Sequence[str]) -> tuple[dict[str, Row], Lsn]:
        """As PostgreSQL answers."""
        return {key: self.rows[key] for key in keys if key in self.rows}, 1

    def round(self) -> Round:
        """One that could mend."""
        pace = Pace(1e6, 1.0, lambda: False)
        mender = cast(Mender, object())  # it is not asked for anything here
        return Round(
            self.sides, Order(), [self.plan], {self.plan.number}, pace, pace,
            stop=lambda: False, save=lambda _position: None, evidence=cast(Any, None), mender=mender,
        )  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """With the spaces `users`, and `gone` of a table that was removed."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    plan = mapping(USERS).plans["public.users"]
    ledger.register("public.users", list(plan.spaces), [], 1)
    for space in (*plan.spaces, "gone"):
        ledger.put_space(space, pristine=False)
    yield World(ledger, plan)
    ledger.close()


def how(world: World) -> dict[str, str | None]:
    """By key, how each finding was closed."""
    return {one.key: one.how for one in Findings(world.ledger).newest()}


def test_what_a_removed_table_has_left_open_is_closed_and_creates_no_space(world: World) -> None:
    """A row's key may look like a place. No space is opened that is none of ours, and nothing stays open for ever."""
    docs = "public.docs"
    Findings(world.ledger).keep(
        [
            Finding(docs, "guides/intro", ONLY_HERE, SOURCE),
            Finding(docs, "Guides/Intro", MISSING, TARGET),
            Finding(docs, "gone/intro", ONLY_HERE, SOURCE),
            Finding(docs, "7", MISSING, TARGET),
            Finding(docs, "gone/docs_a/b", STRAY, TARGET),
        ]
    )
    world.round()._revisit_others()
    assert set(world.target.opened) == {"gone"}
    closed = dict.fromkeys(("guides/intro", "Guides/Intro", "gone/intro", "7"), NOT_CARRIED)
    assert how(world) == {**closed, "gone/docs_a/b": RIGHT}


def test_a_strange_memory_with_a_slash_in_its_id_is_read_again_before_it_is_called_right(world: World) -> None:
    """Its key is its space, a slash, and its id, whatever that is made of; of whatever kind it is."""
    (space,) = world.plan.spaces
    world.target.memories = {(space, "their/own/note"): "text", ("gone", "a/b"): "text"}
    label = world.plan.table.label
    Findings(world.ledger).keep(
        [
            Finding(label, f"{space}/their/own/note", FOREIGN, TARGET),
            Finding(label, f"{space}/their/other", FOREIGN, TARGET),
            Finding(label, "gone/a/b", STRAY, TARGET),
            Finding(label, "gone/a/c", STRAY, TARGET),
        ]
    )
    round_ = world.round()
    seen: list[tuple[str, str]] = []
    world.target.read = lambda space, ids: (  # type: ignore[method-assign]  # watched
        seen.extend((space, name) for name in ids) or Target.read(world.target, space, ids)
    )
    round_._revisit(world.plan)
    assert {(space, "their/own/note"), (space, "their/other"), ("gone", "a/b"), ("gone", "a/c")} <= set(seen)
    open_ = {one.key for one in Findings(world.ledger).open()}
    assert f"{space}/their/own/note" in open_
    assert {f"{space}/their/other", "gone/a/c"} & open_ == set()


@given(st.text(), st.sampled_from([SOURCE, TARGET]), st.sampled_from(["users", "gone", "nowhere"]))
def test_a_place_is_only_what_a_space_of_ours_begins(memory_id: str, side: str, space: str) -> None:
    """The whole id is behind the first slash."""
    found = place_of(Finding("public.t", f"{space}/{memory_id}", FOREIGN, side), {"users", "gone"})
    assert found == ((space, memory_id) if side == TARGET and space != "nowhere" else None)


def test_a_key_that_is_parked_during_a_stage_is_no_finding(world: World) -> None:
    """Both looks ask for what is parked now: nothing is expected of such a key."""
    plan, (space,) = world.plan, world.plan.spaces
    world.rows = {"1": ("1", "Ann")}
    world.ledger.record(Batch([Outcome((plan.number, "2"), Entry("v", "d", "r", True, 0))]))
    source = SourceSide(world.sides, plan, set(), Tally())
    target = TargetSide(world.sides, space, [plan], {plan.number}, {}, frozenset({"ledger-1"}), Tallies())
    two = plan.prefix + "2"
    assert [one.problems for one in source.look(["1"])[0].values()] == [(UNKNOWN_HERE,)]
    assert [one.problems for one in target.look([two])[0].values()] == [(MISSING,)]
    parked = [Outcome((plan.number, key), park=Parked("too_large", "", "v", None, 0.0)) for key in ("1", "2")]
    world.ledger.record(Batch(parked))
    assert [one.problems for one in source.look(["1"])[0].values()] == [()]
    assert [one.problems for one in target.look([two])[0].values()] == [()]


@dataclass
class Clock:
    """Time that passes when somebody sleeps."""

    now: float = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """At once."""
        self.now += seconds


@pytest.mark.parametrize("back", [0.05, 0.5, 1.9])
def test_a_memory_that_is_written_again_in_the_background_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch, back: float
) -> None:
    """It is forgotten before it is written. No frontier waits for that, and a quiet source has passed every fence."""
    clock = Clock()
    monkeypatch.setattr("bridge.validation.sides.time", clock)
    nothing: Any = None
    ledger = SimpleNamespace(held_by=lambda: "a bridge", facts=lambda: {"proven": "9"})
    sides = Sides(cast(Ledger, ledger), nothing, nothing, nothing, nothing, "ledger-1", 0.0, 0.9, "")

    def look(_keys: Sequence[str]) -> tuple[dict[str, Look[str]], Lsn]:
        missing = clock.now < back
        return {"k": Look(missing, ("missing",) if missing else ())}, 9

    settled = settle(["k"], look, sides.rested)
    assert (settled.true, settled.lag, settled.unsettled) == ({}, 1, [])
    lost = settle(["k"], lambda _keys: ({"k": Look(True, ("missing",))}, 9), sides.rested)
    assert lost.true == {"k": ("missing",)}


def test_rows_of_a_table_without_a_key_are_read_again_at_once() -> None:
    """Each reading reads the whole table."""
    notes = mapping(table("notes", ("body", TEXT), key=()), notes=TableOptions(collapse=True)).plans["public.notes"]
    asked: list[list[str]] = []

    def rows(_plan: TablePlan, keys: list[str]) -> dict[str, Row]:
        asked.append(keys)
        return {key: (key,) for key in keys}

    found = _read_again([(notes, "a", UNKNOWN_HERE), (notes, "b", ONLY_HERE), (notes, "c", UNKNOWN_HERE)], rows)
    assert asked == [["a", "c"]]
    assert found == {notes.number: {"a": ("a",), "c": ("c",)}}
