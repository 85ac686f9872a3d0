"""All figures from one place: the page, `status`, the metrics and the gates of the cutover see the same ones.

They come from the ledger, where the running bridge and all proxies write theirs, and from the slot. So whoever can read the
ledger sees everything, wherever it runs.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from bridge import status as statuses
from bridge.gates import Gate, Thresholds
from bridge.ledger import Act, Ledger, Mismatch, Serving, Validation
from bridge.measured import EpochFigures, HeartbeatFigures, Reads, TableReads, reads_by_table, reads_together
from bridge.readiness import gates_now
from bridge.reconciled import ReconcileFigures, reconciled
from bridge.status import FRESH_SECONDS, Counted, SlotFigures, Status
from bridge.trouble import Seen, Trouble, troubles

MISMATCHES = 100
VALIDATIONS = 20
ACTS = 50
HISTORY = "heartbeat_history"
"""The gauge in which the running bridge keeps its lag over time."""


@dataclass(slots=True)
class Figures:
    """Everything at the moment `at`, JSON-ready by `as_dict`, where the fields of `status` stand beside the others.

    `reads` by table, `reads_together` of all; `reads_history`: the last hour by the minute: moment, Engram, PostgreSQL, ledger,
    failed. `mismatches`: the newest; `mismatch_counts`: how many there are by table. `validations` and `audit`: the newest first.
    `reconciliation`: its rounds and what they found. `epochs`: the target's starts, the newest first. `gates`: of the cutover,
    where its thresholds are known. `trouble`: what is wrong, the most urgent first.
    """

    at: float
    status: Status
    heartbeat: HeartbeatFigures
    reads: dict[str, TableReads] = field(default_factory=dict)
    reads_together: dict[str, Reads] = field(default_factory=dict)
    reads_history: list[list[int]] = field(default_factory=list)
    mismatches: list[Mismatch] = field(default_factory=list)
    mismatch_counts: dict[str, int] = field(default_factory=dict)
    validations: list[Validation] = field(default_factory=list)
    audit: list[Act] = field(default_factory=list)
    epochs: list[EpochFigures] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    trouble: list[Trouble] = field(default_factory=list)
    reconciliation: ReconcileFigures = field(default_factory=ReconcileFigures)
    source_error: str | None = None

    @property
    def staleness(self) -> float | None:
        """Seconds since the moment up to which all is known to be in Engram; None where nothing is known."""
        covered = self.status.lag["covered"]
        return max(self.at - covered, 0.0) if covered else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: one object."""
        plain = asdict(self)
        status: dict[str, Any] = plain.pop("status")
        return status | plain | {"staleness_seconds": self.staleness}


@dataclass(frozen=True, slots=True)
class Heavy:
    """What takes a look at all memories: whoever shows figures every second does not count it every second."""

    counted: Counted
    gates: list[Gate]


def weigh(ledger: Ledger, slot: SlotFigures | None, thresholds: Thresholds | None) -> Heavy:
    """Count it now; gates are judged where there are thresholds. Raises LedgerUnavailable and LedgerError."""
    gates = gates_now(ledger, slot, thresholds)[1] if thresholds is not None else []
    return Heavy(statuses.count(ledger), gates)


def collect(
    ledger: Ledger,
    slot: SlotFigures | None,
    *,
    source_error: str | None = None,
    thresholds: Thresholds | None = None,
    heavy: Heavy | None = None,
) -> Figures:
    """The figures now. `slot` is None when PostgreSQL was not asked, or, with `source_error`, could not be.

    `heavy` is counted where it is not given. Raises LedgerUnavailable and LedgerError.
    """
    now = time.time()
    serving = Serving(ledger)
    heavy = heavy or weigh(ledger, slot, thresholds)
    status = statuses.collect(ledger, slot, heavy.counted)
    gauges = ledger.gauges()
    beat, measured = gauges.get("heartbeat", (None, 0.0))
    running = now - measured <= FRESH_SECONDS and status.held_by is not None
    heartbeat = HeartbeatFigures.of(beat if running else None, gauges.get(HISTORY, ([], 0.0))[0] or [])
    windows = {
        "5m": serving.counts(5),
        "60m": serving.counts(60),
        "route": serving.counts_since_route(),
        "all": serving.counts(),
    }
    reads = reads_by_table([table.name for table in status.tables], serving.routes(), windows)
    differing, validations = serving.mismatches(), serving.validations(VALIDATIONS)
    epochs = [EpochFigures(*one) for one in reversed(ledger.epochs())]
    ended = next((one for one in validations if one.ended is not None), None)
    unclean = ended.ended if ended is not None and _found_damage(ended.result) else None
    reconciliation = reconciled(ledger)
    seen = Seen(
        status=status,
        heartbeat=heartbeat,
        reads=reads,
        mismatches=differing,
        since=gauges.get("since", ({}, 0.0))[0] or {} if running else {},
        parked=_parked(ledger),
        measured=measured or None,
        paused="paused" in ledger.facts(),
        source_error=source_error,
        unclean=unclean,
        target_epoch_seen=epochs[0].seen if epochs else None,
        reconciliation=reconciliation,
        now=now,
    )
    return Figures(
        at=now,
        status=status,
        heartbeat=heartbeat,
        reads=reads,
        reads_together=reads_together(windows),
        reads_history=_history(serving),
        mismatches=differing[:MISMATCHES],
        mismatch_counts=dict(Counter(one.label for one in differing)),
        validations=validations,
        audit=serving.audit(ACTS),
        epochs=epochs,
        gates=heavy.gates,
        trouble=troubles(seen),
        reconciliation=reconciliation,
        source_error=source_error,
    )


def _found_damage(result: dict[str, Any] | None) -> bool:
    """Rows that differ, or nothing known of them. What only changed since, or was not looked at, keeps a gate closed, no more."""
    return result is not None and not result.get("clean") and bool(result.get("findings") or "failed" in result)


def _parked(ledger: Ledger) -> dict[str, float]:
    """Since when the oldest parked key of each table is."""
    labels = {record.number: record.label for record in ledger.tables()}
    oldest: dict[str, float] = {}
    for key, parked in ledger.parked_keys():
        if key[0] in labels and not parked.dropped:
            oldest.setdefault(labels[key[0]], parked.since)
    return oldest


def _history(serving: Serving, minutes: int = 60) -> list[list[int]]:
    """Answers of each minute by who gave them, and those that nobody could give."""
    points: dict[int, list[int]] = {}
    for minute, _label, what, count in serving.series(minutes):
        place = {"served:engram": 1, "served:postgres": 2, "served:ledger": 3}.get(what, 4 if what.startswith("error:") else 0)
        if place:
            points.setdefault(minute, [minute * 60, 0, 0, 0, 0])[place] += count
    return list(points.values())
