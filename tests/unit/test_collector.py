"""Whoever looks all the time is held up by nobody: not by a PostgreSQL that does not answer, nor by a count of all memories."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge import collector
from bridge.collector import Collector
from bridge.errors import SourceUnavailable
from bridge.ledger import Ledger
from bridge.status import SlotFigures


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """With one table."""
    book = Ledger(str(tmp_path / "ledger.db"))
    record = book.register("public.users", ["users"], [], 10)
    book.set_table(record.number, state="loaded")
    yield book
    book.close()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look is a new one."""
    for name in ("LIGHT_SECONDS", "SLOT_SECONDS", "HEAVY_SECONDS", "HEAVY_REST"):
        monkeypatch.setattr(collector, name, 0.0)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30.0
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_source_that_does_not_answer_holds_up_nobody(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures come all the same, and say that it is silent; when it answers again they are known again."""
    monkeypatch.setattr(collector, "FIRST_SECONDS", 0.1)
    monkeypatch.setattr(collector, "SLOT_PATIENCE", 0.2)
    answers = threading.Event()

    def ask() -> SlotFigures:
        assert answers.wait(60)
        return SlotFigures(exists=True, active=True, flush_lsn=1)

    looking = Collector(ledger, ask)
    assert looking.now().status.slot["known"] is False
    until(lambda: (looking.now().source_error or "").startswith("PostgreSQL has not answered"))
    assert [one.name for one in looking.now().trouble if one.name.startswith("source")] == ["source-unreachable"]
    answers.set()
    until(lambda: looking.now().status.slot["known"])
    assert looking.now().source_error is None
    looking.close()


def test_why_the_source_cannot_be_asked_is_told_until_it_can(ledger: Ledger) -> None:
    """What was known before is not shown as if it were so now."""
    away = False

    def ask() -> SlotFigures:
        if away:
            raise SourceUnavailable("PostgreSQL is not available")
        return SlotFigures(exists=True, active=True, flush_lsn=1)

    looking = Collector(ledger, ask)
    assert looking.now().status.slot["known"] is True
    away = True
    until(lambda: looking.now().source_error == "PostgreSQL is not available")
    assert looking.now().status.slot["known"] is False
    away = False
    until(lambda: looking.now().source_error is None)
    looking.close()


def test_many_who_look_cost_one_look(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second all see the same figures."""
    monkeypatch.setattr(collector, "LIGHT_SECONDS", 3600.0)
    looking = Collector(ledger, lambda: SlotFigures(exists=True))
    found = [looking.now() for _ in range(20)]
    assert all(one is found[0] for one in found)
    looking.close()


def test_a_count_of_all_memories_is_not_waited_for_twice(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is; after that the last one is shown while the next is made."""
    counting, counted = threading.Event(), []
    count = collector.weigh

    def slow(*arguments: object) -> object:
        counted.append(1)
        if len(counted) > 1:
            assert counting.wait(60)
        return count(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(collector, "weigh", slow)
    looking = Collector(ledger, lambda: SlotFigures(exists=True))
    assert looking.now().status.tables[0].name == "public.users"
    for _ in range(5):
        assert looking.now().status.tables[0].state == "loaded"
    ledger.set_table(1, state="stopped", reason="gone")
    assert looking.now().status.tables[0].state == "stopped", "what is cheap is always new"
    counting.set()
    looking.close()
