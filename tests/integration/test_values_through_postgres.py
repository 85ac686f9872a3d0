"""One value, one form (law 10), through a real server: by COPY, by a re-read and by the stream, whatever the settings are."""

from __future__ import annotations

import contextlib
import json
import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql

from bridge.changes import Row
from bridge.memories import mark_of
from bridge.postgres import connect, copy_out
from bridge.schema import Table
from bridge.values import base_of, row_encoder
from cdc import pgoutput
from snapshot.catalog import load
from snapshot.chunks import next_chunk, read_chunk
from snapshot.marks import comparable_there, read_marks
from snapshot.plan import Chunk
from snapshot.refresh import Refresher
from tests.conftest import Server, drop_database
from tests.integration.typed_values import COLUMNS, EXTENSIONS, SETUP, Texts, expected

OTHER_SETTINGS = {
    "DateStyle": "German", "IntervalStyle": "iso_8601", "TimeZone": "Asia/Tokyo", "extra_float_digits": "0",
    "bytea_output": "escape", "search_path": "public", "lc_monetary": "en_US.utf8",
}  # fmt: skip


@dataclass
class Wide:
    """One table with a column of every type, its stream, and its twin without a key."""

    url: str
    columns: dict[str, Texts]
    table: Table
    keyless: Table
    admin: psycopg.Connection[Any]
    stream: Iterator[bytes]
    rows: int = 0

    def insert(self, values: list[tuple[str | None, ...]]) -> list[int]:
        """Store rows in both tables, in one transaction; their ids."""
        ids = list(range(self.rows, self.rows + len(values)))
        self.rows += len(values)
        places = ", ".join(["%s"] * (len(self.columns) + 1))
        with self.admin.transaction(), self.admin.cursor() as cursor:
            for name in ("wide", "keyless"):
                rows = [(str(number), *row) for number, row in zip(ids, values, strict=True)]
                cursor.executemany(f"insert into public.{name} values ({places})".encode(), rows)
        return ids

    def streamed(self, ids: list[int]) -> dict[str, Row]:
        """These rows by id, off the walsender; what an earlier failure left unread is passed over."""
        rows: dict[str, Row] = {}
        for data in self.stream:
            message = pgoutput.decode(data[25:]) if data[:1] == b"w" else None
            if isinstance(message, pgoutput.Insert) and int(str(message.new[0])) in ids:
                rows[str(message.new[0])] = message.new
            elif isinstance(message, pgoutput.Commit) and rows:
                break
        return rows


@pytest.fixture(scope="module", params=["own settings", "other settings"])
def wide(request: pytest.FixtureRequest, postgres: Server) -> Iterator[Wide]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} template template0 encoding 'UTF8'").format(sql.Identifier(name)))
        if request.param == "other settings":
            _set_otherwise(admin, name)
    try:
        with connect(postgres.url(name)) as admin, contextlib.closing(connect(postgres.url(name), replication=True)) as walsender:
            yield _make(postgres.url(name), admin, walsender)
    finally:
        drop_database(postgres, name)


def _set_otherwise(admin: psycopg.Connection[Any], database: str) -> None:
    """Half by database, half by role in the database: both rank above the server's own."""
    for number, (name, value) in enumerate(OTHER_SETTINGS.items()):
        scope = sql.SQL("role current_user in database {}" if number % 2 else "database {}").format(sql.Identifier(database))
        statement = sql.SQL("alter {} set {} = {}").format(scope, sql.Identifier(name), sql.Literal(value))
        try:
            admin.execute(statement)
        except psycopg.errors.InvalidParameterValue:
            assert name == "lc_monetary"  # the machine need not have that locale


def _make(url: str, admin: psycopg.Connection[Any], walsender: psycopg.Connection[Any]) -> Wide:
    admin.execute(SETUP.encode())
    columns = dict(COLUMNS)
    available = {row[0] for row in admin.execute("select name from pg_available_extensions").fetchall()}
    for extension, (kind, texts) in EXTENSIONS.items():
        if extension in available:
            admin.execute(f"create extension {extension} schema public".encode())
            columns[f"public.{kind}"] = texts
    body = ", ".join(f"c{number} {declared}" for number, declared in enumerate(columns))
    admin.execute(f"create table public.wide (id int primary key, {body})".encode())
    admin.execute(f"create table public.keyless (id int, {body})".encode())
    admin.execute("create publication wide for table public.wide")
    tables = load(admin).tables
    walsender.execute("CREATE_REPLICATION_SLOT wide TEMPORARY LOGICAL pgoutput")
    walsender.pgconn.exec_(b"START_REPLICATION SLOT wide LOGICAL 0/0 (proto_version '1', publication_names 'wide')")
    stream = copy_out(walsender.pgconn, timeout=10)
    return Wide(url, columns, tables["public", "wide"], tables["public", "keyless"], admin, stream)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None, phases=[Phase.generate])
