"""The rules of `check` about several hosts in the source's address, and about slots that standbys keep a copy of. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.check import Finding
from bridge.facts import Facts, FailoverFacts

FAILOVER_FROM = 170000
WRITABLE = ("read-write", "primary")


def failover_findings(facts: Facts) -> list[Finding]:
    """All of them; none as long as the server was not asked."""
    if facts.failover is None or facts.server is None:
        return []
    return [*_hosts(facts.failover), *_failover(facts.failover, facts.server.version)]


def _hosts(found: FailoverFacts) -> Iterator[Finding]:
    if found.hosts > 1 and found.session_attributes not in WRITABLE:
        yield Finding(
            "warning",
            "source.hosts",
            "source.url",
            f"the source has {found.hosts} hosts, and a connection may end at any of them that answers, standbys too",
            "Add target_session_attrs=read-write: then only the primary is taken. After a failover: resync --new-slot.",
        )


def _failover(found: FailoverFacts, version: int) -> Iterator[Finding]:
    if not found.wanted:
        return
    if version < FAILOVER_FROM:
        yield Finding(
            "error",
            "source.failover",
            "source.failover",
            f"PostgreSQL {version // 10000} has no slots with FAILOVER: they came with 17",
            "Set source.failover: false. After a failover, engram-bridge resync --new-slot compares all tables.",
        )
        return
    if not found.standby_slots:
        yield Finding(
            "warning",
            "source.failover_behind",
            "synchronized_standby_slots",
            "no standby has to be waited for, so that commits can reach Engram which a promoted standby never had",
            "ALTER SYSTEM SET synchronized_standby_slots = '<the standby's physical slot>'; SELECT pg_reload_conf();",
        )
    yield Finding(
        "info",
        "source.failover_standby",
        "source.failover",
        "a standby copies the slot only if it has sync_replication_slots = on, hot_standby_feedback = on, primary_slot_name set"
        " to a physical slot of its own, and dbname in primary_conninfo",
        "SELECT slot_name, synced, invalidation_reason FROM pg_replication_slots; on the standby shows whether it is.",
    )
