"""A space that fills up is told early and once, and its keys are parked with the command that makes room."""

from __future__ import annotations

import json

from tests.acceptance.conftest import MakeRig
from tests.acceptance.test_failing_rows import parked
from tests.patience import PATIENCE

LIMIT = 50


def test_a_space_that_fills_up_in_run_is_told_with_the_shards_that_would_do(make_rig: MakeRig) -> None:
    """At 80 % nearly full, at the limit full: each in the log once, and in status for as long as it is so."""
    rig = make_rig(target={"limit": LIMIT}, parked={"retry_first": 1, "retry_last": 2})
    rig.sql(
        "create table orders (id int primary key, note text)", "insert into orders select n, 'x' from generate_series(1, 42) n"
    )
    rig.start()
    rig.wait_for("a space is nearly full: orders: 42 rows in 1 space")
    rig.sql("insert into orders select n, 'y' from generate_series(43, 52) n")
    rig.wait_until_proven()
    assert sorted(parked(rig).values()) == ["capacity", "capacity"]
    sentence = "orders: 50 rows in 1 space; 2 more are parked; engram-bridge reshard public.orders 2 would do"
    rig.wait_for(f"a space is full: {sentence}")
    status = json.loads(rig.command("status", "--json").stdout)
    assert [(one["shards"], one["waiting"]) for one in status["crowded"]] == [(2, 2)]
    assert not status["tables"][0]["searchable"], "what is parked cannot be found"
    assert sentence in rig.command("status").stdout
    rig.sql("delete from orders where id <= 30")
    rig.until(lambda: not parked(rig), timeout=PATIENCE)
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    log = rig.log.read_text(encoding="utf-8")
    assert (log.count("a space is nearly full"), log.count("a space is full")) == (1, 1)
    assert json.loads(rig.command("status", "--json").stdout)["crowded"] == []
    rig.prove()
