"""The recorder and a ledger that fails: whoever waits for durability is told, and nobody waits for ever."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bridge.errors import LedgerError
from bridge.frontier import Frontier
from bridge.ledger import Batch, Outcome
from bridge.recorder import Recorder


class FullLedger:
    """Fails at the first record, once another submission has come in meanwhile."""

    def __init__(self) -> None:
        self.recording = threading.Event()
        self.another = threading.Event()

    def record(self, _batch: Batch) -> list[Any]:
        """No room."""
        self.recording.set()
        assert self.another.wait(10)
        raise LedgerError("the ledger cannot be used: database or disk is full")


def test_a_ledger_that_fails_leaves_nobody_waiting() -> None:
    """Law 9: what was handed in while the failing step ran is refused as well, and so is all that comes later."""
    ledger = FullLedger()
    recorder = Recorder(ledger, Frontier(100))  # type: ignore[arg-type]
    refused: list[LedgerError] = []

    def lane(number: int) -> None:
        try:
            recorder.commit([Outcome((1, str(number)))])
        except LedgerError as error:
            refused.append(error)

    recorder.start()
    first = threading.Thread(target=lane, args=(1,), daemon=True)
    first.start()
    assert ledger.recording.wait(10)
    second = threading.Thread(target=lane, args=(2,), daemon=True)
    second.start()
    while not recorder._submissions:  # the second waits behind the step
        pass
    ledger.another.set()
    for thread in (first, second):
        thread.join(10)
        assert not thread.is_alive(), "a lane waits for a ledger that failed"
    assert len(refused) == 2
    with pytest.raises(LedgerError):
        recorder.commit([])
    recorder.stop()
    assert recorder.confirmed == 100
