"""The gates of the cutover: figures in, a list of gates out. Pure.

A table's reads move to Engram only while all its gates are open: those that belong to it, and those that belong to all tables
alike. Each says what was measured, what is asked for, since when it is as it is, and what to do about it. What is not known is
never taken for good: its gate is closed.

Two of them ask that something has *stayed* under its bound for a while, and "since when" must outlive the process that looks. So
the running bridge keeps, in the gauge `gates`, how every gate stood and since when (`Kept`); whoever else looks dates his own
measurement by it. A gap in which nobody measured proves nothing: what must have stayed under its bound begins anew after one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.reads import Mode, Route

GAP = 30.0
"""Seconds without a measurement after which nothing is known to have stayed as it was."""

LAG, HEARTBEAT, WIRE, SLOT, EPOCH, ROUND = "lag", "heartbeat", "wire", "slot", "epoch", "round"
SNAPSHOT, PARKED, EDGES, PROOF = "snapshot", "parked", "edges", "proof"
MISMATCHES, VALIDATION, SHADOW, TARGET, ERRORS = "mismatches", "validation", "shadow", "target", "errors"

COMMON = (LAG, HEARTBEAT, WIRE, SLOT, EPOCH, ROUND)
"""Gates of all tables alike, in the order in which they are shown. `round` only where the configuration asks for it."""

OWN = (SNAPSHOT, PARKED, EDGES, PROOF, MISMATCHES, VALIDATION, SHADOW, TARGET, ERRORS)
"""Gates of one table."""

Value = float | int | str | None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the gates ask for. Bytes, seconds, shares from 0 to 1, counts: the section `cutover` of the configuration."""

    max_lag_bytes: int = 16 << 20
    max_heartbeat: float = 2.0
    steady: float = 300.0
    max_silence: float = 60.0
    min_slot_time: float = 4 * 3600.0
    min_proof: float = 1.0
    max_pending_edges: int = 0
    max_validation_age: float = 24 * 3600.0
    min_sample: int = 1000
    min_shadow_reads: int = 1000
    max_target_p99: float = 0.1
    max_failed_share: float = 0.01
    max_round_age: float | None = None


@dataclass(frozen=True, slots=True)
class Validated:
    """The newest validation of a table that has ended. `sampled` of `rows` were compared; `epoch`: the target's start then."""

    number: int
    ended: float
    clean: bool
    rows: int
    sampled: int
    epoch: str | None
    findings: int = 0


@dataclass(frozen=True, slots=True)
class TableInputs:
    """What is known of one table. `target_p99` in milliseconds, None without a measurement.

    `state` as the ledger's; `passed`: the frontier has passed the last chunk; `resync`: it is being read again; `partial`: only
    some of its rows were asked for (`--limit`, `--until`), and no changes are followed. `proven` of
    `rows` live memories were proven since the target's newest start. `shadow`: clean comparisons since the last mismatch.
    `reads` and `failed`: of the last minutes, and how many of them Engram should have answered and could not.
    """

    label: str
    route: Route = field(default_factory=Route)
    state: str = "loaded"
    reason: str | None = None
    passed: bool = True
    resync: bool = False
    partial: bool = False
    rows: int = 0
    proven: int = 0
    parked: int = 0
    pending_edges: int = 0
    mismatches: int = 0
    shadow: int = 0
    target_p99: float | None = None
    reads: int = 0
    failed: int = 0
    validated: Validated | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is known of everything. Seconds, bytes; None: not known.

    `heartbeat_p99` in seconds. `seconds_to_loss` None: PostgreSQL sets the slot no limit, or its WAL does not grow. `epoch`: the
    target's newest start, `epoch_seen` when it was seen, `repaired` that all was compared since; `reachable`: the target answers.
    `round_began`: when the newest whole round of reconciliation began that has ended; `unmended`: what rounds found and is open.
    """

    now: float
    running: bool = False
    lag_bytes: int | None = None
    heartbeat_p99: float | None = None
    wire_silence: float | None = None
    slot_exists: bool | None = None
    slot_active: bool = False
    wal_status: str | None = None
    seconds_to_loss: float | None = None
    epoch: str | None = None
    epoch_seen: float | None = None
    repaired: bool = False
    reachable: bool | None = None
    tables: tuple[TableInputs, ...] = ()
    round_began: float | None = None
    unmended: int = 0


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate. `table` is empty for those of all tables; `since`: since when it is open or closed, epoch seconds.

    `unit`: B, s, ms, % or empty, for `value` and `threshold`, where they are numbers. `remedy`: what to do while it is closed.
    """

    name: str
    table: str
    value: Value
    threshold: Value
    unit: str
    open: bool
    since: float
    remedy: str = ""

    @property
    def runbook(self) -> str:
        """The heading of the runbook that deals with it."""
        return f"docs/runbook.md#gate-{self.name}"


