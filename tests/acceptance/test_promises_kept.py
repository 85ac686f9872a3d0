"""The proxy's promises under everything that can go wrong: every answer is held against what the row was."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bridge.sandbox.postgres import SandboxPostgres
from bridge.sandbox.promises import Outage, Read
from tests.histories.play import play
from tests.histories.world import MAX_STALENESS, World, world
from tests.histories.writers import now

SEEDS = int(os.environ.get("HISTORY_SEEDS", "21"))
FIRST = int(os.environ.get("HISTORY_SEED", "20260701"))
DEAD_SECONDS = float(os.environ.get("HISTORY_DEAD_SECONDS", "60"))
WORLDS = (("sqlite", False), ("sqlite", True), ("postgresql", False))
"""The ledger, and whether tables go back to PostgreSQL by themselves."""


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(WORLDS)), ids=["sqlite", "automatic-return", "postgresql"])
def test_no_promise_is_broken_whatever_fails(
    number: int, own_postgres: SandboxPostgres, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No answer older than promised, no deleted row answered, no row lost, no error while PostgreSQL lives; and at the end
    everything is proven. Some seeds one after the other in each of three worlds."""
    ledger, returns = WORLDS[number]
    mine = range(FIRST + number, FIRST + SEEDS, len(WORLDS))
    overrides = {"cutover": {"automatic_return": returns}}
    with world(tmp_path, own_postgres, seed=FIRST + number, ledger=ledger, **overrides) as made:
        made.begin(FIRST + number)
        played = play(made, iter(mine))
    assert not played.verdict.broken, played.blame()
    assert played.verdict.by["engram"] > sum(played.verdict.by.values()) / 20, played.summary()
    assert played.verdict.by["postgres"] > 0, played.summary()
    with capsys.disabled():
        print(f"\n{ledger}, automatic return {returns}: {played.summary()}")


@pytest.mark.slow
def test_with_the_bridge_dead_reads_go_over_to_postgresql_within_the_staleness_promised(
    own_postgres: SandboxPostgres, tmp_path: Path
) -> None:
    """And come back when it is back. While it is dead rows are written and deleted all the time."""
    with world(tmp_path, own_postgres, seed=FIRST) as made:
        made.begin(FIRST)
        made.heal()
        died = now()
        made.rig.kill()
        dead = now()
        time.sleep(DEAD_SECONDS)
        made.outages.append(Outage("bridge", dead, now()))
        made.start_bridge()
        made.heal()
        verdict = made.end()
    assert not verdict.broken, verdict.broken[:5]
    meanwhile = [read for read in reads(made) if died <= read.asked and read.answered < dead + DEAD_SECONDS]
    late = {read.by for read in meanwhile if read.asked > dead + MAX_STALENESS}
    assert late == {"postgres"}
    assert "engram" in {read.by for read in meanwhile if read.asked < dead + MAX_STALENESS / 4}
    assert len(meanwhile) > DEAD_SECONDS


def reads(made: World) -> list[Read]:
    return [read for reader in made.readers for read in reader.reads]
