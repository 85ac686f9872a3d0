"""What is wrong, since when, and what to do: a short list for somebody who was woken by it, the most urgent first. Pure.

Each names a heading of the runbook.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from bridge.measured import HeartbeatFigures, TableReads
from bridge.reads import FOREIGN_REASONS, Mode
from bridge.reconciled import ReconcileFigures
from bridge.status import MIGRATED_ONCE, Status

Severity = Literal["critical", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warning", "note")

SILENCE_ALARM = 60.0
"""Seconds without a byte from the walsender: it sends a keepalive at least every half of its `wal_sender_timeout`."""

SOON_SECONDS = 7_200.0
LATE_SECONDS = 5.0
"""The proxy's own bound: what is older is served from PostgreSQL."""

CLOCK_SECONDS = 1.0
FEW_READS = 20
RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong. `since`: seconds since 1970, None where that is not known; `runbook`: a heading's anchor.

    `critical`: reads or the slot are lost, or nothing moves; `warning`: it will not end by itself; `note`: good to know.
    """

    severity: Severity
    name: str
    what: str
    since: float | None
    do: str
    runbook: str
    table: str | None = None


class Differs(Protocol):
    """A mismatch, as far as it matters here."""

    @property
    def label(self) -> str:
        """The table."""

    @property
    def first(self) -> float:
        """When it was seen first."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What troubles are found in. `since`: by name, from when on the running bridge has seen something go wrong.

    `parked`: since when the oldest key of a table is; `measured`: when a running bridge was heard of last; `source_error`: why
    PostgreSQL could not be asked by whoever looks; `unclean`: when the last validation ended that was not clean.
    """

    status: Status
    heartbeat: HeartbeatFigures
    reads: Mapping[str, TableReads]
    mismatches: Sequence[Differs]
    since: Mapping[str, float]
    parked: Mapping[str, float]
    measured: float | None
    paused: bool = False
    source_error: str | None = None
    unclean: float | None = None
    target_epoch_seen: float | None = None
    reconciliation: ReconcileFigures = field(default_factory=ReconcileFigures)
    now: float = 0.0


def troubles(seen: Seen) -> list[Trouble]:
    """All of them, the most urgent first; of the same urgency the oldest first."""
    found: list[Trouble] = []
    for finder in (_bridge, _source, _slot, _target, _tables, _reads, _lag, _reconciliation, _notes):
        found += finder(seen)
    return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), one.since or seen.now))


def _bridge(seen: Seen) -> Iterator[Trouble]:
    status = seen.status
    if status.held_by is None and status.phase == MIGRATED_ONCE:
        what = "the tables were migrated once: what has changed since is not carried, and nobody follows it"
        yield Trouble("note", "not-followed", what, None, "engram-bridge run, if it is to be followed", "bridge-down")
    elif status.held_by is None and status.phase != "new":
        what = "no bridge runs: nothing is carried over, and reads go to PostgreSQL once they would be too old"
        yield Trouble("critical", "bridge-down", what, seen.measured, "engram-bridge run", "bridge-down")
    elif status.held_by is not None and not seen.heartbeat.running:
        what = f"the bridge ({status.held_by}) says nothing of itself: it hangs, or cannot write its ledger"
        yield Trouble(
            "critical",
            "bridge-silent",
            what,
            seen.measured,
            "look at its log and its host; end it and start it again",
            "bridge-down",
        )
    if seen.paused:
        do = "engram-bridge resume"
        yield Trouble(
            "warning", "paused", "somebody has paused the bridge: nothing is written", seen.since.get("paused"), do, "pausing"
        )


def _source(seen: Seen) -> Iterator[Trouble]:
    told, silence = seen.status.source.get("trouble"), seen.status.source.get("wire_silence_seconds")
    if seen.source_error is not None:
        do = "see that the server runs and can be reached from here"
        yield Trouble("critical", "source-unreachable", seen.source_error, None, do, "source-restarted")
    if told:
        do = "see that the server runs and that the slot's connection is let in"
        yield Trouble(
            "critical", "source", f"PostgreSQL cannot be followed: {told}", seen.since.get("source"), do, "source-restarted"
        )
    elif silence is not None and silence > SILENCE_ALARM:
        what = f"nothing was heard from PostgreSQL for {silence:.0f} s, though the connection is open"
        do = "look for a firewall or balancer in between, and for a huge transaction on the source"
        yield Trouble("critical", "wire-silence", what, seen.now - silence, do, "wire-silence")


def _slot(seen: Seen) -> Iterator[Trouble]:
    slot = seen.status.slot
    if not slot.get("known"):
        return
    if not slot.get("exists") or slot.get("wal_status") == "lost":
        if seen.status.source.get("slot"):
            what = "the slot is lost: what was committed since cannot be read any more"
            yield Trouble(
                "critical", "slot-lost", what, None, "engram-bridge resync --new-slot, then engram-bridge run", "slot-lost"
            )
        return
    left = slot.get("seconds_to_loss")
    if slot.get("wal_status") == "unreserved" or (left is not None and left < SOON_SECONDS):
        when = f"in {left / 60:.0f} min at the rate of the last minutes" if left is not None else "at the next checkpoint"
        do = "mend what holds the bridge up, or raise max_slot_wal_keep_size on the source"
        yield Trouble("critical", "slot-loss", f"the slot will be lost {when}", None, do, "wal-is-kept")
    elif slot.get("warning"):
        yield Trouble(
            "warning", "wal-kept", str(slot["warning"]), None, "see who holds it back: engram-bridge slots", "wal-is-kept"
        )
    if not slot.get("active") and seen.status.held_by is not None and not seen.status.source.get("trouble"):
        do = "see the bridge's log; it connects again by itself"
        yield Trouble("critical", "slot-inactive", "nobody reads the slot, and it keeps WAL", None, do, "wal-is-kept")


def _target(seen: Seen) -> Iterator[Trouble]:
    health, told = seen.status.target["health"], seen.status.target.get("trouble")
    if health == "unreachable":
        what = "Engram cannot be reached: all is read from PostgreSQL, changes wait"
        do = "see that Engram runs and can be reached; all goes on by itself"
        yield Trouble("critical", "target-unreachable", what, seen.since.get("unreachable"), do, "target-slow-or-down")
    elif told:
        what = f"Engram takes no writes: {told}"
        do = "see Engram's log; all goes on by itself"
        yield Trouble("critical", "target", what, seen.since.get("target"), do, "target-slow-or-down")
    elif health == "being compared" and seen.status.target["starts_seen"] > 1:
        what = "Engram was started again, and is compared with the ledger: tables are read from PostgreSQL until theirs is done"
        yield Trouble("warning", "target-epoch", what, seen.target_epoch_seen, "wait: it is mended by itself", "target-restarted")


def _tables(seen: Seen) -> Iterator[Trouble]:
    for table in seen.status.tables:
        if table.state == "stopped":
            what = f"{table.name} is stopped: {table.reason}"
            yield Trouble("critical", "table-stopped", what, None, table.remedy or "", "stopped-tables", table.name)
        if table.parked:
            rows = "row is" if table.parked == 1 else "rows are"
            what = f"{table.name}: {table.parked:,} {rows} set aside, and read from PostgreSQL"
            do = "engram-bridge parked list says why; then parked retry"
            yield Trouble("warning", "parked", what, seen.parked.get(table.name), do, "parked-keys", table.name)
    for full in seen.status.crowded:
        severity: Severity = "warning" if full.waiting else "note"
        do = f"engram-bridge reshard {full.table} {full.shards}"
        yield Trouble(severity, "capacity", full.sentence, None, do, "capacity", full.table)
    for one in seen.status.under_way:
        if one.what == "refused":
            yield Trouble(
                "warning",
                "refused",
                f"{one.table}: {one.sentence}",
                None,
                "see the reason",
                "adding-and-removing-tables",
                one.table,
            )


def _reads(seen: Seen) -> Iterator[Trouble]:
    for label in dict.fromkeys(one.label for one in seen.mismatches):
        mine = [one.first for one in seen.mismatches if one.label == label]
        rows = "row differs" if len(mine) == 1 else "rows differ"
        what = f"{label}: {len(mine):,} {rows} between Engram and PostgreSQL, and not by lag"
        do = "read them from PostgreSQL, and let the rows be read again: see the runbook"
        yield Trouble("critical", "mismatch", what, min(mine), do, "mismatches", label)
    for label, table in seen.reads.items():
        recent = table.windows.get("5m")
        if recent is None:
            continue
        if recent.failed:
            what = f"{label}: {recent.failed:,} reads of the last five minutes got no answer"
            do = "see that PostgreSQL answers the proxies: they need it whenever Engram cannot answer"
            yield Trouble("critical", "proxy-errors", what, None, do, "reads-fail", label)
        foreign = sum(recent.reasons.get(reason.value, 0) for reason in FOREIGN_REASONS)
        fallen = recent.served.get("postgres", 0) - foreign
        meant = recent.answered - foreign
        if table.mode in (Mode.ENGRAM, Mode.ENGRAM_ONLY) and meant >= FEW_READS and 2 * fallen > meant:
            why = _most(recent.reasons)
            what = f"{label}: {fallen:,} of {meant:,} reads of five minutes went to PostgreSQL, not to Engram: {why}"
            yield Trouble("warning", "fallback", what, None, "the reason says what to mend", "reads-fall-back", label)
    if seen.unclean is not None:
        what = "the last validation found rows that differ"
        yield Trouble("critical", "validation", what, seen.unclean, "see its result: engram-bridge status --json", "mismatches")


def _most(reasons: Mapping[str, int]) -> str:
    """The most frequent reason that is not the operator's wish."""
    wished = {reason.value for reason in FOREIGN_REASONS}
    mine = {reason: count for reason, count in reasons.items() if reason not in wished}
    return max(mine, key=lambda reason: mine[reason]) if mine else "no reason counted"


