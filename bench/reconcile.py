"""Rows per second of reconciliation's source side: PostgreSQL's own digests, against reading the rows ("bare").

Both are compared with the ledger, chunk by chunk, with nothing waited for. The server shares the machine's cores; over a
network the rows that are not sent count for more.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import psycopg

from bench.assembly import SnapshotRun, snapshot_run
from bench.database import server
from bench.figures import Figure, Say, Scale, median_ratio
from bench.null_target import NullTarget
from bench.snapshot import SHAPES, Shape
from bridge.postgres import connect
from bridge.reconcile.source_side import SourceSide
from bridge.reconcile.tallies import Tally
from snapshot.chunks import next_chunk

GOAL = 1.0


def run(scale: Scale, say: Say) -> list[Figure]:
    """The three shapes of the snapshot."""
    with server() as postgres:
        return [_measure(postgres.url(), shape, scale, say) for shape in SHAPES]


def _measure(url: str, shape: Shape, scale: Scale, say: Say) -> Figure:
    rows = scale.of(shape.rows)
    shape.make(url, shape.name, rows)
    ours, bare = [], []
    with snapshot_run(url, shape.name, NullTarget()) as snapshot, connect(url) as connection:
        say(f"loading {rows} {shape.name} rows")
        snapshot.run()
        for repetition in range(scale.times(3)):
            say(f"comparing {rows} {shape.name} rows, repetition {repetition + 1}")
            bare.append(rows / _seconds(connection, snapshot, rows, marks=False))
            ours.append(rows / _seconds(connection, snapshot, rows, marks=True))
    return Figure(
        name=f"reconcile-{shape.name}",
        what=f"rows compared by PostgreSQL's digests against rows read ({shape.what})",
        unit="rows/s",
        ours=ours,
        bare=bare,
        goal=f"ratio {GOAL}",
        met=median_ratio(ours, bare) >= GOAL,
        notes={"rows": rows},
    )


def _seconds(connection: psycopg.Connection[Any], snapshot: SnapshotRun, rows: int, *, marks: bool) -> float:
    (plan,) = snapshot.loader.plans
    sides: Any = SimpleNamespace(ledger=snapshot.ledger)
    side = SourceSide(sides, plan, set(), Tally(), learn=False)
    suspects: list[str] = []
    after = None
    started = time.perf_counter()
    while True:
        if marks:
            after, found = side.chunk(connection, after)
        else:
            chunk = next_chunk(connection, plan.table, after, side.size)
            after, found = chunk.upto, side.by_row(connection, chunk)
        suspects += found
        if after is None:
            break
    seconds = time.perf_counter() - started
    assert (side.tally.rows, suspects) == (rows, []), "all rows are as they were loaded"
    assert side.tally.marked == (rows if marks else 0)
    return seconds
