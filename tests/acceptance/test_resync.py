"""`resync`: a table read again as a whole, while streaming and as the way back for a stopped one."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.conftest import MakeRig


def test_a_resync_mends_what_was_damaged_behind_the_bridges_back(make_rig: MakeRig) -> None:
    """Rows that were removed, changed or brought back in Engram by somebody else are as in PostgreSQL afterwards."""
    rig = make_rig()
    rig.sql(
        "create table notes (id int primary key, body text)",
        "insert into notes select n, 'note ' || n from generate_series(1, 500) n",
    )
    rig.start()
    rig.wait_until_proven()
    rig.sql("delete from notes where id = 7")
    rig.wait_until_proven()
    rig.engram.damage("notes", "notes_5", "remove")
    rig.engram.damage("notes", "notes_6", "content", content="spoilt")
    rig.engram.damage("notes", "notes_7", "resurrect")
    assert sum(not one.proven for one in rig.evidence()) == 1
    done = rig.command("resync", "public.notes")
    assert done.returncode == 0, done.stderr
    rig.sql("update notes set body = 'changed meanwhile' where id % 10 = 0")
    rig.wait_until_proven()
    assert json.loads(rig.command("status", "--json").stdout)["phase"] == "consistent"
    assert rig.stop() == 0, rig.tail()
    rig.prove()
    assert "a table is loaded again" in rig.tail()


@pytest.mark.parametrize("asked", ["while the bridge runs", "while it is down", "and it is killed at once"])
def test_a_stopped_table_comes_back_by_a_resync(make_rig: MakeRig, asked: str) -> None:
    """After a DDL that stops a table, `resync` carries it again: what was inserted, changed, deleted and inserted again meanwhile
    is right, under writes."""
    rig = make_rig()
    rig.sql(
        "create table notes (id int primary key, body text, extra int)",
        "insert into notes select n, 'note ' || n, n from generate_series(1, 400) n",
        "create table others (id int primary key)",
    )
    rig.start()
    rig.wait_until_proven()
    rig.sql("alter table notes drop column extra", "update notes set body = 'after' where id = 1")
    rig.wait_until_proven()
    rig.sql(
        "update notes set body = 'missed' where id between 10 and 60",
        "delete from notes where id between 100 and 150",
        "delete from notes where id = 200",
        "insert into notes values (200, 'again'), (1000, 'new')",
        "insert into others values (1)",
    )
    rig.wait_until_proven()
    assert any(record.state == "stopped" for record in rig.ledger().tables())
    if asked == "while it is down":
        assert rig.stop() == 0, rig.tail()
    assert rig.command("resync", "public.notes").returncode == 0
    if asked == "and it is killed at once":
        rig.until(lambda: rig.ledger().tables()[0].state != "stopped")
        rig.kill()
    if asked != "while the bridge runs":
        rig.start()
    rig.sql("update notes set body = 'while it is read' where id % 7 = 0", "delete from notes where id % 50 = 3")
    rig.until(lambda: all(record.state == "loaded" for record in rig.ledger().tables()))
    rig.sql("insert into notes values (1001, 'newer')", "update notes set body = 'last' where id = 9")
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    evidence = {one.table: one for one in rig.prove()}
    assert evidence["public.notes"].rows > 300
    assert all(record.state == "loaded" for record in rig.ledger().tables())


def test_an_unknown_table_is_refused_with_those_there_are(make_rig: MakeRig) -> None:
    """A table that the ledger does not know is an error that names the ones it knows."""
    rig = make_rig()
    rig.sql("create table notes (id int primary key)")
    rig.catch_up()
    done = rig.command("resync", "public.nots")
    assert done.returncode == 2
    assert "public.notes" in done.stderr
