"""Rows per second of a resync of a table in which nothing has changed, against a bare COPY of the same table."""

from __future__ import annotations

import time

from bench.assembly import SnapshotRun, finish, loader_for, snapshot_run
from bench.database import server
from bench.figures import Figure, Say, Scale, median_ratio
from bench.null_target import NullTarget
from bench.snapshot import SHAPES, Shape, copy_seconds
from bridge.frontier import Frontier
from bridge.missing import missing_works
from bridge.recorder import Recorder

GOAL = 0.5


def run(scale: Scale, say: Say) -> list[Figure]:
    """The three shapes of the snapshot."""
    with server() as postgres:
        return [_measure(postgres.url(), shape, scale, say) for shape in SHAPES]


def _measure(url: str, shape: Shape, scale: Scale, say: Say) -> Figure:
    rows = scale.of(shape.rows)
    shape.make(url, shape.name, rows)
    ours, bare, notes = [], [], {}
    target = NullTarget()
    with snapshot_run(url, shape.name, target) as snapshot:
        say(f"loading {rows} {shape.name} rows")
        snapshot.run()
        stored = target.stored
        for repetition in range(scale.times(3)):
            say(f"resync of {rows} unchanged {shape.name} rows, repetition {repetition + 1}")
            bare.append(rows / copy_seconds(url, shape.name))
            seconds, keys = resync_seconds(url, snapshot)
            ours.append(rows / (seconds + keys))
            notes = {"rows": rows, "seconds reading": round(seconds, 3), "seconds looking for missing keys": round(keys, 3)}
        assert target.stored == stored, f"{target.stored - stored} rows were written that had not changed"
    return Figure(
        name=f"resync-{shape.name}",
        what=f"resync of an unchanged table against a bare COPY ({shape.what})",
        unit="rows/s",
        ours=ours,
        bare=bare,
        goal=f"ratio {GOAL}",
        met=median_ratio(ours, bare) >= GOAL,
        notes=notes,
    )


def resync_seconds(url: str, snapshot: SnapshotRun) -> tuple[float, float]:
    """Read all again, compared with the ledger, and then look for keys that are gone: the seconds of both."""
    ledger = snapshot.ledger
    (plan,) = snapshot.loader.plans
    (record,) = ledger.tables()
    ledger.begin_again(plan.number, record.columns)
    recorder = Recorder(ledger, Frontier(0))
    loader = loader_for(snapshot.config, ledger, snapshot.pool, recorder, [plan])
    started = time.perf_counter()
    recorder.start()
    loader.reload(plan)
    finish(loader)
    read = time.perf_counter() - started
    loader.stop()
    recorder.stop()
    started = time.perf_counter()
    gone = list(missing_works(url, ledger, plan, loader.version))
    assert not gone, "nothing was deleted"
    return read, time.perf_counter() - started
