"""A world for histories: a PostgreSQL, an Engram, a bridge, a proxy; writers that note what they write, readers that note what
they were answered."""

from __future__ import annotations

import contextlib
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from bridge.errors import Fatal, LedgerUnavailable
from bridge.ledger import Ledger, Serving
from bridge.reads import Mode, Route
from bridge.sandbox.postgres import SandboxPostgres
from bridge.sandbox.promises import History, Outage, Verdict, judge
from bridge.sandbox.reading import Client, Question, Reader
from bridge.sandbox.serving import Proxy, free_port
from tests.histories.writers import HOT, KEYS, KeyWriter, now, value_of
from tests.rig import Rig

MAX_STALENESS = 2.0
GRANTED = (0.1, 0.3, 1.0)
TABLES = ("books", "pages")
WRITES = 12.0
READS = 60.0
"""A second, of each writer and each reader."""

PATIENCE = 300.0
HOLD = 15.0
"""Seconds after which the writers wait until Engram answers: a busy machine may not catch up with them."""
NOTICED = 2.0
"""Seconds after PostgreSQL is back within which the proxy must have noticed."""
EFFECTIVE = 2.0
"""Seconds within which a change of mode is effective everywhere: one, and one for a busy machine."""

DROPS = [{"on": "Remember", "do": "drop", "probability": 0.02, "seed": 1}]
"""What the target does all the time."""


