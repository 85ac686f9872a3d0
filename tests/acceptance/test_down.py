"""`down` takes away what the bridge made, and nothing else; `slots` shows what keeps WAL."""

from __future__ import annotations

import json
import subprocess
import time

import numpy as np
import psycopg
import pytest

from bridge.ending import prefixes
from bridge.ledger.renewal import begin_epoch
from bridge.memories import Write
from bridge.wiring import open_target
from tests import ready
from tests.acceptance.conftest import MakeRig
from tests.acceptance.traces import refused, traces
from tests.patience import PATIENCE
from tests.rig import Rig

SHOP = (
    "create table notes (id int primary key, body text)",
    'create table "odd.name" (id int primary key)',
    "insert into notes select n, 'note ' || n from generate_series(1, 1500) n",
    'insert into "odd.name" select generate_series(1, 20)',
    "delete from notes where id = 3",
)


def left(rig: Rig, *spaces: str) -> list[str]:
    """The memories that a space still answers."""
    target = open_target(rig.config)
    try:
        for space in spaces:
            target.open(space)
        ids = [stored.memory_id for space in spaces for stored in target.scan(space)]
        found = [zip(ids, target.read(space, ids), strict=True) for space in spaces]
        return [name for pairs in found for name, one in pairs if one is not None]
    finally:
        target.close()


def stranger(rig: Rig, space: str) -> None:
    """A memory that no bridge wrote."""
    target = open_target(rig.config)
    try:
        target.open(space)
        target.remember(space, [Write("stranger", "nobody's", 0.0, 0.9, np.eye(768, dtype=np.float32)[0])])
    finally:
        target.close()


def test_down_drops_slot_and_publication_and_keeps_what_was_not_ours(make_rig: MakeRig) -> None:
    """Asked for first, refused beside a run, done twice without harm; the ledger can go on with a new slot. A publication that
    was there before stays."""
    rig = make_rig()
    rig.sql(*SHOP)
    rig.start()
    rig.wait_until_proven()
    refused(rig, 1, "another run works with this ledger", command=("down", "--yes"))
    assert rig.stop() == 0
    before = traces(rig)
    refused(rig, 2, "nobody is there to confirm", "--yes", command=("down",))
    assert traces(rig) == before
    done = rig.command("down", "--yes")
    assert done.returncode == 0, done.stderr
    assert traces(rig).slots == frozenset()
    assert traces(rig).publications == frozenset()
    again = rig.command("down", "--yes")
    assert (again.returncode, "there was no slot" in again.stdout) == (0, True)

    rig.sql("update notes set body = 'meanwhile' where id = 9")
    rig.sql(
        f'create publication {rig.slot} for table only notes, only "odd.name"'
        " with (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)"
    )
    assert rig.command("resync", "--new-slot").returncode == 0
    rig.catch_up()
    rig.prove()
    done = rig.command("down", "--yes")
    assert f'DROP PUBLICATION "{rig.slot}"' in done.stdout
    assert traces(rig).publications == frozenset({rig.slot})


def test_down_drops_the_slot_that_a_killed_renewal_was_making(make_rig: MakeRig) -> None:
    """Under a new name, made and not noted yet; and the old one, if that is still there."""
    rig = make_rig()
    rig.sql("create table notes (id int primary key)")
    rig.catch_up()
    assert rig.command("resync", "--new-slot").returncode == 0
    ledger = rig.ledger()
    begin_epoch(ledger, {})
    ledger.put_facts({"making_slot": rig.slot + "_new"})
    ledger.close()
    with psycopg.connect(rig.source, autocommit=True) as connection:
        connection.execute("select pg_create_logical_replication_slot(%s, %s)", (rig.slot + "_new", rig.config.source.plugin))
        connection.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (rig.slot + "_other",))
    assert len(traces(rig).slots) == 3
    done = rig.command("down", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"dropped the slot {rig.slot} and {rig.slot}_new" in " ".join(done.stdout.split())
    with psycopg.connect(rig.source, autocommit=True) as connection:
        left_over = connection.execute(
            "select slot_name from pg_replication_slots where database = current_database()"
        ).fetchall()
        connection.execute("select pg_drop_replication_slot(%s)", (rig.slot + "_other",))
    assert left_over == [(rig.slot + "_other",)]


def test_down_with_everything_leaves_nothing_wherever_it_is_killed(make_rig: MakeRig) -> None:
    """Slot, publication, memories and ledger, in this order; a second call goes on where the first was killed. A memory that is
    not ours stays."""
    rig = make_rig()
    rig.sql(*SHOP)
    rig.catch_up()
    stranger(rig, "notes")
    rig.engram.faults([{"on": "*", "do": "slow", "seconds": 0.02}])
    command = [*ready.command(), "down", "--everything", "--yes", "--config", str(rig.file)]
    process = ready.started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while len(rig.ledger().live_counts()) == 0 or sum(rig.ledger().live_counts().values()) >= 1519:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert rig.ledger_path.exists()
    rig.engram.faults()
    done = rig.command("down", "--everything", "--yes")
    assert done.returncode == 0, done.stderr
    assert "proven gone" in done.stdout
    assert left(rig, "notes", "odd-name") == ["stranger"]
    assert not list(rig.folder.glob("ledger.db*"))
    assert traces(rig).slots == frozenset()


@pytest.mark.parametrize(
    ("label", "begins"),
    [("public.notes", ["notes_"]), ("shop.notes", ["shop_notes_"]), ("public.a.b", ["a.b_", "public.a_b_"])],
)
def test_ids_of_a_table_are_found_by_its_label(label: str, begins: list[str]) -> None:
    """The ids need no catalogue: the table may be gone. A dot in a name leaves two ways to read it, and both are looked at."""
    assert prefixes(label) == begins


def test_slots_are_listed_with_reader_and_kept_wal(make_rig: MakeRig) -> None:
    """Ours, marked and read by the bridge, and another that nobody reads and that keeps WAL."""
    rig = make_rig()
    rig.sql("create table notes (id int primary key)")
    rig.start()
    rig.wait_until_proven()
    other = rig.slot + "_other"
    with psycopg.connect(rig.source, autocommit=True) as connection:
        connection.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (other,))
    found = {one["name"]: one for one in json.loads(rig.command("slots", "--json").stdout)}
    assert set(found) == {rig.slot, other}
    assert found[rig.slot]["ours"]
    assert "engram-bridge" in found[rig.slot]["holder"]
    assert (found[other]["ours"], found[other]["active"], found[other]["plugin"]) == (False, False, "pgoutput")
    assert found[other]["retained_wal_bytes"] >= 0
    shown = rig.command("slots").stdout
    assert f"{rig.slot} (this ledger's)" in shown
    assert "nobody" in shown
    assert rig.stop() == 0
