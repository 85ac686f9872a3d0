"""The source's history ends, in each way in which it can: found before a change is applied, and mended by one command."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from bridge.errors import ConfigError, SourceChanged, SourceUnavailable
from bridge.origin import Origin
from bridge.sandbox.postgres import SandboxPostgres
from tests.acceptance.conftest import MakeRig
from tests.acceptance.test_new_slot import drop_slot, embedded, new_slot, versions
from tests.acceptance.test_source_identity import finds
from tests.acceptance.traces import configure, refused
from tests.clusters import copied, promote, put_back, standby_of
from tests.conftest import PLUGIN
from tests.patience import PATIENCE
from tests.rig import Rig

wheels_own = pytest.mark.skipif(
    PLUGIN != "pgoutput", reason="standbys and upgrades are made of the wheel's own servers, which have no other plugin"
)


NOTES = (
    "create table notes (id int primary key, body text)",
    "insert into notes select n, 'note ' || n from generate_series(1, 400) n",
)


def begun(make_rig: MakeRig, server: SandboxPostgres) -> Rig:
    """400 rows carried and proven, and the bridge stopped."""
    rig = make_rig(server.url())
    rig.sql(*NOTES)
    rig.catch_up()
    return rig


def mended(rig: Rig, *arguments: str, written: int) -> None:
    """The command, a run, the proof; that many rows went through the model."""
    cost = embedded(rig)
    new_slot(rig, *arguments)
    rig.catch_up()
    rig.prove()
    assert embedded(rig) - cost == written, rig.tail()
    rig.sql("update notes set body = body || ', later' where id = 7")
    rig.catch_up()
    rig.prove()


@wheels_own
def test_a_promoted_standby_is_found_and_mended(
    own_postgres: SandboxPostgres, make_rig: MakeRig, tmp_path: Path, database: str
) -> None:
    """A real one, that has not seen the primary's last commits: the run that is led to it applies nothing, and afterwards Engram
    is as the new primary. Rows that only the old one had go, rows that are the same are not embedded. Connections that rows are
    read over find the same by themselves: a list of hosts could lead them elsewhere."""
    rig = make_rig(own_postgres.url())
    configure(rig, source={"failover": True})
    rig.sql(*NOTES)
    rig.catch_up()
    assert failover(rig)
    standby = standby_of(own_postgres, tmp_path / "standby")
    try:
        wait_for_standby(own_postgres, standby)
        facts = rig.ledger().facts()
        ours = Origin(own_postgres.url(), facts["system_identifier"], int(facts["timeline"]))
        ours.connect("test").close()
        with pytest.raises(SourceUnavailable, match="a standby here"):
            replace(ours, url=standby.url()).connect("test")
        with pytest.raises(SourceChanged, match="another system"):
            replace(ours, url=database).connect("test")
        standby.stop()
        rig.sql("update notes set body = 'never replicated' where id <= 5", "insert into notes values (1000, 'never replicated')")
        rig.catch_up()
        rig.prove()
        own_postgres.kill()
        (standby.data / "postgresql.auto.conf").write_text("")
        standby.start()
        rig.source = standby.url()
        configure(rig, source={"url": rig.source})
        promote(standby)
        with pytest.raises(SourceChanged, match="on timeline 2, the ledger's is 1"):
            replace(ours, url=standby.url()).connect("test")
        rig.sql("insert into notes values (2000, 'on the new primary')")
        finds(rig, "the server is on timeline 2, the ledger on 1", "engram-bridge resync --new-slot")
        mended(rig, written=5 + 1)
        assert not versions(rig)[(1, "1000")][1]
    finally:
        standby.kill()


def failover(rig: Rig) -> bool:
    """Whether the rig's slot is one that standbys may copy."""
    with psycopg.connect(rig.source) as connection:
        row = connection.execute("select failover from pg_replication_slots where slot_name = %s", (rig.slot,)).fetchone()
    return row == (True,)


def wait_for_standby(primary: SandboxPostgres, standby: SandboxPostgres) -> None:
    """Until the standby has replayed all that the primary has flushed."""
    with psycopg.connect(primary.url()) as one, psycopg.connect(standby.url(), autocommit=True) as other:
        end = one.execute("select pg_current_wal_flush_lsn()::text").fetchone()
        deadline = time.monotonic() + PATIENCE
        while other.execute("select pg_last_wal_replay_lsn() >= %s::pg_lsn", end).fetchone() != (True,):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("further", [False, True], ids=["its WAL is shorter", "other commits have its positions"])
def test_an_older_copy_of_the_data_directory_is_found_and_mended(
    own_postgres: SandboxPostgres, make_rig: MakeRig, tmp_path: Path, further: bool
) -> None:
    """The same system, timeline and slot. Nothing says that it was put back but a WAL that ends too early; and when that has
    grown again, that the commit which the ledger knows is not at its position."""
    rig = begun(make_rig, own_postgres)
    own_postgres.stop()
    copy = copied(own_postgres, tmp_path / "copy")
    own_postgres.start()
    rig.sql(
        "update notes set body = 'lost' where id <= 20",
        "insert into notes values (1000, 'lost')",
        "delete from notes where id = 30",
    )
    rig.catch_up()
    rig.prove()
    own_postgres.stop()
    put_back(own_postgres, copy)
    own_postgres.start()
    if further:
        confirmed = int(rig.ledger().facts()["confirmed"])
        while rig.flush() <= confirmed + 100_000:
            rig.sql("update notes set body = body || '.' where id between 101 and 200")
        finds(rig, "history is not the one that the ledger knows", "engram-bridge resync --new-slot")
        finds(rig, "history is not the one that the ledger knows")  # the evidence is still there
    else:
        rig.sql("insert into notes values (1001, 'after it')")
        finds(rig, "its WAL ends at", "engram-bridge resync --new-slot")
    mended(rig, written=100 + 20 + 1 if further else 20 + 1 + 1)


