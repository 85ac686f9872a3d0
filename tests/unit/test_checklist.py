"""The production checklist: ticked by what is seen, or by a person's word, and never by the word where something else is seen."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from bridge.check import Finding
from bridge.checklist import PHASES, SEEN, WORDS, Confirmation, Known, Tick, still_open, ticks
from bridge.cli.ticking import was_trial
from bridge.gates import Inputs, Thresholds, judge
from bridge.ledger.migrations import MIGRATE, RUN, Migration
from bridge.readiness import only_some
from bridge.reads import Mode, Route
from snapshot.plan import Restriction
from tests.unit.test_gates import GOOD, GOOD_TABLE, STEADY, THRESHOLDS

ALL_BY_ENGRAM = replace(GOOD, tables=(replace(GOOD_TABLE, route=Route(Mode.ENGRAM, 100)),))
SAID = {name: Confirmation("ann@host", 1_700_000_000.0, "ticket 4711") for name in WORDS}


def known(inputs: Inputs = ALL_BY_ENGRAM, thresholds: Thresholds = THRESHOLDS, **changes: object) -> Known:
    """Everything is done, but for the changes."""
    gates = judge(inputs, thresholds, STEADY)
    done = Known("shop.db", True, findings=(), tried=True, gates=gates, tables=inputs.tables, confirmed=SAID)
    return replace(done, **changes)  # type: ignore[arg-type]  # names are those of the test


def line(name: str, of: Known, strategy: str = "dual-write") -> Tick:
    """One line of the list."""
    return next(tick for tick in ticks(of, strategy) if tick.name == name)  # type: ignore[arg-type]


def test_everything_done_leaves_nothing_open() -> None:
    """Each line once, in the order of the phases; a window is needed for one-shot runs only."""
    found = ticks(known(), "dual-write")
    assert still_open(found) == []
    assert sorted(tick.name for tick in found) == sorted({**WORDS, **SEEN})
    phases = [tick.phase for tick in found]
    assert phases == sorted(phases, key=list(PHASES).index)
    assert line("window", known(confirmed={})).state == "not needed"
    assert line("window", known(confirmed={}), "staged").state == "open"


def test_nothing_is_done_where_nothing_is_known() -> None:
    """Before the first run all lines are open, and each says what to do."""
    found = ticks(Known("shop.db"), "all-at-once")
    assert {tick.state for tick in found} == {"open"}
    assert all(tick.remedy for tick in found)


@pytest.mark.parametrize("name", WORDS)
def test_a_persons_line_is_ticked_by_a_word_alone(name: str) -> None:
    """With name, moment and reason; without one the command that confirms it is told."""
    said = line(name, known(), "staged")
    assert (said.state, said.by) == ("done", "person")
    assert "ann@host" in said.told
    assert "ticket 4711" in said.told
    left = {other: word for other, word in SAID.items() if other != name}
    open_line = line(name, known(confirmed=left), "staged")
    assert open_line.state == "open"
    assert f"--confirm {name} " in open_line.remedy


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("loaded", {"state": "loading"}),
        ("loaded", {"resync": True}),
        ("loaded", {"partial": True}),
        ("parked", {"parked": 1}),
        ("orphans", {"pending_edges": 42}),
        ("validated", {"validated": None}),
        ("evidence", {"validated": None}),
        ("gates", {"shadow": 0}),
        ("share", {"route": Route(Mode.ENGRAM, 99)}),
    ],
)
def test_what_is_seen_ticks_and_unticks_by_itself(name: str, changes: dict[str, object]) -> None:
    """One table of two is not as it should be: the line is open and names it, whatever anybody confirms."""
    good = ALL_BY_ENGRAM.tables[0]
    bad = replace(good, label="public.orders", **changes)  # type: ignore[arg-type]
    of = known(replace(ALL_BY_ENGRAM, tables=(good, bad)), confirmed=SAID | {name: SAID["backup"]})
    found = line(name, of)
    assert (found.state, found.by) == ("open", "seen")
    assert found.remedy
    if name != "gates":
        assert "public.orders" in found.told
        assert "1 of 2 table(s)" in found.told


def test_findings_of_the_stream_do_not_stop_a_one_shot_run() -> None:
    """`wal_level` matters to who follows changes; a right to read matters to all."""
    stream = Finding("error", "source.wal_level", "wal_level", "wal_level is replica")
    assert line("check", known(findings=(stream,))).state == "open"
    assert line("check", known(findings=(stream,)), "all-at-once").state == "done"
    right = Finding("error", "table.select", "public.users", "the role may not read public.users")
    for strategy in ("all-at-once", "dual-write"):
        found = line("check", known(findings=(stream, right)), strategy)
        assert found.state == "open"
        assert "error(s)" in found.told


def test_orphans_that_are_allowed_are_no_obstacle() -> None:
    """By the same bound as the gate."""
    inputs = replace(ALL_BY_ENGRAM, tables=(replace(ALL_BY_ENGRAM.tables[0], pending_edges=42),))
    found = line("orphans", known(inputs, replace(THRESHOLDS, max_pending_edges=50)))
    assert found.state == "done"
    assert found.told == "42 lead nowhere; 50 of a table are allowed by cutover.max_pending_edges"


def test_a_trial_is_seen_or_said() -> None:
    """A migration with a limit or of some tables ticks it; so does somebody who tried it elsewhere."""
    assert line("subset", known(tried=False)).state == "open"
    assert line("subset", known(tried=False, confirmed={"subset": SAID["backup"]})).state == "done"
    assert line("subset", known(tried=True, confirmed={})).state == "done"


@pytest.mark.parametrize(
    ("order", "changes", "trial"),
    [
        ({}, {}, False),
        ({"edges": True, "space": "shop"}, {}, False),
        ({"tables": ["users"]}, {}, True),
        ({"limit": 100}, {}, True),
        ({"since": "2026-01-01"}, {}, True),
        ({"until": "2026-01-01"}, {}, True),
        ({"limit": 100}, {"result": None}, False),
        ({"limit": 100}, {"ended": None}, False),
        ({"limit": 100}, {"kind": RUN}, False),
    ],
)
def test_a_trial_is_a_migration_of_a_part_that_came_to_its_end(
    order: dict[str, object], changes: dict[str, object], *, trial: bool
) -> None:
    """That of everything is none, whatever tables it found; nor is one without a report."""
    whole = Migration(1, "shop", MIGRATE, 1.0, 2.0, {"tables": ["public.users"], "order": order}, {"exit": 0})
    assert was_trial(replace(whole, **changes)) is trial  # type: ignore[arg-type]  # names are those of the test


@pytest.mark.parametrize(
    ("only", "some"), [({}, False), ({"since": "a"}, False), ({"until": "b"}, True), ({"limit": 9}, True), (None, False)]
)
def test_rows_that_were_left_out_are_not_loaded(only: dict[str, object] | None, *, some: bool) -> None:
    """By what the ledger keeps of the newest order; a delta adds to what is there."""
    restriction = None if only is None else asdict(Restriction(**only))  # type: ignore[arg-type]  # names are those of the test
    assert only_some(json.dumps(["shop", restriction])) is some
    assert not only_some(None)
