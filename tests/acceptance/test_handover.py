"""Law 2 of the issue on the real server: snapshot and stream hand over to each other, whatever comes in between."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import psycopg
import pytest

from bridge.sandbox import shop
from bridge.sandbox.postgres import SandboxPostgres
from tests.acceptance.conftest import MakeRig
from tests.patience import PATIENCE
from tests.rig import Rig

RUNS = 10
TINY = {"workers": 8, "chunk_rows": 15}
SLOW = [{"on": "Remember", "do": "slow", "seconds": 0.05}, {"on": "GET", "do": "slow", "seconds": 0.01}]

MOVES = """
create table moves (id int primary key, name text, big text, other int references moves (id) deferrable initially deferred);
alter table moves alter column big set storage external;
insert into moves select n, 'row ' || n, repeat(md5(n::text), 100), nullif(n / 2, 0) from generate_series(1, 400) n;
create table emptied (id int primary key, name text);
insert into emptied select n, 'row ' || n from generate_series(1, 400) n;
"""


def move(connection: psycopg.Connection[Any], chance: random.Random) -> None:
    """One of the changes that are hard for a handover."""
    key, other = chance.randint(1, 400), chance.randint(1, 400)
    kind = chance.randrange(6)
    if kind == 0:  # a key that another row has just left, with a large column that is not sent
        connection.execute("delete from moves where id = %s", [other])
        connection.execute("update moves set id = %s where id = %s", [other, key])
    elif kind == 1:
        connection.execute("update moves set name = name || '!' where id between %s and %s + 20", [key, key])
    elif kind == 2:
        connection.execute("update moves set big = repeat('b', 3000) || name where id = %s", [key])
    elif kind == 3:
        row = connection.execute("delete from moves where id = %s returning id, name, big", [key]).fetchone()
        if row is not None:
            connection.execute("insert into moves values (%s, %s, %s, null)", row)
    elif kind == 4 and chance.random() < 0.2:
        connection.execute("truncate emptied")
        connection.execute("insert into emptied select n, 'again' from generate_series(1, %s) n", [key])
    else:
        connection.execute(
            "insert into emptied values (%s, 'one') on conflict (id) do update set name = emptied.name || '+'", [key]
        )


@pytest.mark.parametrize("seed", range(RUNS))
def test_snapshot_and_stream_meet_under_hard_writing(make_rig: MakeRig, seed: int) -> None:
    """Tiny chunks read by many workers, a target that is slow at times so that chunks stay unrecorded while changes stream,
    updates without their large column, key changes, TRUNCATE and reinserts of the rows being read: everything is proven."""
    rig = make_rig(snapshot=TINY)
    chance = random.Random(seed)
    shop.create(rig.source)
    shop.seed(rig.source, 400)
    rig.sql(MOVES)
    if chance.random() < 0.7:
        rig.engram.faults(SLOW)
    rig.start()
    end = time.monotonic() + 5.0
    with (
        shop.Application(rig.source, seed=seed, rate=None) as application,
        psycopg.connect(rig.source, autocommit=True) as connection,
    ):
        while time.monotonic() < end:
            for _ in range(chance.randint(1, 12)):
                with suppress(psycopg.errors.IntegrityError), connection.transaction():
                    for _ in range(chance.randint(1, 3)):
                        move(connection, chance)
            time.sleep(chance.choice((0.0, 0.02, 0.3)))
            if chance.random() < 0.1:
                rig.engram.faults(SLOW if chance.random() < 0.5 else [])
        application.stop()
    rig.engram.faults()
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()


def test_a_transaction_older_than_the_slot_is_waited_for_and_named(make_rig: MakeRig) -> None:
    """It wrote before the slot was made and commits later: `run` says who holds it up, reads no chunk before it has ended, and
    its rows are there at the end."""
    rig = make_rig()
    rig.sql("create table things (id int primary key, name text)", "insert into things values (1, 'before')")
    with psycopg.connect(rig.source, application_name="the month's closing") as holder:
        holder.execute("insert into things values (2, 'late')")
        holder.execute("update things set name = 'changed late' where id = 1")
        rig.start()
        rig.wait_for("the month's closing")
        assert f"pid {holder.info.backend_pid}" in rig.tail()
        rig.sql("insert into things values (3, 'meanwhile')")
        ledger = rig.ledger()
        assert [record.state for record in ledger.tables()] == ["new"]
        ledger.close()
        holder.commit()
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    (one,) = rig.prove()
    assert one.rows == 3


def test_a_run_that_was_killed_between_slot_and_barrier_makes_up_for_it(make_rig: MakeRig) -> None:
    """The slot is there and the barrier was not passed: the next `run` waits before it reads a chunk."""
    rig = make_rig()
    rig.sql("create table things (id int primary key, name text)", "insert into things values (1, 'before')")
    rig.catch_up()
    ledger = rig.ledger()
    ledger.drop_fact("barrier")
    with psycopg.connect(rig.source, application_name="the month's closing") as holder:
        holder.execute("insert into things values (2, 'late')")
        rig.start()
        rig.wait_for("the month's closing")
        assert "barrier" not in ledger.facts()
        holder.commit()
    rig.wait_until_proven()
    assert ledger.facts()["barrier"] == "passed"
    ledger.close()
    assert rig.stop() == 0, rig.tail()
    rig.prove()


def name_standby(server: SandboxPostgres, name: str) -> None:
    """Commits wait for a standby of that name, so for ever when there is none: in the WAL, and not visible. '' ends it."""
    with psycopg.connect(server.url(), autocommit=True, options="-c synchronous_commit=local") as admin:
        admin.execute(f"alter system set synchronous_standby_names = '{name}'")  # type: ignore[call-overload]
        admin.execute("select pg_reload_conf()")
        for _attempt in range(600):
            if admin.execute("select current_setting('synchronous_standby_names')").fetchone() == (name,):
                return
            time.sleep(0.05)
        raise AssertionError("the server did not take the standby's name")


@contextmanager
def hanging(url: str, statements: list[str]) -> Iterator[None]:
    """Each statement is committed by a thread of its own, and hangs in its commit."""

    def run(statement: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=(statement,), daemon=True) for statement in statements]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    deadline = time.monotonic() + PATIENCE
    with psycopg.connect(url, autocommit=True) as connection:
        while (hang := _in_commit(connection)) < len(statements):
            assert time.monotonic() < deadline, f"{hang} of {len(statements)} commits hang"
            time.sleep(0.05)
    yield
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a commit still hangs"


def _in_commit(connection: psycopg.Connection) -> int:
    """How many sessions wait for a standby that is not there."""
    row = connection.execute("select count(*) from pg_stat_activity where wait_event = 'SyncRep'").fetchone()
    return int(row[0]) if row else 0


LARGE = """
create table texts (id int primary key, name text, big text);
alter table texts alter column big set storage external;
insert into texts select n, 'old', repeat(md5(n::text), 100) from generate_series(1, 60) n;
create table others (id int primary key, name text);
insert into others select n, 'old' from generate_series(1, 60) n;
"""


def test_rows_are_not_read_again_before_their_commit_is_visible(make_rig: MakeRig, own_postgres: SandboxPostgres) -> None:
    """Law 11: while `synchronous_standby_names` names nobody, commits are streamed and stay invisible. An update without its
    large column needs a reading, which would find the older row: its key waits and is then parked, all others flow on; once the
    name is gone, the parked keys are tried by a timer and everything is proven, by itself."""
    rig = make_rig(own_postgres.url(), parked={"retry_first": 1.0, "retry_last": 2.0})
    rig.sql(LARGE)
    rig.start()
    rig.wait_until_proven()
    statements = [f"update texts set name = 'new' where id = {number}" for number in range(1, 6)]
    statements += ["update texts set id = 100 where id = 6", "insert into others values (100, 'flows on')"]
    name_standby(own_postgres, "nobody")
    with hanging(rig.source, statements):
        ledger = rig.ledger()
        others = next(record.number for record in ledger.tables() if record.label == "public.others")
        rig.until(lambda: "100" in ledger.entries(others, ["100"]))
        rig.until(lambda: len(ledger.parked_keys()) == 6)
        assert {parked.reason for _key, parked in ledger.parked_keys()} == {"not_visible"}
        proven = int(ledger.facts()["proven"])
        with hanging(rig.source, ["insert into others values (101, 'the frontier moves')"]):
            rig.until(lambda: "101" in ledger.entries(others, ["101"]))
            rig.until(lambda: int(ledger.facts()["proven"]) > proven)
            assert len(ledger.parked_keys()) == 6, "tried again too early"
            name_standby(own_postgres, "")
        ledger.close()
    rig.until(lambda: not parked(rig))
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()


def test_a_snapshot_is_made_while_commits_hang(make_rig: MakeRig, own_postgres: SandboxPostgres) -> None:
    """Chunks that do not see a commit which is streamed already: the stream's rows are not lost to them, nor the large columns
    of older rows taken for those of newer ones."""
    rig = make_rig(own_postgres.url(), snapshot=TINY, parked={"retry_first": 1.0, "retry_last": 2.0})
    rig.sql(LARGE)
    rig.engram.faults([{"on": "Remember", "do": "slow", "seconds": 0.1}])
    name_standby(own_postgres, "nobody")
    rig.start()
    rig.wait_for("streaming")
    statements = [
        "update texts set name = 'new' where id % 2 = 0",
        "update texts set big = 'short' where id % 10 = 1",
        "delete from texts where id % 10 = 3",
        "update others set id = id + 1000 where id % 2 = 0",
        "insert into texts select n, 'added', repeat('a', 3000) from generate_series(200, 220) n",
    ]
    with hanging(rig.source, statements):
        time.sleep(3.0)
        rig.engram.faults()
        name_standby(own_postgres, "")
    rig.until(lambda: not parked(rig))
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()


def parked(rig: Rig) -> int:
    """How many keys are parked."""
    ledger = rig.ledger()
    try:
        return len(ledger.parked_keys())
    finally:
        ledger.close()


def test_a_huge_transaction_during_the_snapshot_passes_in_bounded_memory(make_rig: MakeRig) -> None:
    """More than 200,000 row changes over several tables in one transaction, while chunks are read and the target is slow: the
    bridge's process stays below 400 MB, and all is proven."""
    rig = make_rig(snapshot={"workers": 4, "chunk_rows": 500})
    rig.sql(
        *(f"create table wide_{n} (id int primary key, a text, b text)" for n in range(3)),
        *(f"insert into wide_{n} select g, repeat(md5(g::text), 8), 'seeded' from generate_series(1, 1000) g" for n in range(3)),
    )
    rig.engram.faults([{"on": "*", "do": "slow", "seconds": 0.4}])
    process = psutil.Process(rig.start().pid)
    rig.wait_for("streaming")
    highest = 0
    ended = threading.Event()

    def measure() -> None:
        nonlocal highest
        while not ended.wait(0.1):
            with suppress(psutil.NoSuchProcess):
                highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=measure, daemon=True)
    watcher.start()
    rig.sql(
        """
        do $$ begin
            for round in 1..45 loop
                for n in 0..2 loop
                    execute format('insert into wide_%s select g + 10000, repeat(md5(g::text), 8), %L
                                    from generate_series(1, 500) g', n, 'comes and goes');
                    execute format('update wide_%s set b = %L where id > 10000', n, 'round ' || round);
                    execute format('delete from wide_%s where id > 10000', n);
                end loop;
            end loop;
            for n in 0..2 loop
                execute format('insert into wide_%s select g + 20000, repeat(md5(g::text), 8), %L
                                from generate_series(1, 3000) g', n, 'stays');
            end loop;
        end $$
        """
    )
    time.sleep(10.0)
    rig.engram.faults()
    rig.wait_until_proven(180)
    ended.set()
    watcher.join()
    assert highest < 400 * 2**20, f"{highest / 2**20:.0f} MB"
    assert rig.stop() == 0, rig.tail()
    rig.prove()
