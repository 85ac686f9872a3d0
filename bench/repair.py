"""Repair after a restart of the target: until every space is compared and mended, against listing it and fetching what differs.

The rows are loaded by a bridge, some are changed and some deleted. The server then forgets what a real one forgets at a restart:
the changed rows are old again, the deleted ones are back. A bare client that knows which they are lists every space and fetches
those rows; the bridge has to find out, and to write and forget them as well, with proof: three to four calls for each of them
where the bare client makes one. How long the finding out took, beside the first mends, is noted.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import httpx

from bench.assembly import config_for
from bench.database import execute, make_narrow, server
from bench.figures import Figure, Say, Scale, median_ratio
from bench.ingest import prepared, wait
from bridge.assembling import LANE_THREADS
from bridge.engram.client import PAGE
from bridge.running import Bridge
from bridge.sandbox.engram.process import SandboxEngram

GOAL = 2.0
SIZES = ((10_000, 1), (100_000, 8))
"""Rows, and the spaces that they are spread over."""

CHANGED, DELETED = 100, 200
"""One row of so many."""


def run(scale: Scale, say: Say) -> list[Figure]:
    """Each size, or the one that is asked for. The sandbox alone: a real server is not ours to restart."""
    sizes = SIZES if scale.rows is None else ((scale.rows, 1 if scale.rows <= 20_000 else 8),)
    with server() as postgres:
        return [_figure(scale, say, postgres.url(), rows, shards) for rows, shards in sizes]


def _figure(scale: Scale, say: Say, url: str, rows: int, shards: int) -> Figure:
    ours, bare, compared = [], [], []
    table = f"repair_{rows}"
    with tempfile.TemporaryDirectory(prefix="engram-bridge-bench-") as folder, SandboxEngram(Path(folder) / "engram") as engram:
        config = config_for(
            url,
            table,
            Path(folder) / "ledger.db",
            shards=shards,
            http=engram.http,
            grpc=engram.grpc,
            capacity=100_000,
            limit=90_000,
            rewrite_share=0,
        )
        say(f"repair of {rows} rows in {shards} space(s): loading")
        make_narrow(url, table, rows)
        with prepared(config) as bridge:
            differing = _by_space(bridge, _load_and_change(bridge, url, table))
            for repetition in range(scale.times(3)):
                say(f"repair of {rows} rows in {shards} space(s), repetition {repetition + 1}")
                _restart(engram, bridge, differing)
                bare.append(_list_and_get(engram.http, differing))
                started = time.perf_counter()
                bridge.ledger.drop_fact("paused")
                bridge.pool.pause(wanted=False)
                wait(bridge, lambda: all(job.token is not None for job in list(bridge.watch.jobs.values())))
                compared.append(time.perf_counter() - started)
                wait(bridge, lambda: bridge.watch.repaired)
                ours.append(time.perf_counter() - started)
    return Figure(
        name=f"repair-{rows}",
        what=f"repair of {rows} rows after a restart of the target, against listing them and fetching what differs",
        unit="s",
        ours=ours,
        bare=bare,
        goal=f"<= {GOAL:g}",
        met=median_ratio(ours, bare) <= GOAL,
        notes={
            "rows": rows,
            "spaces": shards,
            "differing": sum(map(len, differing.values())),
            "seconds until the last space was compared": [round(seconds, 2) for seconds in compared],
        },
    )


def _restart(engram: SandboxEngram, bridge: Bridge, differing: dict[str, list[str]]) -> None:
    """Restart the server under a paused bridge, until it has seen that; every space is loaded, which takes the server a while."""
    bridge.ledger.put_facts({"paused": "bench"})  # the beat of housekeeping looks for it
    bridge.pool.pause(wanted=True)
    seen = bridge.watch.restarts
    engram.kill()
    engram.start()
    wait(bridge, lambda: bridge.watch.restarts > seen)
    _list_and_get(engram.http, differing)


def _load_and_change(bridge: Bridge, url: str, table: str) -> list[str]:
    """Load everything, change and delete some of it; answers the keys that a restart turns back."""
    bridge.start()
    wait(bridge, lambda: bridge.loader.finished and bridge.stream.connected and bridge.consistent)
    time.sleep(0.1)  # until the sandbox has flushed its log
    execute(
        url,
        f"update {table} set name = name || '!' where id % {CHANGED} = 0",
        f"delete from {table} where id % {DELETED} = 1",
    )
    end = bridge.flush_position()
    wait(bridge, lambda: bridge.recorder.confirmed >= end)
    (plan,) = bridge.plan.mapping.plans.values()
    keys = [key for shard in range(len(plan.spaces)) for key, _entry in bridge.ledger.scan(plan.number, shard)]
    return [key for key in keys if int(key) % CHANGED == 0 or int(key) % DELETED == 1]


def _by_space(bridge: Bridge, keys: list[str]) -> dict[str, list[str]]:
    """The ids of these keys by the space that they are in."""
    (plan,) = bridge.plan.mapping.plans.values()
    found: dict[str, list[str]] = {space: [] for space in plan.spaces}
    for key in keys:
        found[plan.space_of(key)].append(plan.prefix + key)
    return found


def _list_and_get(http: str, ids: dict[str, list[str]]) -> float:
    """Seconds that a bare client takes: one thread a space, as many as the bridge has lanes at work."""

    def one(space: str) -> None:
        with httpx.Client(base_url=http, timeout=60.0, headers={"X-Memory-Space": space}) as client:
            offset = 0
            while True:
                memories = client.get("/api/v1/memories", params={"limit": PAGE, "offset": offset}).json()["memories"]
                if len(memories) < PAGE:
                    break
                offset += PAGE
            for memory_id in ids[space]:
                assert client.get(f"/api/v1/memories/{quote(memory_id, safe='')}").status_code == 200

    with ThreadPoolExecutor(min(LANE_THREADS, len(ids))) as threads:
        started = time.perf_counter()
        for done in [threads.submit(one, space) for space in ids]:
            done.result()
        return time.perf_counter() - started
