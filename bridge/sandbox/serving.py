"""The read side of the demo: a proxy in a process of its own, an application that reads through it, and the judgement of all that
it was answered.
"""

from __future__ import annotations

import random
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.config import Config
from bridge.cutover import ALL, Moves
from bridge.errors import BridgeError, Fatal
from bridge.ledger import Ledger, Serving
from bridge.mapping import TablePlan
from bridge.memories import digest
from bridge.postgres import connect
from bridge.reads import Mode, Route
from bridge.sandbox.promises import Broken, Fault, Verdict, judge
from bridge.sandbox.reading import Client, Question, Reader
from bridge.sandbox.witness import Look, Witness
from bridge.wiring import make_plan, slot_figures

RATE = 40.0
"""Requests a second."""

LOOK_EVERY = 0.1
LATEST = 60
"""Rows of a table that were changed last, from which most are asked."""

GRANTED = (0.2, 0.5, 1.0, 2.0)
"""Stalenesses that some requests allow, seconds."""

SHOWN = 5
START_SECONDS = 60.0
STOP_SECONDS = 15.0
MOVE_EVERY = 0.3
WHY = "the demo has not the hours that gates ask for"


@dataclass(slots=True)
class Proxy:
    """`engram-bridge serve` in a process of its own; what it says goes to a file."""

    command: Sequence[str]
    url: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises Fatal with the end of its log when it does not."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        client = Client(self.url)
        while client.get("/v1/tables", {}).status is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise Fatal(f"the proxy did not start: {self.said()}")
            time.sleep(0.05)
        client.close()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return 1

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:] if self.log.exists() else ""


class Choosing:
    """Which rows the application asks for: above all those that are being changed and deleted, on every way there is."""

    def __init__(self, witness: Witness, plans: Sequence[TablePlan]) -> None:
        self._witness = witness
        self._plans = plans
        self._keys: dict[str, list[str]] = {}
        self._looked = 0.0
        self._look: Look | None = None

    def __call__(self, chance: random.Random) -> Question | None:
        """The next request; before it, a look now and then."""
        if self._look is None or time.monotonic() - self._looked > LOOK_EVERY:
            self._look = self._witness.look()
            self._looked = time.monotonic()
            plan = chance.choice(self._plans)
            self._keys[plan.table.label] = self._known(plan)
        label = chance.choice(list(self._keys))
        keys = self._keys[label]
        if not keys:
            return None
        several = chance.randint(2, 12) if chance.random() < 0.2 else 1
        asked = dict.fromkeys(self._key(chance, keys) for _ in range(several))
        return Question(
            label,
            list(asked),
            min_lsn=self._look.lsn if chance.random() < 0.3 else 0,
            granted=chance.choice(GRANTED) if chance.random() < 0.2 else None,
            again=chance.random() < 0.2,
        )

    def _known(self, plan: TablePlan) -> list[str]:
        """The latest ones first, then all others."""
        earlier = self._keys.get(plan.table.label)
        latest = self._witness.touched(plan, LATEST if earlier else 1_000_000)
        return list(dict.fromkeys([*latest, *(earlier or ())]))

    @staticmethod
    def _key(chance: random.Random, keys: Sequence[str]) -> str:
        if chance.random() < 0.02:
            return f"{chance.choice(keys)}9"  # there may be no such row
        return keys[chance.randrange(min(LATEST, len(keys)))] if chance.random() < 0.7 else chance.choice(keys)


