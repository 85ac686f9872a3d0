"""What a retired or stopped generation still has in a space: it counts, and forgetting it is not forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import lane as lanes
from bridge.assembling import add_lanes
from bridge.errors import TargetUnavailable
from bridge.gate import Entry
from bridge.lane import Lane
from bridge.ledger import Batch, Generations, Ledger, Outcome
from bridge.mapping import Mapping
from bridge.works import Comparison, Vacation


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    yield ledger
    ledger.close()


def test_forgetting_goes_on_after_a_restart_of_the_target_was_seen_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison that a restart asks for takes the place of another one, and not of a job that somebody waits for."""
    shop: Any = SimpleNamespace(clock=lambda: 0.0)
    lane = Lane("orders", shop)
    job = Vacation(3, "public.orders", "orders_", 0)

    def fail(*_arguments: object) -> None:
        lane.put_job(Comparison("orders", "2"))
        raise TargetUnavailable("it is starting")

    monkeypatch.setattr(lanes, "vacate_page", fail)
    lane.put_job(job)
    with pytest.raises(TargetUnavailable):
        lane.step()
    assert lane._next_job() is job
    assert isinstance(lane._next_job(), Comparison)


@pytest.mark.parametrize("keep", [True, False])
def test_memories_of_a_removed_table_take_room_after_a_start(ledger: Ledger, keep: bool) -> None:
    """They are in the space until they are forgotten: a start that did not count them would send more than the space holds."""
    record = ledger.register("public.orders", ["orders"], [], 2)
    memories = [Outcome((record.number, key), entry=Entry("v", "d", "r", True, 0), fresh=True) for key in "12"]
    ledger.record(Batch(memories))
    Generations(ledger).remove("public.orders", keep=keep, reason="removed")
    shop: Any = SimpleNamespace(mapping=Mapping({}, {}))
    added: list[Lane] = []
    add_lanes(ledger, shop, SimpleNamespace(add=added.append), {"orders": False})  # type: ignore[arg-type]
    assert [(lane.space, lane.live) for lane in added] == [("orders", 2)]