@dataclass(slots=True)
class World:
    """Everything that a fault can strike, and what was noted."""

    postgres: SandboxPostgres
    rig: Rig
    proxy: Proxy
    writers: list[KeyWriter]
    readers: list[Reader] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    away: dict[str, float] = field(default_factory=dict)
    """What is away now, and since when."""
    done: Counter[str] = field(default_factory=Counter)
    verdict: Verdict | None = None

    def begin(self, seed: int) -> None:
        """Load, serve, write and read."""
        for writer in self.writers:
            writer.create()
        self.start_bridge()
        self.rig.wait_until_proven(timeout=PATIENCE)
        for writer in self.writers:
            self.route(writer.label, Route(Mode.ENGRAM, 100))
        self.proxy.start()
        self.readers = [
            Reader(self.proxy.url, self._choose, _value, granted=MAX_STALENESS, seed=seed + number, rate=READS, clock=now)
            for number in range(2)
        ]
        for one in (*self.writers, *self.readers):
            one.start()

    def end(self) -> Verdict:
        """No more writes and reads; everything must be proven, and every answer is judged."""
        for reader in self.readers:
            reader.stop()
        for writer in self.writers:
            writer.stop()
        self.tend()
        self.rig.wait_until_proven(timeout=PATIENCE)
        self.rig.until(lambda: not self.rig.ledger().parked_keys(), PATIENCE, "what was parked is not tried again")
        self.rig.prove()
        return self.judged()

    def judged(self) -> Verdict:
        """All answers so far, held against the histories of their rows."""
        histories = {key: History(states) for writer in self.writers for key, states in writer.histories().items()}
        reads = [read for reader in self.readers for read in reader.reads]
        self.verdict = judge(histories, reads, self.outages)
        return self.verdict

    def _choose(self, chance: random.Random) -> Question:
        writer = chance.choice(self.writers)
        count = chance.randint(2, 10) if chance.random() < 0.15 else 1
        picked = dict.fromkeys(str(chance.randrange(HOT if chance.random() < 0.6 else KEYS + 3)) for _ in range(count))
        keys = list(picked)
        demands = (0, 0, 0, writer.lsns.get(keys[0], 0), max(other.latest for other in self.writers))
        return Question(
            writer.label,
            keys,
            min_lsn=chance.choice(demands),
            granted=chance.choice(GRANTED) if chance.random() < 0.15 else None,
            again=chance.random() < 0.2,
        )

    # what faults use

    def start_bridge(self) -> None:
        """Start `run`, and wait until it listens to signals or has ended because a server is away."""
        before = self.rig.said("a run begins")
        process = self.rig.start()
        self.wait("a run begins", lambda: self.rig.said("a run begins") > before or process.poll() is not None)

    def start_proxy(self) -> None:
        """Start it; where the ledger is away it ends at once, and is started again by `tend`."""
        with contextlib.suppress(Fatal):
            self.proxy.start()
            self.back("proxy")

    def tend(self) -> None:
        """Start again what has ended because a server was away, as an init system would."""
        process = self.rig.process
        if process is None or process.poll() is not None:
            self.start_bridge()
        if "proxy" in self.away:
            self.start_proxy()
        else:
            assert self.proxy.process is not None
            assert self.proxy.process.poll() is None, f"the proxy has ended by itself:\n{self.proxy.said()}"

    def heal(self) -> None:
        """Until all reads go to Engram, and it answers for every table. Raises AssertionError when it does not."""
        with contextlib.closing(Client(self.proxy.url)) as client:
            for writer in self.writers:
                if not writer.alive:
                    writer.stop()  # raises what it failed with
                self.wait("tables are routed", lambda writer=writer: self.route(writer.label, Route(Mode.ENGRAM, 100)))
            if "engram-only" in self.away:
                self.back("engram-only", EFFECTIVE)
            held = threading.Timer(HOLD, lambda: [writer.goes_on.clear() for writer in self.writers])
            held.start()
            try:
                for writer in self.writers:
                    self.wait(f"Engram answers for {writer.label}", lambda writer=writer: self._answers(client, writer))
            finally:
                held.cancel()
                held.join()
                for writer in self.writers:
                    writer.goes_on.set()

    def _answers(self, client: Client, writer: KeyWriter) -> bool:
        self.tend()
        for key in list(writer.states)[: HOT + 2]:
            reply = client.get(Question(writer.label, [key]).path, {})
            if reply.status == 200 and reply.headers.get("X-Served-By") == "engram":
                return True
        time.sleep(0.1)
        return False

    def wait(self, what: str, happens: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait for it. Raises AssertionError with the ends of the logs when it does not come."""
        deadline = time.monotonic() + seconds
        while not happens():
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s\n{self.rig.tail()}\n{self.proxy.said()}"
            time.sleep(0.02)

    def gone(self, what: str) -> None:
        """It is away from now on."""
        self.away.setdefault(what, now())

    def back(self, what: str, after: float = 0.0) -> None:
        """It is back, or counts as back after so many seconds."""
        if what in self.away:
            self.outages.append(Outage(what, self.away.pop(what), now() + after))

    def route(self, label: str, route: Route) -> bool:
        """Change where reads go; whether the ledger could be reached."""
        return self.noted(lambda ledger: Serving(ledger).route(label, route, who="chance", verb="advance", detail={}))

    def noted(self, act: Callable[[Ledger], object]) -> bool:
        """Do something with the ledger; whether it could be reached."""
        try:
            ledger = Ledger(self.rig.ledger_location)
            try:
                act(ledger)
            finally:
                ledger.close()
        except LedgerUnavailable:
            return False
        return True

    def sql(self, statement: str) -> bool:
        """A statement against the source; whether it could be done: the server may be away, or somebody hold a lock."""
        try:
            with psycopg.connect(
                self.rig.source, autocommit=True, connect_timeout=3, options="-c lock_timeout=500"
            ) as connection:
                connection.execute(statement.encode())
        except (psycopg.OperationalError, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            return False
        return True


def _value(body: str) -> str:
    return value_of(json.loads(body))


@contextlib.contextmanager
def world(folder: Path, postgres: SandboxPostgres, *, seed: int, ledger: str = "sqlite", **overrides: Any) -> Iterator[World]:
    """A world around a server of its own, which runs; it is ended whatever happens."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("create database books")
    source = postgres.url("books")
    place = folder / "rig"
    place.mkdir()
    if ledger == "postgresql":
        overrides["ledger"] = "postgresql"
    port = free_port(0)
    serve = {"port": port, "max_staleness": MAX_STALENESS, **overrides.pop("serve", {})}
    # What goes wrong would take the tables back for good, and Engram would be asked no more.
    cutover = {"automatic_return": False, **overrides.pop("cutover", {})}
    rig = Rig(place, source, serve=serve, cutover=cutover, faults=DROPS, **overrides)
    command = [sys.executable, "-m", "bridge", "serve", "--config", str(rig.file)]
    proxy = Proxy(command, f"http://127.0.0.1:{port}", folder / "proxy.log")
    writers = [KeyWriter(source, name, seed + number, WRITES) for number, name in enumerate(TABLES)]
    made = World(postgres, rig, proxy, writers)
    with contextlib.ExitStack() as ends:
        ends.callback(rig.close)
        ends.callback(proxy.kill)
        for one in writers:
            ends.callback(one.abandon)
        try:
            yield made
        finally:
            for reader in made.readers:
                ends.callback(reader.abandon)