@dataclass(slots=True)
class ReadSide:
    """Proxy, witness and reader of a demo. `say` tells a person what happens."""

    settings: Config
    proxy: Proxy
    say: Callable[[str], None]
    seed: int
    witness: Witness = field(init=False)
    plans: list[TablePlan] = field(default_factory=list)
    reader: Reader | None = None
    _end: threading.Event = field(default_factory=threading.Event)
    _moving: threading.Thread | None = None

    def __post_init__(self) -> None:
        self.witness = Witness(self.settings.source.url)

    def start(self) -> None:
        """Serve, read, and move every table over to Engram as soon as it is well."""
        self.proxy.start()
        self.say(f"proxy and page  {self.proxy.url}")
        self.plans = self._planned()
        choose = Choosing(self.witness, self.plans)
        self.reader = Reader(self.proxy.url, choose, digest, granted=self.settings.serve.max_staleness, seed=self.seed, rate=RATE)
        self.reader.start()
        self._moving = threading.Thread(target=self._move, name="moving", daemon=True)
        self._moving.start()

    def _planned(self) -> list[TablePlan]:
        ledger = Ledger(self.settings.ledger)
        try:
            with connect(self.settings.source.url) as connection:
                return list(make_plan(self.settings, ledger, connection, register=False).mapping.plans.values())
        finally:
            ledger.close()

    def _move(self) -> None:
        """Each table as soon as its rows are there and compared; again when it was taken back to PostgreSQL meanwhile."""
        ledger = Ledger(self.settings.ledger)
        moved = 0
        try:
            slot = slot_figures(self.settings, self.settings.source.slot)
            while not self._end.wait(MOVE_EVERY):
                for label in self._ready(ledger):
                    Moves(ledger, self.settings.cutover.thresholds(), slot, "demo").advance(label, ALL, why=WHY, force=True)
                    moved += 1
                    if moved == len(self.plans):
                        self.say("every table's reads go to Engram now, where that is proven to be right")
        except BridgeError as error:
            self.say(f"tables were not moved over: {error}")
        finally:
            ledger.close()

    @staticmethod
    def _ready(ledger: Ledger) -> list[str]:
        """Tables that PostgreSQL answers for, though nothing speaks against Engram."""
        epochs, routes = ledger.epochs(), Serving(ledger).routes()
        if not epochs or epochs[-1][2] is None:
            return []
        proven = int(ledger.facts().get("proven", 0))
        return [
            record.label
            for record in ledger.tables()
            if record.state == "loaded" and record.reached <= proven and routes.get(record.label, Route()).mode is Mode.POSTGRES
        ]

    def judged(self) -> dict[str, Any]:
        """Stop reading, and hold every answer against what the rows really were. The proxy goes on."""
        assert self.reader is not None
        self.reader.stop()
        self.witness.look()
        verdict = judge(self.witness.histories(self.plans), self.reader.reads)
        for broken in verdict.broken[:SHOWN]:
            self.say(f"[bold red]{explained(broken)}[/]")
        return figures(verdict, self.reader.took)

    def stop(self) -> None:
        """End everything that was started."""
        self._end.set()
        if self.reader is not None:
            self.reader.stop()
        if self._moving is not None:
            self._moving.join()
        self.proxy.stop()
        self.witness.close()


def figures(verdict: Verdict, took: Sequence[float]) -> dict[str, Any]:
    """The `proxy` block of a report. Rows are counted, milliseconds are of requests."""
    times = statistics.quantiles(took, n=100) if len(took) > 1 else None
    return {
        "reads": verdict.reads,
        "from_engram": verdict.by.get("engram", 0) + verdict.by.get("ledger", 0),
        "from_postgres": verdict.by.get("postgres", 0),
        "wrong": verdict.count(Fault.WRONG, Fault.DELETED, Fault.LOST),
        "stale_beyond_promise": verdict.count(Fault.STALE, Fault.OVERDUE),
        "errors": verdict.count(Fault.ERROR),
        "p50_ms": None if times is None else round(times[49], 2),
        "p99_ms": None if times is None else round(times[98], 2),
    }


def kept(figures: dict[str, Any]) -> bool:
    """Whether every promise was, and Engram answered at all."""
    return figures["from_engram"] > 0 and not (figures["wrong"] or figures["stale_beyond_promise"] or figures["errors"])


def free_port(wanted: int) -> int:
    """That port of the loopback, or another one where somebody has it."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port(0)
        port: int = listener.getsockname()[1]
        return port


def explained(broken: Broken) -> str:
    """What was wrong with an answer, without values."""
    read = broken.read
    demanded = f"min_lsn {read.min_lsn:X}, {read.granted:g} s granted"
    told = f"by {read.by or 'nobody'}, frontier {read.frontier:X}, staleness {read.stated}"
    return f"{broken.fault}: {read.key}: {read.status} {read.value}, not of {broken.permitted} ({demanded}; {told}) {broken.why}"
