"""What is looked at before a one-shot migration begins: source, rights, tables, ledger. Reads only.

The rules and their sentences are those of `check`, without those that only matter to a stream: slot, publication, replica
identity, wal_level. SELECT on the tables is all that is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.check import OLDEST, Finding, quoted, source_findings
from bridge.check_places import place_findings
from bridge.compiling import compile_mapping
from bridge.config import Config
from bridge.errors import CheckFailed, ConfigError, LedgerError, LedgerUnavailable
from bridge.facts import Facts, LedgerFacts, RoleFacts, TableFacts, TargetFacts
from bridge.ledger.holder import held_by_another
from bridge.mapping import Identity
from bridge.migration.order import Chosen, Order, resolve
from bridge.postgres import connect
from bridge.preflight_ledger import ledger_facts
from bridge.preflight_source import SourceAnswers, collect_source
from bridge.selection import table_options

OF_A_STREAM = (
    "source.wal_level",
    "source.slots",
    "source.senders",
    "role.replication",
    "role.create",
    "slot.",
    "publication.",
    "table.unlogged",
    "table.partitioned",
    "table.deferrable_key",
    "table.identity",
    "table.no_key",
    "ledger.slot",
)
"""Codes of findings, or how they begin, that say nothing about a migration without a stream."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found. `tables` are the facts of those that this order migrates, with what their rows are estimated at."""

    chosen: Chosen
    ledger: LedgerFacts
    answers: SourceAnswers
    tables: tuple[TableFacts, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        """What the migration cannot begin with."""
        return [found for found in self.findings if found.level == "error"]

    @property
    def rows(self) -> dict[str, int]:
        """Rows that are to be read, by label, as far as it can be known before they are."""
        only = self.chosen.restrictions
        estimates = {facts.table.label: facts.rows for facts in self.tables}
        return {
            label: min(rows, limit) if label in only and (limit := only[label].limit) is not None else rows
            for label, rows in estimates.items()
        }


def examine(order: Order, base: Config) -> Examined:
    """Look at everything. Raises ConfigError for names that are not there, CheckFailed for a server too old, LedgerError,
    LedgerUnavailable, LedgerHeld, SourceUnavailable."""
    ledger = ledger_facts(base.ledger)
    if ledger.failure:
        raise (LedgerUnavailable if ledger.unavailable else LedgerError)(ledger.failure, hint=ledger.remedy)
    if ledger.holder is not None:
        raise held_by_another(ledger.holder)
    if ledger.confirmed is not None or ledger.making is not None:
        raise LedgerError(
            "this ledger is of a `run`, which loads and follows its tables by itself",
            hint="Start `engram-bridge run`; `engram-bridge resync` reads tables again. Or name another ledger: --ledger.",
        )
    with connect(base.source.url, application_name="engram-bridge migrate") as connection:
        answers = collect_source(connection, "", "")
        if answers.server.version < OLDEST:
            raise CheckFailed(
                f"PostgreSQL {answers.server.version // 10_000} is too old",
                hint="Upgrade the source to PostgreSQL 12 or later.",
            )
        everything = list(answers.catalog.tables.values())
        estimated = answers.with_rows(connection, [answers.table_facts(table, None, ()) for table in everything])
    rows = {facts.table.label: facts.rows for facts in estimated}
    chosen = resolve(order, base, everything, rows, ledger.choices.readmitted, tuple(ledger.spaces))
    if not chosen.labels:
        raise ConfigError(
            f"there is no table to migrate in the database {answers.server.database}",
            hint="; ".join(f"{label}: {why}" for label, why in chosen.passed_over.items())
            or "Check the database's name in --source, and --tables.",
        )
    tables = _facts(chosen, answers, ledger, estimated)
    return Examined(chosen, ledger, answers, tables, tuple(_findings(chosen, answers, ledger, tables)))


def _facts(
    chosen: Chosen, answers: SourceAnswers, ledger: LedgerFacts, estimated: Sequence[TableFacts]
) -> tuple[TableFacts, ...]:
    """The tables of this order with their options and spaces. Raises ConfigError for what cannot be mapped."""
    everything = [facts.table for facts in estimated]
    options = table_options(chosen.config, everything, ledger.choices.readmitted)
    carried = [table for table in everything if table.label in chosen.config.include]
    numbers = {table.label: number for number, table in enumerate(carried, 1)}
    identity = Identity(ledger.ledger_id or "", chosen.config.migration or "", "", chosen.config.target.space_prefix)
    mapping = compile_mapping(carried, options, identity, numbers)
    return tuple(
        replace(answers.table_facts(facts.table, options.get(facts.table.label), mapping.plans[facts.table.label].spaces))
        if facts.rows < 0
        else replace(
            answers.table_facts(facts.table, options.get(facts.table.label), mapping.plans[facts.table.label].spaces),
            rows=facts.rows,
            counted=facts.counted,
        )
        for facts in estimated
        if facts.table.label in chosen.labels
    )


def _findings(chosen: Chosen, answers: SourceAnswers, ledger: LedgerFacts, tables: Sequence[TableFacts]) -> Iterator[Finding]:
    restricted = [_restricted(facts, chosen) for facts in tables]
    facts = Facts(
        "",
        "",
        answers.server,
        answers.role,
        tables=tuple(restricted),
        target=TargetFacts(limit=chosen.config.target.limit),
        ledger=ledger,
    )
    for found in [*source_findings(facts), *place_findings(facts)]:
        if not found.code.startswith(OF_A_STREAM):
            yield with_flag(_with_grant(found, answers.role, {one.table.label: one for one in tables}))
    for one in tables:
        if not one.table.key:
            yield Finding(
                "warning",
                "table.duplicates",
                one.table.label,
                f"{one.table.label} has no primary key: rows that are equal become one memory",
                "Add a primary key if each row counts.",
            )
    for label, number in chosen.spread.items():
        yield Finding(
            "info",
            "space.spread",
            label,
            f"{label} would not fit into one space: it is spread over {number}",
            f"Another number: --shards {label.removeprefix('public.')}:N",
        )
    for label, why in chosen.passed_over.items():
        yield Finding("warning", "delta.passed_over", label, f"{label} is not read: {why}", "Migrate it without --since.")


def _restricted(facts: TableFacts, chosen: Chosen) -> TableFacts:
    only = chosen.restrictions.get(facts.table.label)
    return facts if only is None or only.limit is None else replace(facts, rows=min(facts.rows, only.limit))


def _with_grant(found: Finding, role: RoleFacts, tables: Mapping[str, TableFacts]) -> Finding:
    """In the words of the server, and with the statement that mends it for all tables of the schema."""
    if found.code != "table.select":
        return found
    table = tables[found.where].table
    grant = f"GRANT SELECT ON ALL TABLES IN SCHEMA {plain(table.schema)} TO {plain(role.name)};"
    return replace(found, what=f"permission denied for table {table.name}: {found.what}", remedy=grant)


def with_flag(found: Finding) -> Finding:
    """A number of spaces as the flag says it, and not as the configuration would."""
    wanted = re.search(r"shards: (\d+)\}+(.*)", found.remedy) if found.code.startswith("space.") else None
    if wanted is None:
        return found
    return replace(found, remedy=f"--shards {found.where.removeprefix('public.')}:{wanted[1]}{wanted[2]}")


def plain(name: str) -> str:
    """An SQL identifier, quoted only where it has to be."""
    return name if name.isascii() and name.isidentifier() and name == name.lower() else quoted(name)