@dataclass(frozen=True, slots=True)
class Kept:
    """How the gates stood when the running bridge last looked.

    `states`: by `table/name`, whether it was open, and since when. `under`: since when lag and heartbeat are under their bounds.
    """

    at: float = 0.0
    states: Mapping[str, tuple[bool, float]] = field(default_factory=dict)
    under: Mapping[str, float] = field(default_factory=dict)

    def as_gauge(self) -> dict[str, Any]:
        """For the ledger."""
        return {"at": self.at, "states": {name: list(state) for name, state in self.states.items()}, "under": dict(self.under)}

    @classmethod
    def of(cls, gauge: Mapping[str, Any] | None) -> Kept:
        """What the ledger says."""
        if not gauge:
            return cls()
        states = {name: (bool(state[0]), float(state[1])) for name, state in gauge["states"].items()}
        return cls(float(gauge["at"]), states, {name: float(at) for name, at in gauge["under"].items()})


def judge(inputs: Inputs, thresholds: Thresholds, kept: Kept) -> list[Gate]:
    """All gates, those of all tables first."""
    gates = list(_common(inputs, thresholds, _under(inputs, thresholds, kept)))
    for table in inputs.tables:
        gates += _own(inputs, table, thresholds)
    return [_dated(gate, inputs.now, kept) for gate in gates]


def keep(gates: Iterable[Gate], inputs: Inputs, thresholds: Thresholds, kept: Kept) -> Kept:
    """What is to be kept of a judgement, by the one who measures all the time. What was not judged stays as it was."""
    states = dict(kept.states) | {f"{gate.table}/{gate.name}": (gate.open, gate.since) for gate in gates}
    return Kept(inputs.now, states, _under(inputs, thresholds, kept))


def of_table(gates: Iterable[Gate], label: str) -> list[Gate]:
    """The gates that decide about a table."""
    return [gate for gate in gates if gate.table in ("", label)]


def closed(gates: Iterable[Gate], label: str) -> list[Gate]:
    """Those of them that are closed."""
    return [gate for gate in of_table(gates, label) if not gate.open]


def _dated(gate: Gate, now: float, kept: Kept) -> Gate:
    """One that has turned while nobody measured is dated by the last moment at which somebody did."""
    was = kept.states.get(f"{gate.table}/{gate.name}")
    turned = now if now - kept.at <= GAP or was is None else kept.at
    since = was[1] if was is not None and was[0] == gate.open else turned
    return replace(gate, since=since, remedy="" if gate.open else gate.remedy)


def _under(inputs: Inputs, thresholds: Thresholds, kept: Kept) -> dict[str, float]:
    """Since when lag and heartbeat are under their bounds; what is not, or was not watched, is left out or begins now."""
    good = {
        LAG: inputs.lag_bytes is not None and inputs.lag_bytes <= thresholds.max_lag_bytes,
        HEARTBEAT: inputs.heartbeat_p99 is not None and inputs.heartbeat_p99 <= thresholds.max_heartbeat,
    }
    watched = inputs.now - kept.at <= GAP
    return {
        name: kept.under[name] if watched and name in kept.under else inputs.now
        for name, now_good in good.items()
        if now_good and inputs.running
    }


def _gate(name: str, table: str, value: Value, threshold: Value, unit: str, is_open: bool, remedy: str) -> Gate:
    return Gate(name, table, value, threshold, unit, is_open, 0.0, remedy)


NOT_RUNNING = "No bridge runs: start `engram-bridge run`."


