"""The server behind the source's address, for `check`: is it one server, is it the server itself, how does its clock stand, and
how much WAL does it write and keep.

A pooler or a load balancer is told by what it does, not by its name. The process that answers a query has the number that the
connection was given at its start, unless somebody stands between; transactions of one connection run in one process, unless they
are pooled; and several connections reach the same server, unless they are balanced.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bridge.errors import BridgeError
from bridge.facts import EndpointFacts, WalFacts
from bridge.postgres import connect, translated

PROBES = 4
"""Connections that are opened beside the first one, all at the same time."""

CLOCK_ROUNDS = 3
SHORTEST_SAMPLE = 0.2
"""Seconds between two positions from which a rate is taken."""

PROCESS = "select pg_backend_pid(), pg_postmaster_start_time()::text"

# The last of them came with 18, in seconds.
SETTINGS = """
    select max(setting::bigint) filter (where name = 'max_slot_wal_keep_size'),
           max(setting::bigint) filter (where name = 'wal_sender_timeout'),
           coalesce(max(setting::bigint) filter (where name = 'idle_replication_slot_timeout'), 0)
      from pg_settings
"""

# From 14: how much was written since somebody last set the count to zero.
WRITTEN = "select wal_bytes::float8, extract(epoch from now() - stats_reset)::float8 from pg_stat_wal"

POSITION = "select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8, extract(epoch from clock_timestamp())::float8"

LEAST_PERIOD = 600.0
"""Seconds that an average has to be taken over: the first minutes of a server, or of a count, say nothing of the others."""

Open = Callable[[], "psycopg.Connection[Any]"]


def endpoint_facts(first: psycopg.Connection[Any], url: str, open_another: Open) -> EndpointFacts:
    """What the connections reach. `open_another` opens one more of the same kind. Raises SourceUnavailable.

    A connection that is refused (there are too many) ends the probing, and does not count.
    """
    with ExitStack() as held, translated():
        pid, started = _process(first)
        servers, moving, probed = {started}, False, 1
        for _ in range(PROBES):
            try:
                other = held.enter_context(open_another())
            except (BridgeError, psycopg.Error):
                break
            held.callback(other.rollback)
            other.autocommit = False  # its transaction stays open, so that a pool cannot give its session to another one
            servers.add(_process(other)[1])
            probed += 1
        moving = _process(first)[0] != pid
    info = first.info
    local = info.host.startswith("/")
    return EndpointFacts(
        host="" if local else info.host,
        address="" if local else info.hostaddr,
        encrypted=bool(first.pgconn.ssl_in_use),
        verified=str(conninfo_to_dict(url).get("sslmode", "")).startswith("verify-"),
        probed=probed,
        servers=len(servers),
        pooled=pid != info.backend_pid,
        moving=moving,
    )


def with_walsender(facts: EndpointFacts, url: str) -> EndpointFacts:
    """The same, and why a replication connection is refused, if it is. For a role that may replicate."""
    try:
        with connect(url, application_name="engram-bridge check", replication=True) as walsender, translated():
            walsender.execute("IDENTIFY_SYSTEM")
    except BridgeError as error:
        return replace(facts, walsender=str(error))
    return facts


def _process(connection: psycopg.Connection[Any]) -> tuple[int, str]:
    row = connection.execute(PROCESS).fetchone()
    assert row is not None
    return row[0], row[1]


def clock_offset(connection: psycopg.Connection[Any], wall: Callable[[], float] = time.time) -> tuple[float, float]:
    """By how many seconds the source's clock is ahead of ours, and how far that may be off. Raises SourceUnavailable."""
    best = (0.0, float("inf"))
    for _ in range(CLOCK_ROUNDS):
        before = wall()
        with translated():
            row = connection.execute("select extract(epoch from clock_timestamp())::float8").fetchone()
        after = wall()
        assert row is not None
        if (after - before) / 2 < best[1]:
            best = (row[0] - (before + after) / 2, (after - before) / 2)
    return best


def wal_facts(connection: psycopg.Connection[Any], *, standby: bool) -> WalFacts:
    """Limits of the WAL that is kept, and how much was written on average. Raises SourceUnavailable."""
    version = connection.info.server_version
    with translated():
        limits = connection.execute(SETTINGS).fetchone()
        written = connection.execute(WRITTEN).fetchone() if version >= 140000 else None
    assert limits is not None
    keep, timeout, idle = limits
    average = written[0] / written[1] if written and (written[1] or 0) > LEAST_PERIOD else 0.0
    facts = WalFacts(
        keep_limit=None if keep is None or keep < 0 else keep * 1024 * 1024,
        can_limit=keep is not None,
        sender_timeout=timeout / 1000,
        idle_timeout=idle,
        rate=average,
    )
    return facts if standby else replace(facts, sample=_position(connection))


def with_rate(connection: psycopg.Connection[Any], facts: WalFacts) -> WalFacts:
    """The same with what was written since the first look, if that is more than the average. Raises SourceUnavailable."""
    if facts.sample is None:
        return facts
    position, now = _position(connection)
    seconds = now - facts.sample[1]
    return replace(facts, rate=max(facts.rate, (position - facts.sample[0]) / seconds)) if seconds >= SHORTEST_SAMPLE else facts


def _position(connection: psycopg.Connection[Any]) -> tuple[float, float]:
    with translated():
        row = connection.execute(POSITION).fetchone()
    assert row is not None
    return row[0], row[1]
