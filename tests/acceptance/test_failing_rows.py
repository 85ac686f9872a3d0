"""A row that Engram fails at for ever, with errors that say nothing about it, does not hold up the others (law 8)."""

from __future__ import annotations

import time

from tests.acceptance.conftest import MakeRig
from tests.patience import PATIENCE
from tests.rig import Rig

ROWS = 40


def rows_rig(make_rig: MakeRig) -> Rig:
    """One table with two rows of telling ids in the middle."""
    rig = make_rig(parked={"retry_first": 2, "retry_last": 4})
    rig.sql(
        "create table things (id text primary key, name text)",
        f"insert into things select 'row-' || n, 'name ' || n from generate_series(1, {ROWS}) n",
        "insert into things values ('bad-one', 'one'), ('bad-two', 'two')",
    )
    return rig


def parked(rig: Rig) -> dict[str, str]:
    """Reasons by key."""
    ledger = rig.ledger()
    try:
        return {key[1]: waiting.reason for key, waiting in ledger.parked_keys()}
    finally:
        ledger.close()


def test_rows_that_fail_for_ever_are_parked_and_the_others_flow(make_rig: MakeRig) -> None:
    """INTERNAL at two rows, all the time: they are found among the others and parked, and are there once it has passed."""
    rig = rows_rig(make_rig)
    rig.engram.faults([{"on": "Remember", "do": "5xx", "about": "things_bad-"}])
    rig.start()
    rig.until(lambda: parked(rig) == {"bad-one": "rejected", "bad-two": "rejected"}, timeout=PATIENCE)
    rig.wait_until_proven()
    rig.sql("insert into things values ('row-new', 'new')", "update things set name = 'changed' where id = 'row-7'")
    rig.wait_until_proven()
    assert set(parked(rig)) == {"bad-one", "bad-two"}, rig.tail()
    (evidence,) = rig.evidence()
    assert (evidence.missing, evidence.wrong, evidence.extra) == (2, 0, 0)
    rig.engram.faults()
    rig.until(lambda: not parked(rig), timeout=PATIENCE)
    assert rig.stop() == 0, rig.tail()
    rig.prove()


def test_a_target_that_fails_at_everything_parks_nothing(make_rig: MakeRig) -> None:
    """Ordinary writes fail as well: the lanes wait, and go on when it has passed."""
    rig = rows_rig(make_rig)
    rig.engram.faults([{"on": "Remember", "do": "5xx"}])
    rig.start()
    time.sleep(9.0)
    assert parked(rig) == {}
    rig.engram.faults()
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()


def test_a_space_that_fails_at_everything_parks_one_key_at_most(make_rig: MakeRig) -> None:
    """The target takes rows elsewhere, but none in this space: the others wait."""
    rig = rows_rig(make_rig)
    rig.engram.faults([{"on": "Remember", "do": "5xx", "about": "things_"}])
    rig.start()
    time.sleep(12.0)
    assert len(parked(rig)) <= 1, rig.tail()
    rig.engram.faults()
    rig.until(lambda: not parked(rig), timeout=PATIENCE)
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()
