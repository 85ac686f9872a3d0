"""Ends: of the bridge, and of a PostgreSQL that the bridge must not keep from ending."""

from __future__ import annotations

import time

from bridge.sandbox.postgres import SandboxPostgres
from tests.acceptance.conftest import MakeRig
from tests.patience import PATIENCE
from tests.rig import ledger_database


def test_a_stop_is_quick_though_the_target_hangs(make_rig: MakeRig) -> None:
    """Law 9: SIGTERM ends with 0 within 30 s though every answer of the target takes a minute; the next run proves everything."""
    rig = make_rig()
    rig.sql(
        "create table notes (id int primary key, body text)", "insert into notes select n, 'x' from generate_series(1, 100) n"
    )
    rig.start()
    rig.wait_until_proven()
    rig.engram.faults([{"on": "*", "do": "slow", "seconds": 60.0}])
    rig.sql("update notes set body = 'y'")
    time.sleep(2.0)
    began = time.monotonic()
    assert rig.stop(timeout=PATIENCE) == 0, rig.tail()
    assert time.monotonic() - began < 30.0
    rig.engram.faults()
    rig.catch_up()
    rig.prove()


def test_postgresql_can_stop_while_the_target_is_down(make_rig: MakeRig, own_postgres: SandboxPostgres) -> None:
    """A server waits for its walsenders when it stops: the bridge lets it go, comes back with it, and loses nothing."""
    rig = make_rig(own_postgres.url())
    rig.sql(
        "create table notes (id int primary key, body text)", "insert into notes select n, 'x' from generate_series(1, 100) n"
    )
    rig.start()
    rig.wait_until_proven()
    rig.engram.kill()
    rig.sql("update notes set body = 'y'")
    time.sleep(1.0)
    began = time.monotonic()
    own_postgres.stop()
    assert time.monotonic() - began < 40.0
    own_postgres.start()
    rig.engram.start()
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()


def test_postgresql_can_stop_though_the_ledger_is_on_it(make_rig: MakeRig, own_postgres: SandboxPostgres) -> None:
    """What is sent last cannot be confirmed any more, since the ledger goes first: the bridge lets the server go all the same."""
    rig = make_rig(own_postgres.url(), ledger=ledger_database(own_postgres.url()))
    rig.sql("create table notes (id int primary key)", "insert into notes select generate_series(1, 100)")
    rig.start()
    rig.wait_until_proven()
    own_postgres.stop()
    own_postgres.start()
    rig.sql("delete from notes where id > 90")
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    (one,) = rig.prove()
    assert one.rows == 90
