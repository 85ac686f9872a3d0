"""What the operator's page shows, read from the ledger and the slot: the figures, and the lists beside them.

Blocking, for a thread: `api.watching` calls it. The figures are those of `status` and `/metrics`; nothing is counted here.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from bridge.config import Config
from bridge.errors import BridgeError
from bridge.figures import collect
from bridge.ledger import Ledger
from bridge.ledger.serving import Serving
from bridge.readiness import gates_now
from bridge.status import SlotFigures
from bridge.wiring import slot_figures

MINUTES = 60
"""Of reads over time."""

MOST = 200
"""Parked keys that are listed; of what is more, the number is told."""

SLOT_SECONDS = 2.0
"""How often PostgreSQL is asked about the slot."""

RARE_SECONDS = 3.0
"""How often is drawn what takes longer: reads over time, and the gates, which count all memories."""

PARKED = ("reason", "detail", "since", "attempts", "retry_at")


class Board:
    """What is behind the page."""

    def __init__(self, settings: Config, ledger: Ledger) -> None:
        self.settings = settings
        self.ledger = ledger
        self._slot: SlotFigures | None = None
        self._unknown: str | None = None
        self._asked = self._drawn = float("-inf")
        self._series: dict[str, Any] = {}
        self._gates: list[dict[str, Any]] = []

    def look(self) -> dict[str, Any]:
        """Everything. Raises BridgeError when the ledger cannot be asked."""
        ledger = self.ledger
        slot = self.slot()
        now = time.monotonic()
        if now - self._drawn >= RARE_SECONDS:
            self._series = over_time(Serving(ledger).series(MINUTES), int(time.time() // 60))
            self._gates = [asdict(gate) for gate in gates_now(ledger, slot, self.settings.cutover.thresholds())[1]]
            self._drawn = now
        return {
            "gates": self._gates,
            "figures": collect(ledger, slot, source_error=self._unknown).as_dict(),
            "parked": _parked(ledger),
            "over_time": self._series,
        }

    def slot(self, *, fresh: bool = False) -> SlotFigures | None:
        """What PostgreSQL says about the slot; None when it cannot be asked, and why is kept for the figures."""
        now = time.monotonic()
        if fresh or now - self._asked >= SLOT_SECONDS:
            self._asked = now
            try:
                self._slot = slot_figures(self.settings, self.ledger.facts().get("slot", self.settings.source.slot))
                self._unknown = None
            except BridgeError as error:
                self._slot, self._unknown = None, str(error)
        return self._slot


def over_time(series: Iterable[tuple[int, str, str, int]], last: int) -> dict[str, Any]:
    """The counts of all tables by minute: `minutes` (epoch seconds), and a line of numbers for each of who served and why."""
    minutes = range(last - MINUTES + 1, last + 1)
    lines: dict[str, dict[str, list[int]]] = {"served": {}, "reasons": {}, "errors": {}}
    names = {"served": "served", "reason": "reasons", "error": "errors"}
    for minute, _label, what, count in series:
        kind, _, item = what.partition(":")
        if kind in names and minute in minutes:
            lines[names[kind]].setdefault(item, [0] * MINUTES)[minute - minutes[0]] += count
    return {"minutes": [minute * 60 for minute in minutes], **lines}


def _parked(ledger: Ledger) -> dict[str, Any]:
    labels = {record.number: record.label for record in ledger.generations()}
    rows = [
        {"table": labels[key[0]], "key": key[1], **{name: getattr(waiting, name) for name in PARKED}}
        for key, waiting in ledger.parked_keys()
        if key[0] in labels and not waiting.dropped
    ]
    return {"count": len(rows), "rows": rows[:MOST], "reasons": dict(Counter(row["reason"] for row in rows))}
