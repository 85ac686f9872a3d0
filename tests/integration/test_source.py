"""The stream from a real server: every kind of change, a slow consumer, large transactions, redelivery."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bridge.changes import UNCHANGED, Begin, Commit, Event, Heartbeat, Keepalive, RelationSeen, RowChange, Truncated
from bridge.errors import SlotLost, SourceUnavailable
from bridge.postgres import connect
from bridge.sandbox.postgres import SandboxPostgres
from cdc import slot as slots
from cdc.source import emit_heartbeat
from cdc.walsender import WalReader
from tests.integration.staging import Proxy, Stage, changes, commits, prepare, read_until, versions
from tests.patience import PATIENCE

BIG = "x" * 5000


@pytest.fixture(params=["pgoutput", "wal2json"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage on the session's server, once with each plugin."""
    database = request.getfixturevalue("database" if request.param == "pgoutput" else "wal2json_database")
    prepared = prepare(database, f"slot_{conninfo_to_dict(database)['dbname']}", request.param)
    try:
        yield prepared
    finally:
        prepared.close()


def test_every_kind_of_change_arrives(stage: Stage) -> None:
    """Inserts, updates, a key change, deletes, of both identities, come as one transaction with ordinals without a gap."""
    with stage.writer.transaction():
        stage.writer.execute("insert into item values (1, 'a', null), (2, 'b', 'c')")
        stage.writer.execute("update item set name = 'z' where id = 1")
        stage.writer.execute("update item set id = 20 where id = 2")
        stage.writer.execute("delete from item where id = 1")
        stage.writer.execute("insert into noted values (1, 'a', 'b')")
        stage.writer.execute("update noted set name = 'c'")
        stage.writer.execute("delete from noted")
    events = read_until(stage.stream(), commits(1))
    assert [(change.kind, change.new, change.old, change.old_is_full) for change in changes(events)] == [
        ("insert", ("1", "a", None), None, False),
        ("insert", ("2", "b", "c"), None, False),
        ("update", ("1", "z", None), None, False),
        ("update", ("20", "b", "c"), ("2", None, None), False),
        ("delete", None, ("1", None, None), False),
        ("insert", ("1", "a", "b"), None, False),
        ("update", ("1", "c", "b"), ("1", "a", "b"), True),
        ("delete", None, ("1", "c", "b"), True),
    ]
    assert [change.ordinal for change in changes(events)] == list(range(1, 9))
    begin = next(event for event in events if isinstance(event, Begin))
    commit = next(event for event in events if isinstance(event, Commit))
    assert begin.commit_lsn == commit.commit_lsn < commit.end_lsn
    assert abs(begin.commit_time - time.time()) < 60


def test_unchanged_toast_is_unchanged_or_completed(stage: Stage) -> None:
    """A large value that an UPDATE left alone is UNCHANGED, never NULL; with full identity it is the old row's."""
    stage.writer.execute("insert into item values (1, 'a', %s)", (BIG,))
    stage.writer.execute("update item set name = 'b'")
    stage.writer.execute("insert into noted values (1, 'a', %s)", (BIG,))
    stage.writer.execute("update noted set name = 'b'")
    stage.writer.execute("update item set id = 2")
    updates = [change for change in changes(read_until(stage.stream(), commits(5))) if change.kind == "update"]
    assert [change.new for change in updates] == [("1", "b", UNCHANGED), ("1", "b", BIG), ("2", "b", UNCHANGED)]


def test_truncate_and_partitions_come_under_the_carried_names(stage: Stage) -> None:
    """A partition's changes arrive as its root's, and tables that were truncated together as one event that counts; from wal2json
    one by one, and of the partitions, which it names too, nothing is made."""
    with stage.writer.transaction():
        stage.writer.execute("insert into event values (1, '2024-02-01', 'a')")
        stage.writer.execute("truncate item, event")
        stage.writer.execute("insert into event_2024 values (2, '2024-02-01', 'b')")
    events = read_until(stage.stream(), commits(1))
    assert {change.relation.label for change in changes(events)} == {"public.event"}
    truncated = [event for event in events if isinstance(event, Truncated)]
    together = [[relation.label for relation in event.relations] for event in truncated]
    if stage.plugin == "pgoutput":
        assert together in ([["public.event", "public.item"]], [["public.item", "public.event"]])
        assert [change.ordinal for change in changes(events)] == [1, 3]
        assert truncated[0].ordinal == 2
    else:
        assert sorted(together) == [["public.event"], ["public.item"]]
        assert [change.ordinal for change in changes(events)] == [1, 5]


