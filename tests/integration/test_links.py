"""References as the ledger tells them, in a file and on a server: both directions, page by page, and what whole tables say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.gate import Entry, Parked
from bridge.ledger import Batch, Ledger, Links, Outcome, Standings, TableRecord
from bridge.ledger.links import IN, OUT
from bridge.lsn import make_version
from bridge.memories import Edge

USERS, ORDERS = "public.users", "public.orders"


@pytest.fixture(params=["file", "server"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> Iterator[Ledger]:
    place = str(tmp_path / "ledger.db") if request.param == "file" else database
    book = Ledger(place)
    book.acquire()
    yield book
    book.close()


def entry(number: int, *, live: bool = True) -> Entry:
    return Entry(make_version(1, number, 1), f"d{number}", "r", live, 0)


def record(ledger: Ledger, *outcomes: Outcome) -> None:
    ledger.record(Batch(outcomes=list(outcomes)))


def world(ledger: Ledger) -> tuple[TableRecord, TableRecord]:
    """Two users and orders that point at them: keys that sort otherwise by bytes than by most collations."""
    users, orders = ledger.register(USERS, ["users"], [], 2), ledger.register(ORDERS, ["orders"], [], 5)
    record(
        ledger,
        Outcome((users.number, "1"), entry(10)),
        Outcome((users.number, "2"), entry(11, live=False)),
        *(
            Outcome((orders.number, key), entry(20), edges=(Edge("buyer", users.origin, "1"), Edge("seller", users.origin, "2")))
            for key in ("", "B", "a", "_", "é", "10", "9", "9\x01")
        ),
        Outcome((orders.number, "gone"), entry(21, live=False), edges=()),
        Outcome((orders.number, "far"), entry(22), edges=(Edge("buyer", users.origin, None, ("1:mail", '["x"]')),)),
    )
    return users, orders


def incoming(ledger: Ledger, *, limit: int = 100, least: str = "", key: str = "1", constraint: str = "buyer") -> list[Any]:
    asked = {"label": USERS, "child": ORDERS, "key": key, "constraint": constraint, "least": least, "limit": limit}
    return [row[0] for row in Links(ledger).ask(IN, asked)]


def outgoing(ledger: Ledger, key: str, after: str = "", limit: int = 100) -> list[tuple[Any, ...]]:
    rows = Links(ledger).ask(OUT, {"label": ORDERS, "key": key, "after": after, "limit": limit})
    return [(constraint, label, to, bool(there)) for constraint, label, to, there in rows]


def test_references_of_a_row_are_told_with_what_is_pending(ledger: Ledger) -> None:
    world(ledger)
    assert outgoing(ledger, "a") == [("buyer", USERS, "1", True), ("seller", USERS, "2", False)]
    assert outgoing(ledger, "a", "buyer") == [("seller", USERS, "2", False)]
    assert outgoing(ledger, "a", limit=1) == [("buyer", USERS, "1", True)]
    assert outgoing(ledger, "far") == [("buyer", USERS, None, False)]
    assert outgoing(ledger, "gone") == outgoing(ledger, "nobody") == []


def test_rows_that_point_at_one_are_told_in_the_order_of_their_bytes(ledger: Ledger) -> None:
    world(ledger)
    keys = sorted(["", "B", "a", "_", "é", "10", "9", "9\x01"], key=str.encode)
    assert incoming(ledger) == keys
    walked, least = [], ""
    while page := incoming(ledger, limit=2, least=least):
        walked += page
        least = page[-1] + "\x01"
    assert walked == keys
    assert incoming(ledger, key="2", constraint="seller") == keys
    assert incoming(ledger, key="1", constraint="seller") == []


def test_truncated_children_are_told_no_more(ledger: Ledger) -> None:
    users, orders = world(ledger)
    ledger.set_table(orders.number, floor=make_version(1, 20, 2))
    assert incoming(ledger) == []
    record(ledger, Outcome((orders.number, "new"), entry(30), edges=(Edge("buyer", users.origin, "1"),)))
    assert incoming(ledger) == ["new"]


def test_what_was_read_again_behind_a_truncate_is_there(ledger: Ledger) -> None:
    """It is written under the version of that TRUNCATE, which lies above those of the rows that went."""
    users, orders = world(ledger)
    floor = make_version(1, 20, 2)
    ledger.set_table(orders.number, floor=floor)
    ledger.set_table(users.number, floor=floor)
    again = replace(entry(30), version=floor)
    record(
        ledger,
        Outcome((users.number, "1"), again),
        Outcome((orders.number, "new"), again, edges=(Edge("buyer", users.origin, "1"),)),
    )
    assert incoming(ledger) == ["new"]
    assert outgoing(ledger, "new") == [("buyer", USERS, "1", True)]
    standing = Standings(ledger).of(ORDERS, ["new", "a"])
    assert standing is not None
    assert {key: one.live for key, one in standing.keys.items()} == {"new": True, "a": False}


def test_a_truncated_parent_is_pending(ledger: Ledger) -> None:
    users, _orders = world(ledger)
    ledger.set_table(users.number, floor=make_version(1, 10, 2))
    assert outgoing(ledger, "a")[0] == ("buyer", USERS, "1", False)


def test_a_table_is_searchable_when_the_ledger_says_so(ledger: Ledger) -> None:
    """The statement and `Ledger.searchable` agree at every step."""
    users, orders = world(ledger)
    links = Links(ledger)

    def agreed() -> bool:
        found = links.states([USERS, ORDERS, "public.nobody"])
        assert set(found) == {USERS, ORDERS}
        for table in (users, orders):
            assert found[table.label].searchable == ledger.searchable(table.number)
        return found[USERS].searchable

    assert not agreed()
    ledger.set_table(users.number, state="loaded", reached=7)
    assert not agreed()
    ledger.put_space("users", pristine=True)
    ledger.put_epoch("first", seen=1.0)
    assert not agreed()
    ledger.put_space("users", rewritten=1)
    assert agreed()
    assert links.states([USERS])[USERS].reached == 7
    waiting = Parked("rejected", "", make_version(1, 40, 1), None, 0.0)
    record(ledger, Outcome((users.number, "3"), entry(40), park=waiting))
    assert not agreed()
    assert links.states([USERS])[USERS].parked
