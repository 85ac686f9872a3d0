"""Law 4: whoever we are connected to, on every connection, is the source of this ledger, and its slot has not gone further.

PostgreSQL would otherwise start later than it was asked to without a word. Each case is found before a change is applied: the
run ends with 1, a sentence and a remedy, and leaves ledger, target and source as they were.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from bridge.sandbox.postgres import SandboxPostgres
from cdc.walsender import WalReader
from tests.acceptance.conftest import MakeRig
from tests.acceptance.traces import configure, ended_with, refused, traces
from tests.patience import PATIENCE
from tests.rig import Rig

NOTES = (
    "create table notes (id int primary key, body text)",
    "insert into notes select n, 'note ' || n from generate_series(1, 3) n",
)


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    """Three rows carried and proven, and the bridge stopped."""
    rig = make_rig()
    rig.sql(*NOTES)
    rig.catch_up()
    return rig


def finds(rig: Rig, *says: str) -> None:
    """A run refuses to go on, and leaves no trace."""
    before = traces(rig)
    refused(rig, 1, *says)
    assert traces(rig) == before


def make_slot_again(rig: Rig) -> None:
    """Drop the rig's slot and make another one of its name."""
    rig.sql(
        f"select pg_drop_replication_slot('{rig.slot}')",
        "update notes set body = body || '!'",  # lost to the new slot
        f"select pg_create_logical_replication_slot('{rig.slot}', '{rig.config.source.plugin}')",
        "update notes set body = body || '?'",
    )


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_postgresql_is_waited_for(
    own_postgres: SandboxPostgres, make_rig: MakeRig, mode: Literal["fast", "immediate"]
) -> None:
    """In mid-snapshot and in mid-stream: the run waits, connects again, and ends proven, in one process."""
    rig = make_rig(own_postgres.url())
    rig.sql(NOTES[0], "insert into notes select n, 'note ' || n from generate_series(1, 3000) n")
    rig.engram.faults([{"on": "*", "do": "slow", "seconds": 0.3}])
    rig.start()
    rig.until(lambda: 1 <= sum(chunk.done for chunk in chunks_of(rig)) < 12)
    own_postgres.stop(mode)
    rig.engram.faults()
    time.sleep(1.0)
    own_postgres.start()
    rig.sql("update notes set body = 'after the first restart' where id % 100 = 0")
    rig.wait_until_proven()
    rig.sql("update notes set body = 'before the second restart' where id % 10 = 1")
    own_postgres.restart(mode)
    rig.sql("update notes set body = 'after it' where id % 20 = 1", "delete from notes where id % 50 = 7")
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    (one,) = rig.prove()
    assert one.rows == 2940


def chunks_of(rig: Rig) -> list[object]:
    """The chunk plan of the only table, [] before there is one."""
    if not rig.has_ledger:
        return []
    ledger = rig.ledger()
    try:
        return list(ledger.chunks(1))
    finally:
        ledger.close()


def test_a_slot_changed_behind_our_back_is_found(rig: Rig, postgres: SandboxPostgres, tmp_path: Path) -> None:
    """An older copy of the ledger; a slot made again, of another kind, in another database; no slot any more."""
    copies = {name: tmp_path / name for name in ("older", "newer")}
    keep_ledger(rig, copies["older"])
    rig.sql("update notes set body = 'newer'", "insert into notes values (4, 'newer')")
    rig.catch_up()
    keep_ledger(rig, copies["newer"])
    restore_ledger(rig, copies["older"])
    rig.sql("update notes set body = 'newest'")
    finds(rig, f"the slot '{rig.slot}' was moved on", "the ledger is an old copy")

    restore_ledger(rig, copies["newer"])
    make_slot_again(rig)
    finds(rig, f"the slot '{rig.slot}' was moved on", "What is between was missed")

    rig.sql(f"select pg_drop_replication_slot('{rig.slot}')", f"select pg_create_physical_replication_slot('{rig.slot}', true)")
    finds(rig, f"has the plugin None, the ledger's had '{rig.config.source.plugin}'", "engram-bridge resync --new-slot")

    rig.sql(f"select pg_drop_replication_slot('{rig.slot}')")
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("select pg_create_logical_replication_slot(%s, %s)", (rig.slot, rig.config.source.plugin))
        try:
            finds(rig, "belongs to the database 'postgres'", "Name another one")
        finally:
            connection.execute("select pg_drop_replication_slot(%s)", (rig.slot,))

    finds(rig, f"the replication slot '{rig.slot}' is not there", "engram-bridge resync --new-slot")


def keep_ledger(rig: Rig, folder: Path) -> None:
    """Copy the ledger with its WAL, as a backup would."""
    folder.mkdir()
    for path in rig.folder.glob("ledger.db*"):
        shutil.copy2(path, folder / path.name)