def test_a_partition_of_another_identity_than_its_root_loses_no_value(stage: Stage) -> None:
    """The root's identity is full, the partition's is not: what an update of the key leaves out is not taken for NULL."""
    stage.writer.execute("alter table event add big text")
    stage.writer.execute("alter table event alter big set storage external")
    stage.writer.execute("alter table event_2024 alter big set storage external")
    stage.writer.execute("alter table event replica identity full")
    stage.writer.execute("insert into event values (1, '2024-02-01', 'a', %s)", [BIG])
    stage.writer.execute("update event set id = 2 where id = 1")
    moved = changes(read_until(stage.stream(), commits(2)))[1]
    assert moved.new == ("2", "2024-02-01", "a", UNCHANGED)
    assert moved.old is not None
    assert moved.old[:2] == ("1", "2024-02-01")


def test_a_changed_definition_is_announced_before_its_first_row(stage: Stage) -> None:
    """After ALTER TABLE the relation comes again, with the new column, ahead of the rows that have it."""
    source = stage.stream()
    stage.writer.execute("insert into item values (1, 'a', null)")
    read_until(source, commits(1))
    stage.writer.execute("alter table item add extra numeric default 1.50")
    stage.writer.execute("insert into item values (2, 'a', null)")
    events = read_until(source, commits(1))
    seen = [event for event in events if isinstance(event, RelationSeen | RowChange)]
    assert isinstance(seen[0], RelationSeen)
    assert [column.name for column in seen[0].relation.columns] == ["id", "name", "body", "extra"]
    assert [change.new for change in changes(events)] == [("2", "a", None, "1.50")]


def test_a_heartbeat_comes_back(stage: Stage) -> None:
    """What we write beside the tables comes through the whole path, with its content and position."""
    source = stage.stream()
    with connect(stage.url) as connection:
        content = b"\x00\xff beat" if stage.plugin == "pgoutput" else b"\xff beat"  # wal2json takes a zero for the end
        lsn = emit_heartbeat(connection, "engram-bridge", content)
    events = read_until(source, lambda events: any(isinstance(event, Heartbeat) for event in events))
    beat = next(event for event in events if isinstance(event, Heartbeat))
    assert (beat.prefix, beat.content) == ("engram-bridge", content)
    assert 0 < beat.lsn <= lsn
    assert source.received >= lsn


def test_keepalives_move_while_other_tables_are_written(stage: Stage) -> None:
    """Law 5: WAL of tables that are not carried moves the position too, so a quiet database is never behind."""
    source = stage.stream()
    stage.writer.execute("insert into quiet select generate_series(1, 1000)")
    target = stage.flush_lsn()

    def reached(events: Sequence[Event]) -> bool:
        return any(isinstance(event, Keepalive) and event.wal_end >= target for event in events)

    events = read_until(source, reached)
    assert {change.relation.label for change in changes(events)} <= ({"public.quiet"} if stage.plugin == "wal2json" else set())
    assert source.silence < 5


def test_what_was_confirmed_is_not_sent_again(stage: Stage) -> None:
    """A confirmed end position reaches the slot at the close; a new stream begins behind it."""
    source = stage.stream()
    stage.writer.execute("insert into item values (1, 'a', null)")
    events = read_until(source, commits(1))
    end = next(event.end_lsn for event in events if isinstance(event, Commit))
    source.confirm(end)
    source.confirm(end - 100)
    source.close()
    seen = slots.inspect_slot(stage.writer, stage.slot)
    assert seen is not None
    assert seen.confirmed_flush_lsn == end
    stage.writer.execute("insert into item values (2, 'a', null)")
    again = read_until(stage.stream(end), commits(1))
    assert [change.new for change in changes(again)] == [("2", "a", None)]


def test_a_slot_in_use_names_its_holder(stage: Stage) -> None:
    """A second reader is told who reads, and may try again: a killed predecessor's session goes by itself."""
    stage.stream()
    with pytest.raises(SourceUnavailable, match=r"pid \d+ \(engram-bridge at 127.0.0.1\)"):
        stage.stream()


def test_a_missing_slot_is_lost(stage: Stage) -> None:
    """A slot that is not there cannot be waited for."""
    slots.drop_slot(stage.writer, stage.slot)
    with pytest.raises(SlotLost):
        stage.stream()


