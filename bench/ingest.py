"""Rows per second of the whole bridge into an Engram, by the snapshot and by the stream, against a bare loop of the same writes.

The bridge runs first and what it writes is captured; then the bare loop sends the same messages to spaces of their own on the
same server. The spaces hold as many rows at each point in both, because what a store costs grows with its space.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.assembly import config_for
from bench.database import execute, make_narrow, server
from bench.figures import Figure, Say, Scale, median_ratio
from bench.ingest_loop import BareLoop, Recording
from bridge.config import Config
from bridge.engram.client import Address
from bridge.lsn import Lsn
from bridge.postgres import connect, flush_position
from bridge.running import Bridge, prepare
from bridge.sandbox.engram.process import SandboxEngram

GOAL = 0.9
ROWS = 3_000
SHARDS = (1, 4)
PER_TRANSACTION = 20
PATIENCE = 600.0


def run(scale: Scale, say: Say) -> list[Figure]:
    """Both paths, with one shard and with four."""
    rows = scale.of(ROWS)
    figures = []
    with server() as postgres:
        for shards in SHARDS:
            snapshot: tuple[list[float], list[float]] = ([], [])
            stream: tuple[list[float], list[float]] = ([], [])
            for repetition in range(scale.times(1 if scale.target else 3)):
                say(f"ingest of {rows} + {rows} rows, {shards} shard(s), repetition {repetition + 1}")
                with engram(scale) as address:
                    seconds = _once(postgres.url(), f"ingest_{shards}_{repetition}", rows, shards, address)
                for (ours, bare), (our_seconds, bare_seconds) in zip((snapshot, stream), seconds, strict=True):
                    ours.append(rows / our_seconds)
                    bare.append(rows / bare_seconds)
            for path, (ours, bare) in (("snapshot", snapshot), ("stream", stream)):
                ratio = median_ratio(ours, bare)
                figures.append(
                    Figure(
                        name=f"ingest-{path}-{shards}",
                        what=f"ingest by the {path}, {shards} shard(s), against a bare loop of the same writes and reads",
                        unit="rows/s",
                        ours=ours,
                        bare=bare,
                        goal=f">= {GOAL}",
                        met=ratio >= GOAL,
                        notes={"rows": rows, "target": "real server" if scale.target else "sandbox"},
                    )
                )
    return figures


@contextmanager
def engram(scale: Scale) -> Iterator[Address]:
    """The server that was named, or a sandbox of our own."""
    if scale.target:
        config = Config.model_validate(
            {"source": "postgresql://", "target": {"http": scale.target, "grpc": scale.target_grpc or ""}}
        )
        yield Address(config.target.http, config.target.grpc_address)
        return
    with tempfile.TemporaryDirectory(prefix="engram-bridge-bench-") as folder, SandboxEngram(Path(folder)) as sandbox:
        yield Address(sandbox.http, sandbox.grpc)


@contextmanager
def bridge_on(url: str, table: str, address: Address, *, shards: int) -> Iterator[tuple[Bridge, Recording]]:
    """A prepared bridge for one table, its writes captured; it is stopped at the end, and its slot dropped."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="engram-bridge-bench-"))
        prefix = f"b{uuid.uuid4().hex[:8]}-"
        config = config_for(
            url,
            table,
            Path(folder) / "ledger.db",
            shards=shards,
            http=address.http,
            grpc=address.grpc,
            capacity=100_000,
            limit=90_000,
            space_prefix=prefix,
        )
        bridge = stack.enter_context(prepared(config))
        recording = Recording(bridge.target)
        bridge.shop.target = recording
        yield bridge, recording


@contextmanager
def prepared(config: Config) -> Iterator[Bridge]:
    """A bridge that has not begun; at the end it is stopped, and its slot and its publication dropped."""
    bridge = prepare(config)
    try:
        yield bridge
    finally:
        bridge.stop()
        source = config.source
        execute(source.url, f"select pg_drop_replication_slot('{source.slot}')", f"drop publication {source.publication}")


def _once(url: str, table: str, rows: int, shards: int, address: Address) -> list[tuple[float, float]]:
    """Seconds of ours and of the bare loop, for the snapshot and for the stream."""
    make_narrow(url, table, rows)
    with bridge_on(url, table, address, shards=shards) as (bridge, recording):
        started = time.perf_counter()
        bridge.start()
        wait(bridge, lambda: bridge.loader.finished)
        loading = time.perf_counter() - started
        loaded = recording.take()
        wait(bridge, lambda: bridge.stream.connected and bridge.consistent)
        started = time.perf_counter()
        end = insert(url, table, rows + 1, 2 * rows)
        wait(bridge, lambda: bridge.recorder.confirmed >= end)
        streaming = time.perf_counter() - started
        streamed = recording.take()
        names = {space: f"{space}-bare" for space in bridge.plan.mapping.spaces}
        for name in names.values():
            bridge.target.open(name)
    loop = BareLoop(address)
    try:
        return [(loading, loop.run(loaded, names)), (streaming, loop.run(streamed, names))]
    finally:
        loop.close()


def insert(url: str, table: str, first: int, last: int) -> Lsn:
    """Insert narrow rows in small transactions; answers the position behind them."""
    with connect(url) as connection:
        for start in range(first, last + 1, PER_TRANSACTION):
            connection.execute(
                f"insert into public.{table} select g, 'name ' || g, 'city ' || mod(g, 100), mod(g, 9973), mod(g, 3) = 0"
                " from generate_series(%s::int, %s::int) g".encode(),
                (start, min(start + PER_TRANSACTION - 1, last)),
            )
        return flush_position(connection)


def wait(bridge: Bridge, reached: Callable[[], bool]) -> None:
    """Wait until that is so. Raises what ended the bridge, if something did."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        if bridge.failure is not None:
            raise bridge.failure
        if time.monotonic() > deadline:
            raise TimeoutError("the bridge did not get there")
        time.sleep(0.005)
