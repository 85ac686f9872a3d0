"""What the operator's page shows: the figures that `status` and `/metrics` show, too, and what is drawn and listed beside them.

Blocking, for a thread: `api.watching` calls it. Nothing is judged here.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from bridge.collector import Collector
from bridge.config import Config
from bridge.errors import BridgeError
from bridge.ledger import Ledger
from bridge.ledger.serving import Serving
from bridge.parking import parked
from bridge.status import SlotFigures

MINUTES = 60
"""Of reads over time."""

MOST = 200
"""Parked keys that are listed; of what is more, the number is told."""

RARE_SECONDS = 3.0
"""How often the lists and the reads over time are drawn."""

PARKED = ("reason", "detail", "since", "attempts", "retry_at")


class Board:
    """What is behind the page."""

    def __init__(self, settings: Config, ledger: Ledger, figures: Collector) -> None:
        self.settings = settings
        self.ledger = ledger
        self._figures = figures
        self._drawn = float("-inf")
        self._rare: dict[str, Any] = {}

    def look(self) -> dict[str, Any]:
        """Everything. Raises BridgeError when the ledger cannot be asked."""
        figures = self._figures.now().as_dict()
        figures["validations"] = [shortened(one) for one in figures["validations"]]
        now = time.monotonic()
        if now - self._drawn >= RARE_SECONDS:
            self._rare = {
                "parked": _parked(self.ledger),
                "over_time": over_time(Serving(self.ledger).series(MINUTES), int(time.time() // 60)),
            }
            self._drawn = now
        return {"figures": figures, **self._rare}

    def slot(self) -> SlotFigures | None:
        """What PostgreSQL says about the slot now; None where it cannot be asked, which closes a gate."""
        try:
            return self._figures.ask()
        except BridgeError:
            return None


def shortened(validation: dict[str, Any]) -> dict[str, Any]:
    """Without its findings, of which there can be thousands: how many there are by table stays."""
    result = validation["result"]
    if result is None:
        return validation
    tables = {
        label: {name: table.get(name) for name in ("rows", "sampled", "findings")}
        for label, table in result.get("tables", {}).items()
    }
    return {**validation, "result": {"clean": result.get("clean"), "failed": result.get("failed"), "tables": tables}}


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
    rows = [
        {"table": label, "key": key[1], **{name: getattr(waiting, name) for name in PARKED}}
        for label, key, waiting in parked(ledger)
        if not waiting.dropped
    ]
    return {"count": len(rows), "rows": rows[:MOST], "reasons": dict(Counter(row["reason"] for row in rows))}
