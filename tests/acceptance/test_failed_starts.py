"""What a start leaves that was refused, or killed before its slot was noted: nothing that is in the way of the next."""

from __future__ import annotations

import psycopg

from bridge.ledger import Generations, Ledger
from bridge.wiring import open_target
from tests.acceptance.conftest import MakeRig
from tests.acceptance.test_down import stranger
from tests.acceptance.traces import configure, refused, traces
from tests.rig import Rig

TABLES = (
    "create table notes (id int primary key, body text)",
    "create table tags (id int primary key, name text)",
    "insert into notes select n, 'note ' || n from generate_series(1, 30) n",
    "insert into tags select n, 'tag ' || n from generate_series(1, 20) n",
)


def forget_stranger(rig: Rig, space: str) -> None:
    """The memory that no bridge wrote is taken away by whoever wrote it."""
    target = open_target(rig.config)
    try:
        target.open(space)
        target.forget(space, ["stranger"])
    finally:
        target.close()


def test_a_first_start_that_is_refused_leaves_no_ledger(make_rig: MakeRig) -> None:
    """Neither a file, nor slot and publication; and nothing has to be cleaned up before the next one."""
    rig = make_rig()
    rig.sql(*TABLES)
    stranger(rig, "tags")
    refused(rig, 1, "holds memories of something else")
    assert not list(rig.folder.glob("ledger.db*"))
    assert traces(rig).slots == frozenset()
    forget_stranger(rig, "tags")
    rig.catch_up()
    rig.prove()


def test_a_table_that_only_a_failed_run_knows_can_be_added(make_rig: MakeRig) -> None:
    """The run noted it and was refused for its space; then the configuration leaves it out again."""
    rig = make_rig(include=["notes"])
    rig.sql(*TABLES)
    rig.catch_up()
    stranger(rig, "tags")
    configure(rig, include=["notes", "tags"])
    refused(rig, 1, "holds memories of something else")
    forget_stranger(rig, "tags")
    configure(rig, include=["notes"])
    done = rig.command("add", "tags")
    assert done.returncode == 0, done.stderr
    refused(rig, 2, "is carried already", command=("add", "notes"))
    rig.start()
    rig.until(lambda: not Generations(rig.ledger()).asked())
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    assert {one.table: one.rows for one in rig.prove()} == {"public.notes": 30, "public.tags": 20}


def test_down_finds_the_slot_that_a_killed_first_start_has_made(make_rig: MakeRig) -> None:
    """Killed between making the slot and noting where it begins: the ledger knows only that it was making one."""
    rig = make_rig()
    rig.sql(*TABLES)
    ledger = Ledger(rig.ledger_location)
    ledger.put_facts({"publication_made": rig.slot, "making_slot": rig.slot})
    ledger.close()
    rig.sql(f"create publication {rig.slot} for table notes, tags")
    with psycopg.connect(rig.source, autocommit=True) as connection:
        connection.execute("select pg_create_logical_replication_slot(%s, %s)", (rig.slot, rig.config.source.plugin))
    done = rig.command("down", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"dropped the slot {rig.slot}" in done.stdout
    assert traces(rig).slots == frozenset()
    assert traces(rig).publications == frozenset()
