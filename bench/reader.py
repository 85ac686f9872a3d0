"""Row changes per second that the walsender, the decoder and the assembler read, against `pg_recvlogical` on the same WAL.

Each repetition has a slot of its own, made before the WAL is written. Ours reads it first and confirms nothing, so the same slot
sends the same WAL again to `pg_recvlogical`, with the same options and the output thrown away.
"""

from __future__ import annotations

import subprocess
import time

from bench.database import execute, make_narrow, server
from bench.figures import Figure, Say, Scale, median_ratio
from bridge.changes import Commit, RowChange
from bridge.lsn import Lsn, format_lsn
from bridge.postgres import connect, flush_position
from bridge.sandbox.postgres import SandboxPostgres
from cdc.slot import PLUGIN, create_slot, server_options
from cdc.source import StreamSource

GOAL = 0.7
ROWS = 300_000
PUBLICATION = "bench_reader"
PER_TRANSACTION = 1_000


def run(scale: Scale, say: Say) -> list[Figure]:
    """Inserts, updates and deletes of narrow rows."""
    return measure(scale, say, PLUGIN)


def measure(scale: Scale, say: Say, plugin: str) -> list[Figure]:
    """The same with either plugin. Raises ConfigError when no server with it can be had."""
    changes = scale.of(ROWS, least=6) // 6 * 6
    ours, bare = [], []
    with server(None if plugin == PLUGIN else plugin) as postgres:
        url = postgres.url()
        make_narrow(url, "reader", changes // 2)
        execute(url, f"create publication {PUBLICATION} for table reader")
        slots = [f"bench_reader_{repetition}" for repetition in range(scale.times(5))]
        for slot in slots:
            with connect(url, replication=True) as walsender:
                create_slot(walsender, slot, plugin)
        end = _write(url, changes)
        for repetition, slot in enumerate(slots):
            say(f"reading {changes} row changes, repetition {repetition + 1}")
            ours.append(changes / _read(url, slot, plugin, end, changes))
            bare.append(changes / _receive(postgres, slot, plugin, end))
        version = postgres.version
    ratio = median_ratio(ours, bare)
    return [
        Figure(
            name="reader" if plugin == PLUGIN else f"reader-{plugin}",
            what=f"reader, decoder and assembler against pg_recvlogical on the same WAL, {plugin}",
            unit="changes/s",
            ours=ours,
            bare=bare,
            goal=f">= {GOAL}",
            met=ratio >= GOAL,
            notes={"changes": changes, "per_transaction": PER_TRANSACTION, "postgresql": version},
        )
    ]


def _write(url: str, changes: int) -> Lsn:
    """Half of them inserts, a third updates, a sixth deletes, a thousand in a transaction; answers the position behind them."""
    rows = changes // 2
    with connect(url) as connection:
        for first in range(rows + 1, 2 * rows + 1, PER_TRANSACTION):
            last = min(first + PER_TRANSACTION - 1, 2 * rows)
            connection.execute(
                "insert into public.reader select g, 'name ' || g, 'city ' || mod(g, 100), mod(g, 9973), mod(g, 3) = 0"
                " from generate_series(%s::int, %s::int) g",
                (first, last),
            )
        for statement, upto in (
            ("update public.reader set amount = amount + 1 where id between %s::int and %s::int", changes // 3),
            ("delete from public.reader where id between %s::int and %s::int", changes // 6),
        ):
            for first in range(1, upto + 1, PER_TRANSACTION):
                connection.execute(statement.encode(), (first, min(first + PER_TRANSACTION - 1, upto)))
        return flush_position(connection)


def _read(url: str, slot: str, plugin: str, end: Lsn, expected: int) -> float:
    """Seconds until the last commit was read; nothing is confirmed."""
    changes = 0
    position: Lsn = 0
    started = time.perf_counter()
    source = StreamSource(url, slot, PUBLICATION, plugin=plugin)
    try:
        while position < end and changes < expected:
            for event in source.read(1.0):
                if type(event) is RowChange:
                    changes += 1
                elif type(event) is Commit:
                    position = event.end_lsn
        seconds = time.perf_counter() - started
    finally:
        source.close()
    assert changes == expected, f"{changes} of {expected} changes were read"
    return seconds


def _receive(postgres: SandboxPostgres, slot: str, plugin: str, end: Lsn) -> float:
    with connect(postgres.url()) as connection:
        options = server_options(connection.info.server_version, PUBLICATION, plugin)
    command = [str(postgres.bin_path / "pg_recvlogical"), "--dbname", postgres.url(), "--slot", slot, "--start", "--no-loop"]
    command += ["--endpos", format_lsn(end), "--file", "/dev/null", "--status-interval", "0"]
    command += [part for name, value in options.items() for part in ("--option", f"{name}={value}")]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started
