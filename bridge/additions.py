"""Whether a table can be carried beside those that are: the findings of `check` for it alone, before anything is written."""

from __future__ import annotations

import psycopg

from bridge.check import Finding, source_findings
from bridge.check_plugin import plugin_findings
from bridge.choices import Choices
from bridge.compiling import compile_mapping
from bridge.config import Config
from bridge.errors import ConfigError
from bridge.explain import nearest
from bridge.facts import Facts
from bridge.ledger import Generations, Ledger
from bridge.mapping import TablePlan
from bridge.preflight_source import SourceAnswers, collect_source
from bridge.schema import Table
from bridge.selection import names_of, select, table_options
from bridge.wiring import chosen_models, identity_of

ABOUT_TABLES = ("table.", "schema.", "publication.")


def find(answers: SourceAnswers, name: str) -> Table:
    """The table of the source that is called so. Raises ConfigError with the nearest name."""
    tables = list(answers.catalog.tables.values())
    found = next((table for table in tables if name in names_of(table)), None)
    if found is None:
        raise ConfigError(f"there is no table {name!r} in the source", hint=nearest(name, [table.label for table in tables]))
    return found


def answers_of(config: Config, connection: psycopg.Connection) -> SourceAnswers:
    """What the source says of itself. Raises SourceUnavailable."""
    return collect_source(connection, config.source.slot, config.source.publication)


def carried(config: Config, ledger: Ledger, answers: SourceAnswers) -> set[str]:
    """Tables that the ledger knows and the configuration leaves: a run that failed may have noted others. Raises ConfigError."""
    chosen = {table.label for table in select(config, list(answers.catalog.tables.values()), Generations(ledger).choices())}
    return chosen & {record.label for record in ledger.tables()}


def draft(config: Config, ledger: Ledger, answers: SourceAnswers, table: Table) -> TablePlan:
    """How the table would be carried: a plan that is not in force. Raises ConfigError for names and spaces that cannot be."""
    known = {record.label: record for record in ledger.tables()}
    choices = Generations(ledger).choices()
    everything = list(answers.catalog.tables.values())
    with_it = Choices(choices.added | {table.label}, choices.removed - {table.label}, choices.resharded)
    carried = [one for one in select(config, everything, with_it) if one.label in known or one.label == table.label]
    options = table_options(config, everything, with_it)
    mapping = compile_mapping(
        carried,
        options | chosen_models(config, options, choices),
        identity_of(ledger, config),
        {one.label: number for number, one in enumerate(carried, 1)},
        homes={one.label: known[one.label].spaces for one in carried if one.label in known},
    )
    return mapping.plans[table.label]


def errors(config: Config, answers: SourceAnswers, plan: TablePlan) -> list[Finding]:
    """Why the table cannot be carried, in the sentences of `check`; none when it can."""
    whole = answers.catalog.tables[(plan.table.schema, plan.table.name)]
    facts = Facts(
        config.source.slot,
        config.source.publication,
        answers.server,
        answers.role,
        None,
        answers.publication,
        tables=(answers.table_facts(whole, plan.options, plan.spaces),),
        plugin=config.source.plugin,
    )
    found = source_findings(facts) + plugin_findings(facts)
    return [one for one in found if one.level == "error" and one.code.startswith(ABOUT_TABLES)]
