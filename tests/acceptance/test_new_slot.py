"""`resync --new-slot`: the one command that mends a lost slot and a changed history; what is the same is not written again."""

from __future__ import annotations

import time

import psycopg

from tests.acceptance.conftest import MakeRig
from tests.acceptance.traces import configure, refused
from tests.patience import PATIENCE
from tests.rig import Rig

SHOP = (
    "create table customers (id int primary key, code text unique not null, name text)",
    "create table notes (id int primary key, customer int references customers, body text)",
    "create table tags (note int references notes, tag text references customers (code), primary key (note, tag))",
    "create table audit (at int, line text)",
    "alter table audit replica identity full",
    "insert into customers select n, 'c' || n, 'customer ' || n from generate_series(1, 50) n",
    "insert into notes select n, n % 50 + 1, 'note ' || n from generate_series(1, 900) n",
    "insert into tags select n, 'c' || (n % 50 + 1) from generate_series(1, 300) n",
    "insert into audit select n % 40, 'line ' || n % 40 from generate_series(1, 60) n",
)
"""References by primary and by another unique key, a composite key, a table without a key."""

KEYLESS = {"tables": {"audit": {"duplicates": "collapse"}}}


def embedded(rig: Rig) -> int:
    """How many rows were ever embedded."""
    ledger = rig.ledger()
    try:
        return ledger.counters().get("embedded", 0)
    finally:
        ledger.close()


def versions(rig: Rig) -> dict[tuple[int, str], tuple[str, bool]]:
    """The version of every key, and whether it lives."""
    ledger = rig.ledger()
    try:
        return {
            (record.number, key): (entry.version, entry.live)
            for record in ledger.tables()
            for shard in range(len(record.spaces))
            for key, entry in ledger.scan(record.number, shard)
        }
    finally:
        ledger.close()


def new_slot(rig: Rig, *arguments: str) -> str:
    """The command that is being tested; it must succeed."""
    done = rig.command("resync", "--new-slot", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def drop_slot(rig: Rig) -> None:
    """Somebody drops the slot."""
    rig.sql(f"select pg_drop_replication_slot('{rig.slot}')")


def test_a_lost_slot_is_mended_and_only_what_differs_is_written(make_rig: MakeRig) -> None:
    """After a slot was dropped and changes were missed: what differs is written under the new epoch, what is gone becomes a
    tombstone, and no other row is embedded, whether its table has foreign keys, other unique keys, or no key at all."""
    rig = make_rig(**KEYLESS)
    rig.sql(*SHOP)
    rig.catch_up()
    before, cost = versions(rig), embedded(rig)
    assert cost >= 50 + 900 + 300 + 40
    drop_slot(rig)
    rig.sql(
        "update notes set body = 'missed' where id <= 10",
        "delete from tags where note between 20 and 29",
        "insert into customers values (51, 'c51', 'missed')",
        "delete from audit where at = 3",
        "insert into audit values (99, 'missed')",
    )
    refused(rig, 1, f"the replication slot '{rig.slot}' is not there", "engram-bridge resync --new-slot")
    new_slot(rig)
    rig.catch_up()
    rig.prove()
    assert embedded(rig) - cost == 10 + 1 + 1
    after = versions(rig)
    changed = {key for key in after if after[key] != before.get(key)}
    assert len(changed) == 10 + 10 + 1 + 1 + 1
    assert all(after[key][0].startswith("0002:") for key in changed)
    assert sum(not after[key][1] for key in changed) == 10 + 1
    rig.sql("update notes set body = 'later' where id between 5 and 15", "delete from customers where id = 51")
    rig.catch_up()
    rig.prove()


def test_the_command_is_refused_beside_a_run_and_before_the_first_one(make_rig: MakeRig) -> None:
    """It changes whose positions the ledger's are: not while somebody works by them, and not where there are none."""
    rig = make_rig()
    rig.sql("create table notes (id int primary key)", "insert into notes values (1)")
    refused(rig, 2, "there is no ledger", command=("resync", "--new-slot"))
    process = rig.start()
    rig.wait_until_proven()
    refused(rig, 1, "another run works with this ledger", command=("resync", "--new-slot"))
    refused(rig, 2, "--new-source goes with --new-slot", command=("resync", "--new-source"))
    assert process.poll() is None
    assert rig.stop() == 0
    rig.catch_up()
    rig.prove()


def test_another_name_for_the_slot_and_parked_keys_are_taken_up(make_rig: MakeRig) -> None:
    """A new slot may have a new name; the old one, still there and in order, goes. Keys that were parked are tried again, also
    those whose rows have gone meanwhile."""
    rig = make_rig()
    rig.sql(
        "create table notes (id int primary key, body text)",
        "insert into notes select n, 'note ' || n from generate_series(1, 30) n",
        "insert into notes select n, repeat('long ', 1000000) from generate_series(31, 32) n",
    )
    rig.catch_up()
    assert len(rig.ledger().parked_keys()) == 2
    old, new = rig.slot, rig.slot + "_2"
    configure(rig, source={"slot": new})
    refused(rig, 1, f"the ledger's slot is {old}", "resync --new-slot")
    rig.sql("update notes set body = 'short' where id = 31", "delete from notes where id = 32")
    new_slot(rig)
    rig.slot = new
    rig.catch_up()
    rig.prove()
    with_slots = rig.ledger().facts()["slot"]
    assert with_slots == new
    with psycopg.connect(rig.source) as connection:
        names = connection.execute("select slot_name from pg_replication_slots where database = current_database()").fetchall()
    assert names == [(new,)]


def test_a_new_slot_is_made_wherever_the_run_is_killed(make_rig: MakeRig) -> None:
    """Before the old history is left behind, between that and the slot, in the middle of the comparison: the next run goes on,
    and one slot is left."""
    rig = make_rig()
    rig.sql(*SHOP[:3], *SHOP[5:8])
    rig.catch_up()
    drop_slot(rig)
    rig.sql("update notes set body = 'missed' where id <= 100", "delete from notes where id > 880")
    new_slot(rig)
    for mark in ("a run begins", "a new source epoch begins", "made the slot", "streaming"):
        log = rig.log.stat().st_size
        rig.start()
        deadline = time.monotonic() + PATIENCE
        while mark not in rig.log.read_text()[log:] and "streaming" not in rig.log.read_text()[log:]:
            assert time.monotonic() < deadline, rig.tail()
            time.sleep(0.01)
        rig.kill()
    rig.catch_up()
    rig.prove()
    ledger = rig.ledger()
    facts = ledger.facts()
    ledger.close()
    assert int(facts["source_epoch"]) == 2
    with psycopg.connect(rig.source) as connection:
        names = connection.execute("select slot_name from pg_replication_slots where database = current_database()").fetchall()
    assert names == [(rig.slot,)]
