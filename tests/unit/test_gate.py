"""The version gate, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.gate import Action, Entry, Parked, decide
from bridge.lsn import make_version
from bridge.spaces import TableOptions
from bridge.works import Kind, Work
from tests.model.servers import TABLE
from tests.unit.test_mapping import TEXT, mapping, table

PLAN = mapping(TABLE).plans["public.things"]
ROW = ("1", "a", "b", None)
OLD, NEW, NEWER = (make_version(1, lsn, 1) for lsn in (10, 20, 30))


def entry(version: str = NEW, *, live: bool = True) -> Entry:
    return Entry(version, "d", "r", live, 0)


def work(version: str = "", kind: Kind = Kind.ROW, **more: Any) -> Work:
    return Work(PLAN, "1", kind if version else Kind.NOTHING, ROW if version and kind is Kind.ROW else None, version, **more)


@pytest.mark.parametrize(
    ("what", "known", "floor", "action"),
    [
        (work(NEWER), entry(), "", Action.WRITE),
        (work(NEW), entry(), "", Action.SUPERSEDED),
        (work(OLD), entry(), "", Action.SUPERSEDED),
        (work(OLD), entry(live=False), "", Action.SUPERSEDED),
        (work(OLD), None, "", Action.WRITE),
        (work(OLD), None, NEW, Action.SUPERSEDED),
        (work(NEW), None, NEW, Action.SUPERSEDED),
        (work(OLD, in_doubt=True), None, NEW, Action.LOOK),
        (work(NEWER, Kind.DELETE), entry(), "", Action.FORGET),
        (work(NEWER, Kind.DELETE), None, "", Action.FORGET),
        (work(suspect=True), entry(), "", Action.LOOK),
        (work(suspect=True), entry(live=False), "", Action.LOOK),
        (work(suspect=True), None, "", Action.LOOK),
        (work(refresh=True), entry(), "", Action.REFRESH),
        (work(refresh=True), None, "", Action.LOOK),
        (work(refresh=True, suspect=True), entry(), "", Action.REFRESH),
        (work(refresh=True, in_doubt=True), entry(), "", Action.REFRESH),
        (work(OLD, refresh=True), entry(), "", Action.REFRESH),
        (work(NEWER, refresh=True), entry(), "", Action.WRITE),
        (work(rewrite=2), Entry(NEW, "d", "r", True, 0, epoch=1), "", Action.REWRITE),
        (work(rewrite=2), Entry(NEW, "d", "r", True, 0, epoch=2), "", Action.SUPERSEDED),
        (work(rewrite=2, in_doubt=True), Entry(NEW, "d", "r", True, 0, epoch=2), "", Action.LOOK),
        (work(rewrite=2, refresh=True), Entry(NEW, "d", "r", True, 0, epoch=1), "", Action.REFRESH),
        (work(rewrite=2), Entry(NEW, "d", "r", False, 0, epoch=1), "", Action.SUPERSEDED),
        (work(NEWER, rewrite=2), Entry(NEW, "d", "r", True, 0, epoch=1), "", Action.WRITE),
    ],
)
def test_the_gate_lets_only_newer_versions_pass(what: Work, known: Entry | None, floor: str, action: Action) -> None:
    """Law 2: a write is applied only above what is known of its key; every wish beside the version is kept."""
    assert decide(what, known, floor, None) is action


@pytest.mark.parametrize(
    ("what", "action"),
    [
        (work(NEWER), Action.WAIT),
        (work(refresh=True), Action.WAIT),
        (work(OLD), Action.SUPERSEDED),
        (work(rewrite=1), Action.SUPERSEDED),
        (work(refresh=True, retry=True), Action.REFRESH),
        (work(NEWER, retry=True), Action.WRITE),
    ],
)
def test_changes_of_a_parked_key_wait_behind_it(what: Work, action: Action) -> None:
    """Law 8: what comes for a parked key waits; a retry is a refresh."""
    parked = Parked("unproven", "", NEW, None, 0.0)
    assert decide(what, entry(), "", parked) is action
    dropped = Parked("unproven", "", NEW, None, 0.0, dropped=True)
    assert decide(work(NEWER), entry(), "", dropped) is Action.WRITE


def test_a_row_that_a_whole_reading_did_not_find_is_settled_unless_something_newer_came() -> None:
    """A parked row of a table without a key: by its latest change, seen before the reading began, or by nothing."""
    plan = mapping(table("notes", ("a", TEXT), key=()), notes=TableOptions(collapse=True)).plans["public.notes"]
    parked = Parked("unproven", "", NEW, None, 0.0)
    gone = Work(plan, "d", Kind.DELETE, version=NEW, retry=True)
    assert decide(gone, None, "", parked) is Action.FORGET
    assert decide(gone, Entry(NEW, "d", "r", True, 0), "", parked) is Action.FORGET
    assert decide(gone, None, "", Parked("unproven", "", NEWER, None, 0.0)) is Action.SUPERSEDED
    assert decide(gone, Entry(NEWER, "d", "r", True, 0), "", None) is Action.SUPERSEDED
