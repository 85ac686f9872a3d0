"""A ledger in PostgreSQL: who may write when connections and servers come and go, and how its place is judged."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from bridge.errors import BridgeError, ConfigError, LedgerError, LedgerHeld, LedgerUnavailable
from bridge.gate import Entry
from bridge.ledger import Batch, Generations, Ledger, Outcome, patience
from bridge.ledger.locking import ServerHolder
from bridge.ledger.place import ledger_exists, place_of
from bridge.preflight_ledger import ledger_facts
from bridge.sandbox.postgres import SandboxPostgres
from snapshot import catalog as catalogs
from tests.conftest import Server
from tests.patience import PATIENCE

ENTRY = Entry("0001:1:1", "d", "", True, 0)


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    """Held by this run."""
    made = Ledger(database)
    made.acquire()
    made.register("public.things", ["things"], [], 1)
    yield made
    made.close()


def end_lock_session(database: str) -> None:
    """As an administrator, a broken network or a time limit would."""
    with psycopg.connect(database, autocommit=True) as admin:
        rows = admin.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where datname = current_database() and application_name = 'engram-bridge ledger lock'"
        ).fetchall()
    assert rows == [(True,)]


@contextmanager
def half_closed(ledger: Ledger, database: str) -> Iterator[Callable[[], None]]:
    """Cut the connection of the ledger's lock on our side alone; what is given makes the server notice."""
    holder = ledger._holder
    assert isinstance(holder, ServerHolder)
    assert holder._connection is not None
    number, pid = holder._connection.fileno(), holder._connection.info.backend_pid
    with socket.socket(fileno=os.dup(number)) as server_side, socket.socket() as unconnected:
        os.dup2(unconnected.fileno(), number)

        def notice() -> None:
            server_side.shutdown(socket.SHUT_RDWR)
            with psycopg.connect(database, autocommit=True) as admin:
                admin.execute("select pg_terminate_backend(%s, 5000)", (pid,))

        yield notice


def test_whoever_has_lost_the_right_writes_nothing(ledger: Ledger, database: str) -> None:
    """Its session ends without its knowing and another run takes over: each of its writes is refused, and says who has it now."""
    ledger.record(Batch([Outcome((1, "a"), entry=ENTRY)], facts={"proven": "1"}))
    end_lock_session(database)
    other = Ledger(database)
    other.acquire()
    for write in (
        lambda: ledger.record(Batch([Outcome((1, "b"), entry=ENTRY)], facts={"proven": "2"})),
        lambda: ledger.put_facts({"ended": "in order"}),
        lambda: ledger.set_table(1, state="loaded"),
    ):
        with pytest.raises(LedgerHeld, match=r"has lost the ledger .* to another: process"):
            write()
    assert other.facts()["proven"] == "1"
    assert "ended" not in other.facts()
    other.record(Batch([Outcome((1, "b"), entry=ENTRY)], facts={"proven": "3"}))
    assert set(other.entries(1, ["a", "b"])) == {"a", "b"}
    other.close()


def test_nobody_takes_over_between_the_look_and_the_commit(ledger: Ledger, database: str) -> None:
    """A transaction that has found its token keeps the right until it ends: the next run waits for it, and sees what it wrote."""
    end_lock_session(database)
    other = Ledger(database)
    taken = threading.Event()

    def take() -> None:
        other.acquire()
        taken.set()

    thread = threading.Thread(target=take)
    with ledger.writing() as connection:
        connection.exec_driver_sql("insert into facts values ('last', 'word')")
        thread.start()
        assert not taken.wait(1.0)
    assert taken.wait(10.0)
    thread.join()
    assert other.facts()["last"] == "word"
    with pytest.raises(LedgerHeld):
        ledger.put_facts({"last": "nothing"})
    other.close()