def _lag(seen: Seen) -> Iterator[Trouble]:
    beat = seen.heartbeat
    if not beat.running or seen.paused or seen.status.held_by is None:
        return
    late = max(beat.waiting_seconds or 0.0, (beat.p99_ms or 0.0) / 1000)
    if late > LATE_SECONDS:
        what = f"changes take {late:.1f} s from PostgreSQL into Engram: readers with less patience are served by PostgreSQL"
        do = "see which of the positions stands still: received (source, network), written (Engram), proven (reading back)"
        yield Trouble("warning", "heartbeat", what, seen.since.get("late"), do, "lag")


def _reconciliation(seen: Seen) -> Iterator[Trouble]:
    figures = seen.reconciliation
    unmended = sum(figures.open.values())
    if unmended:
        tables = ", ".join(sorted(figures.open))
        what = f"reconciliation has found {unmended:,} difference{'s' if unmended > 1 else ''} that are not mended: {tables}"
        do = "engram-bridge reconcile looks again and says what it finds"
        yield Trouble("warning", "unmended", what, figures.open_since, do, "reconciliation-finds")
    for cause, count in figures.repeated.items():
        what = f"reconciliation keeps finding damage, {count:,} times in a day: {cause}"
        yield Trouble("warning", "damage-repeats", what, None, "see what causes it: the runbook", "reconciliation-finds")


def _notes(seen: Seen) -> Iterable[Trouble]:
    beat = seen.heartbeat
    if beat.refused:
        do = "grant EXECUTE on pg_logical_emit_message to the bridge's role, and run again"
        yield Trouble("note", "heartbeat-off", f"lag is not measured end to end: {beat.refused}", None, do, "lag")
    offset = beat.clock_offset_seconds
    if offset is not None and abs(offset) > CLOCK_SECONDS:
        where = "ahead of" if offset > 0 else "behind"
        what = f"PostgreSQL's clock is {abs(offset):.1f} s {where} the bridge's; no answer depends on it"
        yield Trouble("note", "clock", what, None, "let both hosts keep time (NTP)", "lag")


def told(trouble: Trouble) -> str:
    """One line for people: what, since when."""
    since = time.strftime(" (since %Y-%m-%d %H:%M:%S)", time.localtime(trouble.since)) if trouble.since else ""
    return f"{trouble.what}{since}"
