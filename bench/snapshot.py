"""Rows per second of the snapshot, everything but the target's own work, against a bare COPY of the same table."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from bench.assembly import snapshot_run
from bench.database import make_narrow, make_text, make_wide, server
from bench.figures import Figure, Say, Scale, median
from bench.null_target import NullTarget
from bridge.postgres import connect, copy_out


class Shape(NamedTuple):
    """A kind of table, and what is wanted of it."""

    name: str
    what: str
    rows: int
    must: int
    goal: int
    make: Callable[[str, str, int], None]


SHAPES = (
    Shape("narrow", "5 short columns", 100_000, 15_000, 25_000, make_narrow),
    Shape("wide", "50 columns", 25_000, 5_000, 10_000, make_wide),
    Shape("text", "2 kB of text", 20_000, 2_000, 5_000, make_text),
)


def run(scale: Scale, say: Say) -> list[Figure]:
    """The three shapes."""
    with server() as postgres:
        return [_measure(postgres.url(), shape, scale, say) for shape in SHAPES]


def _measure(url: str, shape: Shape, scale: Scale, say: Say) -> Figure:
    rows = scale.of(shape.rows)
    shape.make(url, shape.name, rows)
    ours, bare = [], []
    for repetition in range(scale.times(3)):
        say(f"snapshot of {rows} {shape.name} rows, repetition {repetition + 1}")
        bare.append(rows / copy_seconds(url, shape.name))
        target = NullTarget()
        with snapshot_run(url, shape.name, target) as snapshot:
            ours.append(rows / snapshot.run())
        assert target.stored == rows, f"{target.stored} of {rows} rows were written"
    reached = median(ours)
    return Figure(
        name=f"snapshot-{shape.name}",
        what=f"snapshot to a null target against a bare COPY ({shape.what})",
        unit="rows/s",
        ours=ours,
        bare=bare,
        goal=f"{shape.goal} rows/s",
        met=reached >= shape.goal,
        must=f"{shape.must} rows/s",
        must_met=reached >= shape.must,
        notes={"rows": rows},
    )


def copy_seconds(url: str, table: str) -> float:
    """How long it takes to receive the whole table by one COPY, and to throw it away."""
    with connect(url) as connection:
        started = time.perf_counter()
        connection.pgconn.exec_(f"copy public.{table} to stdout".encode())
        for _line in copy_out(connection.pgconn):
            pass
        return time.perf_counter() - started
