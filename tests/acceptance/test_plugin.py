"""The plugin of the stream: told before anything is made where it is missing, kept by the ledger, changed with a new slot."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
import yaml

from bridge.postgres import connect
from cdc import slot as slots
from tests.acceptance.conftest import MakeRig
from tests.rig import Rig

THINGS = (
    "create table things (id int primary key, name text, price numeric)",
    "insert into things select n, 'thing', (array[null, 'NaN', '7.50'])[n % 3 + 1]::numeric from generate_series(1, 60) n",
)


def with_plugin(rig: Rig, plugin: str) -> None:
    """Write another plugin into the configuration."""
    document = yaml.safe_load(rig.file.read_text(encoding="utf-8"))
    document["source"]["plugin"] = plugin
    rig.file.write_text(yaml.safe_dump(document), encoding="utf-8")


def has_wal2json(url: str) -> bool:
    """Whether the server of a URL has it: asked in the rude way."""
    with connect(url, replication=True) as walsender:
        try:
            walsender.execute('CREATE_REPLICATION_SLOT "probe" TEMPORARY LOGICAL "wal2json"')
        except psycopg.errors.UndefinedFile:
            return False
    return True


def test_a_server_without_wal2json_is_told_before_anything_is_made(make_rig: MakeRig) -> None:
    """`check` and `run` say it, with the packages; no slot, publication or ledger is left behind."""
    rig = make_rig()
    if has_wal2json(rig.source):
        pytest.skip("the server of this session has wal2json")
    rig.sql(*THINGS)
    with_plugin(rig, "wal2json")
    for command in (("check",), ("run",)):
        done = rig.command(*command)
        assert done.returncode != 0
        told = done.stdout + done.stderr
        assert "the server does not have the output plugin wal2json" in " ".join(told.split())
        assert "postgresql-<version>-wal2json" in " ".join(told.split())
    assert not rig.ledger_path.exists()
    with connect(rig.source) as connection:
        assert connection.execute("select count(*) from pg_replication_slots where slot_name = %s", [rig.slot]).fetchone() == (0,)
        assert connection.execute("select count(*) from pg_publication where pubname = %s", [rig.slot]).fetchone() == (0,)


def test_check_asks_with_a_temporary_slot_and_leaves_none(make_rig: MakeRig, wal2json_database: str) -> None:
    """On a server that has it nothing stands in the way, also while somebody's transaction would hold up a slot."""
    rig = make_rig(wal2json_database)
    rig.sql(*THINGS)
    with_plugin(rig, "wal2json")
    with psycopg.connect(rig.source) as writing:
        writing.execute("insert into things values (0, 'unfinished')")
        done = rig.command("check")
        writing.rollback()
    assert done.returncode == 0, done.stdout + done.stderr
    with connect(rig.source) as connection:
        assert connection.execute("select count(*) from pg_replication_slots").fetchone() == (0,)


def test_a_ledger_keeps_its_plugin_until_a_new_slot(make_rig: MakeRig, wal2json_database: str) -> None:
    """Begun with wal2json; refused with pgoutput, by `check` and `run`, with the remedy; and the remedy works."""
    rig = make_rig(wal2json_database)
    rig.sql(*THINGS)
    with_plugin(rig, "wal2json")
    rig.catch_up()
    rig.sql("update things set price = price + 1", "delete from things where id = 60")
    with_plugin(rig, "pgoutput")
    for command in (("check",), ("run",)):
        done = rig.command(*command)
        assert done.returncode == 1, done.stderr
        told = " ".join((done.stdout + done.stderr).split())
        assert "this ledger was begun with wal2json, and source.plugin says pgoutput" in told
        assert "resync --new-slot" in told
    assert rig.command("resync", "--new-slot").returncode == 0
    rig.catch_up()
    rig.prove()
    with connect(rig.source) as connection:
        slot = slots.inspect_slot(connection, rig.slot)
    assert slot is not None
    assert slot.plugin == "pgoutput"


def test_a_keyless_table_with_numbers_is_refused_with_wal2json(make_rig: MakeRig, wal2json_database: str, tmp_path: Path) -> None:
    """Its rows are their own identity, and NaN comes as NULL; without such columns it is carried."""
    rig = make_rig(wal2json_database, tables={"events": {"duplicates": "collapse"}, "notes": {"duplicates": "collapse"}})
    rig.sql(
        "create table events (at int, price float8)",
        "create table notes (at int, body text)",
        "alter table events replica identity full",
        "alter table notes replica identity full",
    )
    with_plugin(rig, "wal2json")
    told = rig.command("check")
    assert told.returncode != 0
    assert "public.events has no primary key, and wal2json sends NaN in price as NULL" in " ".join(told.stdout.split())
    rig.sql("drop table events", "insert into notes values (1, 'a'), (2, 'b'), (3, null)")
    document = yaml.safe_load(rig.file.read_text(encoding="utf-8"))
    del document["tables"]["events"]
    rig.file.write_text(yaml.safe_dump(document), encoding="utf-8")
    rig.start()
    rig.wait_until_proven()
    rig.sql(
        "update notes set body = 'c' where at = 1", "delete from notes where at = 2", "update notes set at = 9 where body is null"
    )
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    (one,) = rig.prove()
    assert one.rows == 2
