"""The parts of a bridge that carry a snapshot, put together as `bridge.running` does, on a target of the bench's choice."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.assembling import LANE_THREADS
from bridge.config import Config
from bridge.frontier import Frontier
from bridge.lane import Lane
from bridge.ledger import Ledger
from bridge.lsn import make_version
from bridge.mapping import TablePlan
from bridge.pool import LanePool
from bridge.postgres import connect
from bridge.recorder import Recorder
from bridge.wiring import make_plan, open_embedders
from bridge.workshop import Workshop
from snapshot.loader import Loader
from snapshot.refresh import Refresher

UNLIMITED = 1_000_000_000


def config_for(url: str, table: str, ledger: Path, *, shards: int = 1, **target: Any) -> Config:
    """A configuration that carries one table."""
    given = {"http": "http://127.0.0.1:1", "capacity": UNLIMITED, "limit": UNLIMITED, **target}
    return Config.model_validate(
        {
            "source": {"url": url, "slot": f"bench_{table}", "publication": f"bench_{table}"},
            "target": given,
            "ledger": str(ledger),
            "include": [table],
            "tables": {table: {"shards": shards}},
        }
    )


@dataclass(slots=True)
class SnapshotRun:
    """A bridge without a stream. `seconds` is the time from the first chunk's plan until all is recorded as loaded."""

    config: Config
    recorder: Recorder
    pool: LanePool
    loader: Loader
    ledger: Ledger
    seconds: float = 0.0

    def run(self) -> float:
        """Carry everything; answers the seconds."""
        started = time.perf_counter()
        self.recorder.start()
        self.pool.start()
        self.loader.start()
        finish(self.loader)
        self.seconds = time.perf_counter() - started
        self.loader.stop()
        self.pool.stop()
        self.recorder.stop()
        return self.seconds


@contextmanager
def snapshot_run(url: str, table: str, target: Any, *, shards: int = 1) -> Iterator[SnapshotRun]:
    """A new ledger and the parts around it; `target` need not be an Engram."""
    with tempfile.TemporaryDirectory(prefix="engram-bridge-bench-") as folder:
        config = config_for(url, table, Path(folder) / "ledger.db", shards=shards)
        ledger = Ledger(config.ledger)
        ledger.acquire()
        with connect(url) as connection:
            plan = make_plan(config, ledger, connection)
        frontier = Frontier(0)
        recorder = Recorder(ledger, frontier)
        shop = Workshop(
            ledger=ledger,
            recorder=recorder,
            target=target,
            embedders=open_embedders(config),
            reader=Refresher(url),
            mapping=plan.mapping,
            confidence=target.confidence,
            limit=UNLIMITED,
            ledger_id=plan.identity.ledger,
            default_when=float(ledger.facts()["created"]),
        )
        pool = LanePool(shop, threads=LANE_THREADS)
        for space in plan.mapping.spaces:
            target.open(space)
            ledger.put_space(space, pristine=True)
            pool.add(Lane(space, shop, pristine=True))
        loader = loader_for(config, ledger, pool, recorder, list(plan.mapping.plans.values()))
        try:
            yield SnapshotRun(config, recorder, pool, loader, ledger)
        finally:
            ledger.close()


def loader_for(config: Config, ledger: Ledger, pool: LanePool, recorder: Recorder, plans: list[TablePlan]) -> Loader:
    """What reads the chunks of these tables, as the configuration says."""
    return Loader(
        url=config.source.url,
        ledger=ledger,
        recorder=recorder,
        pool=pool,
        version=make_version(1, 1, 0),
        plans=plans,
        stop_table=_never,
        workers=config.snapshot.workers,
        chunk_rows=config.snapshot.chunk_rows,
    )


def finish(loader: Loader) -> None:
    """Wait until every chunk is recorded. Raises what ended the loader, the pool or the recorder."""
    while not loader.finished:
        for part in (loader.recorder, loader.pool, loader):
            if part.failure is not None:
                raise part.failure
        time.sleep(0.005)


def _never(plan: Any, reason: str) -> None:
    raise AssertionError(f"{plan.table.label} was stopped: {reason}")
