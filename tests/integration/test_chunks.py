"""Chunks of real tables: every row in exactly one, whatever the key."""

from __future__ import annotations

import re
from collections import Counter

import psycopg
import pytest
from psycopg import sql

from bridge.errors import Fatal, SourceUnavailable
from bridge.postgres import connect
from bridge.schema import Table
from snapshot.catalog import load
from snapshot.chunks import copy_rows, plan_chunks, reached, read_chunk
from snapshot.plan import Chunk
from snapshot.refresh import Refresher

N = 60
KEYS = {
    "integer": ("k int", "g - 30"),
    "big": ("k bigint", "g * 100000000000"),
    "text": ("k text", "case g % 3 when 0 then 'Ä' when 1 then 'a' else E'_b''\\t\\\\' end || g"),
    "collated": ('k text collate "C"', "chr(64 + g) || E'\\n'"),
    "padded": ("k char(6)", "'a' || g"),
    "name": ("k name", "'n' || g"),
    "uuid": ("k uuid", "md5(g::text)::uuid"),
    "numeric": ("k numeric", "g * case when g % 2 = 0 then -1.50 else 1.5 end"),
    "float": ("k float8", "case g when 1 then 'NaN' when 2 then '-Infinity' else sqrt(g) end"),
    "moment": ("k timestamptz", "case g when 1 then 'infinity' when 2 then '0044-03-15 BC' else now() + g * interval '1 s' end"),
    "span": ("k interval", "g * interval '1 month 1 day'"),
    "bytea": ("k bytea", "decode(md5(g::text), 'hex')"),
    "bit": ("k bit(6)", "g::bit(6)"),
    "inet": ("k inet", "'10.0.0.0'::inet + g"),
    "array": ("k text[]", "array['x', null, 'g\"' || g]"),
    "range": ("k int4range", "int4range(g, g + 1)"),
    "jsonb": ("k jsonb", "jsonb_build_object('a', g)"),
    "enum": ("k public.letters", "chr(64 + g)::public.letters"),
    "domain": ("k public.code", "'c' || g"),
    "composite": ("k public.pair", "row(g, 'p' || g)::public.pair"),
    "boolean": ('k bool, "l ""l" int', "g % 2 = 0, g"),
    "three": ('k text, "l ""l" int, m date', "'t' || g % 2, g % 5, date '2020-01-01' + g"),
}


def make(database: str, declaration: str, expression: str, extra: str = "") -> None:
    """A table of N rows whose key is `declaration`; column names stand in front of each part."""
    letters = ", ".join(f"'{chr(64 + n)}'" for n in range(N, 0, -1) if chr(64 + n) != "'")
    names = ", ".join(re.findall(r'(?:^|, )("(?:[^"]|"")+"|\w+)', declaration))
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f'create type public.letters as enum ({letters}); create domain public.code as text collate "C"'.encode())
        admin.execute("create type public.pair as (a int, b text)")
        admin.execute(f'create table public."T t" ({declaration}, note text, primary key ({names})) {extra}'.encode())
        if extra:
            admin.execute('create table public.p0 partition of public."T t" for values with (modulus 2, remainder 0)')
            admin.execute('create table public.p1 partition of public."T t" for values with (modulus 2, remainder 1)')
        admin.execute(f"""insert into public."T t" select {expression}, 'note' from generate_series(1, {N}) g""".encode())


def table_of(conn: psycopg.Connection) -> Table:
    return load(conn).tables["public", "T t"]


@pytest.mark.parametrize("name", KEYS)
def test_every_row_is_in_exactly_one_chunk(database: str, name: str) -> None:
    """Law 2: by key order, for any type of key; and each row is found again by the key's text (law 11)."""
    make(database, *KEYS[name])
    with connect(database) as conn, Refresher(database) as refresher:
        table = table_of(conn)
        whole = list(read_chunk(conn, table, Chunk(0, None, None)))
        assert len(whole) == N
        for size in (1, 7, N, N + 1):
            chunks = list(plan_chunks(conn, table, size))
            assert len(chunks) == N // size + 1
            counts = [list(read_chunk(conn, table, chunk)) for chunk in chunks]
            assert Counter(row for rows in counts for row in rows) == Counter(whole)
            assert all(len(rows) == size for rows in counts[:-1])
        width = len(table.key)
        keys = [row[:width] for row in whole]
        assert refresher.read(table, keys).rows == dict(zip(keys, whole, strict=True))  # type: ignore[arg-type]


