"""What an operator sees, from one source: the ledger, the running process's measurements in it, and the slot.

Works beside a `run` in another process, and without one. Every figure that people and machines see is made here once.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bridge.fullness import LIMIT, Fullness, crowded, filled
from bridge.ledger import MIGRATED, Generations, Ledger, TableRecord, resyncing
from bridge.ledger.rewriting import SearchProgress
from bridge.lsn import Lsn, format_lsn
from bridge.models import made_by
from bridge.under_way import UnderWay, under_way

REMEDY = "once it can be carried again: engram-bridge resync {}"
REMOVED = "engram-bridge add {} carries it again"
CONSISTENT = "consistent"
REPAIRED = "repaired"

MIGRATED_ONCE = "migrated once"

PHASES = (
    "new",
    "loading",
    "snapshot paused",
    "paused",
    "reading again",
    "catching up",
    CONSISTENT,
    "target unreachable",
    "target being compared",
    "target to be compared",
    MIGRATED_ONCE,
)
"""All that `Status.phase` can say."""

FRESH_SECONDS = 5.0
"""Measurements older than this come from a process that does not run any more, or hangs."""


@dataclass(frozen=True, slots=True)
class SlotFigures:
    """What PostgreSQL says about the slot. Bytes; `safe_wal_bytes` None means no limit is set."""

    exists: bool
    active: bool = False
    retained_bytes: int | None = None
    safe_wal_bytes: int | None = None
    wal_status: str | None = None
    flush_lsn: Lsn = 0
    restart_lsn: Lsn = 0
    confirmed_lsn: Lsn = 0


@dataclass(slots=True)
class TableFigures:
    """One table. `expected` and `proven` are live memories: all that the ledger expects was proven when it was recorded.

    `space_fill`: how full its fullest space is, as a share of `target.limit`. `searchable`: recall by embedding knows all of
    its rows; `search_rows`: how many it knows, since a restart forgets them.
    """

    name: str
    state: str
    reason: str | None
    spaces: list[str]
    rows_estimated: int
    chunks: int
    chunks_done: int
    rows_loaded: int
    expected: int
    proven: int
    pending_edges: int
    parked: int
    searchable: bool
    search_rows: int
    space_fill: float = 0.0
    model: str | None = None
    rows_per_second: float | None = None
    eta_seconds: float | None = None
    remedy: str | None = None


@dataclass(slots=True)
class Status:
    """Everything, JSON-ready by `as_dict`. Positions as PostgreSQL writes them; seconds, bytes.

    `phase`: new, loading, snapshot paused, paused, reading again, catching up; then consistent, or, while that cannot be said of
    the target as it is now: target unreachable, target being compared, target to be compared (by the next run). Of a ledger that
    no run has followed yet, when all its tables are loaded: migrated once.
    """

    ledger: str
    held_by: str | None
    source: dict[str, Any]
    positions: dict[str, str]
    lag: dict[str, float | int | None]
    slot: dict[str, Any]
    target: dict[str, Any]
    tables: list[TableFigures] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)
    under_way: list[UnderWay] = field(default_factory=list)
    crowded: list[Fullness] = field(default_factory=list)
    phase: str = "new"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Counted:
    """What takes a look at all memories and edges: on a large ledger nothing for every second."""

    search: dict[int, SearchProgress]
    pending_edges: dict[int, int]
    crowded: list[Fullness]
    filled: dict[str, float]


def count(ledger: Ledger) -> Counted:
    """Count it now. Raises LedgerUnavailable."""
    limit = int(ledger.gauges().get("space_limit", (LIMIT, 0.0))[0])
    return Counted(ledger.search_progress(), ledger.pending_edges(), crowded(ledger, limit), filled(ledger, limit))


def collect(ledger: Ledger, slot: SlotFigures | None, counted: Counted | None = None) -> Status:
    """The status now. `slot` is None when PostgreSQL was not asked or cannot be reached; `counted` is counted where not given."""
    facts = ledger.facts()
    gauges = ledger.gauges()
    counters = ledger.counters()
    counted = counted or count(ledger)
    tables = _tables(ledger, facts, gauges, counted)
    held_by = ledger.held_by()
    now = time.time()

    def gauge(name: str) -> Any:
        value, at = gauges.get(name, (None, 0.0))
        return value if now - at <= FRESH_SECONDS else None

    proven = int(facts.get("proven", 0))
    status = Status(
        ledger=ledger.location,
        held_by=held_by,
        source={
            "database": facts.get("database"),
            "system_identifier": facts.get("system_identifier"),
            "timeline": facts.get("timeline"),
            "slot": facts.get("slot"),
            "publication": facts.get("publication"),
            "epoch": facts.get("source_epoch"),
            "run": gauge("run"),
            "wire_silence_seconds": gauge("wire_silence"),
            "trouble": gauge("source_trouble"),
        },
        positions=_positions(facts, gauge("received")),
        lag=_lag(facts, slot, gauge, proven, held_by is not None),
        slot=_slot(slot, gauge("slot") or {}),
        target=_target(ledger, gauge, running=held_by is not None),
        tables=tables,
        under_way=under_way(ledger),
        crowded=counted.crowded,
        totals={
            "memories": sum(table.expected for table in tables),
            "parked": sum(table.parked for table in tables),
            "pending_edges": sum(table.pending_edges for table in tables),
            **counters,
        },
    )
    status.phase = "paused" if "paused" in facts else _phase(ledger.tables(), proven, facts)
    if status.phase == CONSISTENT and status.target["health"] != REPAIRED:
        status.phase = f"target {status.target['health']}"  # what was proven of it once is not what it holds now
    return status


def _positions(facts: dict[str, str], received: int | None) -> dict[str, str]:
    """The four positions of law 4."""
    known = {name: int(facts.get(name, 0)) for name in ("written", "proven", "confirmed")}
    return {
        "received": format_lsn(max(received or 0, *known.values())),
        **{name: format_lsn(value) for name, value in known.items()},
    }


def _lag(
    facts: dict[str, str], slot: SlotFigures | None, gauge: Any, proven: Lsn, running: bool
) -> dict[str, float | int | None]:
    """How far behind. A bridge that does not run has no lag in seconds unless the slot says that something waits for it."""
    behind = max(slot.flush_lsn - proven, 0) if slot is not None and slot.exists else None
    covered = float(facts.get("covered", "0") or 0)
    percentiles = gauge("lag_ms") or {}
    seconds = None
    if behind == 0:
        seconds = 0.0
    elif covered and (running or behind is not None):
        seconds = round(time.time() - covered, 3)
    return {
        "bytes": behind,
        "seconds": seconds,
        "covered": covered or None,
        "p50_ms": percentiles.get("p50"),
        "p99_ms": percentiles.get("p99"),
        "max_ms": percentiles.get("max"),
    }


def _slot(slot: SlotFigures | None, measured: dict[str, Any]) -> dict[str, Any]:
    """What PostgreSQL says, and what a running bridge has measured: the WAL's growth, and so the time until the slot is lost."""
    watched = {
        "wal_bytes_per_second": measured.get("bytes_per_second"),
        "seconds_to_loss": measured.get("seconds_to_loss"),
        "max_retained_bytes": measured.get("limit"),
        "warning": measured.get("warning"),
    }
    if slot is None:
        return {"known": False, **watched}
    return {
        **watched,
        "known": True,
        "exists": slot.exists,
        "active": slot.active,
        "retained_wal_bytes": slot.retained_bytes,
        "safe_wal_bytes": slot.safe_wal_bytes,
        "wal_status": slot.wal_status,
        "restart_lsn": format_lsn(slot.restart_lsn),
        "confirmed_lsn": format_lsn(slot.confirmed_lsn),
    }


