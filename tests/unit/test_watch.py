"""Comparisons of spaces: which one a space waits for."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from bridge.frontier import Token
from bridge.watch import TargetWatch


def test_a_comparison_that_is_asked_for_while_another_ends_is_waited_for() -> None:
    """A resync in its own thread asks for it at the moment when the one before it is noted."""
    repaired: list[str] = []
    watch: TargetWatch

    def put_space(space: str, *, repaired: str) -> None:
        if not asked:
            asked.append(repaired)
            watch.compare([space])

    asked: list[str] = []
    ledger: Any = SimpleNamespace(put_space=put_space, put_epoch=lambda epoch, **_seen: repaired.append(epoch))
    lane: Any = SimpleNamespace(space="parts", put_job=lambda _job: None)
    pool: Any = SimpleNamespace(lanes=[lane], lane=lambda _space: lane, wake=lambda: None)
    watch = TargetWatch(SimpleNamespace(ledger=ledger), pool, reload=lambda _plan, _token: None, epoch="e")  # type: ignore[arg-type]
    watch.compare(["parts"])
    first = watch.jobs["parts"]
    first.token = settled()
    watch.settle()
    assert watch.jobs["parts"] is not first
    assert repaired == []
    watch.jobs["parts"].token = settled()
    watch.settle()
    assert watch.repaired
    assert repaired == ["e"]


def settled() -> Token:
    """Nothing is left to be done."""
    token = Token(threading.Lock(), streamed=False)
    token.closed = True
    return token
