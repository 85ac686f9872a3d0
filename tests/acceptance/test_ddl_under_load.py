"""Every kind of DDL while an application writes: each table ends proven, or stopped with the sentence that says why.

One database, one bridge, a table for each scenario of `ddl_scenarios`. `vacuum` and its like cannot run inside a transaction.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time

import psycopg
import pytest
import yaml

from tests.acceptance.conftest import MakeRig
from tests.acceptance.ddl_scenarios import ALSO_STOPPED, CONFIGURED, PARTED, SCENARIOS, SINCE_15, Scenario
from tests.acceptance.test_ddl import tables_of
from tests.patience import PATIENCE
from tests.rig import Rig

SEED = 20261121
PAUSE = 0.002
NOT_NOW = (psycopg.errors.DatabaseError,)
"""What an application sees whose table is changed under its hands: it goes on with its next statement."""


class Application(threading.Thread):
    """Inserts, updates and deletes in all tables in turn until it is told to end. `done` counts statements that changed a row."""

    def __init__(self, source: str, scenarios: tuple[Scenario, ...]) -> None:
        super().__init__(name="application", daemon=True)
        self.source = source
        self.scenarios = scenarios
        self.random = random.Random(SEED)
        self.ending = threading.Event()
        self.done: dict[str, int] = {scenario.name: 0 for scenario in scenarios}

    def run(self) -> None:
        with psycopg.connect(self.source, autocommit=True) as connection:
            connection.execute("set statement_timeout = '5s'")
            while not self.ending.is_set():
                for scenario in self.scenarios:
                    self.write(connection, scenario)
                    time.sleep(PAUSE)

    def write(self, connection: psycopg.Connection, scenario: Scenario) -> None:
        """One statement on one table."""
        low = self.random.choice((0, 1000)) if scenario.before[: len(PARTED)] == PARTED else 0
        key, fresh = low + self.random.randint(1, 40), low + self.random.randint(41, 120)
        text = f"written {self.random.random()}"
        statement = self.random.choice(
            (
                f"insert into {scenario.name} (id, body) values ({fresh}, '{text}') on conflict (id) do nothing",
                f"update {scenario.name} set body = '{text}' where id = {key}",
                f"update {scenario.name} set body = '{text}' where id = {fresh}",
                f"delete from {scenario.name} where id = {key}",
            )
        )
        with contextlib.suppress(*NOT_NOW):
            self.done[scenario.name] += connection.execute(statement).rowcount  # type: ignore[call-overload]

    def has_written(self, scenarios: tuple[Scenario, ...], since: dict[str, int]) -> dict[str, int]:
        """Wait until it has written to each of these tables since then; how often it has by now."""
        deadline = time.monotonic() + PATIENCE
        while idle := [scenario.name for scenario in scenarios if self.done[scenario.name] <= since[scenario.name]]:
            assert self.is_alive(), "it has ended"
            assert time.monotonic() < deadline, f"no load on {idle}"
            time.sleep(0.05)
        return dict(self.done)

    def end(self) -> None:
        """End it."""
        self.ending.set()
        self.join()


def set_up(rig: Rig, scenarios: tuple[Scenario, ...]) -> None:
    """Make the tables of the scenarios."""
    with psycopg.connect(rig.source, autocommit=True) as connection:
        for scenario in scenarios:
            for statement in scenario.before:
                connection.execute(statement.replace("{t}", scenario.name))  # type: ignore[call-overload]


def alter(rig: Rig, scenarios: tuple[Scenario, ...]) -> None:
    """Do what the scenarios do, each statement a transaction, with the application's writes between."""
    with psycopg.connect(rig.source, autocommit=True) as connection:
        for scenario in scenarios:
            for statement in scenario.ddl:
                connection.execute(statement.replace("{t}", scenario.name).replace("{p}", rig.slot))  # type: ignore[call-overload]
                time.sleep(PAUSE)


def judge(rig: Rig, scenarios: tuple[Scenario, ...], others: dict[str, str]) -> None:
    """Each table is as its scenario says, and every table that is not stopped is proven, row by row."""
    stops = {scenario.name: scenario.stops for scenario in scenarios if scenario.stops is not None} | others
    told = tables_of(rig)
    wrong = {
        name: (state, reason)
        for name, (state, reason) in told.items()
        if (state, stops.get(name, "").lower() in reason.lower()) != ("stopped" if name in stops else "loaded", True)
    }
    assert not wrong, (wrong, rig.tail())
    evidence = {one.table.removeprefix("public."): one for one in rig.evidence()}
    unproven = {
        name: evidence.get(name) for name in told if name not in stops and (name not in evidence or not evidence[name].proven)
    }
    assert not unproven, (unproven, rig.tail())


def forget_configuration(rig: Rig, *tables: str) -> None:
    """Take what is said of tables out of the configuration."""
    document = yaml.safe_load(rig.file.read_text(encoding="utf-8"))
    for table in tables:
        del document["tables"][table]
    rig.file.write_text(yaml.safe_dump(document), encoding="utf-8")


def test_every_ddl_under_load(make_rig: MakeRig) -> None:
    """Carried, read again or stopped, as the table of scenarios says; the application never pauses."""
    rig = make_rig(tables=CONFIGURED)
    with psycopg.connect(rig.source) as connection:
        scenarios = SCENARIOS + (SINCE_15 if connection.info.server_version >= 150000 else ())
    set_up(rig, scenarios)
    rig.start()
    rig.wait_until_proven()
    application = Application(rig.source, scenarios)
    carried = tuple(scenario for scenario in scenarios if scenario.stops is None)
    application.start()
    try:
        before = application.has_written(carried, since=dict.fromkeys(application.done, 0))
        alter(rig, scenarios)
        application.has_written(carried, since=before)
        rig.wait_for_a_look()
    finally:
        application.end()
    rig.wait_until_proven()
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        rig.sql("alter table analyzed set unlogged")  # PostgreSQL itself refuses to
    assert rig.stop() == 0, rig.tail()
    forget_configuration(rig, "drop_column", "dropped")  # which a new start would refuse
    judge(rig, scenarios, ALSO_STOPPED)
