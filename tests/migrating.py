"""`migrate-postgresql` as a process of its own, between a real PostgreSQL database and a sandbox Engram."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from bridge.ledger import Ledger
from bridge.sandbox.engram.process import SandboxEngram
from tests import ready
from tests.patience import PATIENCE


class Migrator:
    """One source, one Engram, one folder in which the command runs; its ledger is where it is by default."""

    def __init__(self, folder: Path, source: str, **engram: Any) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.source = source
        self.engram = SandboxEngram(folder / "engram", **engram)
        self.engram.start()
        self.log = folder / "migrate.log"

    def arguments(self, *more: str, source: str | None = None) -> list[str]:
        """The command, with the addresses of this test."""
        command = [*ready.command("migrate-postgresql")]
        return [*command, "--source", source or self.source, "--target", self.engram.http, *more]

    @property
    def environment(self) -> dict[str, str]:
        """Where Engram's gRPC side is: its port is its own in each test. The package is found from any folder."""
        root = str(Path(__file__).resolve().parents[1])
        return {**os.environ, "ENGRAM_GRPC": self.engram.grpc, "PYTHONPATH": root}

    def run(self, *more: str, source: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.arguments(*more, source=source),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            cwd=self.folder,
            env=self.environment,
        )

    def migrate(self, *more: str, source: str | None = None) -> dict[str, Any]:
        """Run it; it must end with 0. Answers the report."""
        return self.report(0, *more, source=source)

    def report(self, code: int, *more: str, source: str | None = None) -> dict[str, Any]:
        """Run it to this exit code, and answer the report."""
        path = self.folder / "report.json"
        path.unlink(missing_ok=True)
        done = self.run("--report", str(path), *more, source=source)
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        assert found["exit_code"] == code
        return found

    def start(self, *more: str) -> ready.Process:
        """Start it; its log goes to a file."""
        with self.log.open("ab") as log:
            return ready.started(
                self.arguments(*more), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=self.environment
            )

    def until(self, process: ready.Process, happens: Callable[[], bool]) -> None:
        """Until it happens, while the process runs."""
        deadline = time.monotonic() + PATIENCE
        while not happens():
            assert process.poll() is None, self.log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, self.log.read_text(encoding="utf-8")
            time.sleep(0.05)

    def loaded(self) -> list[str]:
        """Tables that the log of all starts says are loaded, in that order."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line.rpartition("table=")[2] for line in lines if "a table is loaded" in line]

    def ledger(self) -> Ledger:
        """The ledger, to read. Close it."""
        return Ledger(str(self.folder / "engram-bridge.db"))

    def recorded(self) -> int:
        """Memories that the ledger has proven."""
        if not (self.folder / "engram-bridge.db").exists():
            return 0
        ledger = self.ledger()
        try:
            return sum(ledger.live_counts().values())
        finally:
            ledger.close()

    def bridge(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """An `engram-bridge` command on the same ledger, told where things are and nothing else; it must end so."""
        name = f"migrated_{abs(hash(self.folder)):x}"[:40]
        addresses = {"source": {"url": self.source, "slot": name, "publication": name}}
        addresses |= {"target": {"http": self.engram.http, "grpc": self.engram.grpc}}
        (self.folder / "bridge.yaml").write_text(json.dumps(addresses), encoding="utf-8")
        command = [*ready.command(), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=self.folder, env=self.environment
        )
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def sql(self, *statements: str) -> None:
        """Run statements in the source, each a transaction of its own."""
        with psycopg.connect(self.source, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def close(self) -> None:
        """End Engram."""
        self.engram.stop()