def restore_ledger(rig: Rig, folder: Path) -> None:
    """Put a copy in the ledger's place."""
    for path in rig.folder.glob("ledger.db*"):
        path.unlink()
    for path in folder.iterdir():
        shutil.copy2(path, rig.folder / path.name)


def test_a_slot_made_again_while_the_bridge_runs_is_found(rig: Rig) -> None:
    """The same on every connect: a run that reconnects applies nothing of the new slot and ends."""
    rig.start()
    rig.wait_until_proven()
    before = traces(rig)
    assert rig.process is not None
    rig.process.send_signal(signal.SIGSTOP)  # so that it cannot reconnect in between
    try:
        rig.sql(f"select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = '{rig.slot}'")
        make_slot_again(rig)
    finally:
        rig.process.send_signal(signal.SIGCONT)
    ended_with(rig, 1, "was moved on", "→")
    after = traces(rig)
    assert (after.spaces, after.slots) == (before.spaces, before.slots)
    ledger = rig.ledger()
    assert ledger.counters().get("changes_applied", 0) == 0
    ledger.close()


def test_a_slot_dropped_while_the_bridge_runs_is_found(rig: Rig) -> None:
    """A run that reconnects and finds no slot ends, and says so."""
    rig.start()
    rig.wait_until_proven()
    assert rig.process is not None
    rig.process.send_signal(signal.SIGSTOP)
    try:
        rig.sql(
            f"select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = '{rig.slot}'",
            f"select pg_drop_replication_slot('{rig.slot}')",
        )
    finally:
        rig.process.send_signal(signal.SIGCONT)
    ended_with(rig, 1, f"the replication slot '{rig.slot}' is not there", "→")


def test_another_server_database_or_history_is_found(own_postgres: SandboxPostgres, make_rig: MakeRig, database: str) -> None:
    """The same tables and a slot of the same name, but another system; another database of ours; ours, promoted since."""
    ours = own_postgres.url()
    rig = make_rig(ours)
    rig.sql(*NOTES)
    rig.catch_up()

    rig.source = database
    rig.sql(*NOTES, f"select pg_create_logical_replication_slot('{rig.slot}', '{rig.config.source.plugin}')")
    configure(rig, source={"url": database})
    finds(rig, "another system", "Point source.url at the ledger's server")

    rig.source = ours
    rig.sql("create database other")
    rig.source = own_postgres.url("other")
    rig.sql(*NOTES)
    configure(rig, source={"url": rig.source})
    finds(rig, "this is the database 'other', the ledger's is 'postgres'", "Correct source.url")

    rig.source = ours
    configure(rig, source={"url": ours})
    own_postgres.stop()
    (own_postgres.data / "standby.signal").touch()
    own_postgres.start()
    with psycopg.connect(ours, autocommit=True) as connection:
        assert connection.execute("select pg_promote()").fetchone() == (True,)
    finds(rig, "the server is on timeline 2, the ledger on 1", "engram-bridge resync --new-slot")


def test_a_second_run_is_told_who_is_there(rig: Rig) -> None:
    """On the same ledger: whose process holds it. With another ledger on the same slot: that it is not its own, and who uses it.
    `check` goes on working beside a run."""
    process = rig.start()
    rig.wait_until_proven()
    before = traces(rig)
    refused(rig, 1, "another run works with this ledger", f"process {process.pid} on", "Stop it first")
    checked = json.loads(rig.command("check", "--json").stdout)
    assert not [found for found in checked["findings"] if found["level"] == "error"], checked

    configure(rig, ledger=str(rig.folder / "second.db"), target={"space_prefix": "second-"})
    refused(
        rig, 1, f"the slot {rig.slot} exists, but this ledger did not make it", "in use by pid", "Use the ledger it belongs to"
    )
    after = traces(rig)
    assert (after.spaces, after.slots, after.publications) == (before.spaces, before.slots, before.publications)
    assert not (rig.folder / "second.db").exists()

    assert process.poll() is None, rig.tail()
    assert rig.stop() == 0, rig.tail()


def test_a_slot_in_use_is_waited_for_and_its_holder_named(rig: Rig) -> None:
    """Somebody else streams from our slot: nothing is taken from him, he is named, and when he has gone we go on."""
    ledger = rig.ledger()
    confirmed = int(ledger.facts()["confirmed"])
    ledger.close()
    plugin = rig.config.source.plugin
    reader = WalReader(rig.source, rig.slot, rig.slot, plugin=plugin, start=confirmed, application_name="another tool")
    try:
        rig.sql("insert into notes values (4, 'while another reads')")
        process = rig.start()
        deadline = time.monotonic() + PATIENCE
        while f"the slot '{rig.slot}' is used by pid" not in rig.tail():
            assert time.monotonic() < deadline, rig.tail()
            reader.tend()
            time.sleep(0.1)
        assert "(another tool at" in rig.tail()
        assert process.poll() is None, rig.tail()
    finally:
        reader.close()
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()
