"""What the proxy's benches measure on: a bridge that follows a table, a proxy that answers it, bare routes; each a process."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import yaml

from bench.database import execute, make_narrow
from bench.figures import Scale
from bench.ingest import engram
from bridge import config as configuration
from bridge.config import Config
from bridge.ledger import Ledger, Serving
from bridge.ledger.place import ledger_exists
from bridge.reads import Mode, Route
from bridge.sandbox.postgres import SandboxPostgres

PATIENCE = 180.0
ROOT = Path(__file__).parent.parent
TABLE = "items"
LABEL = f"public.{TABLE}"
ALL = Route(Mode.ENGRAM, 100)
NONE = Route(Mode.POSTGRES)


@dataclass(slots=True)
class Served:
    """A table that is carried and served; `proxy` and `bare` are the addresses of both sides."""

    file: Path
    settings: Config
    rows: int
    proxy: str
    bare: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def paths(self, route: str) -> list[str]:
        """A path for each row, below that route."""
        return [f"{route}/{number}" for number in range(1, self.rows + 1)]

    def send(self, route: Route) -> None:
        """Send the table's reads that way, and wait until they go it."""
        with contextlib.closing(Ledger(self.settings.ledger)) as ledger:
            Serving(ledger).route(LABEL, route, who="bench", verb="advance", detail={"why": "a bench"})
        wanted = "engram" if route == ALL else "postgres"
        self._wait(lambda: _answer(self.proxy, f"/v1/{TABLE}/1").get("x-served-by") == wanted, f"reads from {wanted}")

    def start_proxy(self, workers: int) -> None:
        """The proxy with so many processes, in place of the one that runs, until it answers."""
        self.end("proxy")
        port = self.proxy.rpartition(":")[2]
        self.start("proxy", "bridge", "serve", "--config", str(self.file), "--port", port, "--workers", str(workers))
        self._wait(lambda: bool(_answer(self.proxy, f"/v1/{TABLE}/1")), "the proxy to answer")

    def memory_mb(self) -> float:
        """Resident memory of the proxy, all its processes."""
        first = psutil.Process(self.processes["proxy"].pid)
        return float(sum(process.memory_info().rss for process in [first, *first.children(recursive=True)])) / 2**20

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Start a Python program; what it logs stands beside the configuration."""
        with (self.file.parent / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", module, *arguments]
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end(self, name: str) -> None:
        """End it if it runs."""
        process = self.processes.pop(name, None)
        if process is not None:
            process.terminate()
            process.wait(60)

    def wait_until_carried(self) -> None:
        """Until every row is proven."""
        self._wait(lambda: ledger_exists(self.settings.ledger), "the ledger")
        with contextlib.closing(Ledger(self.settings.ledger)) as ledger:
            self._wait(lambda: [table.state for table in ledger.tables()] == ["loaded"], "the load")

    def _wait(self, reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not reached():
            for name, process in self.processes.items():
                if process.poll() is not None:
                    log = (self.file.parent / f"{name}.log").read_text(encoding="utf-8", errors="replace")
                    raise RuntimeError(f"{name} has ended: {log[-2000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited in vain for {what}")
            time.sleep(0.1)


@contextlib.contextmanager
def served(scale: Scale, postgres: SandboxPostgres, ledger: str, rows: int) -> Iterator[Served]:
    """A table with so many narrow rows, carried and served, the ledger in a file (sqlite) or beside the table (postgresql)."""
    database = f"served_{ledger}"
    execute(postgres.url(), f"create database {database}")
    url = postgres.url(database)
    make_narrow(url, TABLE, rows)
    with tempfile.TemporaryDirectory(prefix="engram-bridge-bench-") as name, engram(scale) as address:
        folder = Path(name)
        document = {
            "source": {"url": url, "slot": f"bench_{ledger}", "publication": f"bench_{ledger}"},
            "target": {"http": address.http, "grpc": address.grpc, "space_prefix": f"p{time.time_ns()}-"},
            "ledger": str(folder / "ledger.db") if ledger == "sqlite" else url,
            "include": [TABLE],
            # What is measured are answers, not what a machine that is busy with measuring would make the proxy do.
            "cutover": {"automatic_return": False},
            "serve": {"max_staleness": 60, "engram_deadline": 30},
        }
        file = folder / "bridge.yaml"
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        settings = configuration.load(file)
        space = f"{settings.target.space_prefix}{TABLE}"
        world = Served(file, settings, rows, *(f"http://127.0.0.1:{port}" for port in _free_ports(2)))
        try:
            world.start("bridge", "bridge", "run", "--config", str(file))
            world.start("bare", "bench.bare_route", world.bare.rpartition(":")[2], address.http, space, url, TABLE)
            world.wait_until_carried()
            world.start_proxy(1)
            yield world
        finally:
            for running in list(world.processes):
                world.end(running)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()"
                )


def _answer(address: str, path: str) -> dict[str, str]:
    """The head of an answer, names in lower case; empty when there is none."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return {name.lower(): value for name, value in response.getheaders()}
    except OSError:
        return {}
    finally:
        connection.close()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
