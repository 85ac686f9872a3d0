"""What came of a one-shot migration: the document of its report, and the code that it ends with."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from bridge.errors import Transient
from bridge.migration.advice import advice
from bridge.migration.attempt import Attempt, tool
from bridge.migration.orphans import References, TableReferences
from bridge.report import EXIT_CODES, SCHEMA, Document, Outcome, TableReport
from bridge.report.document import ParkedKey
from snapshot.counting import count_rows
from snapshot.plan import EVERYTHING

ROLLBACK_SHARE = 0.01
"""More than this share of the rows that differ: a rollback is advised. Less, but some: somebody has to look."""

LISTED = 1_000
"""Parked keys that are named."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows of one table in the source, at the snapshot, and what the ledger has proven of it."""

    rows: int
    live: int
    parked: int
    keyless: bool

    @property
    def differing(self) -> int:
        """Rows that are missing, or too many. Without a key equal rows are one memory: none can be said to be missing."""
        if self.keyless:
            return int(self.rows > 0 and self.live + self.parked == 0) + max(self.live + self.parked - self.rows, 0)
        return abs(self.rows - self.live - self.parked)


def count(attempt: Attempt) -> dict[str, Counted]:
    """The rows of every table of the order, counted at the snapshot. Raises SourceUnavailable and SnapshotLost."""
    carrying = attempt.carrying
    live: dict[int, int] = {}
    for (number, _shard), rows in carrying.ledger.live_counts().items():
        live[number] = live.get(number, 0) + rows
    found = {}
    with carrying.held.connect("engram-bridge migrate count") as connection:
        for label, plan in carrying.plan.mapping.plans.items():
            if plan.number not in carrying.numbers or plan.number in carrying.shop.stopped:
                continue
            only = carrying.loader.only.get(plan.number, EVERYTHING)
            parked = len(carrying.ledger.parked_of(plan.number))
            found[label] = Counted(count_rows(connection, plan.table, only), live.get(plan.number, 0), parked, plan.keyless)
    return found


def broken_off(attempt: Attempt, why: str) -> Document:
    """The report of an attempt that came to no end: what is recorded of each table, and why no more. Raises LedgerError."""
    ledger = attempt.carrying.ledger
    live: dict[int, int] = {}
    for (number, _shard), rows in ledger.live_counts().items():
        live[number] = live.get(number, 0) + rows
    recorded = {}
    for label, plan in attempt.carrying.plan.mapping.plans.items():
        if plan.number in attempt.carrying.numbers:
            rows, parked = sum(chunk.rows for chunk in ledger.chunks(plan.number) if chunk.done), ledger.parked_of(plan.number)
            recorded[label] = Counted(rows, live.get(plan.number, 0), len(parked), plan.keyless)
    said = ["not complete: what is done is kept, and the same command goes on", why]
    return document_of(attempt, recorded, ("failed", said), References(), None)


def judge(attempt: Attempt, counted: Mapping[str, Counted], validation: Mapping[str, Any] | None) -> tuple[Outcome, list[str]]:
    """The outcome, and why."""
    stopped = attempt.carrying.shop.stopped
    numbers = {label: plan.number for label, plan in attempt.carrying.plan.mapping.plans.items()}
    failed = [
        f"{label} was not migrated: {stopped[numbers[label]]}"
        for label in attempt.examined.chosen.labels
        if numbers[label] in stopped
    ]
    said, rows, wrong = [], sum(one.rows for one in counted.values()), 0
    for label, one in counted.items():
        missing = one.differing if label not in attempt.partial else max(one.rows - one.live - one.parked, 0)
        if missing and label not in attempt.earlier:
            said.append(f"{label}: {one.rows:,} rows in PostgreSQL, {one.live:,} memories and {one.parked:,} parked")
        if missing and label in attempt.earlier and validation is None:  # nobody has looked which of the two it is
            said.append(
                f"{label}: {one.rows:,} rows in PostgreSQL now, {one.live:,} memories and {one.parked:,} parked: changed since "
                "they were read, or missing"
            )
        wrong += missing if label not in attempt.earlier else 0
    parked = sum(one.parked for one in counted.values())
    if parked:
        said.append(f"{parked:,} row(s) could not be written: they are parked, with the reason")
    if attempt.resumed:
        said.append("the migration was resumed: its rows were read at more than one snapshot, so that they are not of one moment")
    if validation is not None:
        said += validation["reasons"]
    if failed:
        return "failed", failed + said
    if wrong + parked > ROLLBACK_SHARE * max(rows, 1) or (validation is not None and validation["outcome"] == "rollback"):
        return "rollback", [*said, "more than 1 % of the rows differ: a rollback is advised (engram-bridge rollback)"]
    return ("investigate" if said else "ok"), said


