"""Rows read again: as they are, with a proof of how new the reading is (law 11)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from bridge.errors import Fatal, SourceUnavailable
from bridge.postgres import connect
from bridge.sandbox.postgres import SandboxPostgres
from snapshot.catalog import load
from snapshot.chunks import read_chunk
from snapshot.plan import Chunk
from snapshot.refresh import Refresher
from tests.patience import PATIENCE

OURS = "from pg_stat_activity where application_name = 'engram-bridge refresh' and datname = current_database()"
COMMITTED = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"


@pytest.fixture
def items(database: str) -> Iterator[psycopg.Connection]:
    with connect(database) as conn:
        conn.execute("create table public.items (id int primary key, name text)")
        conn.execute("insert into public.items select g, 'n' || g from generate_series(1, 10) g")
        yield conn


def test_a_commit_that_is_not_visible_does_not_count(own_postgres: SandboxPostgres) -> None:
    """Law 11: under a synchronous standby that is away, a commit is in the WAL and streamed, but its row cannot be read."""
    url = own_postgres.url()
    with connect(url) as conn, Refresher(url) as refresher:
        conn.execute("create table public.items (id int primary key, name text)")
        table = load(conn).tables["public", "items"]
        for run in range(10):
            conn.execute("alter system set synchronous_standby_names = 'nobody'")
            conn.execute("select pg_reload_conf()")
            _await_setting(url, "nobody")
            xids: list[int] = []
            writer = threading.Thread(target=_write, args=(url, run, xids))
            writer.start()
            _await(conn, COMMITTED, 1)
            hidden = refresher.read(table, [(str(run),)])
            assert hidden.rows == {}
            assert not hidden.visible(xids[0])
            conn.execute("alter system reset synchronous_standby_names")
            conn.execute("select pg_reload_conf()")
            writer.join(10)
            shown = refresher.read(table, [(str(run),)])
            assert shown.rows == {(str(run),): (str(run), "x")}
            assert shown.visible(xids[0])
            assert shown.lsn >= hidden.lsn


def _write(url: str, number: int, xids: list[int]) -> None:
    with connect(url) as conn, conn.transaction():
        conn.execute("set local synchronous_commit = on")  # an application's, not ours: we never wait for a standby
        conn.execute("insert into public.items values (%s, 'x')", (number,))
        ((xid,),) = conn.execute("select pg_current_xact_id()::text::bigint % 4294967296").fetchall()
        xids.append(int(xid))


def _await(conn: psycopg.Connection, query: str, wanted: object) -> None:
    deadline = time.monotonic() + PATIENCE
    while conn.execute(query.encode()).fetchall() != [(wanted,)]:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _await_setting(url: str, wanted: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with connect(url) as conn:
            if conn.execute("select current_setting('synchronous_standby_names')").fetchall() == [(wanted,)]:
                return
        assert time.monotonic() < deadline


def test_rows_are_found_by_their_key_and_nothing_else(items: psycopg.Connection, database: str) -> None:
    """Law 11: keys that are not there are not in the answer; the position covers what was read."""
    table = load(items).tables["public", "items"]
    with Refresher(database) as refresher:
        reading = refresher.read(table, [("3",), ("99",), ("4",), ("3",)])
        assert reading.rows == {("3",): ("3", "n3"), ("4",): ("4", "n4")}
        assert refresher.read(table, []).rows == {}
        items.execute("update public.items set name = null where id = 3")
        later = refresher.read(table, [("3",)])
        assert later.rows == {("3",): ("3", None)}
        assert later.lsn > reading.lsn


def test_a_keyless_row_is_found_by_all_its_values(database: str) -> None:
    """*Ids*: an identical row, NULLs and all; one that only looks equal (1.0 and 1.00) is another."""
    with connect(database) as conn, Refresher(database) as refresher:
        conn.execute('create table public.log (a numeric, b text collate "C", c char(4), d bool, e json, f text, "Q""q" int[])')
        conn.execute("""insert into public.log values
            (1.0, 'x', 'ab', true, '{"a": 1}', null, '{1,null}'), (1.0, 'x', 'ab', true, '{"a": 1}', null, '{1,null}'),
            (2.0, E'"\\\\\\t', 'NULL', false, 'null', 'NULL', '{}'), (null, null, null, null, null, null, null)""")
        table = load(conn).tables["public", "log"]
        rows = list(read_chunk(conn, table, Chunk(0, None, None)))
        assert refresher.read_same(table, rows).rows == {row: row for row in rows}
        others = [("1.00", *rows[0][1:]), (*rows[2][:5], None, "{}")]
        assert refresher.read_same(table, others).rows == {}
        assert refresher.read_same(table, []).rows == {}
        conn.execute("delete from public.log where a = 2")
        assert set(refresher.read_same(table, rows).rows) == {rows[0], rows[3]}


def test_a_standby_is_refused(own_postgres: SandboxPostgres) -> None:
    """Law 11: from the primary only. A server in recovery says so, whatever it could answer."""
    with connect(own_postgres.url()) as conn:
        conn.execute("create table public.items (id int primary key)")
        table = load(conn).tables["public", "items"]
    own_postgres.stop()
    (own_postgres.data / "standby.signal").touch()
    own_postgres.start()
    with Refresher(own_postgres.url()) as refresher, pytest.raises(SourceUnavailable, match="standby"):
        refresher.read(table, [("1",)])


def test_threads_share_few_connections(items: psycopg.Connection, database: str) -> None:
    """§2: any number of lanes read again at once, over a bounded number of connections, each with its own answer."""
    table = load(items).tables["public", "items"]
    with Refresher(database, size=2) as refresher, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: refresher.read(table, [(str(n % 10 + 1),)]).rows, range(100)))
        assert items.execute(f"select count(*) {OURS}".encode()).fetchall()[0][0] <= 2
    assert answers == [{(str(n % 10 + 1),): (str(n % 10 + 1), f"n{n % 10 + 1}")} for n in range(100)]


def test_a_lost_connection_costs_one_failure(items: psycopg.Connection, database: str) -> None:
    """Law 9: after the server cut all connections, the second try reads."""
    table = load(items).tables["public", "items"]
    with Refresher(database, size=3) as refresher:
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(lambda _: refresher.read(table, [("1",)]), range(30)))
        items.execute(f"select pg_terminate_backend(pid, 5000) {OURS}".encode())
        with pytest.raises(SourceUnavailable):
            refresher.read(table, [("1",)])
        assert len(refresher.read(table, [("1",)]).rows) == 1
        with pytest.raises(Fatal, match="SQLSTATE 22P02"):
            refresher.read(table, [("no number",)])
        assert len(refresher.read(table, [("1",)]).rows) == 1
