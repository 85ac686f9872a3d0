"""`migrate-postgresql --dry-run`: what would be done, what stands in its way, and what it will take. Nothing is written.

Rows are read, a sample of each table, to see that they can be memories and how large those will be; some of their texts are
embedded, to see how fast that goes. Engram is asked what it is and what is in the spaces, by reading alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from bridge.check import Finding
from bridge.check_places import duration, place_findings
from bridge.check_server import size
from bridge.compiling import compile_mapping
from bridge.config import Config
from bridge.embedding import Embedders
from bridge.embedding.profiles import HASHING
from bridge.facts import Facts, LedgerFacts, TableFacts
from bridge.mapping import Identity, TablePlan
from bridge.mapping import Mapping as Plans
from bridge.migration.advice import VALIDATION_SHARE, advice
from bridge.migration.estimate import Estimate, TableEstimate, measured
from bridge.origin import Rows, open_rows
from bridge.preflight_target import target_seen
from bridge.report import Column, Figure, Grid, Lines, Page, Section
from bridge.report import Facts as Listed
from bridge.report.migration import spaces_text
from bridge.report.page import count, seconds_text
from snapshot.order import foreign_key_order
from snapshot.sampling import sample_rows

SAMPLE = 200
"""Rows of a table that are looked at."""

EMBEDDED = 32
"""Texts of a table that are embedded: one batch of a model."""

LEVELS = ("error", "warning", "info")
ABOUT_TARGET = ("target.", "space.shared", "space.cost")


@dataclass(frozen=True, slots=True)
class Manner:
    """How it would be done. `checkpoint` None: there is no such file."""

    batch: int
    workers: int
    checkpoint: Path | None = None
    validate: bool = True


@dataclass(frozen=True, slots=True)
class DryRun:
    """The plan. `order`: the tables as they are begun, parents first. `exit_code` is 1 when something stands in the way."""

    source: str
    target: str
    target_version: str
    manner: Manner
    order: tuple[tuple[str, ...], ...]
    external: tuple[str, ...]
    estimate: Estimate
    findings: tuple[Finding, ...]
    advice: tuple[str, ...]

    @property
    def errors(self) -> list[Finding]:
        """What the migration cannot begin with."""
        return [found for found in self.findings if found.level == "error"]

    @property
    def exit_code(self) -> int:
        """0 or 1."""
        return 1 if self.errors else 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        estimate = self.estimate
        return {
            "schema": 1,
            "dry_run": True,
            "ok": not self.errors,
            "exit_code": self.exit_code,
            "source": self.source,
            "target": {"url": self.target, "version": self.target_version},
            "order": [list(group) for group in self.order],
            "external": list(self.external),
            "tables": [asdict(table) | {"spaces": list(table.spaces)} for table in estimate.tables],
            "storage": {"engram": estimate.engram_bytes, "ledger": estimate.ledger_bytes, "vectors": estimate.cache_bytes},
            "seconds": list(estimate.seconds),
            "validation_seconds": list(estimate.validation_seconds) if self.manner.validate else None,
            "findings": [asdict(found) for found in self.findings],
            "advice": list(self.advice),
        }

    def page(self) -> Page:
        """For people."""
        estimate, errors = self.estimate, self.errors
        warnings = sum(found.level == "warning" for found in self.findings)
        stands = f"{count(len(errors), 'thing')} {'stands' if len(errors) == 1 else 'stand'} in the way"
        figures = (
            Figure(f"{estimate.rows:,}", "row" if estimate.rows == 1 else "rows"),
            Figure(f"{len(estimate.tables):,}", "table" if len(estimate.tables) == 1 else "tables"),
            Figure(_span(estimate.seconds), "predicted time"),
            Figure(size(estimate.engram_bytes), "in Engram"),
            Figure(f"{warnings:,}", "warning" if warnings == 1 else "warnings", "warn" if warnings else "good"),
        )
        sections = (_plan(self), _needs(self), *_found(self), _advised(self))
        return Page(
            "Dry run: nothing was written",
            f"{self.source} → {self.target} (Engram {self.target_version})",
            stands if errors else "The migration can begin",
            "bad" if errors else "warn" if warnings else "good",
            tuple(found.what for found in errors),
            figures,
            tuple(section for section in sections if section is not None),
        )


def make_dry_run(
    config: Config,
    tables: Sequence[TableFacts],
    findings: Sequence[Finding],
    manner: Manner,
    *,
    rows: Mapping[str, int],
    source: Rows,
    ledger: LedgerFacts,
) -> DryRun:
    """The plan for these tables, of which `rows` are to be read. `findings`: what was found so far, of the source and the ledger.

    Raises ConfigError, SourceUnavailable and EmbedderUnavailable; a target that cannot be reached is a finding.
    """
    plans = _plans(config, tables, ledger.ledger_id)
    seen = target_seen(config.target, plans.spaces, ledger.ledger_id)
    kept = [found for found in findings if not found.code.startswith(ABOUT_TARGET)]
    about = place_findings(Facts("", "", tables=tuple(tables), target=seen, ledger=ledger))
    kept += [found for found in about if found.code.startswith(ABOUT_TARGET)]
    estimates, odd = _estimates(config, tables, plans, rows, source, manner.batch)
    kept += odd
    if manner.checkpoint is None:
        kept.append(NO_CHECKPOINT)
    order = foreign_key_order([facts.table for facts in tables])
    carried = {*plans.plans, *config.include}
    external = tuple(
        f"{facts.table.label}: {key.name} leads to {'.'.join(key.parent)}"
        for facts in tables
        for key in facts.table.foreign_keys
        if ".".join(key.parent) not in carried
    )
    keeps = any(model != HASHING for model in config.models)
    return DryRun(
        source=config.source.shown,
        target=config.target.http,
        target_version=seen.version,
        manner=manner,
        order=tuple(tuple(table.label for table in group) for group in order),
        external=external,
        estimate=Estimate(tuple(estimates), config.embedding.cache_mb * 1_000_000 if keeps else 0),
        findings=tuple(sorted(kept, key=lambda found: LEVELS.index(found.level))),
        advice=tuple(advice(rows, manner.batch, manner.workers)),
    )


NO_CHECKPOINT = Finding(
    "warning",
    "checkpoint.none",
    "--checkpoint-file",
    "no checkpoint file is named: a run that is broken off goes on by what the ledger knows of it alone",
    "--checkpoint-file migration.json",
)


def _plans(config: Config, tables: Sequence[TableFacts], ledger_id: str | None) -> Plans:
    identity = Identity(ledger_id or "0" * 32, config.migration or "dry-run", "", config.target.space_prefix)
    return compile_mapping(
        [facts.table for facts in tables],
        {facts.table.label: facts.options for facts in tables},
        identity,
        {facts.table.label: number for number, facts in enumerate(tables, 1)},
        homes={facts.table.label: facts.spaces for facts in tables if facts.spaces},
    )


def _estimates(
    config: Config, tables: Sequence[TableFacts], plans: Plans, rows: Mapping[str, int], source: Rows, batch: int
) -> tuple[list[TableEstimate], list[Finding]]:
    """Each table by a sample of its rows, and what those cannot become. Tables that may not be read are left without one."""
    found: list[TableEstimate] = []
    odd: list[Finding] = []
    # Nothing is written, so no cache is opened either.
    embedders = Embedders(config.embedding.model, config.embedding.options(), None)
    try:
        with open_rows(source, "engram-bridge dry-run") as connection:
            for facts in tables:
                plan, number = plans.plans[facts.table.label], rows.get(facts.table.label, 0)
                one = _estimate(connection, embedders, facts, plan, number, batch)
                found.append(one)
                if one.unmappable:
                    odd.append(_unmappable(one))
    finally:
        embedders.close()
    return found, odd


def _estimate(
    connection: psycopg.Connection, embedders: Embedders, facts: TableFacts, plan: TablePlan, rows: int, batch: int
) -> TableEstimate:
    one = TableEstimate(facts.table.label, plan.spaces, rows, facts.counted, -(-rows // batch), 0.0, 0)
    if not facts.readable or not facts.schema_usable or not rows:
        return one
    sampled = sample_rows(connection, plan.table, facts.rows, min(SAMPLE, rows))
    mean, bad, texts = measured(plan, sampled)
    one = replace(one, content_bytes=round(mean, 1), sampled=len(sampled), unmappable=bad)
    return replace(one, embed_seconds=_embedding(embedders, plan, texts, rows)) if texts else one


def _embedding(embedders: Embedders, plan: TablePlan, texts: Sequence[str], rows: int) -> float:
    """Seconds for so many rows with such texts, by a few of them. The first text is not counted: a model warms up at it."""
    encoder = embedders.for_table(plan)
    if not encoder.embedder.kept:
        return 0.0  # not worth a cache: part of what this program does in any case
    encoder.encode(texts[:1])
    some = texts[:EMBEDDED]
    began = time.perf_counter()
    encoder.encode(some)
    return round((time.perf_counter() - began) / len(some) * rows, 1)


def _unmappable(one: TableEstimate) -> Finding:
    return Finding(
        "warning",
        "table.unmappable",
        one.table,
        f"{one.unmappable} of {one.sampled} sampled rows of {one.table} cannot become memories: they would be parked",
        "Correct the rows (bytes that are no valid UTF-8, mostly), or convert the database to UTF8.",
    )


# what a person reads


def _span(seconds: tuple[float, float]) -> str:
    least, most = (duration(one) for one in seconds)
    return least if least == most else f"{least} to {most}"


def _plan(run: DryRun) -> Section:
    place = {label: number for number, group in enumerate(run.order, 1) for label in group}
    tables = sorted(run.estimate.tables, key=lambda table: (place.get(table.table, 0), table.table))
    columns = (
        Column("step", number=True),
        Column("table"),
        Column("spaces"),
        *(Column(name, number=True) for name in ("rows", "batches", "bytes a row", "in Engram", "model", "server")),
    )
    rows = tuple(
        (
            f"{place.get(table.table, 0)}",
            table.table,
            spaces_text(list(table.spaces)),
            f"{'' if table.counted else '~'}{table.rows:,}",
            f"{table.batches:,}",
            f"{table.content_bytes:,.0f}" if table.sampled else "–",
            size(table.engram_bytes),
            seconds_text(table.embed_seconds) if table.embed_seconds else "–",
            duration(table.server_seconds),
        )
        for table in tables
    )
    note = (
        f"{run.manner.workers} worker(s), {run.manner.batch:,} rows a batch, parents before children; what is of one step is of "
        "one cycle of references. model: what the texts cost the model; server: what the rows cost Engram, alone."
    )
    parts: tuple[Grid | Lines, ...] = (Grid(columns, rows),)
    if run.external:
        parts += (Lines(tuple(f"external: {one}, which is not among the tables" for one in run.external)),)
    return Section("Plan", parts, note)


def _needs(run: DryRun) -> Section:
    estimate = run.estimate
    facts = [
        ("Engram", f"{size(estimate.engram_bytes)} of contents and vectors: please confirm that its host has them"),
        ("ledger", size(estimate.ledger_bytes)),
        ("vectors kept here", size(estimate.cache_bytes) if estimate.cache_bytes else "none"),
        ("loading", f"{_span(estimate.seconds)}: the less, the more of it Engram and this host can do side by side"),
    ]
    if run.manner.validate:
        least, most = VALIDATION_SHARE
        facts.append(
            ("validation", f"{_span(estimate.validation_seconds)}; plan for {least:.0%} to {most:.0%} of the whole time")
        )
    return Section("What it will take", (Listed(tuple(facts)),))


def _found(run: DryRun) -> list[Section]:
    return [
        Section(
            {"error": "Errors", "warning": "Warnings", "info": "Good to know"}[level],
            (Lines(tuple(f"{one.what}{f' → {one.remedy}' if one.remedy else ''}" for one in found)),),
        )
        for level in LEVELS
        if (found := [one for one in run.findings if one.level == level])
    ]


def _advised(run: DryRun) -> Section | None:
    return Section("Advice", (Lines(run.advice),)) if run.advice else None