def test_an_older_copy_that_lost_nothing_is_followed(own_postgres: SandboxPostgres, make_rig: MakeRig, tmp_path: Path) -> None:
    """Since the copy was made, nothing of ours was committed. What was committed to it since is all carried, though the ledger
    has confirmed positions beyond it."""
    rig = begun(make_rig, own_postgres)
    own_postgres.stop()
    copy = copied(own_postgres, tmp_path / "copy")
    own_postgres.start()
    rig.sql("create table others (id int)", "insert into others select generate_series(1, 20000)")
    configure(rig, include=["notes"])
    rig.catch_up()
    confirmed = int(rig.ledger().facts()["confirmed"])
    own_postgres.stop()
    put_back(own_postgres, copy)
    own_postgres.start()
    rig.sql("update notes set body = 'at a position of before' where id = 1")
    assert rig.flush() < confirmed
    finds(rig, "its WAL ends at")
    rig.sql("create table others (id int)", "insert into others select generate_series(1, 40000)")
    assert rig.flush() > confirmed
    rig.engram.faults([{"on": "*", "do": "slow", "seconds": 30}])  # nothing can be proven: nothing may be confirmed
    before = rig.confirmed()
    assert before < confirmed
    rig.start()
    deadline = time.monotonic() + PATIENCE
    while "streaming" not in rig.tail().rpartition("a run begins")[2]:
        assert time.monotonic() < deadline, rig.tail()
        time.sleep(0.1)
    time.sleep(3.0)
    assert rig.confirmed() < confirmed
    rig.kill()
    rig.engram.faults()
    rig.catch_up()
    rig.prove()


def test_a_slot_that_is_really_lost_is_mended(own_postgres: SandboxPostgres, make_rig: MakeRig) -> None:
    """`max_slot_wal_keep_size` was reached while the bridge was away: PostgreSQL has removed the WAL."""
    rig = begun(make_rig, own_postgres)
    rig.sql("alter system set max_slot_wal_keep_size = '1MB'", "select pg_reload_conf()")
    rig.sql("update notes set body = 'missed' where id <= 3")
    for _ in range(4):
        rig.sql("insert into notes values (-1, 'x')", "delete from notes where id = -1", "select pg_switch_wal()")
    rig.sql("checkpoint")
    status = rig.command("status", "--json").stdout
    assert '"wal_status": "lost"' in status
    finds(rig, "was invalidated", "engram-bridge resync --new-slot")
    mended(rig, written=3)


@pytest.mark.slow
@wheels_own
def test_an_upgraded_major_version_is_mended(make_rig: MakeRig, tmp_path: Path) -> None:
    """pg_upgrade makes another system of the same data: refused, refused without a word that it is meant, then taken over."""
    try:
        old = SandboxPostgres(tmp_path / "old", version=16)
        new = SandboxPostgres(tmp_path / "new", version=18)
    except ConfigError as error:
        pytest.skip(f"{error}: {error.hint}")
    old.start()
    try:
        rig = begun(make_rig, old)
        drop_slot(rig)  # 16 cannot take a slot along
        rig.sql("update notes set body = 'on the old one' where id <= 4")
        old.stop()
        upgrade(old, new)
        new.start()
        rig.source = new.url()
        configure(rig, source={"url": rig.source})
        finds(rig, "this PostgreSQL is another system", "--new-source")
        refused(rig, 1, "say so: --new-source", command=("resync", "--new-slot"))
        mended(rig, "--new-source", written=4)
    finally:
        old.kill()
        new.kill()


def upgrade(old: SandboxPostgres, new: SandboxPostgres) -> None:
    """pg_upgrade from one stopped cluster to another, which is made: 18 would make one with checksums, 16 has none."""
    found, folder = old.data.stat(), new.data.parent / "upgrade"
    for path in (folder, new.data):
        path.mkdir(mode=0o700)
        shutil.chown(path, found.st_uid, found.st_gid)
    initdb = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--username=postgres", "--no-data-checksums")
    new.run("initdb", *initdb, "-D", str(new.data))
    new.run(
        "pg_upgrade",
        *("--old-bindir", str(old.bin_path), "--new-bindir", str(new.bin_path)),
        *("--old-datadir", str(old.data), "--new-datadir", str(new.data)),
        *("--username", "postgres", "--socketdir", str(folder), "--no-sync", "--copy"),
        folder=folder,
    )


def test_a_database_that_was_moved_is_taken_over_when_that_is_said(
    make_rig: MakeRig, own_postgres: SandboxPostgres, database: str
) -> None:
    """Another server or database of the same tables is not silently taken for ours: all memories would be made like it."""
    rig = begun(make_rig, own_postgres)
    old = rig.source
    rig.source = database
    rig.sql(*NOTES, "update notes set body = 'moved' where id <= 2")
    configure(rig, source={"url": database})
    finds(rig, "this PostgreSQL is another system", "--new-source")
    refused(rig, 1, "say so: --new-source", command=("resync", "--new-slot"))
    cost = embedded(rig)
    said = new_slot(rig, "--new-source")
    assert f"pg_drop_replication_slot('{rig.slot}')" in said
    rig.source = old
    configure(rig, source={"url": old})
    refused(rig, 1, "a new slot was asked for in the database")
    rig.source = database
    configure(rig, source={"url": database})
    rig.catch_up()
    rig.prove()
    assert embedded(rig) - cost == 2
