"""What an operator is told of spaces that fill up: once, early, and with the number of shards that would do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.capacity import rows_per_space
from bridge.fullness import Warden, crowded
from bridge.gate import Entry, Parked
from bridge.ledger import Batch, Ledger, Outcome
from bridge.status import collect

LIMIT = 100


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """One table in one space, another one in two."""
    book = Ledger(str(tmp_path / "ledger.db"))
    book.register("public.orders", ["orders"], [], 0)
    book.register("app.lines", ["lines-0", "lines-1"], [], 0)
    yield book
    book.close()


def fill(ledger: Ledger, table: int, shard: int, rows: int) -> None:
    """Rows that the ledger expects there; a tombstone takes no room."""
    keys = [f"{shard}-{key}" for key in range(rows + 1)]
    ledger.record(Batch([Outcome((table, key), Entry("v", "d", "r", key != keys[-1], shard)) for key in keys]))


def park(ledger: Ledger, table: int, keys: int, reason: str = "capacity") -> None:
    """Keys that wait."""
    ledger.record(Batch([Outcome((table, f"p{key}"), park=Parked(reason, "", "v", None, 0.0)) for key in range(keys)]))


def test_nothing_is_said_of_spaces_with_room(ledger: Ledger) -> None:
    """Nor of keys that wait for another reason."""
    fill(ledger, 1, 0, 79)
    park(ledger, 1, 5, "too_large")
    assert crowded(ledger, LIMIT) == []


def test_a_space_that_is_nearly_full_is_told_with_what_would_do(ledger: Ledger) -> None:
    """The fullest of the table's spaces decides, and what is proposed holds all rows."""
    fill(ledger, 2, 0, 30)
    fill(ledger, 2, 1, 80)
    (one,) = crowded(ledger, LIMIT)
    assert one.sentence == "app.lines: 110 rows in 2 spaces; lines-1 holds 80 of 100; engram-bridge reshard app.lines 3 would do"
    assert rows_per_space(one.rows, one.shards) <= LIMIT


def test_a_full_space_is_told_with_the_keys_that_wait(ledger: Ledger) -> None:
    """In the sentence of the log, which `status` shows as well."""
    fill(ledger, 1, 0, 100)
    park(ledger, 1, 2)
    ledger.put_gauges({"space_limit": LIMIT})
    (one,) = collect(ledger, None).crowded
    assert one.sentence == "orders: 100 rows in 1 space; 2 more are parked; engram-bridge reshard public.orders 2 would do"


def test_each_is_told_once(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """Nearly full at 80 %, full when a key found no room, and silence in between and afterwards."""
    caplog.set_level(logging.WARNING)
    warden = Warden(ledger)
    fill(ledger, 1, 0, 85)
    told = []
    for rows, parked in ((79, 0), (85, 0), (95, 0), (100, 0), (100, 1), (100, 2)):
        park(ledger, 1, parked)
        for _ in range(2):
            warden.look(LIMIT, [("orders", rows), ("lines-0", 1)])
        told.append([record.getMessage().split(":")[0] for record in caplog.records])
        caplog.clear()
    assert told == [[], ["a space is nearly full"], [], [], ["a space is full"], []]