def _target(ledger: Ledger, gauge: Any, *, running: bool) -> dict[str, Any]:
    epochs = ledger.epochs()
    repaired = bool(epochs) and epochs[-1][2] is not None
    health = REPAIRED
    if running and gauge("target_reachable") is False:
        health = "unreachable"
    elif not repaired or gauge("comparing"):
        health = "being compared" if running else "to be compared"
    return {
        "health": health,
        "epoch": epochs[-1][0] if epochs else None,
        "starts_seen": len(epochs),
        "repaired": repaired,
        "reachable": gauge("target_reachable"),
        "trouble": gauge("target_trouble"),
    }


def _tables(ledger: Ledger, facts: dict[str, str], gauges: dict[str, tuple[Any, float]], counted: Counted) -> list[TableFigures]:
    removed = Generations(ledger).choices().removed
    parked = Counter(key[0] for key, waiting in ledger.parked_keys() if not waiting.dropped)
    speeds, _at = gauges.get("loading", ({}, 0.0))
    figures = []
    for record in ledger.tables():
        chunks = ledger.chunks(record.number)
        remedy = REMOVED if record.label in removed else REMEDY
        done = [chunk for chunk in chunks if chunk.done]
        found = counted.search.get(record.number, SearchProgress(0, 0, complete=False))  # registered since
        speed = (speeds or {}).get(str(record.number)) or {}
        figures.append(
            TableFigures(
                name=record.label,
                state=record.state,
                reason=record.reason,
                spaces=list(record.spaces),
                rows_estimated=record.rows_estimated,
                chunks=len(chunks),
                chunks_done=len(done),
                rows_loaded=sum(chunk.rows for chunk in done),
                expected=found.rows,
                proven=found.rows,
                pending_edges=counted.pending_edges.get(record.number, 0),
                parked=parked[record.number],
                searchable=found.complete,
                search_rows=found.known,
                space_fill=counted.filled.get(record.label, 0.0),
                model=made_by(facts, record.number)[0] if record.state != "new" else None,
                rows_per_second=speed.get("rows_per_second"),
                eta_seconds=speed.get("eta_seconds"),
                remedy=remedy.format(record.label) if record.state == "stopped" else None,
            )
        )
    return figures


def _phase(tables: list[TableRecord], proven: Lsn, facts: Mapping[str, str]) -> str:
    """new, loading or snapshot paused, reading again, catching up, consistent (law 2: the frontier has passed the last chunk)."""
    carried = [table for table in tables if table.state != "stopped"]
    if not tables:
        return "new"
    if any(table.state in ("new", "loading") for table in carried):
        return "snapshot paused" if "snapshot_paused" in facts else "loading"
    if not {table.number for table in carried}.isdisjoint(resyncing(facts)):
        return "reading again"
    if MIGRATED in facts and "slot" not in facts:
        return MIGRATED_ONCE
    if any(table.reached > proven for table in carried):
        return "catching up"
    return CONSISTENT
