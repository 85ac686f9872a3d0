"""Wishes to read a table again: none gets lost under another, and what was kept with it is durable in the same step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection

from bridge.errors import LedgerUnavailable
from bridge.keeper import TableKeeper
from bridge.ledger import RESYNC_ASKED, RESYNC_BEHIND, RESYNC_LOADING, Ledger, known_too, resyncing
from bridge.ledger.store import Store
from bridge.resyncing import Resyncing


@pytest.mark.parametrize(
    ("known", "wish", "left"),
    [
        (None, "catalogue@7", "catalogue@7"),
        ("column@5", "catalogue@7", "catalogue@7"),
        (RESYNC_ASKED, "catalogue@7", RESYNC_ASKED),
        (RESYNC_BEHIND, "catalogue@7", RESYNC_BEHIND),
        (RESYNC_BEHIND, RESYNC_ASKED, RESYNC_BEHIND),
        (RESYNC_ASKED, RESYNC_BEHIND, RESYNC_BEHIND),
        ("column@5", RESYNC_ASKED, RESYNC_ASKED),
        (RESYNC_LOADING, "catalogue@7", f"{RESYNC_LOADING}@7"),
        (f"{RESYNC_LOADING}@7", "catalogue@9", f"{RESYNC_LOADING}@9"),
        (RESYNC_LOADING, RESYNC_ASKED, RESYNC_ASKED),
    ],
)
def test_a_wish_never_hides_a_stronger_one(tmp_path: Path, known: str | None, wish: str, left: str) -> None:
    """A loading covers a reading by key; one under way takes its position along, and is done once more when one is asked for."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    if known is not None:
        ledger.put_facts({"resync:3": known})
    resyncs: set[int] = set()
    keeper = TableKeeper(None, ledger, None, "p", resyncs, threading.Lock())  # type: ignore[arg-type]  # neither is asked here
    keeper.read_again(3, wish, {"shape:3": "now"})
    facts = ledger.facts()
    assert (facts["resync:3"], facts["shape:3"]) == (left, "now")
    assert resyncs == (set() if left in (RESYNC_ASKED, RESYNC_BEHIND) else {3})
    ledger.close()


def test_rows_that_are_known_are_read_again_beside_a_loading() -> None:
    """A loading that was interrupted goes on, and reads by key besides; other wishes do that already."""
    assert known_too(None) == "rows by key"
    assert known_too("column@5") == "column@5"
    assert known_too(RESYNC_LOADING) == f"{RESYNC_LOADING}@0"
    assert known_too(f"{RESYNC_LOADING}@7") == f"{RESYNC_LOADING}@7"
    assert resyncing({"resync:3": "x", "links:4": "y"}) == {3: "x"}


def test_a_fact_is_dropped_only_while_it_says_the_same(tmp_path: Path) -> None:
    """A wish that came while another was fulfilled stays."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    ledger.put_facts({"resync:3": "column@9"})
    assert not ledger.drop_fact("resync:3", "column@5")
    assert ledger.facts()["resync:3"] == "column@9"
    assert ledger.drop_fact("resync:3", "column@9")
    assert "resync:3" not in ledger.facts()
    ledger.close()


@pytest.mark.parametrize("wish", [RESYNC_ASKED, RESYNC_BEHIND])
def test_a_loading_that_is_asked_for_during_another_is_not_taken_for_a_reading_by_key(tmp_path: Path, wish: str) -> None:
    """Rows that came without a message while it was loading are known by no key: once it has ended, it begins once more."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    number = ledger.register("public.parts", ["parts"], [], 0).number
    ledger.loaded(number, 0)
    ledger.put_facts({f"resync:{number}": wish})
    plan: Any = SimpleNamespace(number=number, keyless=False, spaces=("parts",), table=SimpleNamespace(label="public.parts"))
    shop: Any = SimpleNamespace(ledger=ledger, mapping=SimpleNamespace(numbered={number: plan}), stopped={})
    begun: list[int] = []
    loader: Any = SimpleNamespace(refreshing={number}, anew=set(), reload=lambda plan: begun.append(plan.number))
    pool: Any = SimpleNamespace(wake=lambda: None, wait_for_room=lambda **_wanted: True)
    recorder: Any = SimpleNamespace(confirmed=1, unlinked=threading.Event())
    marks = iter((5, 6, 7, 8))
    source: Any = SimpleNamespace(mark=lambda: next(marks), oldest=lambda: 9)
    rereading: Any = SimpleNamespace(step=lambda _room: None)
    resync = Resyncing(shop, pool, recorder, loader, {number}, source, rereading)
    for _beat in range(4):
        resync.step()
    assert begun == [number]
    assert ledger.facts()[f"resync:{number}"] == RESYNC_LOADING
    ledger.close()