def document_of(
    attempt: Attempt,
    counted: Mapping[str, Counted],
    verdict: tuple[Outcome, list[str]],
    references: References,
    validation: Mapping[str, Any] | None,
) -> Document:
    """The report, ready for JSON."""
    carrying, now = attempt.carrying, time.time()
    outcome, reasons = verdict
    counters = carrying.ledger.counters()
    spent = {name: counters.get(name, 0) - attempt.counters.get(name, 0) for name in counters}
    epochs = carrying.ledger.epochs()
    tables = _tables(attempt, counted, references)
    return Document(
        schema=SCHEMA,
        tool=tool(),
        migration_id=attempt.migration.id,
        outcome=outcome,
        exit_code=EXIT_CODES[outcome],
        reasons=reasons,
        source={
            "system_identifier": carrying.held.origins.system_identifier,
            "timeline": carrying.held.origins.timeline,
            "database": carrying.held.origins.database,
            "server_version": carrying.held.origins.server_version,
            "snapshots": [{"lsn": one["lsn"], "at": one["at"], "tables": one["tables"]} for one in attempt.snapshots],
        },
        target={
            "url": carrying.config.target.http,
            "version": engram_version(attempt),
            "epoch": epochs[-1][0] if epochs else None,
            "capacity": carrying.config.target.capacity,
        },
        began=attempt.migration.began,
        ended=now,
        seconds=now - attempt.migration.began,
        resumed=attempt.resumed,
        command=attempt.settings.command,
        tables=tables,
        edges=sum(table["edges"] for table in tables),
        edges_held_by="ledger",
        orphans=references.orphans,
        parked=_parked(attempt),
        writes={
            "sent": spent.get("embedded", 0) + spent.get("rewritten", 0),
            "dropped_and_recovered": spent.get("dropped_by_target", 0),
            "target_restarts": spent.get("target_restarts", 0),
        },
        validation=_with_share(validation, now - attempt.migration.began),
        environment=environment(attempt),
        advice=advice({label: one.rows for label, one in counted.items()}, attempt.settings.batch, attempt.settings.workers)
        + references.advice
        + _how_on(attempt),
    )


def _with_share(validation: Mapping[str, Any] | None, whole: float) -> dict[str, Any] | None:
    """With the part of the whole time that it took: the guide plans 10 to 15 % for it."""
    if validation is None:
        return None
    seconds = validation.get("seconds")
    return dict(validation) | ({"share": round(seconds / whole, 4)} if seconds is not None and whole > 0 else {})


def _tables(attempt: Attempt, counted: Mapping[str, Counted], references: References) -> list[TableReport]:
    carrying = attempt.carrying
    written = attempt.written()
    found = []
    for label, plan in carrying.plan.mapping.plans.items():
        if plan.number not in carrying.numbers:
            continue
        one, keys = counted.get(label, Counted(0, 0, 0, plan.keyless)), references.tables.get(label, TableReferences())
        loaded, times = written.get(plan.number, 0), attempt.watcher.times.get(plan.number)
        seconds = times.seconds if times is not None else 0.0
        found.append(
            TableReport(
                table=label,
                spaces=list(plan.spaces),
                rows=one.rows,
                loaded=loaded,
                unchanged=max(min(one.rows, one.live) - loaded, 0),
                edges=keys.edges,
                external=keys.external + keys.waiting,
                orphans=keys.orphans,
                parked=one.parked,
                seconds=round(seconds, 3),
                rows_per_second=round(one.rows / seconds, 1) if seconds else 0.0,
                note=_note(attempt, plan.number, plan.keyless),
            )
        )
    return found


def _note(attempt: Attempt, number: int, keyless: bool) -> str:
    stopped = attempt.carrying.shop.stopped.get(number)
    notes = [f"not migrated: {stopped}"] if stopped is not None else []
    if keyless:
        notes.append("no primary key: rows that are equal are one memory")
    if number in attempt.carrying.loader.only:
        notes.append("not all rows were meant")
    return "; ".join(notes)


def _parked(attempt: Attempt) -> list[ParkedKey]:
    carrying = attempt.carrying
    found: list[ParkedKey] = []
    for (number, key), parked in carrying.ledger.parked_keys():
        plan = carrying.plan.mapping.numbered.get(number)
        if plan is not None and number in carrying.numbers and len(found) < LISTED:
            found.append(ParkedKey(id=plan.prefix + key, reason=parked.reason))
    return found


def _how_on(attempt: Attempt) -> list[str]:
    """What to do next, where the order leaves something open."""
    order, found = attempt.order, []
    if order.since is not None:
        found.append(
            f"this was a delta: of rows that are not later than {order.since} updates and deletes were not carried, nor rows "
            "that were committed since with an earlier time. engram-bridge run on the same ledger follows all of them."
        )
    for label, why in attempt.examined.chosen.passed_over.items():
        found.append(f"{label} was not read: {why}")
    if order.limit is not None:
        found.append(f"at most {order.limit:,} rows of each table were read: run it without --limit for all of them")
    return found


def engram_version(attempt: Attempt) -> str:
    """What the server says of itself, if it says anything now."""
    try:
        return attempt.carrying.target.version()
    except Transient:
        return "unknown"


def environment(attempt: Attempt) -> dict[str, str]:
    """What it ran on, and against what."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": f"{os.cpu_count()} x {platform.processor() or platform.machine()}",
        "memory": f"{memory / 1e9:.1f} GB",
        "postgresql": attempt.carrying.held.origins.server_version,
        "engram": engram_version(attempt),
        "bridge": metadata.version("engram-bridge"),
    }
