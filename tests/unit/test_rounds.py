"""Threads in rounds: what passes waits, an error of ours ends them, a defect is said."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from bridge.errors import BridgeError, Fatal, LedgerError, SourceUnavailable, Transient
from bridge.rounds import Rounds


def run(*outcomes: BaseException | None, waits: Callable[[Transient], None] | None = None, end: int = 0) -> tuple[Rounds, int]:
    """Rounds that end as they are told, and how many there were; with `end` the run is to end in that round."""
    ending, left, told = threading.Event(), list(outcomes), 0

    def work() -> None:
        nonlocal told
        told += 1
        if told == end or len(left) == 1:
            ending.set()
        outcome = left.pop(0)
        if outcome is not None:
            raise outcome

    rounds = Rounds("test", "testing", work, ending, lambda: 0.0, waits or (lambda _error: None))
    rounds.run()
    return rounds, told


def test_what_passes_is_told_and_waited_for() -> None:
    """The next round comes all the same."""
    told: list[str] = []
    rounds, count = run(SourceUnavailable("away"), None, SourceUnavailable("still"), None, waits=lambda e: told.append(str(e)))
    assert (count, told, rounds.failure) == (4, ["away", "still"], None)


@pytest.mark.parametrize("error", [Fatal("no"), LedgerError("full")])
def test_an_error_of_ours_is_the_last_round(error: BridgeError) -> None:
    """The run ends with it."""
    rounds, count = run(None, error, None)
    assert (count, rounds.failure) == (2, error)


def test_what_is_not_its_to_wait_for_ends_it_too() -> None:
    """`waits` raises it again."""

    def refuse(error: Transient) -> None:
        raise error

    rounds, count = run(SourceUnavailable("away"), None, waits=refuse)
    assert count == 1
    assert isinstance(rounds.failure, SourceUnavailable)


def test_a_defect_is_said_and_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback; but not of a thread that was left behind."""
    rounds, count = run(None, ZeroDivisionError("oh"), None)
    assert count == 2
    assert "testing" in str(rounds.failure)
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        rounds, count = run(None, ZeroDivisionError("oh"), None, end=2)
    assert (count, rounds.failure, caplog.text) == (2, None, "")