def _common(inputs: Inputs, thresholds: Thresholds, under: Mapping[str, float]) -> Iterable[Gate]:
    def stayed(name: str) -> bool:
        return name in under and inputs.now - under[name] >= thresholds.steady

    def patience(name: str, else_: str) -> str:
        if not inputs.running:
            return NOT_RUNNING
        if name not in under:
            return else_
        return f"It is under its bound; wait until it has been so for {thresholds.steady:.0f} s."

    behind = "The bridge is behind: see `engram-bridge status`, and wait or find what slows it down."
    yield _gate(LAG, "", inputs.lag_bytes, thresholds.max_lag_bytes, "B", stayed(LAG), patience(LAG, behind))
    late = "Changes take too long from commit to proof, or nothing was measured yet: see `engram-bridge status`."
    yield _gate(HEARTBEAT, "", inputs.heartbeat_p99, thresholds.max_heartbeat, "s", stayed(HEARTBEAT), patience(HEARTBEAT, late))
    heard = inputs.running and inputs.wire_silence is not None and inputs.wire_silence <= thresholds.max_silence
    silent = "Nothing comes from PostgreSQL: is it up, and reachable from the bridge?" if inputs.running else NOT_RUNNING
    yield _gate(WIRE, "", inputs.wire_silence, thresholds.max_silence, "s", heard, silent)
    yield _slot(inputs, thresholds)
    yield _epoch(inputs, thresholds)
    if thresholds.max_round_age is not None:
        yield _round(inputs, thresholds.max_round_age)


def _slot(inputs: Inputs, thresholds: Thresholds) -> Gate:
    value: Value = inputs.seconds_to_loss
    is_open = value is None or float(value) >= thresholds.min_slot_time
    remedy = "The slot is lost at this rate: raise max_slot_wal_keep_size, or find what keeps the bridge from confirming."
    if inputs.slot_exists is None:
        value, is_open, remedy = "not known", False, "PostgreSQL cannot be asked: is source.url right, and the server up?"
    elif not inputs.slot_exists or inputs.wal_status == "lost":
        value, is_open, remedy = "lost", False, "The slot is gone: `engram-bridge resync --new-slot`."
    elif not inputs.slot_active:
        value, is_open, remedy = "nobody reads it", False, NOT_RUNNING if not inputs.running else "The stream is not connected."
    elif value is None:
        value = "no limit in sight"
    return _gate(SLOT, "", value, thresholds.min_slot_time, "s", is_open, remedy)


def _epoch(inputs: Inputs, thresholds: Thresholds) -> Gate:
    age = inputs.now - inputs.epoch_seen if inputs.epoch_seen is not None else None
    value: Value = age
    is_open, remedy = False, "The target was started a short while ago: wait."
    if inputs.epoch is None:
        value, remedy = "no start seen", NOT_RUNNING
    elif inputs.reachable is False:
        value, remedy = "cannot be reached", "Engram does not answer: see the runbook, Target slow or down."
    elif not inputs.repaired:
        value, remedy = "not compared", "The target was restarted; wait until all was compared and mended."
    else:
        is_open = age is not None and age >= thresholds.steady
    return _gate(EPOCH, "", value, thresholds.steady, "s", is_open, remedy)


def _round(inputs: Inputs, limit: float) -> Gate:
    """Since its begin: so a round that takes long counts as old, for what it compared first was compared then."""
    age = inputs.now - inputs.round_began if inputs.round_began is not None else None
    value: Value = age if age is not None else "never"
    remedy = "No round of reconciliation has ended that is young enough: wait, or `engram-bridge reconcile`, and see its budget."
    if inputs.unmended:
        value, age = f"{inputs.unmended} not mended", None
        remedy = "Reconciliation has found what it could not mend: see the runbook, Reconciliation finds."
    return _gate(ROUND, "", value, limit, "s", age is not None and age <= limit, remedy)


