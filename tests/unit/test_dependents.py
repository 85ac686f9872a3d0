"""A parent that is found by an alternate key can have any number of children: few of them are ever held at once."""

from __future__ import annotations

from pathlib import Path

from bridge.frontier import Frontier
from bridge.gate import Entry
from bridge.ledger import DEPENDENTS, Batch, Ledger, Outcome
from bridge.memories import Edge, Key
from bridge.recorder import Recorder

CHILDREN = 200_000
LOOKUP = ("1:code", "[1]")


def test_the_children_of_a_parent_are_found_page_by_page(tmp_path: Path) -> None:
    """200,000 children wait for a parent: when it comes none of them is queued, and all are found again in pages."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    ledger.register("public.parents", ["parents"], [], 1)
    ledger.register("public.children", ["children"], [], CHILDREN)
    entry = Entry("0001:1:1", "", "", True, 0)
    children = [
        Outcome((2, f"{key:06}"), entry=entry, fresh=True, edges=(Edge("fk", 1, None, LOOKUP),)) for key in range(CHILDREN)
    ]
    for start in range(0, CHILDREN, 20_000):
        assert ledger.record(Batch(children[start : start + 20_000])) == []
    recorder = Recorder(ledger, Frontier(0))
    told: list[Key] = []
    recorder.refresh = told.extend
    recorder.commit([Outcome((1, "1"), entry=entry, fresh=True, edges=(), alternates=(LOOKUP,))])
    assert told == []
    assert recorder.unlinked.is_set()
    found: list[Key] = []
    while page := ledger.stale_lookups(found[-1] if found else None, DEPENDENTS):
        assert len(page) <= DEPENDENTS
        found += page
    assert found == [outcome.key for outcome in children]
    ledger.close()


def test_a_few_children_are_told_of_at_once(tmp_path: Path) -> None:
    """So that they are up to date when the position is seen."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    ledger.register("public.parents", ["parents"], [], 1)
    entry = Entry("0001:1:1", "", "", True, 0)
    child = Outcome((1, "2"), entry=entry, fresh=True, edges=(Edge("fk", 1, None, LOOKUP),))
    recorder = Recorder(ledger, Frontier(0))
    told: list[Key] = []
    recorder.refresh = told.extend
    recorder.commit([child])
    recorder.commit([Outcome((1, "1"), entry=entry, fresh=True, edges=(), alternates=(LOOKUP,))])
    assert told == [(1, "2")]
    assert not recorder.unlinked.is_set()
    ledger.close()
