"""`check`: collects the facts and lets the rules judge. Reads the source (SELECT only) and changes nothing in it.

The target's probe writes to the probe space and takes it back; no other space is made, since a space can never be removed again.
A ledger is looked at without being made or changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import psycopg

from bridge import capacity
from bridge.check import OLDEST, Finding, source_findings
from bridge.check_failover import failover_findings
from bridge.check_places import place_findings
from bridge.check_plugin import plugin_findings
from bridge.check_report import Report, TableSummary
from bridge.check_server import server_findings
from bridge.check_sql import script
from bridge.compiling import compile_mapping
from bridge.config import Config
from bridge.embedding.profiles import HASHING
from bridge.errors import BridgeError, CheckFailed, Transient
from bridge.facts import Facts, LedgerFacts, RoleFacts, TableFacts
from bridge.mapping import Identity, Mapping
from bridge.models import other_model
from bridge.postgres import connect
from bridge.preflight_ledger import ledger_facts
from bridge.preflight_relations import other_relations, with_columns
from bridge.preflight_server import clock_offset, endpoint_facts, wal_facts, with_rate, with_walsender
from bridge.preflight_source import SourceAnswers, collect_source, failover_facts, for_role
from bridge.preflight_target import target_facts
from bridge.renewal import renewed
from bridge.selection import select, table_options
from bridge.spaces import TableOptions
from bridge.wiring import chosen_models, open_embedders


def run(config: Config) -> Report:
    """Everything that can be known before the first row. Raises nothing for what it finds: that stands in the report."""
    findings: list[Finding] = []
    facts, mapping = _source(config, findings)
    ledger = facts.ledger
    assert ledger is not None
    spaces = mapping.spaces if mapping is not None else []
    facts = replace(facts, target=target_facts(config.target, spaces, ledger.ledger_id))
    if any(model != HASHING for model in config.models):
        facts = replace(facts, vector_cache=config.embedding.cache_mb * 1_000_000)
    findings += _model_findings(config, facts.tables, ledger)
    facts = renewed(facts)
    for rules in (source_findings, plugin_findings, failover_findings, place_findings, server_findings):
        findings += rules(facts)
    return Report(tuple(findings), tuple(_summary(table) for table in facts.tables))


def _source(config: Config, findings: list[Finding]) -> tuple[Facts, Mapping | None]:
    """What ledger and source say, and the mapping if there can be one; a source that cannot be asked becomes a finding."""
    ledger = ledger_facts(config.ledger)
    facts = Facts(config.source.slot, config.source.publication, ledger=ledger, plugin=config.source.plugin)
    try:
        with connect(config.source.url, application_name="engram-bridge check") as connection:
            answers = collect_source(connection, config.source.slot, config.source.publication, config.source.plugin)
            facts = replace(facts, failover=failover_facts(connection, config.source.url, wanted=config.source.failover))
            tables, mapping = _chosen(config, answers, ledger, findings)
            tables = with_columns(connection, answers.with_rows(connection, tables))
            if answers.server.version >= OLDEST:
                facts = _with_server(facts, config, connection, answers)
        ledger = ledger_facts(config.ledger)  # once more: a run beside us moves it on, always before the slot
    except BridgeError as error:
        code = "source.unreachable" if isinstance(error, Transient) else "source.refused"
        findings.append(_told(error, code, "source"))
        return facts, None
    facts = replace(
        facts,
        ledger=ledger,
        server=answers.server,
        role=answers.role,
        slot=answers.slot,
        publication=answers.publication,
        tables=tuple(tables),
    )
    return facts, mapping


def statements(config: Config, role: str | None = None) -> str:
    """The script of `check --sql`, for the role that connects or another one. Asks the source alone.

    Raises ConfigError, SourceUnavailable, and CheckFailed for what has to be corrected before anything can be said.
    """
    findings: list[Finding] = []
    ledger = ledger_facts(config.ledger)
    with connect(config.source.url, application_name="engram-bridge check") as connection:
        answers = collect_source(connection, config.source.slot, config.source.publication, config.source.plugin)
        tables, _mapping = _chosen(config, answers, ledger, findings)
        if answers.server.version < OLDEST:
            findings = source_findings(Facts("", "", server=answers.server, role=answers.role))
        if findings:
            raise CheckFailed(findings[0].what, hint=findings[0].remedy)
        wal = wal_facts(connection, standby=answers.server.standby)
        found: RoleFacts | None = answers.role
        if role is not None:
            found, tables = for_role(connection, tables, role)
    facts = Facts(
        config.source.slot,
        config.source.publication,
        server=answers.server,
        role=found or RoleFacts(role or answers.role.name, replication=False, may_create=False),
        slot=answers.slot,
        publication=answers.publication,
        tables=tuple(tables),
        ledger=ledger,
        wal=wal,
        plugin=config.source.plugin,
    )
    return script(facts, make_role=found is None)


def _with_server(facts: Facts, config: Config, connection: psycopg.Connection, answers: SourceAnswers) -> Facts:
    """With what is known of the server behind the address. Raises SourceUnavailable."""
    url = config.source.url
    wal = wal_facts(connection, standby=answers.server.standby)
    endpoint = endpoint_facts(connection, url, lambda: connect(url, application_name="engram-bridge check"))
    offset, error = clock_offset(connection)
    endpoint = replace(endpoint, clock_offset=offset, clock_error=error)
    if (answers.role.replication or answers.role.superuser) and not endpoint.moving and not answers.server.senders_taken:
        endpoint = with_walsender(endpoint, url)
    others = other_relations(connection)
    return replace(facts, endpoint=endpoint, wal=with_rate(connection, wal), others=others)


def _chosen(
    config: Config, answers: SourceAnswers, ledger: LedgerFacts, findings: list[Finding]
) -> tuple[list[TableFacts], Mapping | None]:
    """The tables that the configuration chooses, with their options and spaces; mistakes in it become findings."""
    everything = list(answers.catalog.tables.values())
    try:
        tables, options = select(config, everything, ledger.choices), table_options(config, everything, ledger.choices)
    except BridgeError as error:
        # Everything else is still judged, for all tables and with their defaults.
        findings.append(_told(error, "config", "tables"))
        return [answers.table_facts(table, None, ()) for table in everything], None
    if not tables and answers.server.version >= OLDEST:
        findings.append(
            Finding(
                "error",
                "source.no_tables",
                answers.server.database,
                f"there is no table to carry in the database {answers.server.database}",
                "Check the database's name in the source, and include and exclude.",
            )
        )
    mapping = None
    identity = Identity(ledger.ledger_id or "check", config.migration or "check", "", config.target.space_prefix)
    numbers = {table.label: number for number, table in enumerate(tables, 1)}
    try:
        mapping = compile_mapping(tables, options, identity, numbers)
        homes = _resharded(mapping, ledger)
        if homes:
            options |= {label: replace(options.get(label, TableOptions()), shards=len(home)) for label, home in homes.items()}
            mapping = compile_mapping(tables, options, identity, numbers, homes=homes)
    except BridgeError as error:
        findings.append(_told(error, "config.mapping", "tables"))
    spaces = {label: plan.spaces for label, plan in mapping.plans.items()} if mapping is not None else {}
    return [answers.table_facts(table, options.get(table.label), spaces.get(table.label, ())) for table in tables], mapping


def _resharded(mapping: Mapping, ledger: LedgerFacts) -> dict[str, tuple[str, ...]]:
    """Tables that live in other spaces than the configuration names, with its leave."""
    return {
        label: ledger.spaces[label]
        for label, plan in mapping.plans.items()
        if label in ledger.spaces
        and ledger.spaces[label] != plan.spaces
        and ledger.choices.accepts(label, ledger.spaces[label], plan.spaces)
    }


def _model_findings(config: Config, tables: Sequence[TableFacts], ledger: LedgerFacts) -> list[Finding]:
    """Every model is loaded and asked for a vector; a table keeps the one that it was embedded by."""
    try:
        embedders = open_embedders(config)
    except BridgeError as error:
        return [_told(error, "config", "embedding")]
    found = []
    options = {table.table.label: table.options for table in tables}
    options |= chosen_models(config, options, ledger.choices)
    for table in tables:
        encoder = embedders.load(options[table.table.label].model or config.embedding.model)
        label, now = table.table.label, (encoder.embedder.name, encoder.identity)
        made = ledger.models.get(label, now)
        if made[1] != now[1]:
            found.append(_told(other_model(label, made, now), "ledger.model", label))
    embedders.close()
    return found


def _told(error: BridgeError, code: str, where: str) -> Finding:
    return Finding("error", code, where, str(error), error.hint)


def _summary(facts: TableFacts) -> TableSummary:
    spaces: Sequence[str] = facts.spaces
    seconds = capacity.loading_seconds(facts.rows, facts.options.shards)
    return TableSummary(facts.table.label, facts.rows, tuple(spaces), seconds, facts.counted)
