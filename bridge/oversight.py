"""What a running bridge does for the reads: it keeps how the gates stand and since when, and takes tables back that go wrong."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from bridge.config import Config
from bridge.config_cutover import Cutover
from bridge.errors import BridgeError
from bridge.gates import Thresholds, judge, keep
from bridge.ledger import Ledger, Serving
from bridge.readiness import GAUGE, kept, read_inputs
from bridge.returning import Returning
from bridge.status import SlotFigures
from bridge.wiring import slot_figures

GATES_SECONDS = 5.0
"""Seconds between two looks at the gates: far less than the gap after which nothing is known to have stayed good."""

TABLES_REST = 20.0
"""Those of the tables are looked at less often: so many times as long as the last look at them took."""

WHO = "bridge"
"""Who takes tables back, in the audit trail."""


@dataclass(slots=True)
class Oversight:
    """Two works of a beat, each in a thread of its own: a look at the gates counts all memories, and no return waits for it."""

    config: Config
    ledger: Ledger
    slot: str
    thresholds: Thresholds = field(init=False)
    _returning: Returning | None = field(init=False)
    _looked: float = float("-inf")
    _counted: float = float("-inf")
    _took: float = 0.0

    def __post_init__(self) -> None:
        self.follow(self.config.cutover)

    def follow(self, cutover: Cutover) -> None:
        """From now on by these thresholds and budgets."""
        self.thresholds, budget = cutover.thresholds(), cutover.budget()
        self._returning = Returning(Serving(self.ledger), budget, WHO) if budget is not None else None

    def returning(self) -> None:
        """Take back what has to go back. Raises LedgerError."""
        returning = self._returning
        if returning is not None:
            returning.look()

    def gates(self) -> None:
        """Look at the gates if it is time. Raises LedgerError."""
        if time.monotonic() - self._looked >= GATES_SECONDS:
            self._looked = time.monotonic()
            self._gates()

    def _gates(self) -> None:
        began = time.monotonic()
        whole = began - self._counted >= TABLES_REST * self._took
        inputs = read_inputs(self.ledger, self._slot(), tables=whole)
        before = kept(self.ledger.gauges())
        gates = judge(inputs, self.thresholds, before)
        self.ledger.put_gauges({GAUGE: keep(gates, inputs, self.thresholds, before).as_gauge()})
        if whole:
            self._counted, self._took = time.monotonic(), time.monotonic() - began

    def _slot(self) -> SlotFigures | None:
        """None where PostgreSQL cannot be asked: the gate says so, and what it means for the run is found out by the stream."""
        try:
            return slot_figures(self.config, self.slot)
        except BridgeError:
            return None
