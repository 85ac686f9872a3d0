"""Whether Engram may answer for a key (law 7). Pure: all that decides stands in one answer of the ledger.

`against_route` is what the operator wants; `unproven` is what would make an answer of Engram a guess. The first broken condition
is the reason; those of the whole table come before those of the key, so that a reason of the key implies that its table is well.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.ledger import Standing, TableStanding, TableState
from bridge.lsn import Lsn
from bridge.reads import Mode, Reason, Route

ABSENT = frozenset({Reason.UNKNOWN_KEY, Reason.DELETED})
"""Everything is well, and the ledger expects no such row."""


def why_not(standing: Standing, key: str, *, now: float, max_staleness: float, min_lsn: Lsn, memory_id: str) -> Reason | None:
    """Why Engram is not to answer for this key now; None when it is. `now` in seconds since 1970, `max_staleness` in seconds."""
    return against_route(standing.table.route, memory_id) or unproven(
        standing, key, now=now, max_staleness=max_staleness, min_lsn=min_lsn
    )


def against_route(route: Route, memory_id: str) -> Reason | None:
    """Why the operator has PostgreSQL answer for this memory."""
    if route.mode is Mode.ENGRAM_ONLY:
        return None
    if route.mode is Mode.ENGRAM:
        return None if route.takes(memory_id) else Reason.SHARE
    return Reason.SHADOW if route.mode is Mode.SHADOW else Reason.MODE


def none_for_engram(route: Route, prefix: str, keys: Sequence[str]) -> bool:
    """PostgreSQL answers for all of these keys, whatever the ledger proves; for a question without keys the mode tells."""
    if not keys:
        return route.mode in (Mode.POSTGRES, Mode.SHADOW)
    return all(against_route(route, prefix + key) is not None for key in keys)


def unproven(standing: Standing, key: str, *, now: float, max_staleness: float, min_lsn: Lsn) -> Reason | None:
    """Why nobody can know that Engram's answer for this key would be right and new enough."""
    table, entry = standing.table, standing.keys[key]
    reason = unsound(table, now=now, max_staleness=max_staleness, min_lsn=min_lsn)
    if reason is not None:
        return reason
    if entry.parked is not None:
        return Reason.PARKED
    if entry.refreshed > table.proven:
        return Reason.REFRESHED
    if entry.version is None:
        return Reason.UNKNOWN_KEY
    if not entry.live:
        return Reason.DELETED
    return None if entry.compared else Reason.NOT_COMPARED


def unsound(table: TableStanding, *, now: float, max_staleness: float, min_lsn: Lsn) -> Reason | None:
    """Why nobody can know that what the ledger says of the whole table is right and new enough."""
    reason = incomplete(table, table.proven)
    if reason is not None:
        return reason
    if not now - table.covered <= max_staleness:
        return Reason.STALE
    return Reason.MIN_LSN if min_lsn > table.sure else None


def incomplete(table: TableStanding | TableState, proven: Lsn) -> Reason | None:
    """Why the ledger does not know all rows of a table: whatever the frontier is, and however new."""
    if table.state == "stopped":
        return Reason.STOPPED
    if table.state != "loaded":
        return Reason.NOT_LOADED
    if proven < table.reached:
        return Reason.CATCHING_UP
    return Reason.READING_AGAIN if table.resync is not None else None
