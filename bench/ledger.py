"""The ledger in PostgreSQL against the ledger in a SQLite file: outcomes recorded and keys looked up per second.

Both are durable: every step is synced to the same disk (`fsync = on`, `synchronous=FULL`). A step is what the recorder makes of
what its lanes hand in: rows with a reference each, and the positions.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.database import SETTINGS
from bench.figures import Figure, Say, Scale, median_ratio
from bridge.gate import Entry
from bridge.ledger import Batch, Ledger, Outcome
from bridge.memories import Edge
from bridge.sandbox.postgres import SandboxPostgres

ROWS = 20_000
LARGE, SMALL = 500, 8
GOAL = 0.3
"""A server is a round trip away from each question, a file is not; a target takes hundreds of rows a second, not thousands."""

Measure = Callable[[Ledger, int], float]


def run(scale: Scale, say: Say) -> list[Figure]:
    """Four ways to use it, in turns."""
    rows = scale.of(ROWS, least=SMALL)
    ways: dict[str, tuple[str, Measure]] = {
        "ledger load": (f"new rows recorded in steps of {LARGE}", lambda ledger, n: _record(ledger, n, LARGE, fresh=True)),
        "ledger change": (f"known rows recorded in steps of {LARGE}", lambda ledger, n: _record(ledger, n, LARGE, fresh=False)),
        "ledger trickle": (
            f"known rows recorded in steps of {SMALL}",
            lambda ledger, n: _record(ledger, n // 10, SMALL, fresh=False),
        ),
        "ledger look-up": (f"keys looked up, {LARGE} at a time", lambda ledger, n: _look_up(ledger, n, LARGE)),
    }
    samples: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in ways}
    with (
        tempfile.TemporaryDirectory(prefix="engram-bridge-bench-", ignore_cleanup_errors=True) as folder,
        SandboxPostgres(Path(folder) / "data", settings=SETTINGS | {"fsync": "on"}) as postgres,
    ):
        for repetition in range(scale.times(3)):
            say(f"ledgers of {rows} rows, repetition {repetition + 1}")
            for place, location in enumerate((f"{postgres.url()}?schema=l{repetition}", f"{folder}/{repetition}.db")):
                ledger = Ledger(location)
                ledger.acquire()
                for name, (_what, measure) in ways.items():
                    samples[name][place].append(measure(ledger, rows))
                ledger.close()
    return [
        Figure(
            name=name,
            what=f"{what}: in PostgreSQL against SQLite, both synced",
            unit="rows/s",
            ours=samples[name][0],
            bare=samples[name][1],
            goal=f">= {GOAL}",
            met=median_ratio(*samples[name]) >= GOAL,
        )
        for name, (what, _measure) in ways.items()
    ]


def _record(ledger: Ledger, rows: int, step: int, *, fresh: bool) -> float:
    """Rows a second."""
    batches = [
        Batch(
            [
                Outcome(
                    (1, str(number)),
                    entry=Entry(f"0001:{number:016x}:{int(fresh):08x}", f"{number:032x}", "0" * 32, True, 0),
                    fresh=fresh,
                    edges=(Edge("things_parent_fkey", 1, str(number // 10)),),
                    alternates=(),
                )
                for number in range(start, min(start + step, rows))
            ],
            facts={"proven": str(start), "written": str(start), "confirmed": str(start)},
            counters={"changes_applied": step},
        )
        for start in range(0, rows, step)
    ]
    began = time.perf_counter()
    for batch in batches:
        ledger.record(batch)
    return rows / (time.perf_counter() - began)


def _look_up(ledger: Ledger, rows: int, page: int) -> float:
    """Keys a second."""
    began = time.perf_counter()
    for start in range(0, rows, page):
        ledger.entries(1, [str(number) for number in range(start, min(start + page, rows))])
    return rows / (time.perf_counter() - began)
