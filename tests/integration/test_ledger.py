"""What every ledger keeps, whatever holds it: the same tests on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import LedgerError, LedgerHeld
from bridge.gate import Entry, Parked
from bridge.ledger import Batch, ChunkRecord, Ledger, Outcome, books
from bridge.ledger.place import ledger_exists
from bridge.memories import Edge

KEYS = [
    "",
    "1",
    "10",
    "2",
    "A",
    "B",
    "a",
    "b",
    "Z_1",
    "a_b",
    "ä",
    "ä_1",
    "é",
    "ß",
    "ﬁ",
    "一",
    "\U0001f600",
    "a b",
    "a'b",
    'a"b',
    "%s",
    "a\\b",
]


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a ledger in each."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    return str(request.getfixturevalue("database"))


@pytest.fixture
def ledger(location: str) -> Iterator[Ledger]:
    """A new one, with a table, held by this run."""
    made = Ledger(location)
    made.acquire()
    made.register("public.things", ["things"], [{"name": "id"}], 10)
    yield made
    made.close()


def entry(number: int, *, live: bool = True, shard: int = 0) -> Entry:
    """An expectation with a version of that number."""
    return Entry(f"0001:{number:016x}:00000000", f"{number:032x}", "", live, shard, 700 + number, 0)


def outcome(key: str, number: int, **parts: Any) -> Outcome:
    """A row that was proven."""
    return Outcome((1, key), entry=entry(number), **parts)


def test_a_ledger_is_made_once(location: str) -> None:
    """It knows its identity from its first moment, and another opening finds the same."""
    assert not ledger_exists(location)
    first = Ledger(location)
    second = Ledger(location)
    assert (first.is_new, second.is_new) == (True, False)
    assert ledger_exists(location)
    assert first.facts() == second.facts()
    assert set(first.facts()) == {"schema_version", "ledger_id", "created"}
    first.close()
    second.close()


def test_many_that_open_a_new_ledger_at_once_make_one(location: str) -> None:
    """One of them makes it, the others wait for it."""
    opened: list[Ledger] = []
    threads = [threading.Thread(target=lambda: opened.append(Ledger(location))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.is_new for one in opened) == [False] * 5 + [True]
    assert len({one.facts()["ledger_id"] for one in opened}) == 1
    for one in opened:
        one.close()


def test_what_was_recorded_is_read_again(ledger: Ledger) -> None:
    """Entries, parked keys, chunks, facts and counters of one batch, in one step; keys of any characters are told apart."""
    ledger.plan(1, [ChunkRecord(0, None, ("5",)), ChunkRecord(1, ("5",), None)])
    parked = Parked("too_large", "it has 5 bytes", "0001:1:1", 77, 1.5, 2, 9.25, False)
    batch = Batch(
        [outcome(key, number) for number, key in enumerate(KEYS)] + [Outcome((1, "waits"), park=parked)],
        [(1, ChunkRecord(0, None, None, True, 21, 900))],
        {"proven": "900"},
        {"changes_applied": 3},
    )
    assert ledger.record(batch) == []
    ledger.record(Batch(counters={"changes_applied": 4, "other": 1}))
    assert ledger.entries(1, [*KEYS, "unknown"]) == {key: entry(number) for number, key in enumerate(KEYS)}
    assert ledger.entries(2, KEYS) == {}
    assert ledger.parked(1, ["waits", "1"]) == {"waits": parked}
    assert ledger.chunks(1) == [ChunkRecord(0, None, ("5",), True, 21, 900), ChunkRecord(1, ("5",), None)]
    assert ledger.facts()["proven"] == "900"
    assert ledger.counters() == {"changes_applied": 7, "other": 1}
    ledger.record(Batch([Outcome((1, "waits"), unpark=True), outcome("1", 99)]))
    assert ledger.parked(1, ["waits"]) == {}
    assert ledger.entries(1, ["1"])["1"] == entry(99)


def test_keys_are_scanned_in_the_order_of_their_bytes(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages go by `key > last`: an order of any language would leave keys out or show them twice."""
    monkeypatch.setattr(books, "PAGE", 3)
    shuffled = random.Random(1).sample(KEYS, len(KEYS))
    ledger.record(Batch([outcome(key, 1) for key in shuffled]))
    ledger.record(Batch([Outcome((1, "elsewhere"), entry=entry(1, shard=1))]))
    found = [key for key, _entry in ledger.scan(1, 0)]
    assert found == sorted(KEYS, key=lambda key: key.encode())


def test_more_keys_than_one_statement_takes(ledger: Ledger) -> None:
    """As many as a lane or a chunk can bring."""
    keys = [f"key {number}" for number in range(2_345)]
    ledger.record(Batch([outcome(key, 5, edges=[Edge("up", 1, "1")], alternates=[("1:name", key)], fresh=True) for key in keys]))
    assert len(ledger.entries(1, keys)) == 2_345
    assert len(ledger.resolve([("1:name", key) for key in keys])) == 2_345
    assert ledger.live_counts() == {(1, 0): 2_345}


