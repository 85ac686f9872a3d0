"""The rules of `check` about the server behind the source's address, and what lies in the database beside its tables. Pure."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable, Iterator

from bridge import capacity
from bridge.check import Finding
from bridge.check_places import LEDGER_BYTES_PER_ROW, duration
from bridge.facts import EndpointFacts, Facts, OtherRelations, PublicationFacts, TableFacts, WalFacts

ITSELF = "Give the address of the PostgreSQL server itself (the primary) in the source."
CLOCK_SECONDS = 1.0
SHORTEST_TIMEOUT = 10.0
"""Seconds: walsenders ask for a sign of life at half of it."""

ABSENCE_SECONDS = 3_600.0
"""How long a bridge should be able to be away before its slot is lost."""

ENGRAM_BYTES_PER_ROW = 23_000
"""Memory of the server, measured with a space of 100,000 rows of 300 bytes: 2.3 GB."""

VECTOR_BYTES = 3_072
SHOWN = 5


def server_findings(facts: Facts) -> list[Finding]:
    """All findings about endpoint, WAL, large values, other relations, and what it will take on both sides."""
    findings: list[Finding] = []
    if facts.endpoint is not None:
        findings += _endpoint(facts.endpoint)
    if facts.wal is not None and facts.server is not None and not facts.server.standby:
        findings += _wal(facts.wal, facts)
    for table in facts.tables:
        findings += _large_values(table)
    if facts.publication is not None:
        findings += _published(facts.publication_name, facts.publication, facts.tables)
    if facts.others is not None:
        findings += _others(facts.others)
    if facts.tables:
        findings.append(_estimate(facts))
    return findings


def _endpoint(found: EndpointFacts) -> Iterator[Finding]:
    if found.servers > 1:
        what = f"{found.probed} connections reached {found.servers} different servers: the address is balanced between them"
        yield Finding("error", "source.balanced", "source", what, ITSELF)
    if found.moving:
        what = "a pooler is in between, in transaction mode: transactions of one connection run in different sessions"
        yield Finding("error", "source.pooler", "source", what, ITSELF)
    elif found.pooled:
        what = "a pooler is in between: replication connections hardly ever pass one, and settings may be those of others"
        yield Finding("warning", "source.pooler", "source", what, ITSELF)
    if found.walsender:
        yield Finding(
            "error",
            "source.walsender",
            "source",
            f"a replication connection is refused: {found.walsender}",
            f"Let pg_hba.conf admit this role and host to this database, also with encryption as set. {ITSELF}",
        )
    if abs(found.clock_offset) - found.clock_error > CLOCK_SECONDS:
        way = "ahead of" if found.clock_offset > 0 else "behind"
        yield Finding(
            "warning",
            "source.clock",
            "source",
            f"the source's clock is {abs(found.clock_offset):.1f} s {way} this host's: lags are wrong by as much",
            "Set both clocks by NTP.",
        )
    yield from _encryption(found)


def _encryption(found: EndpointFacts) -> Iterator[Finding]:
    if not found.host or loopback(found.host) or loopback(found.address):
        return
    if not found.encrypted:
        yield Finding(
            "warning",
            "source.plain",
            "source",
            f"the connection to {found.host} is not encrypted: rows can be read on the way",
            "Add sslmode=verify-full and sslrootcert=FILE to the source's URL.",
        )
    elif not found.verified:
        yield Finding(
            "info",
            "source.unverified",
            "source",
            f"the connection to {found.host} is encrypted, but nothing proves whose server that is",
            "Add sslmode=verify-full and sslrootcert=FILE to the source's URL.",
        )


def loopback(host: str) -> bool:
    """Whether a name or address means this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _wal(wal: WalFacts, facts: Facts) -> Iterator[Finding]:
    loading = sum(capacity.loading_seconds(table.rows, table.options.shards) for table in facts.tables)
    needed = wal.rate * max(loading, ABSENCE_SECONDS)
    if wal.can_limit and wal.keep_limit is None:
        yield Finding(
            "warning",
            "source.wal_unlimited",
            "max_slot_wal_keep_size",
            "a slot keeps WAL without limit: while the bridge is away, the source's disk fills",
            f"ALTER SYSTEM SET max_slot_wal_keep_size = '{proposed_limit(needed)}'; SELECT pg_reload_conf(); "
            "(or what the disk can spare: beyond it the slot is lost).",
        )
    elif wal.keep_limit is not None and wal.keep_limit < needed:
        yield Finding(
            "warning",
            "source.wal_small",
            "max_slot_wal_keep_size",
            f"max_slot_wal_keep_size is {size(wal.keep_limit)}, and the source writes about {size(wal.rate)} of WAL a second: "
            f"the slot is lost once the bridge is behind by {duration(wal.keep_limit / wal.rate)}",
            f"ALTER SYSTEM SET max_slot_wal_keep_size = '{proposed_limit(needed)}'; SELECT pg_reload_conf();",
        )
    if wal.idle_timeout:
        yield Finding(
            "warning",
            "source.idle_timeout",
            "idle_replication_slot_timeout",
            f"the slot is lost when the bridge is away for {duration(wal.idle_timeout)}: idle_replication_slot_timeout",
            "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();",
        )
    if 0 < wal.sender_timeout < SHORTEST_TIMEOUT:
        yield Finding(
            "warning",
            "source.sender_timeout",
            "wal_sender_timeout",
            f"wal_sender_timeout is {wal.sender_timeout:g} s: a short pause of the network ends the stream",
            "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf();",
        )