@given(data=st.data())
def test_a_row_looks_the_same_on_every_way(wide: Wide, data: st.DataObject) -> None:
    """Law 10: the JSON by COPY, by a re-read (with and without a key) and by the stream is the same, byte for byte."""
    rows = data.draw(st.lists(st.tuples(*(st.none() | texts for texts in wide.columns.values())), min_size=4, max_size=12))
    ids = wide.insert(rows)
    encode = row_encoder(wide.table.columns)
    bounds = Chunk(0, (str(ids[0] - 1),), (str(ids[-1]),))
    with connect(wide.url) as conn:
        copied = {str(row[0]): row for row in read_chunk(conn, wide.table, bounds)}
    with Refresher(wide.url) as refresher:
        read = refresher.read(wide.table, [(str(number),) for number in ids]).rows
        same = refresher.read_same(wide.keyless, list(copied.values())).rows
    streamed = wide.streamed(ids)
    assert list(copied) == [str(number) for number in ids]
    assert {key: encode(row) for (key,), row in read.items()} == {key: encode(row) for key, row in copied.items()}
    assert {key: encode(row) for key, row in streamed.items()} == {key: encode(row) for key, row in copied.items()}
    assert set(same) == set(copied.values())
    for number, values in zip(ids, rows, strict=True):
        _check(wide, values, json.loads(encode(copied[str(number)])))


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None, phases=[Phase.generate])
@given(data=st.data())
def test_postgresql_marks_a_row_as_the_bridge_does(wide: Wide, data: st.DataObject) -> None:
    """Law 10: what PostgreSQL hashes by itself, so that no row has to be sent, are the very bytes of the canonical form."""
    rows = data.draw(st.lists(st.tuples(*(st.none() | texts for texts in wide.columns.values())), min_size=2, max_size=6))
    ids = wide.insert(rows)
    plain = tuple(one for one in wide.table.columns if base_of(one.type).element is None)
    table = replace(wide.table, columns=plain[:1] + plain[1:] * 4)  # more columns than a function takes arguments
    encode = row_encoder(table.columns)
    bounds = Chunk(0, (str(ids[0] - 1),), (str(ids[-1]),))
    with connect(wide.url) as conn:
        assert comparable_there(conn, table)
        assert not comparable_there(conn, wide.table), "an array's form is not made by SQL"
        read = {row[:1]: mark_of(encode(row)) for row in read_chunk(conn, table, bounds)}
        marked = dict(read_marks(conn, table, bounds))
        alone = {}  # column by column, so that one that differs is named
        for column in plain[1:]:
            one = replace(table, columns=(table.columns[0], column))
            wanted = {row[:1]: mark_of(row_encoder(one.columns)(row)) for row in read_chunk(conn, one, bounds)}
            alone[column.declared] = dict(read_marks(conn, one, bounds)) == wanted
        chunk = next_chunk(conn, table, (str(ids[0] - 1),), len(ids) - 1)
    assert [declared for declared, same in alone.items() if not same] == []
    assert marked == read
    assert chunk.upto == (str(ids[-2]),)


def _check(wide: Wide, values: tuple[str | None, ...], document: dict[str, Any]) -> None:
    """NULL is null, and nothing else is; what can be told from the input is there."""
    for number, (declared, text) in enumerate(zip(wide.columns, values, strict=True)):
        found = document[f"c{number}"]
        if text is None:
            assert found is None
            continue
        wanted = expected(declared.removeprefix("public.") if "citext" in declared else declared, text)
        if wanted is not ...:
            assert found == wanted or (isinstance(wanted, float) and math.isclose(found, wanted, abs_tol=0)), declared
        if declared.endswith("[]") or declared == "public.numbers":
            assert isinstance(found, list), declared
        elif declared not in ("json", "jsonb"):
            assert isinstance(found, str | int | float), declared


def test_the_form_of_well_known_values(wide: Wide) -> None:
    """Law 10: the very bytes, so that both the pinned settings and the forms are seen to be what the design says."""
    known = {
        "float4": ("0.1", "0.1"), "float8": ("0.30000000000000004", "0.30000000000000004"),
        "money": ("-1234.5", '"-$1,234.50"'), "bool": ("true", "true"),
        "char(8)": ("ab", '"ab      "'), "bytea": ("\\xDEAD", '"\\\\xdead"'), "date": ("2024-02-01", '"2024-02-01"'),
        "timestamptz": ("2005-12-28 02:53:10+02", '"2005-12-28 00:53:10+00"'), "interval": ("1 month 2 days", '"1 mon 2 days"'),
        "timestamp": ("0044-03-15 01:02:03 BC", '"0044-03-15 01:02:03 BC"'), "numeric": ("NaN", '"NaN"'),
        "jsonb": ('{"b":1.10,"aa":12345678901234567890}', '{"b": 1.10, "aa": 12345678901234567890}'),
        "time": ("24:00", '"24:00:00"'),
        "regclass": ("public.wide", '"public.wide"'),
        "int4[]": ("[0:1]={1,NULL}", "[1,null]"), "public.numbers": ("{1,2}", "[1,2]"), "public.mood": ("東", '"東"'),
        "box[]": ("{(3,4),(1,2);(1,1),(0,0)}", '["(3,4),(1,2)","(1,1),(0,0)"]'), "int2vector": ("1 2", '"1 2"'),
        "public.point3": ('(1,"a b",{1.0})', '"(1,\\"a b\\",{1.0})"'), "int4range": ("[1,5]", '"[1,6)"'),
    }  # fmt: skip
    (number,) = wide.insert([tuple(known[declared][0] if declared in known else None for declared in wide.columns)])
    with Refresher(wide.url) as refresher:
        (row,) = refresher.read(wide.table, [(str(number),)]).rows.values()
    text = row_encoder(wide.table.columns)(row)
    for place, declared in enumerate(wide.columns):
        form = known[declared][1] if declared in known else "null"
        if declared == "money":
            form = form.replace(",", "") if form not in text else form  # the C locale groups digits or does not
        assert f'"c{place}":{form}' in text