def test_a_lock_that_was_lost_and_not_taken_is_taken_again(
    ledger: Ledger, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on, and others see again who it is."""
    monkeypatch.setattr("bridge.ledger.locking.LOOK_SECONDS", 0.0)
    beside = Ledger(database)
    before = beside.held_by()
    end_lock_session(database)
    assert beside.held_by() is None
    ledger.put_facts({"still": "here"})
    assert beside.held_by() == before
    with pytest.raises(LedgerHeld):
        beside.acquire()
    beside.close()


def test_a_lock_that_its_own_dead_session_still_holds_is_waited_for(
    ledger: Ledger, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network has ended our connection, and the server does not know yet: the run goes on behind its fence, nobody else
    gets in, and the lock is ours again once the server has noticed. If another run was faster then, that is told."""
    monkeypatch.setattr("bridge.ledger.locking.LOOK_SECONDS", 0.0)
    beside = Ledger(database)
    with half_closed(ledger, database) as notice:
        ledger.put_facts({"behind": "the fence"})
        ledger.record(Batch([Outcome((1, "a"), entry=ENTRY)]))
        with pytest.raises(LedgerHeld, match="another run works with this ledger"):
            beside.acquire()
        notice()
        ledger.put_facts({"the lock": "is ours"})
        with pytest.raises(LedgerHeld, match="another run works with this ledger"):
            beside.acquire()
    with half_closed(ledger, database) as notice:
        ledger.put_facts({"behind": "the fence again"})
        notice()
        beside.acquire()
        with pytest.raises(LedgerHeld, match=r"has lost the ledger .* to another"):
            ledger.put_facts({"lost": "by now"})
    assert "lost" not in beside.facts()
    beside.close()


def test_a_step_whose_answer_was_lost_is_not_done_twice(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit came through and the connection broke: asked again, the ledger finds the step done, and what follows from it."""
    from bridge.memories import Edge

    ledger.record(Batch([Outcome((1, "child"), entry=ENTRY, edges=[Edge("up", 1, None, ("1:name", "anna"))], fresh=True)]))
    ledger.patience.begin()
    stepped = ServerHolder.stepped
    lost = [True, True]

    def lose(self: ServerHolder) -> None:
        if lost:
            lost.pop()
            raise LedgerUnavailable("the answer was lost")
        stepped(self)

    monkeypatch.setattr(ServerHolder, "stepped", lose)
    batch = Batch([Outcome((1, "anna"), entry=ENTRY, alternates=[("1:name", "anna")])], counters={"changes_applied": 1})
    assert ledger.record(batch) == [(1, "child")]
    assert not lost
    ledger.record(Batch(counters={"changes_applied": 1}))
    assert ledger.counters() == {"changes_applied": 2}


def test_a_server_that_has_forgotten_steps_is_found_out(ledger: Ledger, database: str) -> None:
    """A standby that was behind, or a copy, in place of the server that acknowledged them: nothing more is recorded."""
    ledger.record(Batch(facts={"proven": "1"}))
    ledger.record(Batch(facts={"proven": "2"}))
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("update engram_bridge.writers set steps = steps - 1")
    with pytest.raises(LedgerError, match="seen 1 durable steps, and has acknowledged 2"):
        ledger.record(Batch(facts={"proven": "3"}))
    assert ledger.facts()["proven"] == "2"


def test_a_server_that_is_away_is_waited_for(own_postgres: SandboxPostgres) -> None:
    """Killed and restarted under a run: nobody gets an error, what was asked meanwhile is done, each step once."""
    ledger = Ledger(own_postgres.url())
    ledger.acquire()
    ledger.patience.begin()
    counted, failed = [0], []
    ending = threading.Event()

    def work() -> None:
        try:
            while not ending.is_set():
                ledger.record(Batch([Outcome((1, str(counted[0])), entry=ENTRY)], counters={"done": 1}))
                ledger.entries(1, ["0"])
                counted[0] += 1
        except BridgeError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(3):
        time.sleep(0.3)
        own_postgres.kill()
        time.sleep(0.5)
        own_postgres.start()
    before = counted[0]
    deadline = time.monotonic() + PATIENCE
    while counted[0] <= before and time.monotonic() < deadline:
        time.sleep(0.05)
    ending.set()
    thread.join(30)
    assert not failed
    assert counted[0] > before
    assert ledger.counters() == {"done": counted[0]}
    assert ledger.held_by() is not None
    ledger.close()


def test_a_run_that_is_to_end_does_not_wait_for_ever(own_postgres: SandboxPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits then gets the error that says what is away; without a run nobody waits at all."""
    ledger = Ledger(own_postgres.url())
    ledger.acquire()
    own_postgres.kill()
    with pytest.raises(LedgerUnavailable):
        ledger.facts()
    ledger.patience.begin()
    monkeypatch.setattr(patience, "HURRY_SECONDS", 0.3)
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            ledger.facts()
        except LedgerUnavailable as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(1.0)
    assert thread.is_alive()
    ledger.patience.hurry()
    thread.join(10.0)
    assert "is not available" in str(raised[0])
    ledger.close()


def test_every_question_of_a_run_waits() -> None:
    """A method of the ledger that forgets to would end a run with the first restart of its server."""
    alone = {"acquire", "release", "close", "reading", "writing", "stepping", "held_by", "scan", "live_keys", "take_requests"}
    for asked in (Ledger, Generations):
        public = {name for name in dir(asked) if not name.startswith("_") and callable(getattr(asked, name))}
        assert {name for name in public if not hasattr(getattr(asked, name), "__wrapped__")} <= alone


# the place


def test_a_password_is_never_shown(postgres: Server) -> None:
    """Neither where the ledger is named, nor in an error."""
    location = "postgresql://someone:geheim@127.0.0.1:1/db?password=geheim&schema=my%20ledger"
    place = place_of(location)
    assert place.shown == "postgresql://someone@127.0.0.1:1/db?schema=my ledger"
    with pytest.raises(LedgerUnavailable) as raised:
        ledger_exists(location)
    facts = ledger_facts(location)
    assert facts.unavailable
    assert "geheim" not in f"{raised.value} {raised.value.hint} {facts} {place}"


@pytest.mark.parametrize("location", ["mysql://host/db", "postgresql://[", "sqlite://"])
def test_a_place_that_cannot_be_is_told(location: str) -> None:
    """With what can be written instead."""
    with pytest.raises(ConfigError) as raised:
        place_of(location)
    assert raised.value.hint


def test_the_ledger_keeps_to_its_schema(database: str) -> None:
    """Beside other tables of the same names, under any name; two of them in one database know nothing of each other."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("create table facts (other int)")
    first, second = Ledger(database), Ledger(database + "?schema=It%27s%20%22mine%22")
    first.acquire()
    second.acquire()
    first.put_facts({"which": "first"})
    second.put_facts({"which": "second"})
    assert (first.facts()["which"], second.facts()["which"]) == ("first", "second")
    assert first.facts()["ledger_id"] != second.facts()["ledger_id"]
    with psycopg.connect(database) as connection:
        assert [table.label for table in catalogs.load(connection).tables.values()] == ["public.facts"], "a ledger is no source"
    first.close()
    second.close()


def test_a_schema_of_something_else_is_refused(database: str) -> None:
    """By `run` and by `check`, and it stays as it was."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("create schema engram_bridge")
        admin.execute("create table engram_bridge.invoices (id int)")
    assert "something else" in ledger_facts(database).failure
    with pytest.raises(LedgerError, match="something else"):
        Ledger(database)
    assert not ledger_exists(database)


def test_a_role_without_the_right_is_told_the_statement(database: str, postgres: Server) -> None:
    """What the administrator runs, in the words of `check`; after it the ledger can be made."""
    name = str(psycopg.conninfo.conninfo_to_dict(database)["dbname"])
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("create role bookkeeper login")
    try:
        location = postgres.url(name, user="bookkeeper")
        facts = ledger_facts(location)
        assert "may not create" in facts.failure
        with pytest.raises(LedgerError, match="permission denied"):
            Ledger(location)
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute(facts.remedy.encode())
        Ledger(location).close()
        assert not ledger_facts(location).failure
        assert ledger_facts(location).exists
    finally:
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute("drop owned by bookkeeper cascade")
            admin.execute("drop role bookkeeper")


def test_a_database_that_cannot_hold_every_text_is_refused(postgres: Server) -> None:
    """Keys can be anything; in another encoding some of them could not be noted."""
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute("create database latin template template0 encoding 'LATIN1' locale 'C'")
    try:
        with pytest.raises(LedgerError, match="encoding LATIN1"):
            Ledger(postgres.url("latin"))
    finally:
        with psycopg.connect(postgres.url(), autocommit=True) as admin:
            admin.execute(sql.SQL("drop database latin with (force)"))


def test_every_text_is_compared_byte_by_byte(ledger: Ledger, database: str) -> None:
    """Whatever the database's language is: pages of a scan go by `key > last`."""
    with psycopg.connect(database) as connection:
        others = connection.execute(
            "select c.relname, a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid "
            "where c.relnamespace = 'engram_bridge'::regnamespace and a.attnum > 0 "
            "and a.attcollation not in (0, (select oid from pg_collation where collname = 'C'))"
        ).fetchall()
    assert others == []


def test_a_server_that_does_not_sync_is_told(database: str) -> None:
    """The sandbox's does not: its ledger survives a crash of the server, and not one of the machine."""
    facts = ledger_facts(database)
    assert not facts.failure
    assert not facts.exists
    assert any("fsync = off" in what for what, _remedy in facts.notes)


def test_commits_wait_for_the_disk_whatever_the_role_says(database: str) -> None:
    """Law 4: `synchronous_commit` is on, although the database says otherwise."""
    name = str(psycopg.conninfo.conninfo_to_dict(database)["dbname"])
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(sql.SQL("alter database {} set synchronous_commit to off").format(sql.Identifier(name)))
    ledger = Ledger(database)
    with ledger.writing() as connection:
        assert connection.exec_driver_sql("show synchronous_commit").scalar() == "on"
    ledger.close()


def test_a_file_and_its_url_are_one_place(tmp_path: Path) -> None:
    """`sqlite:///path` is the path."""
    Ledger(f"sqlite:///{tmp_path}/ledger.db").close()
    assert ledger_exists(str(tmp_path / "ledger.db"))


def test_what_a_thread_still_asks_when_the_ledger_is_closed_leaves_no_connection(database: str) -> None:
    """Whoever was left behind may go on; neither the connection it had nor another one that it takes stays open."""
    made = Ledger(database)
    with made.reading() as held:
        held.exec_driver_sql("select 1")
        made.close()
    assert made.facts()
    with psycopg.connect(database, autocommit=True) as admin:
        others = "select application_name from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        deadline = time.monotonic() + PATIENCE
        while found := admin.execute(f"{others} and backend_type = 'client backend'").fetchall():
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
