"""Slot, publication and barrier on a real server."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from bridge.errors import ConfigError, Fatal, SlotLost, SourceUnavailable
from bridge.postgres import connect
from cdc import slot as slots

TABLES = [("public", "a"), ("Odd schema", 'b"c')]


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    """A connection as the bridge makes it, to a database with two tables."""
    with connect(database) as opened:
        opened.execute("create table public.a (id int primary key, t text)")
        opened.execute('create schema "Odd schema"')
        opened.execute('create table "Odd schema"."b""c" (id int primary key)')
        yield opened


def ensure(connection: psycopg.Connection, name: str, tables: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """`ensure_publication` for the server at hand."""
    return slots.ensure_publication(connection, name, tables, server_version=connection.info.server_version)


def slot_name(database: str) -> str:
    """Slots are named per server, so the name has the database's."""
    return f"slot_{conninfo_to_dict(database)['dbname']}"


def test_a_publication_is_made_completed_and_left_alone(connection: psycopg.Connection) -> None:
    """What is missing is added and told; a second call adds nothing; odd names are no trouble."""
    assert ensure(connection, 'My "pub"', TABLES[:1]) == TABLES[:1]
    assert ensure(connection, 'My "pub"', TABLES) == TABLES[1:]
    assert ensure(connection, 'My "pub"', TABLES) == []
    row = connection.execute("select pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot from pg_publication").fetchone()
    assert row == (True,) * 5
    slots.drop_publication(connection, 'My "pub"')
    slots.drop_publication(connection, 'My "pub"')


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        ("for all tables", "for all tables"),
        ("for tables in schema public", "all tables of a schema"),
        ("for table public.a with (publish = 'insert, update', publish_via_partition_root)", "delete, truncate"),
        ("for table public.a", "under the partitions' names"),
        ("for table public.a where (id > 1) with (publish_via_partition_root)", "leaves out rows or columns of public.a"),
        ("for table public.a (id) with (publish_via_partition_root)", "leaves out rows or columns of public.a"),
    ],
)
def test_a_publication_that_leaves_something_out_is_refused(connection: psycopg.Connection, definition: str, says: str) -> None:
    """Law 12: rows, columns, actions or partitions that would be missing are found before anything is read."""
    connection.execute(f"create publication narrow {definition}".encode())
    with pytest.raises(ConfigError, match=says) as refused:
        ensure(connection, "narrow", TABLES[:1])
    assert "PUBLICATION" in refused.value.hint


def test_a_table_that_cannot_be_published_is_told_with_the_statement(connection: psycopg.Connection) -> None:
    """The hint is the statement that somebody with the right can run."""
    with pytest.raises(ConfigError, match="does not exist") as refused:
        ensure(connection, "p", [("public", "nowhere")])
    assert 'create publication "p" for table only "public"."nowhere"' in refused.value.hint
    with pytest.raises(ConfigError):
        ensure(connection, "p", [])


def test_a_slot_is_made_seen_held_and_dropped(connection: psycopg.Connection, database: str) -> None:
    """Its consistent point is where it has confirmed; its holder is named while it streams; dropping it twice is fine."""
    name = slot_name(database)
    assert slots.inspect_slot(connection, name) is None
    ensure(connection, "p", TABLES)
    with contextlib.closing(connect(database, replication=True, application_name="the holder")) as walsender:
        point = slots.create_slot(walsender, name)
        identity = slots.system_identity(walsender)
        with pytest.raises(Fatal, match="already exists"):
            slots.create_slot(walsender, name)
        seen = slots.inspect_slot(connection, name)
        assert seen is not None
        assert (seen.plugin, seen.confirmed_flush_lsn, seen.holder) == ("pgoutput", point, None)
        facts = slots.LedgerFacts(identity.system_identifier, identity.timeline, identity.database, name, point)
        slots.verify(facts, seen, identity)
        options = slots.server_options(connection.info.server_version, "p")
        walsender.pgconn.exec_(slots.start_statement(name, 0, options).as_bytes(walsender))
        held = slots.inspect_slot(connection, name)
        assert held is not None
        assert held.active
        assert "the holder" in str(held.holder)
        with pytest.raises(SourceUnavailable):
            slots.drop_slot(connection, name)
    for _ in range(50):
        if not (seen := slots.inspect_slot(connection, name)) or not seen.active:
            break
        time.sleep(0.1)
    slots.drop_slot(connection, name)
    slots.drop_slot(connection, name)
    with pytest.raises(SlotLost):
        slots.verify(facts, slots.inspect_slot(connection, name), identity)


def test_a_bad_slot_name_is_a_configuration_error(database: str) -> None:
    """PostgreSQL's rule for slot names is told as the remedy."""
    with connect(database, replication=True) as walsender, pytest.raises(ConfigError) as refused:
        slots.create_slot(walsender, "Not A Name")
    assert "lower-case" in refused.value.hint


def test_an_idle_server_has_no_barrier(connection: psycopg.Connection) -> None:
    """With nothing running the barrier returns at once."""
    began = time.monotonic()
    slots.barrier(connection, on_wait=lambda who: pytest.fail(str(who)))
    assert time.monotonic() - began < 1


def test_the_barrier_waits_for_what_was_running_and_names_it(connection: psycopg.Connection, database: str) -> None:
    """Law 2: it returns only after the open transaction has ended, says whose it is, and does not wait for later ones."""
    passed = threading.Event()
    told: list[str] = []
    with (
        psycopg.connect(database, application_name="night job") as writer,
        psycopg.connect(database) as later,
        connect(database) as own,
    ):
        writer.execute("insert into public.a values (1, 'x')")

        def wait() -> None:
            slots.barrier(own, on_wait=lambda who: told.append(str(who)), patience=0.2, interval=0.02)
            passed.set()

        waiter = threading.Thread(target=wait)
        waiter.start()
        assert not passed.wait(0.6)
        later.execute("insert into public.a values (2, 'x')")
        writer.commit()
        assert passed.wait(5)
        waiter.join()
    assert any("night job" in who and "idle in transaction" in who for who in told)


def test_the_barrier_waits_for_prepared_transactions(connection: psycopg.Connection) -> None:
    """A prepared transaction runs until it is committed, whoever is connected."""

    def settle(waiting: slots.Waiting) -> None:
        told.append(str(waiting))
        with connect(connection.info.dsn) as other:
            other.execute("commit prepared 'left over'")

    told: list[str] = []
    connection.execute("begin")
    connection.execute("insert into public.a values (1, 'x')")
    connection.execute("prepare transaction 'left over'")
    slots.barrier(connection, on_wait=settle, patience=0.1, interval=0.02)
    assert "prepared transaction 'left over'" in told[0]


def test_a_barrier_inside_a_transaction_is_refused(database: str) -> None:
    """Inside a transaction of ours it would see one snapshot only."""
    with psycopg.connect(database) as connection, pytest.raises(ValueError, match="autocommit"):
        slots.barrier(connection)
