"""Law 9: killed anywhere, run again, same result."""

from __future__ import annotations

import os
import random
import time

import pytest

from bridge.sandbox import shop
from tests.acceptance.conftest import MakeRig

RUNS = int(os.environ.get("KILL_RUNS", "30"))
SEED = int(os.environ.get("KILL_SEED", "20260701"))


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_missing_wrong_or_extra(
    make_rig: MakeRig, capsys: pytest.CaptureFixture[str]
) -> None:
    """kill -9 of `run` at random moments while an application writes: after a last run everything is proven, and the slot was
    never told more than the ledger had made durable."""
    rig = make_rig()
    chance = random.Random(SEED)
    shop.create(rig.source)
    rows = shop.seed(rig.source, 2_000)
    lived = []
    loading = 0
    rig.engram.faults([{"on": "Remember", "do": "slow", "seconds": 0.02}])  # so that many kills meet the snapshot
    with shop.Application(rig.source, seed=SEED, rate=20.0) as application:
        for number in range(RUNS):
            if number == RUNS // 2:
                rig.engram.faults()
            process = rig.start()
            life = chance.uniform(0.0, 2.4)
            rig.wait_for("a run begins", more_than=number)
            time.sleep(life)
            assert process.poll() is None, rig.tail()
            rig.kill()
            lived.append(life)
            if rig.has_ledger:
                ledger = rig.ledger()
                facts, tables = ledger.facts(), ledger.tables()
                ledger.close()
                loading += any(table.state != "loaded" for table in tables)
                if "confirmed" in facts:
                    assert rig.confirmed() <= int(facts["confirmed"]), "the slot was told what the ledger does not have"
        counts = application.stop()
    assert loading >= RUNS // 6, "too few kills met the snapshot"
    rig.catch_up()
    evidence = rig.prove()
    with capsys.disabled():
        print(
            f"\n{RUNS} kills {min(lived):.1f}-{max(lived):.1f} s after a run began (seed {SEED}), {loading} during the loading; "
            f"{rows} rows at first, {sum(counts.values())} transactions; "
            f"{sum(one.rows for one in evidence)} rows, {sum(one.edges for one in evidence)} edges, "
            f"{sum(one.deleted for one in evidence)} deleted keys proven"
        )
