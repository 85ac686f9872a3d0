"""The migrations of a ledger: ids, numbers, and which memories belong to which."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.gate import Entry
from bridge.ledger import Batch, Ledger, Migrations, Outcome
from bridge.ledger.migrations import MIGRATE, RUN


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(str(tmp_path / "ledger.db"))
    ledger.register("public.a", ("a",), [], 0)
    ledger.register("public.b", ("b",), [], 0)
    return ledger


def written(table: int, key: str, migration: int, *, live: bool = True) -> Outcome:
    return Outcome((table, key), Entry("0001:1:1", "d", "r", live, 0, migration=migration))


def test_a_migration_goes_on_by_its_number(ledger: Ledger) -> None:
    """Begun again under its id it has not ended, and its orders are those of now; the number is for good."""
    migrations = Migrations(ledger)
    first = migrations.begin("first", MIGRATE, {"tables": ["public.a"]})
    migrations.end(first, {"outcome": "ok"})
    ended = migrations.find("first")
    assert ended is not None
    assert ended.ended is not None
    assert ended.result == {"outcome": "ok"}
    second = migrations.begin("second", RUN, {})
    assert second != first
    assert migrations.begin("first", MIGRATE, {"tables": ["public.b"]}) == first
    again = migrations.find("first")
    assert again is not None
    assert (again.began, again.ended, again.result, again.detail) == (ended.began, None, None, {"tables": ["public.b"]})
    assert [one.id for one in migrations.all()] == ["first", "second"]
    assert migrations.find("third") is None


def test_an_id_is_of_one_kind(ledger: Ledger) -> None:
    """What `run` writes under the id of a one-shot migration could not be told from it: refused, and nothing is changed."""
    migrations = Migrations(ledger)
    migrations.begin("one", MIGRATE, {"tables": []})
    before = migrations.all()
    with pytest.raises(ConfigError, match="another migration of this ledger, by migrate-postgresql"):
        migrations.begin("one", RUN, {})
    assert migrations.all() == before


def test_memories_are_counted_and_paged_by_migration(ledger: Ledger) -> None:
    """In each table its own, tombstones too; nothing of another migration is among them."""
    migrations = Migrations(ledger)
    one, two = migrations.begin("one", MIGRATE, {}), migrations.begin("two", MIGRATE, {})
    outcomes = [written(1, f"{key:02}", (one, two)[key % 2], live=key > 3) for key in range(20)]
    ledger.record(Batch([*outcomes, written(2, "x", two), written(2, "y", 0)]))
    assert migrations.counts() == {(one, 1): (8, 2), (two, 1): (8, 2), (two, 2): (1, 0), (0, 2): (1, 0)}
    pages, after = [], None
    while page := migrations.page(one, 1, after, size=3):
        pages.append([key for key, _entry in page])
        after = page[-1][0]
    assert pages == [["00", "02", "04"], ["06", "08", "10"], ["12", "14", "16"], ["18"]]
    assert ledger.entries(1, ["03"])["03"] == Entry("0001:1:1", "d", "r", False, 0, migration=two)
