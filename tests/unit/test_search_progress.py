"""What the ledger says of search: which rows the target's recall by embedding has forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from bridge.gate import Entry, Parked
from bridge.ledger import Batch, Ledger, Outcome


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Two shards of one table, four rows and a tombstone, written in the target's first start."""
    book = Ledger(str(tmp_path / "ledger.db"))
    record = book.register("public.users", ["users-0", "users-1"], [], 4)
    book.set_table(record.number, state="loaded")
    number = book.put_epoch("first", seen=1.0)
    book.record(Batch([Outcome((1, str(key)), Entry("v", "d", "r", key < 4, key % 2, epoch=number)) for key in range(5)]))
    for space in record.spaces:
        book.put_space(space, pristine=True, rewritten=number)
    yield book
    book.close()


def test_search_is_complete_until_the_target_restarts(ledger: Ledger) -> None:
    """A new start forgets everything; each row written since is known again."""
    assert ledger.searchable(1)
    number = ledger.put_epoch("second", seen=2.0)
    assert number == 2
    assert not ledger.searchable(1)
    assert ledger.behind(1, 0, number, "", 10) == ["0", "2"]
    assert ledger.behind(1, 0, number, "0", 10) == ["2"]
    assert ledger.behind(1, 1, number, "", 1) == ["1"]
    ledger.record(Batch([Outcome((1, "0"), Entry("w", "d", "r", True, 0, epoch=number))]))
    progress = ledger.search_progress()[1]
    assert (progress.rows, progress.known, progress.complete) == (4, 1, False)
    assert ledger.left_behind(1, 0, number)


def test_a_space_that_is_written_through_is_not_enough_for_its_table(ledger: Ledger) -> None:
    """All spaces of the table, and no key that waits."""
    number = ledger.put_epoch("second", seen=2.0)
    ledger.put_space("users-0", rewritten=number)
    assert not ledger.searchable(1)
    ledger.put_space("users-1", rewritten=number)
    assert ledger.searchable(1)
    ledger.record(Batch([Outcome((1, "9"), park=Parked("capacity", "", "v", None, 0.0))]))
    assert not ledger.searchable(1)


def test_a_parked_key_does_not_keep_its_space_from_being_through(ledger: Ledger) -> None:
    """Its turn writes it; until then it would be found at every pass."""
    number = ledger.put_epoch("second", seen=2.0)
    ledger.record(Batch([Outcome((1, key), park=Parked("unproven", "", "v", None, 0.0)) for key in ("0", "2")]))
    assert not ledger.left_behind(1, 0, number)
    assert ledger.left_behind(1, 1, number)
    ledger.drop_parked((1, "0"))
    assert ledger.left_behind(1, 0, number)


@pytest.mark.parametrize(("starts", "known"), [(1, 4), (2, 0)])
def test_an_earlier_ledger_knows_what_its_target_cannot_have_forgotten(ledger: Ledger, starts: int, known: int) -> None:
    """One start that was seen holds everything; after a second one nobody knows which rows were written since."""
    if starts == 2:
        ledger.put_epoch("second", seen=2.0)
    with ledger.writing() as connection:
        for column in ("epoch", "migration", "mark"):
            connection.execute(text(f"alter table memories drop column {column}"))
        connection.execute(text("alter table spaces drop column rewritten"))
        later = ("routes", "audit", "readings", "mismatches", "validations", "migrations", "findings", "reconciliations")
        for table in later:
            connection.execute(text(f"drop table {table}"))
        connection.execute(text("update facts set value = '3' where name = 'schema_version'"))
    again = Ledger(ledger.location)
    assert not again.is_new
    assert again.search_progress()[1].known == known
    assert not again.searchable(1)
    again.close()
