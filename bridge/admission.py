"""What `run` asks before it writes anything: the errors of `check` past which going on would lose something.

The rules and their sentences are those of `check`. A first start is refused for any of them, so that a mistake leaves no ledger,
slot, publication or space behind. A ledger that has begun goes on wherever it can: of the source only what concerns it as a whole
is refused, after law 4's proof that it is still the same one; a table that cannot be carried any more is stopped alone (law 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bridge.check import Finding, source_findings
from bridge.check_failover import failover_findings
from bridge.check_places import place_findings
from bridge.check_plugin import plugin_findings
from bridge.compiling import compile_mapping
from bridge.config import Config
from bridge.errors import CheckFailed, ConfigError, LedgerError, LedgerUnavailable
from bridge.facts import Facts, FailoverFacts, LedgerFacts
from bridge.ledger.holder import held_by_another
from bridge.mapping import Identity
from bridge.postgres import connect
from bridge.preflight_ledger import ledger_facts
from bridge.preflight_source import SourceAnswers, collect_source
from bridge.renewal import Renewal, renewed
from bridge.selection import select, table_options
from bridge.wiring import source_identity, verify_source
from cdc import slot as slots

_OF_TABLES = ("table.", "schema.")
_OF_A_START = ("source.slots", "source.senders", "role.create", "publication.owner", "publication.members")
_SAID_BY_THE_RUN = ("space.", "ledger.", "target.")
"""Rows beyond a space's limit are parked and told, the ledger was looked at before, the target is asked next."""


def admit(config: Config) -> dict[str, Finding]:
    """Refuse what cannot go well; answers, for a ledger that has begun, what is wrong with single tables, by label.

    Reads only. Raises CheckFailed, ConfigError, LedgerError, LedgerUnavailable, LedgerHeld, SourceChanged,
    SlotLost, SourceUnavailable.
    """
    ledger = ledger_facts(config.ledger)
    if ledger.failure:
        raise (LedgerUnavailable if ledger.unavailable else LedgerError)(ledger.failure, hint=ledger.remedy)
    if ledger.holder is not None:
        raise held_by_another(ledger.holder)
    with connect(config.source.url, application_name="engram-bridge setup") as connection:
        if ledger.renewal is not None:
            Renewal(*ledger.renewal, moved=ledger.renewal_moved).require(source_identity(config))
        elif ledger.confirmed is not None:
            verify_source(config, connection, _remembered(ledger, ledger.confirmed))
        answers = collect_source(connection, config.source.slot, config.source.publication, config.source.plugin)
    errors = [found for found in _findings(config, answers, ledger) if found.level == "error"]
    if ledger.confirmed is None and ledger.renewal is None:
        refuse(errors)
        return {}
    forgiven = _OF_TABLES if ledger.renewal else (*_OF_TABLES, *_OF_A_START)
    refuse([found for found in errors if not found.code.startswith(forgiven)])
    tables: dict[str, Finding] = {}
    for found in errors:
        if found.code.startswith(_OF_TABLES):
            tables.setdefault(found.where, found)
    return tables


def refuse(errors: Sequence[Finding]) -> None:
    """Raise CheckFailed for findings: one with its remedy as the hint, several as a list."""
    if not errors:
        return
    if len(errors) == 1:
        raise CheckFailed(errors[0].what, hint=errors[0].remedy)
    lines = [f"  {number}. {found.what}\n     {found.remedy}" for number, found in enumerate(errors, 1)]
    raise CheckFailed(
        f"{len(errors)} things stand in the way:\n" + "\n".join(lines), hint="`engram-bridge check` shows all of them in a table."
    )


def _remembered(ledger: LedgerFacts, confirmed: int) -> slots.LedgerFacts:
    """What law 4 compares."""
    return slots.LedgerFacts(
        system_identifier=ledger.system_identifier or "",
        timeline=ledger.timeline or 0,
        database=ledger.database or "",
        slot=ledger.slot or "",
        confirmed=confirmed,
        plugin=ledger.plugin or slots.PLUGIN,
    )


def _findings(config: Config, answers: SourceAnswers, ledger: LedgerFacts) -> list[Finding]:
    """What `check` would say of source, tables and ledger. Raises ConfigError for names that cannot be."""
    facts = Facts(
        config.source.slot,
        config.source.publication,
        answers.server,
        answers.role,
        answers.slot,
        answers.publication,
        ledger=replace(ledger, confirmed=None) if ledger.confirmed is not None else ledger,  # compared by `verify_source`
        plugin=config.source.plugin,
        failover=FailoverFacts(wanted=config.source.failover),
    )
    facts = renewed(facts)
    findings = source_findings(facts)
    if any(found.code == "source.version" for found in findings):
        return findings  # a server so old was asked nothing else
    everything = list(answers.catalog.tables.values())
    chosen, options = select(config, everything, ledger.choices), table_options(config, everything, ledger.choices)
    if not chosen and not ledger.choices.removed:
        raise ConfigError(
            f"there is no table to carry in the database {answers.server.database}",
            hint="Check the database's name in the source, and include and exclude.",
        )
    identity = Identity("", "", "", config.target.space_prefix)
    compile_mapping(chosen, options, identity, {table.label: number for number, table in enumerate(chosen, 1)})
    facts = replace(facts, tables=tuple(answers.table_facts(table, options.get(table.label), ()) for table in chosen))
    places = [
        found for found in place_findings(facts) if not found.code.startswith(_SAID_BY_THE_RUN) or found.code == "ledger.slot"
    ]
    return source_findings(facts) + plugin_findings(facts) + failover_findings(facts) + places
