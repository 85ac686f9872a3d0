"""Whatever the target does, the end state is right and the walsender never times out."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bridge.sandbox import shop
from tests.acceptance.conftest import MakeRig
from tests.rig import Rig

ROWS = 1_200


def shop_rig(make_rig: MakeRig, **overrides: Any) -> Rig:
    rig = make_rig(**overrides)
    shop.create(rig.source)
    shop.seed(rig.source, ROWS)
    return rig


def misbehave(rig: Rig, faults: list[dict[str, Any]], seconds: float = 6.0) -> None:
    """Load and stream while the target misbehaves, let it recover, and prove."""
    rig.engram.faults(faults)
    rig.start()
    with shop.Application(rig.source, seed=7, rate=15.0) as application:
        time.sleep(seconds)
        application.stop()
    rig.engram.faults()
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([{"on": "Remember", "do": "lose_reply", "probability": 0.05, "seed": 1}], id="stores applied, replies lost"),
        pytest.param([{"on": "Forget", "do": "lose_reply", "probability": 0.05, "seed": 2}], id="forgets applied, replies lost"),
        pytest.param([{"on": "Remember", "do": "drop", "probability": 0.05, "seed": 3}], id="acknowledged and dropped"),
        pytest.param([{"on": "Remember", "do": "refuse", "probability": 0.05, "seed": 4}], id="stores refused"),
        pytest.param([{"on": "GET", "do": "5xx", "probability": 0.02, "seed": 5}], id="reads answered with 500"),
        pytest.param([{"on": "Remember", "do": "5xx", "probability": 0.05, "seed": 6}], id="stores answered INTERNAL"),
        pytest.param(
            [
                {"on": "*", "do": "refuse", "probability": 0.01, "seed": 7},
                {"on": "Remember", "do": "lose_reply", "probability": 0.02, "seed": 8},
                {"on": "Remember", "do": "drop", "probability": 0.02, "seed": 9},
                {"on": "Forget", "do": "lose_reply", "probability": 0.02, "seed": 10},
            ],
            id="all at once",
        ),
    ],
)
def test_the_end_state_is_right_whatever_the_target_does(make_rig: MakeRig, faults: list[dict[str, Any]]) -> None:
    """Replies that are lost after applying, drops, refusals and 5xx leave nothing missing, wrong or extra."""
    misbehave(shop_rig(make_rig), faults)


def test_a_target_that_dies_with_amnesia_is_mended(make_rig: MakeRig) -> None:
    """Killed and restarted twice while the stream goes on: what reverted, came back or vanished is found and mended."""
    rig = shop_rig(make_rig)
    rig.start()
    rig.wait_for("info streaming")  # a target that is away ends a first start
    with shop.Application(rig.source, seed=11, rate=15.0) as application:
        for _ in range(2):
            time.sleep(4.0)
            rig.engram.kill()
            time.sleep(1.0)
            rig.engram.start()
        time.sleep(3.0)
        application.stop()
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()
    ledger = rig.ledger()
    assert ledger.counters()["target_restarts"] == 2
    ledger.close()


def test_a_target_restarted_while_nobody_looks_is_compared_at_the_next_start(make_rig: MakeRig) -> None:
    """The epoch is in the ledger: a restart between two runs is found as well."""
    rig = shop_rig(make_rig)
    rig.catch_up()
    rig.sql("update users set name = name || '!' where id % 3 = 0", "delete from reviews where id % 2 = 0")
    rig.catch_up()
    rig.engram.kill()
    rig.engram.start()
    rig.catch_up()
    rig.prove()


@pytest.mark.slow
def test_a_target_that_is_slow_for_a_minute_never_lets_the_walsender_time_out(make_rig: MakeRig) -> None:
    """Every answer takes seconds for 60 s, with wal_sender_timeout at 5 s: the same walsender serves all the time."""
    rig = shop_rig(make_rig)
    rig.sql("alter system set wal_sender_timeout = '5s'", "select pg_reload_conf()")
    try:
        rig.start()
        rig.wait_until_proven()
        before = walsender(rig)
        rig.engram.faults([{"on": "*", "do": "slow", "seconds": 4.0}])
        with shop.Application(rig.source, seed=13, rate=10.0) as application:
            time.sleep(60.0)
            application.stop()
        assert walsender(rig) == before, rig.tail()
        rig.engram.faults()
        rig.wait_until_proven()
        assert walsender(rig) == before, rig.tail()
        assert rig.stop() == 0, rig.tail()
        rig.prove()
    finally:
        rig.sql("alter system reset wal_sender_timeout", "select pg_reload_conf()")


def walsender(rig: Rig) -> int | None:
    """The process that serves our slot."""
    import psycopg

    with psycopg.connect(rig.source) as connection:
        row = connection.execute("select active_pid from pg_replication_slots where slot_name = %s", (rig.slot,)).fetchone()
    return row[0] if row else None
