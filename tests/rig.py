"""A bridge in a process of its own, between a real PostgreSQL database and a sandbox Engram: what the acceptance tests drive."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from bridge import config as configuration
from bridge.config import Config
from bridge.evidence import TableEvidence, compare
from bridge.ledger import Ledger
from bridge.ledger.place import ledger_exists
from bridge.lsn import fence, format_lsn
from bridge.postgres import connect, flush_position
from bridge.sandbox.engram.process import SandboxEngram
from bridge.wiring import make_plan, open_target
from tests import ready
from tests.patience import PATIENCE

SLOT = "rig_{}"
FRESH_ENOUGH = 600.0
"""Seconds that Engram may be behind where a test says nothing else: a busy machine is no reason to ask PostgreSQL."""


class Rig:
    """One ledger, one slot, one sandbox Engram. `overrides` go into bridge.yaml as they are.

    `ledger`: a URL, or `postgresql` for a database of its own beside the source's; by default a file.
    """

    def __init__(
        self, folder: Path, source: str, *, capacity: int = 100_000, ledger: str | None = None, **overrides: Any
    ) -> None:
        self.folder = folder
        self.source = source
        self.engram = SandboxEngram(folder / "engram", capacity=capacity, faults=overrides.pop("faults", ()))
        self.engram.__enter__()
        self.ledger_path = folder / "ledger.db"
        self._ledger_database = ledger_database(source) if ledger == "postgresql" else None
        self.ledger_location = self._ledger_database or ledger or str(self.ledger_path)
        self._ledgers: list[Ledger] = []
        self.file = folder / "bridge.yaml"
        self.log = folder / "bridge.log"
        self.process: ready.Process | None = None
        slot = SLOT.format(os.urandom(4).hex())
        plugin = os.environ.get("ENGRAM_BRIDGE_TEST_PLUGIN", "pgoutput")
        document: dict[str, Any] = {
            "source": {"url": source, "slot": slot, "publication": slot, "plugin": plugin},
            "target": {"http": self.engram.http, "grpc": self.engram.grpc, **overrides.pop("target", {})},
            "ledger": self.ledger_location,
            "snapshot": {"workers": 3, "chunk_rows": 200, **overrides.pop("snapshot", {})},
            "serve": {"max_staleness": FRESH_ENOUGH, **overrides.pop("serve", {})},
            **overrides,
        }
        self.file.write_text(yaml.safe_dump(document), encoding="utf-8")
        self.slot = slot

    @property
    def has_ledger(self) -> bool:
        """Whether the bridge has made its ledger."""
        return ledger_exists(self.ledger_location)

    @property
    def config(self) -> Config:
        """The configuration as the bridge reads it."""
        return configuration.load(self.file)

    # the process

    def start(self, *arguments: str) -> ready.Process:
        """Start `run`; its log goes to a file."""
        with self.log.open("ab") as log:
            self.process = ready.started(
                [*ready.command(), "run", "--config", str(self.file), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def said(self, text: str) -> int:
        """How often the log of all runs has it."""
        return self.log.read_text(encoding="utf-8", errors="replace").count(text) if self.log.exists() else 0

    def wait_for(self, text: str, *, more_than: int = 0, timeout: float = PATIENCE) -> None:
        """Until the running bridge's log has it, once more than that: how long a start takes depends on the machine."""
        self.until(lambda: self.said(text) > more_than, timeout, f"{text!r} was not said")

    def until(self, happens: Callable[[], bool], timeout: float = PATIENCE, what: str = "it did not happen") -> None:
        """Until it happens, while the bridge runs."""
        deadline = time.monotonic() + timeout
        while not happens():
            assert self.process is not None
            assert self.process.poll() is None, f"the bridge ended by itself:\n{self.tail()}"
            assert time.monotonic() < deadline, f"{what} within {timeout} s:\n{self.tail()}{self.stacks()}"
            time.sleep(0.1)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, timeout: float = PATIENCE) -> int:
        """SIGTERM; answers the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            told = f"the bridge did not end in {timeout} s:\n{self.tail()}{self.stacks()}"
            self.process.kill()
            self.process.wait()
            raise AssertionError(told) from None

    def bare(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command that takes no configuration, run to its end."""
        return subprocess.run([*ready.command(), *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command to its end."""
        return subprocess.run(
            [*ready.command(), *arguments, "--config", str(self.file)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def catch_up(self, timeout: float = PATIENCE) -> None:
        """`run --until-caught-up` to its end, which must be 0."""
        self.catch_up_with(timeout=timeout)

    def catch_up_with(self, *arguments: str, timeout: float = PATIENCE) -> None:
        """The same with other options of `run`."""
        process = self.start("--until-caught-up", *arguments)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            told = f"not caught up after {timeout} s:\n{self.tail()}{self.stacks()}"
            self.kill()
            raise AssertionError(told) from None
        assert code == 0, self.tail()

    def wait_until_proven(self, timeout: float = PATIENCE) -> None:
        """Until a running bridge has proven everything that is committed now, and compared all after the last restart.

        By then it has said once up to which moment it covers the source, without which a proxy asks PostgreSQL.
        """
        end = self.flush()
        deadline = time.monotonic() + timeout
        since = 0.0
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, f"the bridge ended by itself:\n{self.tail()}"
            if self.has_ledger:
                ledger = self.ledger()
                try:
                    facts, epochs, gauges, records = ledger.facts(), ledger.epochs(), ledger.gauges(), ledger.tables()
                finally:
                    ledger.close()
                proven = int(facts.get("proven", 0))
                loaded = bool(records) and all(
                    r.state == "stopped" or (r.state == "loaded" and r.reached <= proven) for r in records
                )
                stopped = {f"resync:{r.number}" for r in records if r.state == "stopped"}
                reading = {name for name in facts if name.startswith("resync:")} - stopped
                if proven >= end and loaded and not reading and "covered" in facts and epochs and epochs[-1][2] is not None:
                    since = since or time.time()
                    waiting, measured = gauges.get("waiting", (1, 0.0))
                    if waiting == 0 and not gauges.get("comparing", (True, 0.0))[0] and measured > since:
                        return
            time.sleep(0.2)
        raise AssertionError(f"not proven up to {format_lsn(end)} after {timeout} s:\n{self.tail()}{self.stacks()}")

    def wait_for_a_look(self, timeout: float = PATIENCE) -> None:
        """Until a running bridge has looked at the catalogue, having begun behind all that is committed now."""
        end = self.flush()
        with contextlib.closing(self.ledger()) as ledger:
            self.until(lambda: int(ledger.facts().get("looked", 0)) >= end, timeout, "the catalogue was not looked at")

    def stacks(self) -> str:
        """Where the threads of the running bridge are, which it writes into its log; "" when Python was started for it."""
        if self.process is None or not ready.WANTED:
            return ""
        before = self.log.stat().st_size
        self.process.send_signal(signal.SIGUSR1)
        time.sleep(1.0)
        with self.log.open("rb") as log:
            log.seek(before)
            return "\n" + log.read().decode(errors="replace")

    def tail(self) -> str:
        """The end of the bridge's log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-4000:] if self.log.exists() else ""

    # the facts

    def flush(self) -> int:
        """A fence in the source's WAL."""
        with connect(self.source) as connection:
            return fence(flush_position(connection))

    def sql(self, *statements: str) -> None:
        """Run statements, each a transaction of its own."""
        with psycopg.connect(self.source, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def ledger_sql(self, statement: str) -> None:
        """Write to the ledger behind everybody's back."""
        with self.ledger().shared() as connection:
            connection.exec_driver_sql(statement)

    def confirmed(self) -> int:
        """What the slot was told."""
        with connect(self.source) as connection:
            row = connection.execute(
                "select confirmed_flush_lsn - '0/0'::pg_lsn from pg_replication_slots where slot_name = %s", (self.slot,)
            ).fetchone()
        return int(row[0]) if row else 0

    def ledger(self) -> Ledger:
        """The ledger, to read. Tests that only glance at it leave it open: its connections end when the next one is opened."""
        self._end_ledgers()
        self._ledgers.append(Ledger(self.ledger_location))
        return self._ledgers[-1]

    def _end_ledgers(self) -> None:
        for ledger in self._ledgers:
            ledger.engine.dispose()

    def evidence(self) -> list[TableEvidence]:
        """Compare everything."""
        settings = self.config
        ledger, target = self.ledger(), open_target(settings)
        try:
            with connect(settings.source.url) as connection:
                plan = make_plan(settings, ledger, connection)
                for space in plan.mapping.spaces:
                    target.open(space)
                return compare(connection, target, plan.mapping, ledger)
        finally:
            target.close()
            ledger.close()

    def prove(self) -> list[TableEvidence]:
        """Everything must be proven, and nothing parked."""
        evidence = self.evidence()
        bad = [one for one in evidence if not one.proven]
        assert not bad, f"{bad}\n{self.tail()}"
        ledger = self.ledger()
        try:
            parked = ledger.parked_keys()
            assert not parked, f"{parked}\n{self.tail()}"
        finally:
            ledger.close()
        return evidence

    def close(self) -> None:
        """End everything, and drop the slot."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self._end_ledgers()
        self.engram.stop()
        with contextlib.suppress(psycopg.OperationalError):  # a cluster of the test's own has ended before us, slot and all
            self._drop_slot()
            if self._ledger_database is not None:
                drop_ledger_database(self.source, self._ledger_database)

    def _drop_slot(self) -> None:
        with psycopg.connect(self.source, autocommit=True) as connection:
            for _ in range(50):
                active = connection.execute(
                    "select active from pg_replication_slots where slot_name = %s", (self.slot,)
                ).fetchone()
                if active is None:
                    return
                if not active[0]:
                    connection.execute("select pg_drop_replication_slot(%s)", (self.slot,))
                    return
                time.sleep(0.1)


def ledger_database(source: str) -> str:
    """The URL of a new database on the source's server."""
    name = f"ledger_{os.urandom(4).hex()}"
    with psycopg.connect(source, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} template template0 encoding 'UTF8'").format(sql.Identifier(name)))
    known = conninfo_to_dict(source)
    return f"postgresql://{known['user']}@{known['host']}:{known['port']}/{name}"


def drop_ledger_database(source: str, url: str) -> None:
    """Away with it, whoever is still connected."""
    name = str(conninfo_to_dict(url)["dbname"])
    with psycopg.connect(source, autocommit=True) as admin:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
