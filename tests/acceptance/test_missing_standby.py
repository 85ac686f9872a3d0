"""Law 11 under synchronous replication with a standby that does not exist: commits are streamed, and no reading sees them.

Whatever has rows read again in such a time reads older ones than Engram has, or than the ledger waits for. None of them may be
written under the newer version, no deleted row may come back, and no inserted one may be taken for gone.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from psycopg.conninfo import make_conninfo

from bridge.keys import join_key
from bridge.lsn import Version
from bridge.memories import split_content
from bridge.postgres import connect
from bridge.sandbox.postgres import SandboxPostgres
from bridge.wiring import make_plan, open_target
from tests.acceptance.conftest import MakeRig
from tests.acceptance.test_handover import LARGE, hanging, name_standby, parked
from tests.rig import Rig

HANGS = [
    "update texts set name = 'new' where id = 1",  # without its large column: nothing but a reading can bring it
    "update texts set name = 'new', big = 'short' where id = 2",
    "delete from texts where id = 3",
    "insert into texts values (100, 'new', 'short')",
]
KEYS = [join_key([str(number)]) for number in (1, 2, 3, 4, 100)]
LATER = {"parked": {"retry_first": 300.0, "retry_last": 600.0}}
"""No timer tries again while a test lasts: only what is asked for."""


class Held(NamedTuple):
    """What Engram answers for a row: its name, and the version that it was written under."""

    name: str
    version: Version


def held(rig: Rig) -> dict[str, Held | None]:
    """What Engram answers for the rows of the test; None where it has nothing."""
    settings = rig.config
    ledger, target = rig.ledger(), open_target(settings)
    try:
        with connect(settings.source.url) as connection:
            plan = make_plan(settings, ledger, connection).mapping.plans["public.texts"]
        (space,) = plan.spaces
        target.open(space)
        found = {}
        for key, stored in zip(KEYS, target.read(space, [plan.prefix + key for key in KEYS]), strict=True):
            parts = split_content(stored.content) if stored is not None else None
            stamp = stored.stamp() if stored is not None else None
            assert (parts is None) == (stamp is None) == (stored is None), "not written by the bridge"
            found[key] = Held(json.loads(parts[0])["name"], stamp.version) if parts and stamp else None
        return found
    finally:
        target.close()
        ledger.close()


def require_law_11(found: dict[str, Held | None], before: dict[str, Held | None]) -> None:
    """The old row under its old version, or the new one under a newer."""
    for key, now in found.items():
        was = before[key]
        if now is None:
            assert was is None or key == "3", f"{key} is gone"
        elif was is None or now.name != was.name:
            assert now.name == "new", f"{key} is {now}"
            assert was is None or now.version > was.version, f"{key}: {now} under the version of {was}"
        else:
            assert now == was, f"{key}: the older row under a newer version"


def streamed(rig: Rig) -> bool:
    """The changes that came with their whole row are in Engram; the one that did not waits."""
    now = held(rig)
    return now["2"] is not None and now["2"].name == "new" and now["3"] is None and now["100"] is not None


def reasons(rig: Rig) -> dict[str, str]:
    """The reason of each parked key."""
    ledger = rig.ledger()
    try:
        return {key: parked.reason for (_table, key), parked in ledger.parked_keys()}
    finally:
        ledger.close()


def says(rig: Rig, text: str) -> int:
    """How often the log says it."""
    return rig.log.read_text(encoding="utf-8").count(text)


def test_a_resync_and_a_retry_write_no_older_rows(make_rig: MakeRig, own_postgres: SandboxPostgres) -> None:
    """The table is read again, and then one of the keys that are parked for it: each key whose commit cannot be seen is parked or
    waits, Engram keeps what it has, and another retry brings everything once the commits are visible."""
    rig = make_rig(own_postgres.url(), **LATER)
    rig.sql(LARGE)
    rig.start()
    rig.wait_until_proven()
    before = held(rig)
    name_standby(own_postgres, "nobody")
    with hanging(rig.source, HANGS):
        rig.until(lambda: streamed(rig))
        new = held(rig)
        require_law_11(new, before)
        assert new["1"] == before["1"], "only a reading can bring it, and none sees it"
        assert rig.command("resync", "public.texts").returncode == 0
        rig.until(lambda: says(rig, "a table is loaded again") == 1)

        def all_parked() -> bool:
            assert held(rig) == new
            return set(reasons(rig)) >= {"1", "2", "3"}

        rig.until(all_parked)
        assert set(reasons(rig).values()) == {"not_visible"}, reasons(rig)
        assert "4" not in reasons(rig), "nobody has changed it"
        rig.until(lambda: says(rig, "rows that are not there any more are forgotten") == 1)
        asked = rig.command("parked", "retry", "public.texts/1")
        assert "by the running bridge" in asked.stdout, asked.stderr
        rig.until(lambda: says(rig, "asked to retry a key") == 1)
        for _ in range(10):
            assert held(rig) == new
            assert reasons(rig)["1"] == "not_visible"
        name_standby(own_postgres, "")
    assert rig.command("parked", "retry", "all").returncode == 0
    rig.until(lambda: not parked(rig))
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    (one,) = [found for found in rig.prove() if found.table == "public.texts"]
    assert (one.rows, one.deleted) == (60, 1)


def test_a_new_slot_waits_for_the_commits_and_names_them(make_rig: MakeRig, own_postgres: SandboxPostgres) -> None:
    """Nothing is compared while rows cannot be seen that the old slot has sent: the run says who holds it up, and goes on."""
    rig = make_rig(own_postgres.url(), **LATER)
    rig.sql(LARGE)
    rig.start()
    rig.wait_until_proven()
    before = held(rig)
    name_standby(own_postgres, "nobody")
    with hanging(make_conninfo(rig.source, application_name="the month's closing"), HANGS):
        rig.until(lambda: streamed(rig))
        new = held(rig)
        require_law_11(new, before)
        assert rig.stop() == 0, rig.tail()
        asked = rig.command("resync", "--new-slot")
        assert asked.returncode == 0, asked.stderr
        rig.start()
        waits = "waiting for transactions that began before the slot was made"
        rig.until(lambda: says(rig, waits) == 1)
        line = next(line for line in rig.log.read_text(encoding="utf-8").splitlines() if waits in line)
        assert line.count("the month's closing") == len(HANGS), line
        assert held(rig) == new
        assert says(rig, "made the slot") == 1, "it has not waited"
        name_standby(own_postgres, "")
    rig.wait_until_proven()
    assert says(rig, "made the slot") == 2
    require_law_11(held(rig), before)
    assert rig.stop() == 0, rig.tail()
    (one,) = [found for found in rig.prove() if found.table == "public.texts"]
    assert (one.rows, one.deleted) == (60, 1)