def _own(inputs: Inputs, table: TableInputs, thresholds: Thresholds) -> list[Gate]:
    label, t = table.label, thresholds
    shadow = "Let reads be compared: `engram-bridge cutover shadow {}`, and send reads through the proxy."
    coverage = table.proven / table.rows if table.rows else 1.0
    ran = table.target_p99 is not None
    failed = table.failed / table.reads if table.reads else 0.0
    return [
        _snapshot(table),
        _gate(
            PARKED,
            label,
            table.parked,
            0,
            "",
            not table.parked,
            "`engram-bridge parked list` says why; mend, then `parked retry`.",
        ),
        _gate(
            EDGES,
            label,
            table.pending_edges,
            t.max_pending_edges,
            "",
            table.pending_edges <= t.max_pending_edges,
            "Rows point at parents that are not there; orphans of PostgreSQL are allowed by cutover.max_pending_edges.",
        ),
        _gate(
            PROOF,
            label,
            round(100 * coverage, 3),
            100 * t.min_proof,
            "%",
            coverage >= t.min_proof,
            "Spaces were not compared since the target's last start: wait for the running bridge.",
        ),
        _gate(
            MISMATCHES,
            label,
            table.mismatches,
            0,
            "",
            not table.mismatches,
            f"`engram-bridge cutover mismatches {label}` names them; find out why, then `cutover explain {label} KEY --why`.",
        ),
        _validation(inputs, table, thresholds),
        _gate(SHADOW, label, table.shadow, t.min_shadow_reads, "", table.shadow >= t.min_shadow_reads, shadow.format(label)),
        _gate(
            TARGET,
            label,
            table.target_p99,
            1000 * t.max_target_p99,
            "ms",
            ran and table.target_p99 is not None and table.target_p99 <= 1000 * t.max_target_p99,
            "Engram answers too slowly: see the runbook, Target slow or down." if ran else shadow.format(label),
        ),
        _gate(
            ERRORS,
            label,
            round(100 * failed, 3),
            100 * t.max_failed_share,
            "%",
            failed <= t.max_failed_share,
            "Reads that Engram should answer fail: the reasons are in `engram-bridge cutover status` and in the metrics.",
        ),
    ]


def _snapshot(table: TableInputs) -> Gate:
    value, remedy = "consistent", ""
    if table.state == "stopped":
        value, remedy = "stopped", f"{table.reason or 'it is stopped'}: see the runbook, Stopped tables."
    elif table.state != "loaded":
        value, remedy = table.state, "It is being loaded: wait."
    elif table.resync:
        value, remedy = "reading again", "It is being read again: wait."
    elif not table.passed:
        value, remedy = "catching up", "The frontier has not passed its last chunk yet: wait."
    return _gate(SNAPSHOT, table.label, value, "consistent", "", value == "consistent", remedy)


def _validation(inputs: Inputs, table: TableInputs, thresholds: Thresholds) -> Gate:
    found, run = table.validated, f"`engram-bridge validate --tables {table.label}`."
    limit = thresholds.max_validation_age
    if found is None:
        return _gate(VALIDATION, table.label, "never", limit, "s", False, run)
    age = inputs.now - found.ended
    if not found.clean:
        value = f"{found.findings} found" if found.findings else "not clean"
        remedy = f"Validation {found.number}: {value}: see its report, mend, and validate again: {run}"
        return _gate(VALIDATION, table.label, value, limit, "s", False, remedy)
    if found.epoch != inputs.epoch:
        return _gate(VALIDATION, table.label, "before a restart", limit, "s", False, f"The target was restarted since: {run}")
    if found.sampled < min(found.rows, thresholds.min_sample):
        value = f"{found.sampled} of {found.rows}"
        return _gate(VALIDATION, table.label, value, limit, "s", False, f"Too few rows were compared: {run}")
    return _gate(VALIDATION, table.label, age, limit, "s", age <= limit, f"It is too old: {run}")


def raises(now: Route, wanted: Route) -> bool:
    """Whether a change of route lets Engram answer more than before: only that needs open gates."""
    rank = {Mode.POSTGRES: 0, Mode.SHADOW: 0, Mode.ENGRAM: 1, Mode.ENGRAM_ONLY: 2}
    if rank[wanted.mode] != rank[now.mode]:
        return rank[wanted.mode] > rank[now.mode]
    return wanted.mode is Mode.ENGRAM and wanted.share > now.share
