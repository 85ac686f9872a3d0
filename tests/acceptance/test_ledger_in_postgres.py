"""The bridge's laws with its ledger in PostgreSQL: the hard ones again, and those that only a server brings."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import time
from pathlib import Path

import psutil
import psycopg

from bridge.sandbox import shop
from bridge.sandbox.postgres import SandboxPostgres
from tests.acceptance.conftest import MakeRig
from tests.acceptance.test_handover import MOVES, SLOW, TINY, move
from tests.rig import Rig

KILLS = 5


def confirmed(rig: Rig) -> int:
    """What the ledger says was confirmed."""
    ledger = rig.ledger()
    try:
        return int(ledger.facts().get("confirmed", 0))
    finally:
        ledger.close()


def test_snapshot_and_stream_meet_under_hard_writing(make_rig: MakeRig) -> None:
    """Law 2: tiny chunks, a slow target, key changes, large columns that are not sent, TRUNCATE, a restart of the target."""
    rig = make_rig(snapshot=TINY, ledger="postgresql")
    chance = random.Random(3)
    shop.create(rig.source)
    shop.seed(rig.source, 400)
    rig.sql(MOVES)
    rig.engram.faults(SLOW)
    rig.start()
    rig.wait_for("streaming")  # a first start that does not reach Engram ends
    end = time.monotonic() + 5.0
    with (
        shop.Application(rig.source, seed=3, rate=None) as application,
        psycopg.connect(rig.source, autocommit=True) as connection,
    ):
        while time.monotonic() < end:
            for _ in range(chance.randint(1, 12)):
                try:
                    with connection.transaction():
                        move(connection, chance)
                except psycopg.errors.IntegrityError:
                    continue
            time.sleep(chance.choice((0.0, 0.02, 0.3)))
        application.stop()
    rig.engram.kill()
    rig.engram.start()
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()


def test_killed_at_random_moments_nothing_is_missing_wrong_or_extra(make_rig: MakeRig) -> None:
    """Law 9, and law 4 at each kill: the slot was never told more than the ledger had made durable. The lock of a run that was
    killed is free at once."""
    rig = make_rig(ledger="postgresql")
    chance = random.Random(20260701)
    shop.create(rig.source)
    shop.seed(rig.source, 1_000)
    rig.engram.faults([{"on": "Remember", "do": "slow", "seconds": 0.02}])
    with shop.Application(rig.source, seed=5, rate=20.0) as application:
        for number in range(KILLS):
            if number == KILLS // 2:
                rig.engram.faults()
            process = rig.start()
            time.sleep(chance.uniform(0.8, 3.0))
            assert process.poll() is None, rig.tail()
            rig.kill()
            if rig.has_ledger:
                assert rig.confirmed() <= confirmed(rig) or not confirmed(rig)
        application.stop()
    rig.catch_up()
    rig.prove()


def test_the_ledgers_server_is_killed_while_the_bridge_works(make_rig: MakeRig, own_postgres: SandboxPostgres) -> None:
    """kill -9 of its postmaster and every backend, three times, while rows are loaded and changes stream: the same run waits,
    confirms nothing that the ledger does not have, goes on when the server is back, and ends in order."""
    rig = make_rig(ledger=own_postgres.url())
    shop.create(rig.source)
    shop.seed(rig.source, 1_500)
    process = rig.start()
    rig.wait_for("info streaming")
    with shop.Application(rig.source, seed=9, rate=20.0) as application:
        for _ in range(3):
            time.sleep(2.0)
            kill_9(own_postgres)
            time.sleep(1.5)
            assert process.poll() is None, rig.tail()
            told = rig.confirmed()
            own_postgres.start()
            assert told <= confirmed(rig), "the slot was told what the ledger does not have"
        time.sleep(1.0)
        application.stop()
    rig.wait_until_proven()
    assert rig.process is process
    status = json.loads(rig.command("status", "--json").stdout)
    assert f"process {process.pid} on" in status["held_by"]
    assert rig.stop() == 0, rig.tail()
    rig.prove()
    log = rig.log.read_text(encoding="utf-8")
    assert "waiting for the ledger" in log
    assert "the ledger answers again" in log
    assert "ended in order" in log


def test_a_run_ends_in_time_while_its_ledger_is_away(make_rig: MakeRig, own_postgres: SandboxPostgres) -> None:
    """SIGTERM with no ledger to write to: it ends within 30 s, does not call that in order, and the next run makes up for it."""
    rig = make_rig(ledger=own_postgres.url())
    shop.create(rig.source)
    shop.seed(rig.source, 300)
    rig.start()
    rig.wait_until_proven()
    own_postgres.kill()
    rig.sql("update users set name = name || '!'")
    rig.wait_for("waiting for the ledger")
    assert rig.process is not None
    rig.process.send_signal(signal.SIGTERM)
    assert rig.process.wait(30) in (0, 75), rig.tail()  # 75 when something was waiting to be recorded
    assert "ended in order" not in rig.tail()
    assert rig.command("status").returncode == 75
    own_postgres.start()
    rig.catch_up()
    rig.prove()


def test_what_other_processes_ask_and_are_refused(make_rig: MakeRig) -> None:
    """A second run is refused and told whom to look for; a `resync` is asked through the ledger, and mends what was damaged."""
    rig = make_rig(ledger="postgresql")
    rig.sql(
        "create table notes (id int primary key, body text)",
        "insert into notes select n, 'note ' || n from generate_series(1, 300) n",
    )
    process = rig.start()
    rig.wait_until_proven()
    second = rig.command("run", "--until-caught-up")
    assert second.returncode == 1
    assert f"another run works with this ledger: process {process.pid} on" in second.stderr
    rig.engram.damage("notes", "notes_5", "remove")
    rig.engram.damage("notes", "notes_6", "content", content="spoilt")
    assert rig.command("resync", "public.notes").returncode == 0
    rig.sql("update notes set body = 'changed meanwhile' where id % 10 = 0")
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()


def test_the_ledger_may_be_in_the_source_database(make_rig: MakeRig, database: str) -> None:
    """Never by default: `check` says what it costs. It is not carried itself, and the bridge catches up with its own WAL."""
    rig = make_rig(ledger=database)
    rig.sql("create table things (id int primary key)", "insert into things select generate_series(1, 100)")
    checked = rig.command("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "in the source database itself" in checked.stdout
    rig.start()
    rig.wait_until_proven()
    rig.sql("delete from things where id > 90")
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    (one,) = rig.prove()
    assert (one.table, one.rows) == ("public.things", 90)


def kill_9(server: SandboxPostgres) -> None:
    """The postmaster and all its children, at once."""
    postmaster = psutil.Process(int((Path(server.data) / "postmaster.pid").read_text().splitlines()[0]))
    everyone = [*postmaster.children(recursive=True), postmaster]
    for one in everyone:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(everyone, timeout=10)
