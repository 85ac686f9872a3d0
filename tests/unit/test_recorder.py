"""Law 4: what is told to the slot is what the ledger has made durable, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import LedgerError
from bridge.frontier import Frontier
from bridge.ledger import Batch, Ledger
from bridge.memories import Key
from bridge.recorder import Recorder


class Watched(Ledger):
    """A ledger that looks at the recorder while it records, and may fail."""

    recorder: Recorder
    fails = False
    seen = 0

    def record(self, batch: Batch) -> list[Key]:
        self.seen = self.recorder.confirmed
        if self.fails:
            raise LedgerError("the disk is full", hint="Make room.")
        return [*super().record(batch), (1, "child")]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    """On a ledger of its own, with one empty transaction that ends at 200."""
    ledger = Watched(str(tmp_path / "ledger.db"))
    frontier = Frontier(100)
    ledger.recorder = recorder = Recorder(ledger, frontier)
    frontier.begin()
    frontier.commit(200)
    return recorder


def test_a_position_is_published_after_it_is_durable(recorder: Recorder, tmp_path: Path) -> None:
    """While the ledger writes, the old position stands; then the new one, and it is in the ledger."""
    recorder.commit([])
    assert recorder._ledger.seen == 100  # type: ignore[attr-defined]
    assert recorder.confirmed == 200
    assert Ledger(str(tmp_path / "ledger.db")).facts()["confirmed"] == "200"


def test_a_position_that_could_not_be_written_is_never_published(recorder: Recorder) -> None:
    """A ledger that fails ends the recorder where it was."""
    recorder._ledger.fails = True  # type: ignore[attr-defined]
    with pytest.raises(LedgerError):
        recorder.commit([])
    assert recorder.confirmed == 100
    with pytest.raises(LedgerError):
        recorder.commit([])


def test_what_follows_is_put_before_the_position_is_seen(recorder: Recorder) -> None:
    """Children to be refreshed are in their lanes before anybody sees the position and finds nothing left to do."""
    seen: list[int] = []
    recorder.refresh = lambda _keys: seen.append(recorder.confirmed)
    recorder.commit([])
    assert seen == [100]
