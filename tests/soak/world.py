"""The world of a soak: three servers, a bridge, two applications, and what is measured of them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg

from bridge.sandbox import shop
from bridge.sandbox.postgres import SandboxPostgres
from tests.rig import Rig

WARM_SECONDS = 20.0
"""A process is measured from this age on: before, it imports, connects and fills its caches."""

SETTLE_SECONDS = 900.0
UNAVAILABLE = 75
"""The exit status of a command that has found a server away."""

DROPS = ({"on": "Remember", "do": "drop", "probability": 0.01, "seed": 1},)


@dataclass(slots=True)
class Life:
    """One process of the bridge: resident memory in MB and open files, sampled each second."""

    pid: int
    memory: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)


@dataclass(slots=True)
class World:
    """What acts act upon. `tables` are those of the soak's own, by name, whether they are carried."""

    rig: Rig
    postgres: SandboxPostgres
    ledger_server: SandboxPostgres | None
    writers: list[shop.Application]
    tables: dict[str, bool] = field(default_factory=dict)
    columns: list[tuple[str, str]] = field(default_factory=list)
    made: int = 0
    lives: list[Life] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    failure: str | None = None
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    # the bridge

    def start_bridge(self) -> None:
        """Start `run`, wait until it listens to signals, and measure it."""
        before = self.runs()
        process = self.rig.start()
        self.lives.append(Life(process.pid))
        self.wait("a run begins", lambda: self.runs() > before, 60.0)

    def runs(self) -> int:
        """How many have begun, by the log."""
        log = self.rig.log
        return log.read_text(encoding="utf-8", errors="replace").count("a run begins") if log.exists() else 0

    def alive(self) -> bool:
        """The bridge runs."""
        return self.rig.process is not None and self.rig.process.poll() is None

    def require_alive(self) -> None:
        """Raises AssertionError when the bridge has ended by itself: nothing that a soak does may end it."""
        assert self.alive(), f"the bridge ended by itself:\n{self.rig.tail()}"

    def command(self, *arguments: str) -> None:
        """A command of ours, which must succeed."""
        for _attempt in range(60):
            done = self.rig.command(*arguments)
            if done.returncode != UNAVAILABLE:
                break
            time.sleep(0.5)
        assert done.returncode == 0, f"engram-bridge {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"

    # the source

    def sql(self, *statements: str) -> None:
        """Statements against the source, tried again while it is away or somebody holds a lock."""
        for statement in statements:
            for _attempt in range(60):
                try:
                    with psycopg.connect(self.rig.source, autocommit=True, options="-c lock_timeout=3000") as connection:
                        connection.execute(statement.encode())
                    break
                except (psycopg.OperationalError, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                    time.sleep(0.5)
            else:
                raise AssertionError(f"could not be done: {statement}")

    # measuring

    def measure(self) -> None:
        """Sample the bridge once a second, in a thread, until `stop_measuring`."""
        self._thread = threading.Thread(target=self._measure, name="measure", daemon=True)
        self._thread.start()

    def stop_measuring(self) -> None:
        """End the samples."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def _measure(self) -> None:
        while not self._ending.wait(1.0):
            life = self.lives[-1] if self.lives else None
            if life is None:
                continue
            try:
                process = psutil.Process(life.pid)
                if time.time() - process.create_time() >= WARM_SECONDS:
                    life.memory.append(process.memory_info().rss / 1e6)
                    life.files.append(process.num_fds())
            except psutil.Error:
                continue

    # the end

    def status(self) -> dict[str, Any]:
        """`status --json`."""
        done = self.rig.command("status", "--json")
        assert done.returncode == 0, done.stderr
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures

    def state(self, table: str) -> str:
        """Of one table, as `status` has it."""
        return str(next(one["state"] for one in self.status()["tables"] if one["name"] == f"public.{table}"))

    def parked(self) -> dict[str, str]:
        """What waits by table and key, and why: `not_visible since 12 s, 3 attempts: …`."""
        ledger = self.rig.ledger()
        try:
            labels = {record.number: f"{record.label} ({record.role})" for record in ledger.generations()}
            return {
                f"{labels.get(table, table)} {key}": f"{one.reason} since {time.time() - one.since:.0f} s, "
                f"{one.attempts} attempts: {one.detail}"
                for (table, key), one in ledger.parked_keys()
            }
        finally:
            ledger.close()

    def wait(self, what: str, happens: Callable[[], bool], seconds: float = SETTLE_SECONDS, *, required: bool = True) -> None:
        """Wait for it. Raises AssertionError with the log's end when it is required and does not come."""
        deadline = time.monotonic() + seconds
        while not happens():
            self.require_alive()
            if time.monotonic() >= deadline:
                assert not required, f"{what}: not within {seconds:.0f} s\n{self.rig.tail()}"
                return
            time.sleep(0.2)


def make(folder: Path, *, ledger: str, plugin: str, seed: int, rows: int, rate: float) -> World:
    """Three servers with a shop on one of them, and two applications that do not write yet."""
    folder.chmod(0o755)
    postgres = SandboxPostgres(folder / "postgres", plugin=None if plugin == "pgoutput" else plugin)
    postgres.start()
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("create database shop")
    source = postgres.url("shop")
    shop.create(source)
    shop.seed(source, rows)
    place = folder / "rig"
    place.mkdir()
    overrides: dict[str, Any] = {"faults": DROPS, "parked": {"retry_first": 2, "retry_last": 20}}
    os.environ["ENGRAM_BRIDGE_TEST_PLUGIN"] = plugin
    ledger_server = None
    if ledger == "postgresql":
        ledger_server = SandboxPostgres(folder / "ledger")
        ledger_server.start()
        overrides["ledger"] = ledger_server.url()
    rig = Rig(place, source, **overrides)
    writers = [shop.Application(source, seed=seed + number, rate=rate) for number in range(2)]
    return World(rig, postgres, ledger_server, writers)