def test_partitioned_tables_are_read_from_the_root(database: str) -> None:
    """Law 2 for partitions: one plan over all of them."""
    make(database, "k int", "g", "partition by hash (k)")
    with connect(database) as conn:
        table = table_of(conn)
        chunks = list(plan_chunks(conn, table, 13))
        assert sorted(int(row[0]) for chunk in chunks for row in read_chunk(conn, table, chunk)) == list(range(1, N + 1))  # type: ignore[arg-type]


def test_rows_of_inheriting_tables_are_their_own(database: str) -> None:
    """A table that others inherit from is read without them: their rows are not its memories."""
    make(database, "k int", "g")
    with connect(database) as conn:
        conn.execute('create table public.child () inherits (public."T t")')
        conn.execute("insert into public.child values (1000, 'x')")
        table = table_of(conn)
        assert len(list(read_chunk(conn, table, Chunk(0, None, None)))) == N
        assert [chunk.upto for chunk in plan_chunks(conn, table, N)] == [(str(N),), None]
        with Refresher(database) as refresher:
            assert refresher.read(table, [("1000",)]).rows == {}


def test_a_table_without_a_key_is_one_chunk(database: str) -> None:
    """*Ids*: there is nothing to cut by, and an empty table has a chunk too, for what comes while it is read."""
    with connect(database) as conn:
        conn.execute('create table public."T t" (a int)')
        assert list(plan_chunks(conn, table_of(conn), 1)) == [Chunk(0, None, None)]
        conn.execute('alter table public."T t" add primary key (a)')
        assert list(plan_chunks(conn, table_of(conn), 1)) == [Chunk(0, None, None)]


def test_keys_of_an_extension_are_cut_in_their_own_order(database: str) -> None:
    """Law 2: `citext` is compared by its own operators, though its schema is not on our search_path, alone and beside others."""
    with psycopg.connect(database, autocommit=True) as admin:
        if admin.execute("select 1 from pg_available_extensions where name = 'citext'").fetchone() is None:
            pytest.skip("the server has no citext")
        admin.execute("create schema ext; create extension citext schema ext")
        admin.execute('create table public."T t" (k ext.citext, l int, primary key (k, l))')
        admin.execute(
            """insert into public."T t"
                select case when g % 2 = 0 then 'a' else 'B' end || g / 7, g from generate_series(1, 60) g"""
        )
    with connect(database) as conn, Refresher(database) as refresher:
        table = table_of(conn)
        whole = list(read_chunk(conn, table, Chunk(0, None, None)))
        chunks = list(plan_chunks(conn, table, 7))
        parts = [list(read_chunk(conn, table, chunk)) for chunk in chunks]
        assert Counter(row for rows in parts for row in rows) == Counter(whole)
        assert all(len(rows) == 7 for rows in parts[:-1])
        assert len(refresher.read(table, [(str(row[0]), str(row[1])) for row in whole]).rows) == len(whole)
        assert refresher.read(table, [(str(row[0]).swapcase(), str(row[1])) for row in whole]).rows == {}


def test_an_unread_copy_leaves_the_connection_usable(database: str) -> None:
    """Law 9: a worker that stops amid a chunk leaves a connection that works."""
    with connect(database) as conn:
        rows = copy_rows(conn, sql.SQL("select g, repeat('x', 1000) from generate_series(1, 100000) g"))
        next(rows)
        rows.close()
        assert reached(conn) > 0
        assert list(copy_rows(conn, sql.SQL("select 1, null::text"))) == [("1", None)]


def test_errors_are_ours(database: str) -> None:
    """Law 12: a refused query is Fatal, also amid the COPY; a lost connection is SourceUnavailable."""
    with connect(database) as conn:
        with pytest.raises(Fatal, match="SQLSTATE 42P01"):
            list(copy_rows(conn, sql.SQL("select 1 from nowhere")))
        with pytest.raises(Fatal, match="SQLSTATE 22012"):
            list(copy_rows(conn, sql.SQL("select 1 / (g - 5000) from generate_series(1, 6000) g")))
        assert reached(conn) > 0
        with psycopg.connect(database, autocommit=True) as admin:
            rows = copy_rows(conn, sql.SQL("select g, repeat('x', 1000) from generate_series(1, 1000000) g"))
            next(rows)
            admin.execute("select pg_terminate_backend(%s)", (conn.info.backend_pid,))
        with pytest.raises(SourceUnavailable):
            list(rows)
        with pytest.raises(SourceUnavailable):
            reached(conn)
