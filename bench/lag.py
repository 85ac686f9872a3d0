"""Commit to proven readable, at half of what the target itself can take, against one write and its proof alone.

First the target's ceiling is measured: changes are made as fast as they go, what the bridge writes for them is captured, and a
bare loop sends the same to other spaces. Then an application commits at half that rate, one row a transaction, half inserts and
half updates, and the lag of each change is taken: from PostgreSQL's commit time until it is proven and recorded.
"""

from __future__ import annotations

import time

from bench import application
from bench.database import make_narrow, server
from bench.figures import Figure, Say, Scale, median
from bench.ingest import bridge_on, engram, wait
from bench.ingest_loop import BareLoop
from bridge.engram.client import Address
from bridge.housekeeping import percentiles
from bridge.memories import Write
from bridge.running import Bridge

GOAL_MS = 250
ROWS = 2_000
CHANGES = 1_500
SHARDS = 4
SECONDS = 10.0
ALONE = 300


def run(scale: Scale, say: Say) -> list[Figure]:
    """p50 and p99."""
    rows = scale.of(ROWS, least=100)
    ours: dict[str, list[float]] = {"p50": [], "p99": []}
    bare: dict[str, list[float]] = {"p50": [], "p99": []}
    notes: list[dict[str, float]] = []
    with server() as postgres, engram(scale) as address:
        for repetition in range(scale.times(1 if scale.target else 3)):
            say(f"lag with {rows} rows, {SHARDS} shards, repetition {repetition + 1}")
            lags, alone, note = _once(postgres.url(), f"lag_{repetition}", rows, address)
            for name in ours:
                ours[name].append(lags[name])
                bare[name].append(alone[name])
            notes.append(note | {"max": lags["max"]})
    return [
        Figure(
            name=f"lag-{name}",
            what=f"{name} of commit to proven at half the target's ceiling, against one write and its proof alone",
            unit="ms",
            ours=ours[name],
            bare=bare[name],
            goal=f"p99 < {GOAL_MS} ms",
            met=median(ours["p99"]) < GOAL_MS,
            notes={"rows": rows, "repetitions": notes, "target": "real server" if scale.target else "sandbox"},
        )
        for name in ours
    ]


def _once(url: str, table: str, rows: int, address: Address) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Lags of the bridge, times of single writes alone, and the rates."""
    make_narrow(url, table, rows)
    loop = BareLoop(address)
    try:
        with bridge_on(url, table, address, shards=SHARDS) as (bridge, recording):
            bridge.start()
            wait(bridge, lambda: bridge.loader.finished and bridge.stream.connected and bridge.consistent)
            loaded = recording.take()
            application.finish(application.begin(url, table, rows + 1, CHANGES, 0))
            _settle(bridge)
            changed = recording.take()
            names = {space: f"{space}-bare" for space in bridge.plan.mapping.spaces}
            for name in names.values():
                bridge.target.open(name)
            loop.run(loaded, names)
            known = frozenset(write.memory_id for given in loaded.values() for write in given)
            ceiling = sum(len(given) for given in changed.values()) / loop.run(changed, names, forget=known)
            lags, rate = _lags(bridge, url, table, rows + 1 + CHANGES, ceiling / 2)
            again = [(names[space], write) for space, given in changed.items() for write in given][:ALONE]
            note = {"ceiling": round(ceiling, 1), "wanted_rate": round(ceiling / 2, 1), "rate": round(rate, 1)}
            return lags, _alone(loop, again), note
    finally:
        loop.close()


def _settle(bridge: Bridge) -> None:
    end = bridge.flush_position()
    wait(bridge, lambda: bridge.recorder.confirmed >= end)


def _lags(bridge: Bridge, url: str, table: str, first: int, rate: float) -> tuple[dict[str, float], float]:
    """The lags, and the rate that the application really kept: a figure at a lower one would flatter."""
    bridge.recorder.lags.clear()
    changes = int(rate * SECONDS)
    said = application.finish(application.begin(url, table, first, changes, rate))
    _settle(bridge)
    found = percentiles(list(bridge.recorder.lags))
    assert found is not None
    return found, changes / said["seconds"]


def _alone(loop: BareLoop, writes: list[tuple[str, Write]]) -> dict[str, float]:
    times = []
    for space, write in writes:
        started = time.perf_counter()
        loop.once(space, write, update=True)
        times.append(time.perf_counter() - started)
    found = percentiles(times)
    assert found is not None
    return found
