"""Generations in the ledger: one serves, one is filled, the switch is one step, and a number is never given twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.choices import Choices
from bridge.frontier import Token
from bridge.gate import Entry
from bridge.ledger import FILLING, RESYNC_LOADING, RETIRED, SERVING, Batch, ChunkRecord, Generations, Ledger, Outcome
from bridge.lsn import make_version
from bridge.memories import Edge

VERSION = make_version(1, 100, 1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A fresh ledger."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    yield ledger
    ledger.close()


def row(table: int, key: str, *, edges: list[Edge] | None = None, alternates: list[tuple[str, str]] | None = None) -> Outcome:
    """A live memory."""
    entry = Entry(VERSION, "d", "r", True, 0)
    return Outcome((table, key), entry=entry, fresh=True, edges=edges, alternates=alternates, tokens=list[Token]())


def roles(ledger: Ledger) -> list[tuple[int, str]]:
    """Number and role of every generation."""
    return [(record.number, record.role) for record in ledger.generations(SERVING, FILLING, RETIRED)]


def test_a_filled_generation_takes_the_place_of_the_one_that_serves(ledger: Ledger) -> None:
    """What serves a label is another record after the switch; children point at the table, whichever generation serves."""
    generations = Generations(ledger)
    parents = ledger.register("public.parents", ["parents"], [], 1)
    children = ledger.register("public.children", ["children"], [], 1)
    lookup = (f"{parents.number}:code", "c1")
    edges = [Edge("direct", parents.number, "1", None), Edge("by_code", parents.number, "1", lookup)]
    ledger.record(Batch([row(parents.number, "1", alternates=[lookup]), row(children.number, "7", edges=edges)]))
    assert ledger.pending_edges() == {}
    generations.ask("public.parents", "reshard", {"shards": 2})
    filling = generations.begin(parents, ["parents-g2-0", "parents-g2-1"], {"configured": [["parents"]]})
    assert (filling.role, filling.origin, filling.state) == (FILLING, parents.number, "new")
    assert generations.asked() == []
    assert [record.number for record in ledger.tables()] == [parents.number, children.number]
    # A row of the generation that is filled is nobody's parent yet, and tells nobody to look for it.
    moved = ledger.record(Batch([row(filling.number, "2", alternates=[lookup])]))
    assert moved == []
    assert ledger.resolve([lookup]) == {lookup: "1"}
    generations.switch(filling)
    assert roles(ledger) == [(parents.number, RETIRED), (children.number, SERVING), (filling.number, SERVING)]
    assert ledger.resolve([lookup]) == {lookup: "2"}
    assert ledger.stale_lookups() == [(children.number, "7")]
    assert ledger.pending_edges() == {children.number: 2}  # row 1 is not in the new generation
    assert generations.choices().accepts("public.parents", ["parents-g2-0", "parents-g2-1"], ["parents"])
    assert not generations.choices().accepts("public.parents", ["parents-g2-0", "parents-g2-1"], ["elsewhere"])
    generations.discard(parents.number)
    assert roles(ledger) == [(children.number, SERVING), (filling.number, SERVING)]
    assert ledger.entries(parents.number, ["1"]) == {}


def test_a_number_is_never_given_twice(ledger: Ledger) -> None:
    """Edges of children may still name a table that is gone: its number stays its own."""
    generations = Generations(ledger)
    first = ledger.register("public.first", ["first"], [], 1)
    generations.remove("public.first", keep=False, reason="removed")
    assert ledger.tables() == []
    generations.discard(first.number)
    assert ledger.register("public.second", ["second"], [], 1).number == first.number + 1


def test_a_removed_table_is_remembered_and_an_added_one_too(ledger: Ledger) -> None:
    """The last word counts; kept memories stay with their record, which is stopped."""
    generations = Generations(ledger)
    record = ledger.register("public.notes", ["notes"], [], 1)
    ledger.plan(record.number, [ChunkRecord(0, None, None)])
    ledger.put_facts({f"resync:{record.number}": "asked"})
    generations.choose("public.notes", "added", {})
    generations.ask("public.notes", "remove", {"keep": True})
    generations.remove("public.notes", keep=True, reason="removed, its memories are kept")
    assert generations.choices() == Choices(removed=frozenset({"public.notes"}))
    assert [one.state for one in ledger.tables()] == ["stopped"]
    generations.remove("public.notes", keep=False, reason="removed")
    assert roles(ledger) == [(record.number, RETIRED)]
    assert not any(name.startswith("resync:") for name in ledger.facts())


def test_what_was_refused_is_kept_with_its_reason_until_it_is_asked_again(ledger: Ledger) -> None:
    """`status` can say why."""
    generations = Generations(ledger)
    generations.ask("public.notes", "add", {})
    (asked,) = generations.asked()
    generations.refuse(asked, "it has no primary key")
    assert [one.refused for one in generations.asked()] == ["it has no primary key"]
    generations.ask("public.notes", "add", {})
    assert [one.refused for one in generations.asked()] == [None]
    generations.done("public.notes", "add")
    assert generations.asked() == []


def test_what_was_refused_is_told_no_more_when_something_else_is_asked_of_the_table(ledger: Ledger) -> None:
    """Another verb, or a resync; what was refused of other tables stays, and what is still to be done too."""
    generations = Generations(ledger)
    for label in ("public.notes", "public.tags"):
        generations.ask(label, "reshard", {"shards": 9})
    for asked in generations.asked():
        generations.refuse(asked, "too few spaces")
    generations.ask("public.notes", "remove", {})
    assert [(one.label, one.verb) for one in generations.asked()] == [("public.tags", "reshard"), ("public.notes", "remove")]
    generations.forget_refusals("public.notes")
    generations.forget_refusals("public.tags")
    assert [(one.label, one.verb) for one in generations.asked()] == [("public.notes", "remove")]


def test_a_kept_table_is_added_again_as_a_whole_or_not_at_all(ledger: Ledger) -> None:
    """A run that ends in its midst leaves it removed, so that the next one adds it: never half of it."""
    generations = Generations(ledger)
    record = ledger.register("public.notes", ["notes"], [], 1)
    ledger.put_facts({f"shape:{record.number}": "of before"})
    generations.remove("public.notes", keep=True, reason="removed, its memories are kept")
    with pytest.raises(TypeError):
        generations.add("public.notes", record.number, [{"name": object()}])  # fails at its last step
    assert generations.choices() == Choices(removed=frozenset({"public.notes"}))
    assert [one.state for one in ledger.tables()] == ["stopped"]
    assert ledger.facts()[f"shape:{record.number}"] == "of before"
    generations.add("public.notes", record.number, [{"name": "id"}])
    assert generations.choices() == Choices(added=frozenset({"public.notes"}))
    assert [(one.state, one.reason, one.columns) for one in ledger.tables()] == [("new", None, [{"name": "id"}])]
    assert ledger.facts()[f"resync:{record.number}"] == RESYNC_LOADING
    assert f"shape:{record.number}" not in ledger.facts()
