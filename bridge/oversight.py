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
GATES_REST = 20.0
"""Seconds between two looks at the gates, and how many times as long as the last one took they must be apart."""

WHO = "bridge"
"""Who takes tables back, in the audit trail."""


@dataclass(slots=True)
class Oversight:
    """One step a beat, in a thread of its own: a look at the gates counts all memories."""

    config: Config
    ledger: Ledger
    slot: str
    thresholds: Thresholds = field(init=False)
    _returning: Returning | None = field(init=False)
    _looked: float = float("-inf")
    _took: float = 0.0

    def __post_init__(self) -> None:
        self.follow(self.config.cutover)

    def follow(self, cutover: Cutover) -> None:
        """From now on by these thresholds and budgets."""
        self.thresholds, budget = cutover.thresholds(), cutover.budget()
        self._returning = Returning(Serving(self.ledger), budget, WHO) if budget is not None else None

    def step(self) -> None:
        """Take back what has to go back, then look at the gates if it is time. Raises LedgerError."""
        returning = self._returning
        if returning is not None:
            returning.look()
        began = time.monotonic()
        if began - self._looked >= max(GATES_SECONDS, GATES_REST * self._took):
            self._looked = began
            self._gates()
            self._took = time.monotonic() - began

    def _gates(self) -> None:
        thresholds = self.thresholds
        inputs = read_inputs(self.ledger, self._slot())
        before = kept(self.ledger.gauges())
        self.ledger.put_gauges({GAUGE: keep(judge(inputs, thresholds, before), inputs, thresholds, before).as_gauge()})

    def _slot(self) -> SlotFigures | None:
        """None where PostgreSQL cannot be asked: the gate says so, and what it means for the run is found out by the stream."""
        try:
            return slot_figures(self.config, self.slot)
        except BridgeError:
            return None