@pytest.mark.slow
def test_a_large_transaction_needs_no_memory(stage: Stage) -> None:
    """200,000 rows of one commit flow on before the commit arrives, and are never held together."""
    stage.writer.execute("insert into item select n, repeat('x', 100), repeat('y', 100) from generate_series(1, 200000) n")
    source = stage.stream()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = last = 0
    done = False
    while not done:
        batch = source.read(5)
        assert len(batch) <= 500 + 1  # the table's announcement
        for event in batch:
            if isinstance(event, RowChange):
                count, last = count + 1, event.ordinal
            done = done or isinstance(event, Commit)
    assert count == last == 200_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB; the rows alone are 45 MB


@pytest.mark.slow
def test_a_consumer_that_only_tends_keeps_the_connection(stage: Stage) -> None:
    """A full queue never silences us: three times the server's timeout without reading, while it has more to send."""
    database = conninfo_to_dict(stage.url)["dbname"]
    stage.writer.execute(f"alter database {database} set wal_sender_timeout = '2s'".encode())
    source = stage.stream()
    stage.writer.execute("insert into item select n, repeat('x', 1000) from generate_series(1, 30000) n")
    source.read(5)
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        source.tend()
        time.sleep(0.1)
    events = read_until(source, commits(1))
    assert len(changes(events)) > 29_000


def test_after_a_crash_the_same_versions_come_again(own_postgres: SandboxPostgres) -> None:
    """Law 2: what was not confirmed is delivered again, whole, with equal versions; until the server is up it is waited for."""
    stage = prepare(own_postgres.url(), "bridge")
    try:
        for number in range(20):
            stage.writer.execute("insert into item select %s * 10 + n, 'a' from generate_series(1, 5) n", (number,))
        source = stage.stream()
        first = read_until(source, commits(20))
        middle = [event.end_lsn for event in first if isinstance(event, Commit)][9]
        source.confirm(middle)
        stage.writer.close()
        own_postgres.kill()
        with pytest.raises(SourceUnavailable):
            read_until(source, lambda _events: False)
        with pytest.raises(SourceUnavailable):
            stage.stream()
        own_postgres.start()
        again = read_until(stage.stream(middle), commits(10))
        assert versions(again) == versions(first)[50:]
    finally:
        stage.close()


def test_a_terminated_walsender_is_waited_for(stage: Stage) -> None:
    """An administrator who ends our session interrupts us; nothing is lost by it."""
    source = stage.stream()
    stage.writer.execute("insert into item values (1, 'a', null)")
    first = read_until(source, commits(1))
    stage.writer.execute("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s", (stage.slot,))
    with pytest.raises(SourceUnavailable):
        read_until(source, lambda _events: False)
    deadline = time.monotonic() + PATIENCE
    while (seen := slots.inspect_slot(stage.writer, stage.slot)) and seen.active and time.monotonic() < deadline:
        time.sleep(0.05)
    assert versions(read_until(stage.stream(), commits(1))) == versions(first)


def test_an_invalidated_slot_is_lost(own_postgres: SandboxPostgres) -> None:
    """When the WAL that the slot held back is gone, the stream says that it is lost, and verify says it too."""
    stage = prepare(own_postgres.url(), "bridge")
    try:
        stage.writer.execute("alter system set max_slot_wal_keep_size = '1MB'")
        stage.writer.execute("select pg_reload_conf()")
        for _ in range(3):
            stage.writer.execute("insert into quiet values (1)")
            stage.writer.execute("select pg_switch_wal()")
        stage.writer.execute("checkpoint")
        with pytest.raises(SlotLost):
            stage.stream().read(5)
        seen = slots.inspect_slot(stage.writer, stage.slot)
        assert seen is not None
        assert seen.lost is not None
    finally:
        stage.close()


def read_on(reader: WalReader) -> None:
    """Read until something ends it."""
    while True:
        reader.read(0.2)


def test_a_connection_that_is_held_open_by_something_else_is_given_up(stage: Stage) -> None:
    """A server that is quiet answers when asked; what does not even then is no server."""
    at = conninfo_to_dict(stage.url)
    proxy = Proxy(str(at["host"]), int(str(at["port"])))
    url = make_conninfo(stage.url, host="127.0.0.1", port=proxy.port)
    reader = WalReader(url, stage.slot, "bridge", plugin=stage.plugin, patience=2.0)
    try:
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            reader.read(0.2)
        proxy.deaf.set()
        with pytest.raises(SourceUnavailable, match="not even when asked"):
            read_on(reader)
    finally:
        reader.abandon()
        proxy.close()