def test_edges_and_alternate_values_follow_the_row(ledger: Ledger) -> None:
    """Replaced with it; whoever was found by a value that came or went is answered, also when it came first."""
    child = Edge("up", 1, None, ("1:name", "anna"))
    assert ledger.record(Batch([outcome("child", 1, edges=[child], fresh=True)])) == []
    assert ledger.pending_edges() == {1: 1}
    assert ledger.record(Batch([outcome("anna", 2, alternates=[("1:name", "anna")])])) == [(1, "child")]
    assert ledger.stale_lookups() == [(1, "child")]
    ledger.record(Batch([outcome("child", 3, edges=[Edge("up", 1, "anna", ("1:name", "anna"))])]))
    assert ledger.stale_lookups() == []
    assert ledger.edges_of(1) == [("child", "up", 1, "anna")]
    assert ledger.record(Batch([outcome("anna", 4, alternates=[("1:name", "berta")])])) == [(1, "child")]
    assert ledger.record(Batch([Outcome((1, "child"), entry=entry(5, live=False), edges=(), alternates=())])) == []
    assert ledger.edges_of(1) == []
    late = outcome("late", 6, edges=[Edge("up", 1, None, ("1:name", "berta"))], fresh=True)
    assert ledger.record(Batch([late])) == [(1, "late")], "it was resolved before its parent was recorded"


def test_a_step_that_fails_leaves_nothing(ledger: Ledger) -> None:
    """One transaction: what stands before the fault is not there either."""
    broken = Outcome((1, "b"), entry=Entry(None, "", "", True, 0))  # type: ignore[arg-type]
    with pytest.raises(LedgerError):
        ledger.record(Batch([outcome("a", 1), broken], facts={"proven": "5"}))
    assert ledger.entries(1, ["a", "b"]) == {}
    assert "proven" not in ledger.facts()
    ledger.record(Batch([outcome("a", 1)]))
    assert set(ledger.entries(1, ["a", "b"])) == {"a"}


def test_what_others_ask_and_the_figures(ledger: Ledger, location: str) -> None:
    """Another process may ask while one writes; gauges are replaced, epochs and spaces noted."""
    beside = Ledger(location)
    for number in range(3):
        beside.request("retry", (1, str(number)))
    assert ledger.take_requests() == [("retry", (1, str(number))) for number in range(3)]
    assert ledger.take_requests() == []
    ledger.put_gauges({"waiting": 1, "lag": {"p50": 2.5}})
    ledger.put_gauges({"waiting": 2})
    assert {name: value for name, (value, _at) in beside.gauges().items()} == {"waiting": 2, "lag": {"p50": 2.5}}
    ledger.put_space("things", pristine=True)
    ledger.put_space("things", repaired="e1")
    assert beside.space("things") == (True, "e1")
    ledger.put_epoch("e1", seen=1.0)
    ledger.put_epoch("e1", repaired=2.0)
    assert beside.epochs() == [("e1", 1.0, 2.0)]
    beside.close()


def test_tombstones_below_a_version_are_collected(ledger: Ledger) -> None:
    """Live ones and later ones stay."""
    dead = [Outcome((1, str(n)), entry=entry(n, live=False)) for n in range(6)]
    ledger.record(Batch([*dead, outcome("alive", 0)]))
    assert ledger.collect_tombstones(1, entry(3).version) == 3
    assert {key for key, _entry in ledger.scan(1, 0)} == {"3", "4", "5", "alive"}


def test_one_writes_and_everybody_sees_who(ledger: Ledger, location: str) -> None:
    """A second run is refused and told whom to look for; when the first has ended it may."""
    second = Ledger(location)
    said = second.held_by()
    assert said is not None
    assert said.startswith("process ")
    with pytest.raises(LedgerHeld, match="another run works with this ledger: process"):
        second.acquire()
    ledger.release()
    assert second.held_by() is None
    second.acquire()
    assert ledger.held_by() == second.held_by()
    second.close()


def test_a_thread_that_is_left_behind_writes_nothing(ledger: Ledger, location: str) -> None:
    """Its run has given the ledger back, whether another has it by now or not; whoever takes it again may write again."""
    ledger.put_facts({"mine": "yes"})
    ledger.release()
    late = (lambda: ledger.put_facts({"mine": "late"}), lambda: ledger.record(Batch(facts={"mine": "late"})))
    for write in late:
        with pytest.raises(LedgerHeld, match=r"has given the ledger .* back"):
            write()
    second = Ledger(location)
    second.acquire()
    for write in late:
        with pytest.raises(LedgerHeld):
            write()
    assert second.facts()["mine"] == "yes"
    second.close()
    ledger.acquire()
    ledger.put_facts({"mine": "again"})
    assert ledger.facts()["mine"] == "again"


def test_reading_has_one_view(ledger: Ledger, location: str) -> None:
    """What is recorded between two statements of a reader is not seen by the second one alone."""
    from sqlalchemy import select

    from bridge.ledger import tables

    query = select(tables.facts.c.value).where(tables.facts.c.name == "proven")
    ledger.record(Batch(facts={"proven": "1"}))
    beside = Ledger(location)
    with beside.reading() as connection:
        assert connection.execute(query).scalar() == "1"
        ledger.record(Batch([outcome("a", 1)], facts={"proven": "2"}))
        assert connection.execute(query).scalar() == "1"
    assert beside.facts()["proven"] == "2"
    beside.close()
