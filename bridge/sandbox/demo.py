"""`make demo`: the product's real job on a small shop, from an empty machine to a proof.

An embedded PostgreSQL and a sandbox Engram (or a real one), a shop whose application never stops writing, and then `check`, `run`
and `serve` as a user would start them: bridge and proxy work in processes of their own, and another application reads through
the proxy all the time. In the middle the target is killed and comes back with its amnesia. At the end the applications stop;
every row, edge and deleted key is compared with what Engram answers, and all that the proxy answered with what the rows were.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.console import Console

from bridge import config as configuration
from bridge.config import Config
from bridge.console import console as make_console
from bridge.console import render_evidence
from bridge.errors import Fatal
from bridge.evidence import TableEvidence, compare
from bridge.ledger import Ledger
from bridge.ledger.place import ledger_exists
from bridge.lsn import fence
from bridge.postgres import connect, flush_position, translated
from bridge.sandbox import shop, witness
from bridge.sandbox.engram.process import SandboxEngram
from bridge.sandbox.postgres import SandboxPostgres
from bridge.sandbox.serving import Proxy, ReadSide, free_port, kept
from bridge.wiring import make_plan, open_target

SEED_ROWS = 4_000
WRITES_PER_SECOND = 25.0
PATIENCE = 600.0
STOP_SECONDS = 30.0
FAULTS = ({"on": "Remember", "do": "drop", "probability": 0.01, "seed": 1},)
"""The sandbox acknowledges one write in a hundred without keeping it, as the real server does with rows that look alike."""


@dataclass(slots=True)
class Demo:
    """One demonstration. `target`: a real server instead of the sandbox; then it is restarted only by `restart_command`.

    `ledger`: a file, or a database of its own on the demo's server. `keep`: go on after the proof, until Ctrl-C.
    """

    seconds: float = 30.0
    report: Path | None = None
    target: str | None = None
    target_grpc: str | None = None
    restart_command: str | None = None
    seed: int | None = None
    model: str | None = None
    ledger: Literal["sqlite", "postgresql"] = "sqlite"
    plugin: Literal["pgoutput", "wal2json"] = "pgoutput"
    keep: bool = False

    def run(self) -> int:
        """0 only if everything is proven."""
        console = make_console()
        self.seed = random.SystemRandom().randrange(10**6) if self.seed is None else self.seed
        with tempfile.TemporaryDirectory(prefix="engram-bridge-demo-") as folder:
            place = Path(folder)
            place.chmod(0o755)
            plugin = None if self.plugin == "pgoutput" else self.plugin
            with SandboxPostgres(place / "postgres", plugin=plugin, settings=witness.SETTINGS) as postgres:
                engram = SandboxEngram(place / "engram", faults=FAULTS).__enter__() if self.target is None else None
                try:
                    return _Play(self, console, place, postgres.url("shop"), postgres.url(), engram).play()
                finally:
                    if engram is not None:
                        engram.stop()


@dataclass(slots=True)
class _Play:
    """The acts, one after the other."""

    demo: Demo
    console: Console
    place: Path
    source: str
    admin: str
    engram: SandboxEngram | None
    process: subprocess.Popen[bytes] | None = None
    reads: ReadSide | None = None
    restarts: int = 0

    def play(self) -> int:
        try:
            proven = self._act()
            if self.demo.keep:
                self._keep()
            return proven
        finally:
            if self.reads is not None:
                self.reads.stop()

    def _act(self) -> int:
        settings = self._settings()
        self._show_addresses(settings)
        self._say("creating a shop")
        with connect(self.admin) as connection, translated():
            connection.execute("create database shop")
            if self.demo.ledger == "postgresql":
                connection.execute("create database ledger")
        shop.create(self.source)
        witness.call(self.source, shop.KEYS)
        rows = shop.seed(self.source, SEED_ROWS)
        self._say(f"{rows:,} rows in the shop; the application starts writing (seed {self.demo.seed})")
        application = self._application()
        application.start()
        try:
            self._check()
            self.process = self._start_bridge()
            self._wait_until_running(settings)
            self.reads = self._serve(settings)
            self._let_it_run()
            counts = application.stop()
            self._say(f"the application stops after {sum(counts.values()):,} transactions")
            caught_up = self._wait(settings)
            figures = self._status()
            answered = self.reads.judged()
        finally:
            application.stop()
            ended = self._stop_bridge()
        return self._prove(settings, figures, answered, in_order=ended and caught_up)

    def _application(self) -> shop.Application:
        return shop.Application(self.source, seed=self.demo.seed or 0, rate=WRITES_PER_SECOND)

    def _serve(self, settings: Config) -> ReadSide:
        self._say("engram-bridge serve")
        proxy = Proxy(self._command("serve"), f"http://{settings.serve.host}:{settings.serve.port}", self.place / "proxy.log")
        side = ReadSide(settings, proxy, self._say, seed=self.demo.seed or 0)
        try:
            side.start()
        except BaseException:
            side.stop()
            raise
        return side

    def _keep(self) -> None:
        """The shop and the bridge go on, so that there is something to be seen."""
        assert self.reads is not None
        self._say(f"everything goes on until Ctrl-C; proxy and page: {self.reads.proxy.url}")
        application = self._application()
        application.start()
        try:
            self.process = self._start_bridge()
            while True:
                self._sleep(1.0)
        except KeyboardInterrupt:
            self._say("ending")
        finally:
            application.stop()
            self._stop_bridge()

    def _say(self, text: str) -> None:
        self.console.print(f"[bold cyan]»[/] {text}")

    def _settings(self) -> Config:
        """The bridge.yaml of the demo. A real server keeps its spaces, so each demo has names of its own there."""
        if self.engram is not None:
            target: dict[str, Any] = {"http": self.engram.http, "grpc": self.engram.grpc}
        else:
            prefix = f"demo{int(time.time()) % 10**8}-"
            target = {"http": self.demo.target, "space_prefix": prefix}
            if self.demo.target_grpc:
                target["grpc"] = self.demo.target_grpc
        document = {
            "source": {"url": self.source, "plugin": self.demo.plugin},
            "target": target,
            "ledger": self._ledger,
            "snapshot": {"chunk_rows": 500},
            "exclude": [f"{witness.SCHEMA}.*"],
            "serve": {"port": free_port(8432)},
        }
        if self.demo.model is not None:
            document["embedding"] = {"model": self.demo.model}
        self._file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return configuration.load(self._file)

    @property
    def _ledger(self) -> str:
        """The ledger's place; its database is beside the shop's."""
        if self.demo.ledger == "postgresql":
            return f"{self.admin.rpartition('/')[0]}/ledger"
        return str(self.place / "ledger.db")

    @property
    def _file(self) -> Path:
        return self.place / "bridge.yaml"

    def _show_addresses(self, settings: Config) -> None:
        self._say(f"PostgreSQL  {self.source}")
        kind = "sandbox" if self.engram else "yours"
        self._say(f"Engram      {settings.target.http} (gRPC {settings.target.grpc_address}), {kind}")
        self._say(f"ledger      {settings.ledger}")

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "bridge", *arguments, "--config", str(self._file)]

    def _check(self) -> None:
        self._say("engram-bridge check")
        done = subprocess.run(self._command("check"), check=False)
        if done.returncode != 0:
            raise Fatal(f"the check ended with {done.returncode}")

    def _start_bridge(self) -> subprocess.Popen[bytes]:
        self._say("engram-bridge run")
        return subprocess.Popen(self._command("run"), stdin=subprocess.DEVNULL)

    def _wait_until_running(self, settings: Config) -> None:
        """A model takes its time to load: the target is restarted under a bridge that knows it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self._sleep(0.2)
            if ledger_exists(settings.ledger):
                ledger = Ledger(settings.ledger)
                try:
                    if ledger.facts().get("ended") == "no":
                        return
                finally:
                    ledger.close()

    def _let_it_run(self) -> None:
        """The application writes; in the middle the target dies and comes back without what it has learned."""
        self._sleep(self.demo.seconds / 2)
        if self.engram is not None:
            self._say("kill -9 of Engram, and a new start: updates revert, the deleted come back, the rest is gone")
            self.engram.kill()
            self._sleep(min(2.0, self.demo.seconds / 10))
            self.engram.start()
            self.restarts += 1
        elif self.demo.restart_command:
            self._say(f"restarting Engram: {self.demo.restart_command}")
            subprocess.run(self.demo.restart_command, shell=True, check=True)  # noqa: S602 - the user's own command line
            self.restarts += 1
        self._sleep(self.demo.seconds / 2)

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process is not None and self.process.poll() is not None:
                raise Fatal(f"the bridge ended by itself with {self.process.returncode}")
            time.sleep(min(0.1, max(end - time.monotonic(), 0)))

    def _wait(self, settings: Config) -> bool:
        """Until the frontier has passed the last commit, and everything is compared and mended."""
        with connect(settings.source.url) as connection:
            end = fence(flush_position(connection))
        self._say("waiting until everything is proven")
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self._sleep(0.5)
            ledger = Ledger(settings.ledger)
            try:
                facts, epochs = ledger.facts(), ledger.epochs()
                gauges = ledger.gauges()
            finally:
                ledger.close()
            waiting = gauges.get("waiting", (1, 0.0))[0]
            repaired = len(epochs) > self.restarts and epochs[-1][2] is not None
            if int(facts.get("proven", 0)) >= end and repaired and waiting == 0 and self._status()["phase"] == "consistent":
                return True
        return False

    def _status(self) -> dict[str, Any]:
        done = subprocess.run(self._command("status", "--json"), check=True, capture_output=True, text=True)
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures

    def _stop_bridge(self) -> bool:
        """SIGTERM ends it in order."""
        if self.process is None or self.process.poll() is not None:
            return False
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS) == 0
        except subprocess.TimeoutExpired:
            self.process.kill()
            return False

    def _prove(self, settings: Config, figures: dict[str, Any], answered: dict[str, Any], *, in_order: bool) -> int:
        self._say("comparing every row, edge and deleted key of PostgreSQL with what Engram answers")
        ledger = Ledger(settings.ledger)
        target = open_target(settings)
        try:
            with connect(settings.source.url) as connection:
                plan = make_plan(settings, ledger, connection)
                for space in plan.mapping.spaces:
                    target.open(space)
                evidence = compare(connection, target, plan.mapping, ledger)
            result = self._result(settings, evidence, figures, ledger, answered, in_order=in_order)
        finally:
            target.close()
            ledger.close()
        self.console.print()
        self.console.print(render_evidence(evidence))
        self._summary(result)
        if self.demo.report is not None:
            self.demo.report.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        return 0 if result["proven"] else 1

    def _result(
        self,
        settings: Config,
        evidence: list[TableEvidence],
        figures: dict[str, Any],
        ledger: Ledger,
        answered: dict[str, Any],
        *,
        in_order: bool,
    ) -> dict[str, Any]:
        names = ("rows", "memories", "edges", "missing", "wrong", "extra", "wrong_edges", "missing_edges")
        counters = ledger.counters()
        lag = figures["lag"]
        result: dict[str, Any] = {name: sum(getattr(one, name) for one in evidence) for name in names}
        result["deleted"] = sum(one.deleted for one in evidence)
        result["changes_applied"] = counters.get("changes_applied", 0)
        result["dropped_by_target"] = counters.get("dropped_by_target", 0)
        result["target_restarts"] = counters.get("target_restarts", 0)
        result["parked"] = len(ledger.parked_keys())
        result["lag_ms"] = {"p50": lag["p50_ms"], "p99": lag["p99_ms"], "max": lag["max_ms"]}
        result["model"] = settings.embedding.model
        result["texts_embedded"] = {name: counters.get(name, 0) for name in ("texts_from_model", "texts_from_cache", "texts_cut")}
        result["seconds"] = self.demo.seconds
        result["seed"] = self.demo.seed
        result["plugin"] = self.demo.plugin
        result["proxy"] = answered
        result["proven"] = (
            in_order
            and all(one.proven for one in evidence)
            and result["parked"] == 0
            and result["rows"] == result["memories"]
            and result["target_restarts"] >= self.restarts
            and kept(answered)
        )
        return result

    def _summary(self, result: dict[str, Any]) -> None:
        lag = result["lag_ms"]
        self.console.print()
        self._say(
            f"{result['changes_applied']:,} changes applied; {result['dropped_by_target']:,} writes dropped by the target, "
            f"all recovered; {result['target_restarts']} restart(s) of the target; {result['parked']} parked"
        )
        if lag["p50"] is not None:
            self._say(f"commit → proven readable: p50 {lag['p50']:.0f} ms, p99 {lag['p99']:.0f} ms, max {lag['max']:.0f} ms")
        answered = result["proxy"]
        self._say(
            f"{answered['reads']:,} rows read through the proxy, {answered['from_engram']:,} from Engram, "
            f"{answered['from_postgres']:,} from PostgreSQL: {answered['wrong']} wrong, {answered['stale_beyond_promise']} "
            f"staler than promised, {answered['errors']} errors; p50 {answered['p50_ms']} ms, p99 {answered['p99_ms']} ms"
        )
        verdict = "[bold green]proven[/]" if result["proven"] else "[bold red]NOT proven[/]"
        self.console.print(
            f"\n  {verdict}: {result['rows']:,} rows, {result['edges']:,} edges, {result['deleted']:,} deleted keys\n"
        )
