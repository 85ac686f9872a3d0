"""The catalogue as wal2json's stream needs it: never older than the transaction, asked as seldom as that allows."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bridge.changes import RowChange
from bridge.errors import SourceUnavailable
from bridge.postgres import connect
from bridge.sandbox.postgres import SandboxPostgres
from cdc import definitions, slot
from cdc.definitions import Definitions
from cdc.source import StreamSource
from tests.conftest import sandbox
from tests.patience import PATIENCE


class Counted(Definitions):
    """Counts the statements."""

    statements = 0

    def _rows(self, query: str, **parameters: object) -> list[tuple[object, ...]]:
        self.statements += 1
        return super()._rows(query, **parameters)


def xid(connection: psycopg.Connection) -> int:
    """The 32-bit id of a transaction that has ended, newer than all before."""
    row = connection.execute("select txid_current() % (1::bigint << 32)").fetchone()
    assert row is not None
    return int(row[0])


def test_nothing_is_asked_that_is_known_already(database: str) -> None:
    """A backlog of transactions that were visible at the first question costs no other; a newer one costs one statement, and the
    tables are read again only when they have changed."""
    with psycopg.connect(database, autocommit=True) as writer:
        writer.execute("create table things (id int primary key, name text, twice int generated always as (id * 2) stored)")
        known = [xid(writer) for _ in range(3)]
        asked = Counted(database)
        name = ("public", "things")
        found = asked.of([name], known)[name]
        assert found is not None
        assert [(column.name, column.is_identity) for column in found.relation.columns] == [("id", True), ("name", False)]
        assert (found.identity, found.generated, found.leaf) == ("d", frozenset({"twice"}), False)
        first = asked.statements
        assert asked.of([name], known) == {}
        assert asked.statements == first
        assert asked.of([name], [xid(writer)]) == {}
        assert asked.statements == first + 1
        writer.execute("alter table things replica identity full")
        changed = asked.of([name], [xid(writer)])[name]
        assert changed is not None
        assert all(column.is_identity for column in changed.relation.columns)
        writer.execute("alter table things rename to others")
        assert asked.of([name], [xid(writer)]) == {name: None}
        asked.close()


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[SandboxPostgres]:
    """A server with wal2json whose commits wait for a standby that is not there."""
    server = sandbox(tmp_path / "data", plugin="wal2json")
    server.start()
    try:
        yield server
    finally:
        server.kill()


def standby(server: SandboxPostgres, name: str) -> None:
    """Commits wait for a standby of that name; '' ends it."""
    with psycopg.connect(server.url(), autocommit=True, options="-c synchronous_commit=local") as admin:
        admin.execute(f"alter system set synchronous_standby_names = '{name}'".encode())
        admin.execute("select pg_reload_conf()")
        deadline = time.monotonic() + PATIENCE
        while admin.execute("select current_setting('synchronous_standby_names')").fetchone() != (name,):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_table_that_cannot_be_seen_yet_is_not_taken_for_none(waiting: SandboxPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 11: a partition that is made and filled in a commit which hangs is streamed and cannot be looked up. Its rows are not
    left out: the connection ends, and the next one brings them; meanwhile tables that are known flow on."""
    monkeypatch.setattr(definitions, "PATIENCE", 1.0)
    monkeypatch.setattr(definitions, "MOMENT", 0.1)
    url = waiting.url()
    with psycopg.connect(url, autocommit=True) as writer:
        writer.execute("create table parted (id int primary key) partition by range (id)")
        writer.execute("create table plain (id int primary key)")
        slot.ensure_publication(writer, "p", [("public", "parted"), ("public", "plain")], server_version=150000)
        with contextlib.closing(connect(url, replication=True)) as walsender:
            slot.create_slot(walsender, "s", "wal2json")
        writer.execute("insert into plain values (1)")
    standby(waiting, "nobody")

    def commit(statements: str) -> threading.Thread:
        def run() -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(statements.encode())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def ids(stream: StreamSource, count: int) -> list[str | None]:
        found: list[str | None] = []
        deadline = time.monotonic() + PATIENCE
        while len(found) < count:
            assert time.monotonic() < deadline
            for event in stream.read(0.2):
                if isinstance(event, RowChange):
                    assert event.relation.label == ("public.parted" if event.new == ("11",) else "public.plain")
                    assert event.new is not None
                    found.append(str(event.new[0]))
        return found

    known = commit("insert into plain values (2)")
    with contextlib.closing(StreamSource(url, "s", "p", plugin="wal2json")) as stream:
        assert ids(stream, 2) == ["1", "2"]
        made = commit(
            "begin; create table parted_1 partition of parted for values from (10) to (20); "
            "insert into parted values (11); commit"
        )
        with pytest.raises(SourceUnavailable, match="not visible"):
            ids(stream, 1)
        stream.abandon()
    standby(waiting, "")
    for thread in (known, made):
        thread.join(20)
        assert not thread.is_alive()
    with contextlib.closing(StreamSource(url, "s", "p", plugin="wal2json")) as stream:
        assert ids(stream, 3) == ["1", "2", "11"]