def proposed_limit(needed: float) -> str:
    """A round limit: a day at the rate of `needed` an hour, 10 GB at least."""
    return f"{max(10, math.ceil(needed * 24 / 1e9 / 10) * 10)}GB"


def _large_values(facts: TableFacts) -> Iterator[Finding]:
    if facts.out_of_line and facts.table.identity != "f":
        label = facts.table.label
        yield Finding(
            "info",
            "table.toast",
            label,
            f"{label} has {size(facts.out_of_line)} of large values beside its rows ({', '.join(facts.toastable)}): an UPDATE "
            "that leaves one alone does not send it, and costs a reading of the row",
        )


def _published(name: str, found: PublicationFacts, tables: Iterable[TableFacts]) -> Iterator[Finding]:
    carried = {(facts.table.schema, facts.table.name) for facts in tables}
    more = sorted(".".join(member) for member in found.members - carried)
    if more and found.extent is None:
        yield Finding(
            "info",
            "publication.more",
            name,
            f"the publication {name} holds tables that are not carried, whose changes are sent for nothing: {_some(more)}",
        )


def _others(others: OtherRelations) -> Iterator[Finding]:
    kinds = (
        ("view(s)", others.views),
        ("materialized view(s)", others.materialized_views),
        ("foreign table(s)", others.foreign_tables),
        ("temporary table(s)", others.temporary_tables),
    )
    told = [f"{len(labels)} {kind} ({_some(labels)})" for kind, labels in kinds if labels]
    if told:
        what = f"not carried, since the WAL has no changes of their rows: {', '.join(told)}"
        yield Finding("info", "source.not_tables", "source", what)
    if others.sequences:
        what = f"{len(others.sequences)} sequence(s) are not carried: whoever takes over from PostgreSQL sets new ones"
        yield Finding("info", "source.sequences", "source", what)


def _estimate(facts: Facts) -> Finding:
    """What it will take, as far as it was measured."""
    rows = sum(table.rows for table in facts.tables)
    loading = sum(capacity.loading_seconds(table.rows, table.options.shards) for table in facts.tables)
    parts = [
        f"the ledger {size(rows * LEDGER_BYTES_PER_ROW)}",
        f"the cache of vectors {size(min(rows * VECTOR_BYTES, facts.vector_cache))}" if facts.vector_cache else "",
        f"Engram's memory {size(rows * ENGRAM_BYTES_PER_ROW)} and more for long rows",
        f"WAL at {size(facts.wal.rate)}/s, {size(facts.wal.rate * loading)} in the time of the load"
        if facts.wal and facts.wal.rate
        else "",
    ]
    return Finding("info", "storage.estimate", "storage", f"for {rows:,} rows about: {'; '.join(filter(None, parts))}")


def _some(labels: Iterable[str]) -> str:
    names = list(labels)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def size(number: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit in ("B", "kB") else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
