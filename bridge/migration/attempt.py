"""One attempt at a one-shot migration: carried at one snapshot, watched, and noted in the checkpoint file."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from bridge.config import without_password
from bridge.errors import SnapshotLost, TargetUnavailable
from bridge.ledger import Migration, Migrations
from bridge.migration import checkpoint as checkpoints
from bridge.migration.admitting import Examined
from bridge.migration.carrying import Carrying
from bridge.migration.checkpoint import INTERRUPTED, RUNNING, Checkpoint
from bridge.migration.held import HeldSnapshot
from bridge.migration.order import Order
from bridge.migration.progress import Watcher

LOOK_SECONDS = 0.2
CHECKPOINT_SECONDS = 2.0
PATIENCE_SECONDS = 300.0
ALIVE_SECONDS = 5.0
"""How often it is asked whether the snapshot is still there: workers that find no server would wait for it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How it is done, beside what is ordered. `command`: what the user typed, without secrets."""

    workers: int
    batch: int
    checkpoint: Path | None = None
    migration_id: str | None = None
    command: str = ""


@dataclass(slots=True)
class Attempt:
    """One attempt, at one snapshot, of a migration that may have had others before. `ended`: it came to its end by itself."""

    order: Order
    settings: Settings
    examined: Examined
    carrying: Carrying
    migration: Migration
    number: int
    snapshots: list[dict[str, Any]]
    counters: dict[str, int]
    watcher: Watcher
    ended: bool = False
    seconds: float = 0.0
    _written: float = 0.0
    _troubled: float | None = None
    _asked: float = field(default_factory=time.monotonic)

    @property
    def resumed(self) -> bool:
        """Rows were read at more than one snapshot."""
        return sum(bool(one["tables"]) for one in self.snapshots) > 1

    @property
    def partial(self) -> frozenset[str]:
        """Tables of which not all rows are meant."""
        return frozenset(self.examined.chosen.restrictions)

    @property
    def earlier(self) -> frozenset[str]:
        """Tables with rows that were not read at this snapshot: of migrations before, of earlier attempts, older than a delta."""
        before = {label for one in self.snapshots[:-1] for label in one["tables"]}
        others = set(self.carrying.plan.mapping.plans) - set(self.examined.chosen.labels)
        delta = self.examined.chosen.labels if self.order.since is not None else ()
        return frozenset(before | others | set(delta))

    def written(self) -> dict[int, int]:
        """Live memories that this migration wrote, by table."""
        counts = Migrations(self.carrying.ledger).counts()
        return {table: live for (migration, table), (live, _gone) in counts.items() if migration == self.number}

    def run(self, ending: threading.Event) -> None:
        """Carry until all is done, or `ending` is set. Raises what ends it."""
        began = time.monotonic()
        carrying = self.carrying
        try:
            carrying.start()
            with self.watcher:
                while not ending.is_set() and carrying.failure is None:
                    self.watcher.update(carrying.loader.progress)
                    self.checkpoint(RUNNING)
                    self._lose_patience(carrying.trouble)
                    self._require_snapshot()
                    if carrying.done and not carrying.retry_parked():
                        self.ended = True
                        break
                    ending.wait(LOOK_SECONDS)
                self.watcher.update(carrying.loader.progress)
        finally:
            carrying.stop()
            self.seconds = time.monotonic() - began
            if not self.ended:
                self.checkpoint(INTERRUPTED, force=True)
        if carrying.failure is not None:
            raise carrying.failure

    def _lose_patience(self, trouble: str | None) -> None:
        """What passes is waited for, but not for ever: somebody waits for this command. Raises TargetUnavailable."""
        now = time.monotonic()
        self._troubled = None if trouble is None else self._troubled or now
        if self._troubled is not None and now - self._troubled > PATIENCE_SECONDS:
            raise TargetUnavailable(
                f"nothing could be written for {PATIENCE_SECONDS:.0f} s: {trouble}",
                hint="What is done is kept. When Engram answers again, run the same command: it goes on.",
            )

    def _require_snapshot(self) -> None:
        """Raise SnapshotLost when the connection that holds it has ended: no server that comes back has it any more."""
        now = time.monotonic()
        if now - self._asked < ALIVE_SECONDS:
            return
        self._asked = now
        if not self.carrying.held.alive:
            raise SnapshotLost(
                "the snapshot that all rows are read from has ended: its connection was lost",
                hint="Run the same command again: what is not written yet is then read at a later snapshot.",
            )

    def checkpoint(self, state: str, *, force: bool = False, exit_code: int | None = None) -> None:
        """Write the checkpoint, if there is to be one and the last was not written just now. Raises CheckFailed."""
        path = self.settings.checkpoint
        if path is None or (not force and time.monotonic() - self._written < CHECKPOINT_SECONDS):
            return
        self._written = time.monotonic()
        ledger = self.carrying.ledger
        checkpoints.write(
            path,
            Checkpoint(
                migration_id=self.migration.id,
                tool=tool(),
                source=identity(self.carrying.held),
                target=self.carrying.config.target.http,
                ledger=without_password(self.carrying.config.ledger),
                ledger_id=ledger.facts()["ledger_id"],
                order=self.order.as_dict(),
                state=state,
                began=self.migration.began,
                written=time.time(),
                snapshots=self.snapshots,
                tables=self._tables(),
                exit_code=exit_code,
            ),
        )

    def _tables(self) -> dict[str, dict[str, Any]]:
        found = {}
        for record in self.carrying.ledger.tables():
            if record.number in self.carrying.numbers:
                chunks = self.carrying.ledger.chunks(record.number)
                done = [chunk for chunk in chunks if chunk.done]
                figures = {"chunks": len(chunks), "chunks_done": len(done), "rows": sum(chunk.rows for chunk in done)}
                found[record.label] = {"state": record.state} | figures
        return found


def identity(held: HeldSnapshot) -> dict[str, str]:
    """Which source a migration is of: its server and database. A promoted standby is the same one."""
    facts = held.origins.facts()
    return {name: facts[name] for name in ("system_identifier", "database")}


def tool() -> str:
    """Name and version of this program, as they stand in reports and checkpoints."""
    return f"engram-bridge {metadata.version('engram-bridge')}"
