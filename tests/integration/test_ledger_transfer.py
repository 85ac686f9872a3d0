"""Export, import and backup: everything that a ledger knows arrives, and nothing else is ever taken for one."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import select

from bridge.errors import BridgeError, ConfigError, LedgerError, LedgerHeld
from bridge.gate import Entry
from bridge.ledger import Batch, Ledger, Outcome, tables, transfer
from bridge.ledger.place import ledger_exists
from tests.conftest import Server, drop_database
from tests.ledgers.kept import restore, versions

MakePlace = Callable[[str], str]


@pytest.fixture
def place(tmp_path: Path, postgres: Server) -> Iterator[MakePlace]:
    """A new place for a ledger in SQLite or in PostgreSQL."""
    databases: list[str] = []

    def make(kind: str) -> str:
        name = f"place_{os.urandom(4).hex()}"
        if kind == "sqlite":
            return str(tmp_path / f"{name}.db")
        with psycopg.connect(postgres.url(), autocommit=True) as admin:
            admin.execute(sql.SQL("create database {} template template0 encoding 'UTF8'").format(sql.Identifier(name)))
        databases.append(name)
        return postgres.url(name)

    yield make
    for name in databases:
        drop_database(postgres, name)


@pytest.fixture
def filled(tmp_path: Path) -> str:
    """A ledger with contents of a real run, in a file, and some that are hard to carry."""
    restore(1, tmp_path / "filled.db")
    ledger = Ledger(str(tmp_path / "filled.db"))
    ledger.record(Batch([Outcome((1, key), entry=Entry("0001:1:1", "d", "", True, 0)) for key in ("ä\n\"'\\", "\U0001f600", "")]))
    ledger.request("retry", (1, "31"))
    ledger.put_gauges({"waiting": 0, "lag": None})
    ledger.close()
    return str(tmp_path / "filled.db")


def contents(location: str) -> dict[str, list[Any]]:
    """All rows of all tables, but for who writes."""
    ledger = Ledger(location)
    with ledger.reading() as connection:
        found = {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in tables.metadata.sorted_tables
            if table is not tables.writers
        }
    ledger.close()
    return found


def exported(location: str, file: Path) -> Path:
    """An export of the ledger at that place."""
    ledger = Ledger(location)
    try:
        transfer.export(ledger, file)
    finally:
        ledger.close()
    return file


COUNTED = [table for table in tables.metadata.sorted_tables if table.autoincrement_column is not None]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_whatever_is_numbered_is_counted_on(filled: str, place: MakePlace, tmp_path: Path, kind: str) -> None:
    """Requests, audit, migrations, findings, rounds: rows that come after an import have numbers of their own."""

    def insert(ledger: Ledger, times: int) -> None:
        with ledger.writing() as connection:
            for table, number in itertools.product(COUNTED, range(times)):
                own = table.autoincrement_column
                values = {
                    column.name: f"{os.urandom(4).hex()}{number}" if column.type.python_type is str else number
                    for column in table.columns
                    if column is not own
                }
                connection.execute(table.insert().values(**values))

    ledger = Ledger(filled)
    insert(ledger, 3)
    ledger.close()
    transfer.bring_in(there := place(kind), exported(filled, tmp_path / "numbered.export"))
    ledger = Ledger(there)
    insert(ledger, 1)
    ledger.close()
    before, after = contents(filled), contents(there)
    assert len(COUNTED) >= 6
    assert {table.name: len(after[table.name]) - len(before[table.name]) for table in COUNTED} == {t.name: 1 for t in COUNTED}


@pytest.mark.parametrize("through", [("postgresql",), ("sqlite",), ("postgresql", "sqlite"), ("postgresql", "postgresql")])
def test_everything_arrives_in_either_direction(filled: str, place: MakePlace, tmp_path: Path, through: tuple[str, ...]) -> None:
    """Every table, every row, every type: and an export of what arrived is the same file again."""
    before, here, files = contents(filled), filled, []
    for number, kind in enumerate(through):
        files.append(exported(here, tmp_path / f"{number}.export"))
        here = place(kind)
        counted = transfer.bring_in(here, files[-1])
        assert counted.rows == {name: len(rows) for name, rows in before.items()}
    assert contents(here) == before
    files.append(exported(here, tmp_path / "last.export"))
    assert len({file.read_bytes() for file in files}) == 1
    ledger = Ledger(here)
    ledger.request("retry", (1, "1"))
    assert [key for _verb, key in ledger.take_requests()] == [(1, "31"), (1, "1")], "numbers are counted on"
    ledger.close()


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_export_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path, place: MakePlace, version: int, kind: str) -> None:
    """As opening that ledger would have done."""
    restore(version, tmp_path / "old.db")
    file = written_by(version, tmp_path / "old.db", tmp_path / "old.export")
    target = place(kind)
    transfer.bring_in(target, file)
    assert contents(target) == contents(str(tmp_path / "old.db"))


def written_by(version: int, ledger: Path, file: Path) -> Path:
    """The export that the engram-bridge of that version would have written."""
    import hashlib

    lines: list[Any] = [{"format": transfer.FORMAT, "format_version": 1, "schema": version, "ledger": "x"}]
    counted = {}
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        for (name,) in connection.execute("select name from sqlite_master where type = 'table' and name <> 'writers'").fetchall():
            cursor = connection.execute(f"select * from {name}")
            columns = [column[0] for column in cursor.description]
            truths = {place for place, column in enumerate(columns) if column in ("live", "done", "dropped", "pristine")}
            rows = [[bool(value) if place in truths else value for place, value in enumerate(row)] for row in cursor]
            lines += [{"table": name, "columns": columns}, *rows]
            counted[name] = len(rows)
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file.write_bytes(body + json.dumps({"rows": counted, "sha256": hashlib.sha256(body).hexdigest()}).encode() + b"\n")
    return file


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_damaged_file_is_refused_before_anything_is_written(filled: str, place: MakePlace, tmp_path: Path, kind: str) -> None:
    """Cut anywhere, a byte changed, a line missing, nothing in it, something else: and no ledger is there afterwards."""
    good = exported(filled, tmp_path / "good.export").read_bytes()
    lines = good.splitlines(keepends=True)
    changed = lines[0] + b"".join(lines[1:]).replace(b"7", b"8", 1)  # not in the first one, which has the schema's version
    damaged = {
        "cut": good[: len(good) // 2],
        "cut at a line": b"".join(lines[:-1]),
        "changed": changed,
        "a line less": b"".join(lines[:40] + lines[41:]),
        "empty": b"",
        "something else": b"SQLite format 3\0" + bytes(range(256)),
        "other lines": b'[1]\n{"rows":{},"sha256":""}\n',
    }
    target = place(kind)
    for name, data in damaged.items():
        file = tmp_path / f"{name}.export"
        file.write_bytes(data)
        with pytest.raises(ConfigError) as raised:
            transfer.bring_in(target, file)
        assert "no whole export" in str(raised.value), name
        assert not ledger_exists(target), name
    newer = lines[0].replace(f'"schema":{tables.SCHEMA_VERSION}'.encode(), b'"schema":999')
    (tmp_path / "newer.export").write_bytes(resealed([newer, *lines[1:-1]], lines[-1]))
    with pytest.raises(ConfigError, match="of a newer engram-bridge"):
        transfer.bring_in(target, tmp_path / "newer.export")
    with pytest.raises(ConfigError, match="cannot be read"):
        transfer.bring_in(target, tmp_path / "nowhere")


def resealed(lines: list[bytes], last: bytes) -> bytes:
    """With the right checksum again."""
    import hashlib

    body = b"".join(lines)
    return body + json.dumps(json.loads(last) | {"sha256": hashlib.sha256(body).hexdigest()}).encode() + b"\n"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_ledger_that_is_there_is_replaced_only_when_told(filled: str, place: MakePlace, tmp_path: Path, kind: str) -> None:
    """And never while a bridge works with it."""
    file = exported(filled, tmp_path / "good.export")
    target = place(kind)
    there = Ledger(target)
    there.put_facts({"mine": "still"})
    with pytest.raises(ConfigError, match="there is a ledger"):
        transfer.bring_in(target, file)
    there.acquire()
    with pytest.raises(LedgerHeld):
        transfer.bring_in(target, file, replace=True)
    assert there.facts()["mine"] == "still"
    there.close()
    transfer.bring_in(target, file, replace=True)
    assert contents(target) == contents(filled)
    again = Ledger(target)
    assert again.held_by() is None
    again.acquire()
    again.close()


def test_tables_of_something_else_are_not_dropped(filled: str, place: MakePlace, tmp_path: Path) -> None:
    """Not even when told to replace."""
    file = exported(filled, tmp_path / "good.export")
    path, url = place("sqlite"), place("postgresql")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("create table invoices (id int)")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create schema engram_bridge")
        connection.execute("create table engram_bridge.invoices (id int)")
    for target in (path, url):
        with pytest.raises((LedgerError, ConfigError)):
            transfer.bring_in(target, file, replace=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) from invoices").fetchone() == (0,)
    with psycopg.connect(url) as connection:
        assert connection.execute("select count(*) from engram_bridge.invoices").fetchone() == (0,)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_copy_made_while_it_is_written_is_of_one_moment(place: MakePlace, tmp_path: Path, kind: str) -> None:
    """Each step writes a row, an edge-less entry and a counter: the copy never has one without the other."""
    location = place(kind)
    ledger = Ledger(location)
    ledger.register("public.things", ["things"], [], 0)
    ending = threading.Event()

    def write() -> None:
        number = 0
        while not ending.is_set():
            number += 1
            entry = Entry("0001:1:1", "d", "", True, 0)
            ledger.record(Batch([Outcome((1, str(number)), entry=entry)], facts={"proven": str(number)}, counters={"done": 1}))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        beside = Ledger(location)
        for number in range(5):
            file = tmp_path / f"copy-{number}"
            transfer.backup(beside, file)
            assert file.stat().st_mode & 0o077 == 0, "keys are in it"
            copy = str(file)
            if kind == "postgresql":
                copy = str(tmp_path / f"copy-{number}.db")
                transfer.bring_in(copy, file)
            found = contents(copy)
            done = dict(found["counters"]).get("done", 0)
            assert len(found["memories"]) == done == int(dict(found["facts"]).get("proven", 0))
        beside.close()
    finally:
        ending.set()
        thread.join()
    assert not list(tmp_path.glob("*.part"))
    ledger.close()


def test_no_file_is_overwritten(filled: str, tmp_path: Path) -> None:
    """A second copy needs a name of its own, in a folder that is there."""
    ledger = Ledger(filled)
    (tmp_path / "here").write_text("mine")
    for path in (tmp_path / "here", tmp_path / "nowhere" / "copy"):
        for make in (transfer.export, transfer.backup):
            with pytest.raises(ConfigError):
                make(ledger, path)
    assert (tmp_path / "here").read_text() == "mine"
    ledger.close()


def test_an_import_that_fails_leaves_no_ledger(filled: str, place: MakePlace, tmp_path: Path, monkeypatch: Any) -> None:
    """In the middle of the rows: what would be half a ledger is none."""
    file = exported(filled, tmp_path / "good.export")

    def fail(*_arguments: Any) -> None:
        raise BridgeError("the machine broke")

    for kind in ("sqlite", "postgresql"):
        target = place(kind)
        with monkeypatch.context() as broken:
            broken.setattr(transfer, "_insert", fail)
            with pytest.raises(BridgeError, match="the machine broke"):
                transfer.bring_in(target, file)
        assert not ledger_exists(target)
        transfer.bring_in(target, file)
        assert contents(target) == contents(filled)