def test_a_reading_ends_though_the_answer_that_its_wish_is_gone_was_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wish was dropped and the connection broke: asked again, the ledger finds none, and the table is not read for ever."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    number = ledger.register("public.parts", ["parts"], [], 0).number
    ledger.loaded(number, 0)
    ledger.put_facts({f"resync:{number}": "column@0"})
    ledger.patience.begin()
    losing_one_answer(monkeypatch)
    plan: Any = SimpleNamespace(number=number, keyless=False, spaces=("parts",), table=SimpleNamespace(label="public.parts"))
    shop: Any = SimpleNamespace(ledger=ledger, mapping=SimpleNamespace(numbered={number: plan}), stopped={})
    loader: Any = SimpleNamespace(refreshing=set(), anew=set())
    pool: Any = SimpleNamespace(wake=lambda: None, wait_for_room=lambda **_wanted: True)
    recorder: Any = SimpleNamespace(confirmed=1, unlinked=threading.Event())
    rereading: Any = SimpleNamespace(step=lambda _room: None)
    resync = Resyncing(shop, pool, recorder, loader, {number}, SimpleNamespace(), rereading)  # type: ignore[arg-type]
    resync.step()
    assert "resync:1" not in ledger.facts()
    assert resync.resyncs == set()
    ledger.close()


def test_a_wish_that_comes_while_another_ends_is_fulfilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream's thread asks for the table just after the old wish has been dropped from the ledger."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    number = ledger.register("public.parts", ["parts"], [], 0).number
    ledger.loaded(number, 0)
    ledger.put_facts({f"resync:{number}": "column@0"})
    resyncs = {number}
    keeper = TableKeeper(None, ledger, None, "p", resyncs, threading.Lock())  # type: ignore[arg-type]  # neither is asked here
    drop = Ledger.drop_fact

    def dropped(self: Ledger, name: str, value: str | None = None) -> bool:
        found = drop(self, name, value)
        if value == "column@0":
            keeper.read_again(number, "column@1")
        return found

    monkeypatch.setattr(Ledger, "drop_fact", dropped)
    plan: Any = SimpleNamespace(number=number, keyless=False, spaces=("parts",), table=SimpleNamespace(label="public.parts"))
    shop: Any = SimpleNamespace(ledger=ledger, mapping=SimpleNamespace(numbered={number: plan}), stopped={})
    loader: Any = SimpleNamespace(refreshing=set(), anew=set())
    pool: Any = SimpleNamespace(wake=lambda: None, wait_for_room=lambda **_wanted: True)
    recorder: Any = SimpleNamespace(confirmed=1, unlinked=threading.Event())
    rereading: Any = SimpleNamespace(step=lambda _room: None)
    resync = Resyncing(shop, pool, recorder, loader, resyncs, SimpleNamespace(), rereading)  # type: ignore[arg-type]
    resync.step()
    assert resync.resyncs == {number}
    assert ledger.facts()[f"resync:{number}"] == "column@1"
    resync.step()
    assert resync.resyncs == set()
    ledger.close()


def test_requests_are_answered_though_the_answer_that_they_are_taken_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are gone from the ledger then, and must not be from memory."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    ledger.request("retry", (1, "7"))
    ledger.patience.begin()
    losing_one_answer(monkeypatch)
    assert ledger.take_requests() == [("retry", (1, "7"))]
    assert ledger.take_requests() == []
    ledger.close()


def losing_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next transaction that writes comes through, and the connection breaks before that is known."""
    writing = Store.writing
    answers = [True]

    @contextmanager
    def lose(self: Store) -> Iterator[Connection]:
        with writing(self) as connection:
            yield connection
        if answers:
            answers.pop()
            raise LedgerUnavailable("the answer was lost")

    monkeypatch.setattr(Store, "writing", lose)
