"""The rules of `check` about where things go: spaces and their capacity, the target, the ledger. Pure."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterator

from bridge import capacity
from bridge.check import Finding, other_spaces, setting
from bridge.errors import RENEW
from bridge.facts import Facts, LedgerFacts, SlotFacts, TableFacts, TargetFacts
from bridge.lsn import format_lsn

LEDGER_BYTES_PER_ROW = 500
LEAST_FREE_BYTES = 100_000_000
MANY_SPACES = 40
FEWER_SPACES = "Use fewer shards, or one space for several small tables (tables.<name>.space; --memory-space of a migration)."


def place_findings(facts: Facts) -> list[Finding]:
    """All findings about capacity, target and ledger."""
    findings: list[Finding] = []
    limit = facts.target.limit if facts.target else 90_000
    for table in facts.tables:
        findings += _capacity(table, limit)
    findings += _spaces(facts, limit)
    if facts.target is not None:
        ours = facts.ledger.spaces.values() if facts.ledger is not None else ()
        findings += _target(facts.target, {space for spaces in ours for space in spaces})
    if facts.ledger is not None:
        findings += _ledger(facts.ledger, sum(table.rows for table in facts.tables))
        findings += _inside(facts.ledger, facts)
        findings += _same_source(facts.ledger, facts)
        for table in facts.tables:
            known = facts.ledger.spaces.get(table.table.label, table.spaces)
            if table.spaces and not facts.ledger.choices.accepts(table.table.label, known, table.spaces):
                findings.append(other_spaces(table.table.label, known, table.spaces))
    return findings


def _capacity(facts: TableFacts, limit: int) -> Iterator[Finding]:
    label, rows, shards = facts.table.label, facts.rows, facts.options.shards
    each = capacity.rows_per_space(rows, shards)
    proposed = capacity.proposed_shards(rows, limit)
    loading = duration(capacity.loading_seconds(rows, proposed))
    remedy = f"Set {setting(label, f'shards: {proposed}')} (loading: {loading})."
    seconds = capacity.loading_seconds(rows, shards)
    if each > limit:
        yield Finding(
            "error",
            "space.limit",
            label,
            f"about {rows:,} rows of {label} in {shards} space(s) are {each:,} each; a space may hold {limit:,}",
            remedy,
        )
    elif seconds > capacity.PATIENCE_SECONDS and proposed > shards:
        yield Finding(
            "warning",
            "space.time",
            label,
            f"loading about {rows:,} rows of {label} into {shards} space(s) will take the server about {duration(seconds)}",
            remedy,
        )
    elif each > capacity.SEARCHABLE_ROWS and proposed > shards:
        yield Finding(
            "warning",
            "space.search",
            label,
            f"{each:,} rows of {label} in one space: beyond {capacity.SEARCHABLE_ROWS:,} search finds what does not match",
            remedy,
        )


def _spaces(facts: Facts, limit: int) -> Iterator[Finding]:
    """Tables that share a space by configuration fill it together; and every space costs the server something."""
    rows: Counter[str] = Counter()
    tables: dict[str, list[str]] = {}
    for table in facts.tables:
        for space in table.spaces:
            rows[space] += capacity.rows_per_space(table.rows, len(table.spaces))
            tables.setdefault(space, []).append(table.table.label)
    for space, labels in tables.items():
        if len(labels) > 1 and rows[space] > limit:
            yield Finding(
                "error",
                "space.shared",
                space,
                f"the tables {', '.join(labels)} share the space {space} with about {rows[space]:,} rows; it may hold {limit:,}",
                "Give them spaces of their own, or more shards.",
            )
    existing = facts.target.spaces if facts.target else {}
    new = [space for space in tables if space not in existing]
    if tables:
        gigabytes = len(new) * capacity.SPACE_FILE_BYTES / 1e9
        cost = (
            f"{len(new)} of them new: sparse files of {gigabytes:.0f} GB (some 15 MB each on disk), "
            f"{len(new) * capacity.SPACE_THREADS} threads, {duration(len(new) * capacity.SPACE_BIRTH_SECONDS)} to make them"
        )
        yield Finding(
            "warning" if len(tables) > MANY_SPACES else "info",
            "space.cost",
            "target",
            f"{len(tables)} space(s), {cost if new else 'all of them there already'}",
            FEWER_SPACES if len(tables) > MANY_SPACES else "",
        )


def _target(target: TargetFacts, known: Collection[str]) -> Iterator[Finding]:
    """`known`: spaces that the ledger has memories in already; strangers among them are left alone."""
    if target.plain_grpc:
        yield Finding(
            "warning",
            "target.plain",
            "target.grpc",
            f"gRPC to {target.plain_grpc} goes unencrypted: rows and key can be read on the way",
            "Put both ends behind a tunnel, and set target.grpc to its end on this host.",
        )
    if not target.reachable:
        yield Finding("error", "target.unreachable", "target", target.failure, target.remedy)
        return
    for behaviour, there in target.probe.items():
        if not there:
            yield Finding(
                "error",
                "target.behaviour",
                "target",
                f"the server does not do what the bridge relies on: {behaviour}",
                "Check that it is an Engram server of a version that the documentation names, and that its disk is not full.",
            )
    for name, space in target.spaces.items():
        if space.foreign and name in known:
            yield Finding(
                "warning",
                "target.strangers",
                name,
                f"the space {name} holds memories that are not this ledger's, beside its own: they are left alone",
                "Placeholders for missing parents are meant to be there (engram-bridge orphans). Others take room: remove them.",
            )
        elif space.foreign:
            yield Finding(
                "error",
                "target.foreign",
                name,
                f"the space {name} holds memories that are not this ledger's",
                "Use their ledger; or take them over (engram-bridge run --adopt), have them forgotten (engram-bridge run --wipe) "
                "or name other spaces (target.space_prefix or tables.<table>.space).",
            )


def _ledger(ledger: LedgerFacts, rows: int) -> Iterator[Finding]:
    if ledger.failure:
        yield Finding("error", "ledger.unusable", "ledger", ledger.failure, ledger.remedy)
        return
    needed = rows * LEDGER_BYTES_PER_ROW + LEAST_FREE_BYTES
    if ledger.free is not None and ledger.free < needed and not ledger.exists:
        yield Finding(
            "error" if ledger.free < LEAST_FREE_BYTES else "warning",
            "ledger.disk",
            "ledger",
            f"the ledger will need about {needed / 1e6:,.0f} MB for {rows:,} rows; its disk has {ledger.free / 1e6:,.0f} MB left",
            "Make room, or put the ledger on another disk (ledger: PATH).",
        )
    for what, remedy in ledger.notes:
        yield Finding("warning", "ledger.server", "ledger", what, remedy)
    if ledger.holder is not None:
        yield Finding(
            "warning",
            "ledger.held",
            "ledger",
            f"another run works with this ledger, so that `run` would be refused: {ledger.holder}",
            "Leave it to that one, or stop it before you start another.",
        )
    for label, reason in ledger.stopped.items():
        yield Finding(
            "warning",
            "ledger.stopped",
            label,
            f"{label} is stopped, its changes are not carried: {reason}",
            f"If that is mended: engram-bridge resync {shlex.quote(label)}, and start `run` again.",
        )


def _inside(ledger: LedgerFacts, facts: Facts) -> Iterator[Finding]:
    """A ledger on the server that it keeps the account of; in the same database its own changes go through the slot as well."""
    server = facts.server
    if ledger.server is None or server is None or ledger.server[0] != server.system_identifier:
        return
    if ledger.server[1] == server.database:
        where, more = "in the source database itself", ", which the slot holds back and reads over"
    else:
        where, more = "on the source's server", ""
    yield Finding(
        "warning",
        "ledger.inside",
        "ledger",
        f"the ledger is {where}: what it notes makes WAL there, several times that of the changes{more}",
        "Use a file (ledger: PATH), or another server, unless that is meant.",
    )


def _same_source(ledger: LedgerFacts, facts: Facts) -> Iterator[Finding]:
    """Law 4: system, timeline, database and slot are the ledger's, and the slot is not ahead of it."""
    server = facts.server
    if server is None or ledger.system_identifier is None:
        return
    moved = RENEW.replace("--new-slot", "--new-slot --new-source")
    again = f"Use the right ledger (ledger: PATH). If the same data was moved or upgraded to here: {moved}"
    other_system = server.system_identifier is not None and server.system_identifier != ledger.system_identifier
    if other_system or ledger.database not in (None, server.database):
        yield Finding(
            "error", "ledger.source", "ledger", "the ledger belongs to another source: another server or another database", again
        )
        return
    if server.timeline is not None and ledger.slot is not None and ledger.timeline not in (None, server.timeline):
        yield Finding(
            "error",
            "ledger.timeline",
            "ledger",
            f"the source is on timeline {server.timeline}, the ledger's is {ledger.timeline}: a standby was promoted or "
            "a backup restored",
            f"Positions cannot be compared across that. {RENEW}",
        )
        return
    if ledger.slot is not None:
        yield from _ledger_slot(ledger, ledger.slot, facts.slot if ledger.slot == facts.slot_name else None, facts)


def _ledger_slot(ledger: LedgerFacts, name: str, slot: SlotFacts | None, facts: Facts) -> Iterator[Finding]:
    if name != facts.slot_name:
        yield Finding(
            "error",
            "ledger.slot",
            "source.slot",
            f"the ledger's slot is {name}, the configuration says {facts.slot_name}",
            f"Set source.slot: {name}. Or: {RENEW}",
        )
    elif slot is None:
        yield Finding(
            "error",
            "slot.missing",
            name,
            f"the ledger's slot {name} is gone: what it held back cannot be streamed any more",
            RENEW,
        )
    elif slot.confirmed is not None and ledger.confirmed is not None and slot.confirmed > ledger.confirmed:
        yield Finding(
            "error",
            "slot.ahead",
            name,
            f"the slot {name} was confirmed up to {format_lsn(slot.confirmed)}, the ledger only up to "
            f"{format_lsn(ledger.confirmed)}: the changes between are lost to it",
            f"The ledger is older than the slot (a restored copy?). Use the newest one. Or: {RENEW}",
        )


def duration(seconds: float) -> str:
    """Seconds as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86400:.1f} days"
