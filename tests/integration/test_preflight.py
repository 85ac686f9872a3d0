"""`check` against real servers: what is wrong is found, what it says to run mends it, and nothing is changed by looking."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bridge import preflight
from bridge.check_report import Report
from bridge.config import Config
from bridge.ledger import Ledger
from bridge.sandbox import shop
from bridge.sandbox.engram.process import SandboxEngram
from bridge.sandbox.postgres import SandboxPostgres
from tests.schemas import odd


@pytest.fixture(scope="module")
def engram(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses of an Engram server."""
    server = SandboxEngram(tmp_path_factory.mktemp("engram")).start()
    yield {"http": server.http, "grpc": server.grpc}
    server.stop()


@pytest.fixture
def role(database: str) -> Iterator[str]:
    """A role that may log in and nothing else."""
    name = 'bridge "role" ' + database[-6:]
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
    yield name
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(name)))


def _as(url: str, **parts: str) -> str:
    return make_conninfo("", **{name: str(value) for name, value in (conninfo_to_dict(url) | parts).items()})


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


DEAD = {"http": f"http://127.0.0.1:{_free_port()}", "grpc": f"127.0.0.1:{_free_port()}"}


def _check(url: str, folder: Path, target: object = None, **keys: object) -> Report:
    ledger = keys.pop("ledger", str(folder / "ledger.db"))
    return preflight.run(Config.model_validate({"source": url, "target": target or DEAD, "ledger": ledger, **keys}))


def _codes(report: Report) -> set[str]:
    return {finding.code for finding in report.errors} - {"target.unreachable"}


def _remedy(report: Report, code: str) -> str:
    return next(finding.remedy for finding in report.findings if finding.code == code)


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_a_good_source_and_target_pass(database: str, tmp_path: Path, engram: dict[str, str]) -> None:
    """The shop and a healthy target: exit 0, every table with its rows; no ledger, slot or publication comes from looking."""
    shop.create(database)
    shop.seed(database, 300)
    report = _check(database, tmp_path, engram)
    assert report.errors == []
    assert report.exit_code == 0
    assert {table.name for table in report.tables} == {f"public.{name}" for name in shop.TABLES}
    assert all(table.rows > 0 for table in report.tables)
    assert list(tmp_path.iterdir()) == []
    with psycopg.connect(database) as connection:
        assert connection.execute("select count(*) from pg_publication").fetchone() == (0,)
        slots = connection.execute("select count(*) from pg_replication_slots where database = current_database()").fetchone()
        assert slots == (0,)
    json.dumps(report.as_dict())


def test_the_second_schema_passes(database: str, tmp_path: Path) -> None:
    """Everything legal and unusual is no error, but for the table without a key; never-analysed tables are counted."""
    odd.create(database, keyless=True)
    counted = odd.seed(database, 300)
    assert _codes(_check(database, tmp_path)) == {"table.no_key"}
    report = _check(database, tmp_path, tables={"keyless.log_lines": {"duplicates": "collapse"}})
    assert _codes(report) == set()
    assert sum(table.rows for table in report.tables) == counted
    assert "table.duplicates" in {finding.code for finding in report.findings}


def test_an_unreachable_source_and_target_are_both_told(tmp_path: Path) -> None:
    """One look tells of both; neither password nor key is in what it says."""
    url = f"postgresql://u:secret@127.0.0.1:{_free_port()}/shop"
    report = _check(url, tmp_path, DEAD | {"api_key": "secret"})
    assert {finding.code for finding in report.errors} == {"source.unreachable", "target.unreachable"}
    assert all(finding.remedy for finding in report.errors)
    assert "secret" not in json.dumps(report.as_dict())


def test_a_wrong_password_and_a_missing_database_are_told(own_postgres: SandboxPostgres, tmp_path: Path) -> None:
    """The server's refusal of who we are is an error with the place to correct."""
    _execute(own_postgres.url(), "create role guarded login password 'right'")
    rules = own_postgres.data / "pg_hba.conf"
    rules.write_text("host all guarded all scram-sha-256\n" + rules.read_text())
    _execute(own_postgres.url(), "select pg_reload_conf()")
    report = _check(own_postgres.url(user="guarded", password="wrong-one"), tmp_path)
    finding = next(finding for finding in report.errors if finding.code == "source.refused")
    assert "PGPASSWORD" in finding.remedy
    assert "wrong-one" not in json.dumps(report.as_dict())
    assert _codes(_check(own_postgres.url("nowhere"), tmp_path)) == {"source.refused"}


def test_settings_of_the_server_are_told(tmp_path: Path) -> None:
    """wal_level, and no slot and no walsender to be had: found on a real server, with the statement that mends it."""
    settings = {"wal_level": "replica", "max_replication_slots": "1", "max_wal_senders": "0"}
    with SandboxPostgres(tmp_path / "data", settings=settings) as server:
        _execute(server.url(), "create table t (id int primary key)", "select pg_create_physical_replication_slot('other')")
        report = _check(server.url(), tmp_path)
        assert _codes(report) == {"source.wal_level", "source.slots", "source.senders"}
        statement = _remedy(report, "source.wal_level").split(";")[0]
        _execute(server.url(), statement, "select pg_drop_replication_slot('other')", "alter system set max_wal_senders = 5")
        server.settings.pop("wal_level", None)
        server.settings.pop("max_wal_senders", None)
        server.restart()
        assert _codes(_check(server.url(), tmp_path)) == set()


def test_what_the_role_lacks_is_told_with_the_grant_that_helps(database: str, role: str, tmp_path: Path) -> None:
    """REPLICATION, USAGE, SELECT and ownership: the printed statements, run by an owner, leave nothing to say."""
    _execute(
        database,
        'create schema "odd schema"',
        'create table "odd schema"."T" (id int primary key)',
        "create table plain (id int primary key)",
    )
    url = _as(database, user=role)
    report = _check(url, tmp_path)
    assert _codes(report) == {"role.replication", "schema.usage", "table.select", "publication.owner"}
    assert all("values" not in finding.what for finding in report.findings)
    _execute(database, _remedy(report, "role.replication").removeprefix("As a superuser: ").split(" (on")[0])
    _execute(database, _remedy(report, "schema.usage"))
    for finding in report.errors:
        if finding.code == "table.select":
            _execute(database, finding.remedy)
    _execute(database, _remedy(report, "publication.owner").split(": ", 1)[1])
    assert _codes(_check(url, tmp_path)) == set()
    _execute(database, "create table later (id int primary key)", f"grant select on later to {_quote(role)}")
    report = _check(url, tmp_path)
    assert _codes(report) == {"publication.members"}
    _execute(database, _remedy(report, "publication.members").split(": ", 1)[1])
    assert _codes(_check(url, tmp_path)) == set()


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def test_an_owner_who_may_not_create_is_told(database: str, role: str, tmp_path: Path) -> None:
    """Owning the tables is not enough to make a publication."""
    _execute(database, "create table t (id int primary key)", f"alter table t owner to {_quote(role)}")
    _execute(database, f"alter role {_quote(role)} replication")
    report = _check(_as(database, user=role), tmp_path)
    assert _codes(report) == {"role.create"}
    _execute(database, _remedy(report, "role.create"))
    assert _codes(_check(_as(database, user=role), tmp_path)) == set()


def test_tables_that_cannot_be_carried_are_told(database: str, tmp_path: Path) -> None:
    """Without a key, with a deferrable one, with an identity beside the key or none, unlogged: each told by its name."""
    _execute(
        database,
        "create table keyless (a int)",
        "create table deferred (id int primary key deferrable)",
        "create table nothing (id int primary key)",
        "alter table nothing replica identity nothing",
        "create table beside (id int primary key, email text not null unique)",
        "alter table beside replica identity using index beside_email_key",
        "create unlogged table lost (id int primary key)",
        "create table computed (id int primary key, twice int generated always as (id * 2) stored)",
        "create table parent (id int primary key)",
        "create table heir (primary key (id)) inherits (parent)",
        "insert into heir values (1), (2)",
    )
    report = _check(database, tmp_path)
    rows = {table.name: table.rows for table in report.tables}
    assert (rows["public.parent"], rows["public.heir"]) == (0, 2), (
        "an heir's rows are read with the heir, and not with its parent"
    )
    found = {(finding.code, finding.where) for finding in report.findings if finding.code.startswith("table.")}
    assert found == {
        ("table.no_key", "public.keyless"),
        ("table.deferrable_key", "public.deferred"),
        ("table.identity_nothing", "public.nothing"),
        ("table.identity", "public.beside"),
        ("table.unlogged", "public.lost"),
        ("table.generated", "public.computed"),
        ("table.inheritance", "public.parent"),
    }
    _execute(database, _remedy(report, "table.identity"), _remedy(report, "table.identity_nothing"))
    _execute(database, _remedy(report, "table.unlogged").split(" or ")[0])
    report = _check(database, tmp_path, exclude=["keyless", "deferred"])
    assert _codes(report) == set()


def test_an_unlogged_table_cannot_be_published(database: str) -> None:
    """Why an unlogged table is an error and not a warning: the publication itself would be refused."""
    _execute(database, "create unlogged table lost (id int primary key)")
    with pytest.raises(psycopg.Error, match="unlogged"):
        _execute(database, "create publication p for table lost")


def test_row_level_security_is_told(database: str, role: str, tmp_path: Path) -> None:
    """A policy that hides rows from our role is an error; for a role that bypasses it, it is none."""
    name = _quote(role)
    _execute(
        database,
        "create table secrets (id int primary key)",
        "create policy half on secrets using (id % 2 = 0)",
        "alter table secrets enable row level security",
        f"alter role {name} replication",
        f"grant select on secrets to {name}",
        "create publication engram_bridge for table secrets with (publish_via_partition_root = true)",
    )
    url = _as(database, user=role)
    report = _check(url, tmp_path)
    assert _codes(report) == {"table.row_security"}
    _execute(database, _remedy(report, "table.row_security").split(" or ")[0])
    assert _codes(_check(url, tmp_path)) == set()


def test_slots_and_publications_of_others_are_told(database: str, tmp_path: Path) -> None:
    """A slot that no ledger of ours made, and a publication that leaves something out."""
    slot = "taken_" + database[-6:]
    _execute(
        database,
        "create table t (id int primary key)",
        f"select pg_create_logical_replication_slot('{slot}', 'pgoutput')",
        "create publication narrow for table t where (id > 5) with (publish = 'insert')",
        "create publication wide for all tables",
    )
    source = {"url": database, "slot": slot, "publication": "narrow"}
    assert _codes(_check(source, tmp_path)) == {"slot.unknown", "publication.actions", "publication.root", "publication.filtered"}
    assert "publication.extent" in _codes(_check(source | {"publication": "wide"}, tmp_path))
    _execute(database, f"select pg_drop_replication_slot('{slot}')")
    _execute(database, f"select pg_create_physical_replication_slot('{slot}')")
    assert "slot.other" in _codes(_check(source, tmp_path))


def test_mistakes_in_the_configuration_are_findings(database: str, tmp_path: Path) -> None:
    """Unknown tables and columns, spaces that cannot be, reserved names: told by `check` with everything else."""
    _execute(
        database, 'create table users (id int primary key, name text, "_bridge" text)', "create table orders (id int primary key)"
    )
    assert _codes(_check(database, tmp_path, tables={"user": {}}, exclude=["users"])) == {"config"}
    clean = {"users": {"exclude": ["_bridge"]}}
    assert _codes(_check(database, tmp_path, tables=clean)) == set()
    assert _codes(_check(database, tmp_path, tables={"users": clean["users"] | {"text": ["nam"]}})) == {"config"}
    assert _codes(_check(database, tmp_path, tables=clean | {"orders": {"space": "No!"}})) == {"config.mapping"}
    assert _codes(_check(database, tmp_path)) == {"config.mapping"}
    assert _codes(_check(database, tmp_path, exclude=["*"])) == {"source.no_tables"}
    assert "config" in _codes(_check(database, tmp_path, tables=clean, embedding={"model": "none"}))


def test_ledgers_that_cannot_be_used_are_told(database: str, tmp_path: Path) -> None:
    """No folder, another database in the file, a newer version, another server: told without touching the file."""
    _execute(database, "create table t (id int primary key)")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("create table a (b)")
    connection.close()
    newer = _ledger(tmp_path / "newer.db", {"schema_version": "999"})
    foreign = _ledger(tmp_path / "foreign.db", {"system_identifier": "1", "timeline": "1", "database": "x", "slot": "s"})
    for place, code, what in [
        (tmp_path / "no" / "ledger.db", "ledger.unusable", "does not exist"),
        (tmp_path, "ledger.unusable", "is a folder"),
        (other, "ledger.unusable", "a database of something else"),
        (newer, "ledger.unusable", "has version 999"),
        (foreign, "ledger.source", "another source"),
        ("mysql://u:secret@h/d", "ledger.unusable", "not supported"),
    ]:
        before = place.read_bytes() if isinstance(place, Path) and place.is_file() else None
        report = _check(database, tmp_path, ledger=str(place))
        assert _codes(report) == {code}
        assert what in report.errors[0].what + report.errors[-1].what
        assert "secret" not in json.dumps(report.as_dict())
        if before is not None:
            assert place.read_bytes() == before  # type: ignore[union-attr]


def _ledger(path: Path, facts: dict[str, str]) -> Path:
    ledger = Ledger(str(path))
    ledger.put_facts(facts)
    ledger.close()
    return path


def test_spaces_of_others_are_told_and_none_is_made(database: str, tmp_path: Path, engram: dict[str, str]) -> None:
    """A space that holds memories which are not ours is an error; looking makes no space but the probe's."""
    _execute(database, "create table notes (id int primary key)", "insert into notes values (1)")
    target = engram | {"space_prefix": "mine-"}
    assert _codes(_check(database, tmp_path, target)) == set()
    assert "mine-notes" not in _spaces(engram)
    httpx.post(
        f"{engram['http']}/api/v1/memories/remember",
        json={"id": "x", "content": "theirs", "memory_space_id": "mine-notes"},
        headers={"X-Memory-Space": "mine-notes"},
    ).raise_for_status()
    report = _check(database, tmp_path, target)
    assert _codes(report) == {"target.foreign"}
    assert report.errors[0].where == "mine-notes"


def test_a_server_that_is_no_engram_is_told(database: str, tmp_path: Path, engram: dict[str, str]) -> None:
    """Addresses that answer something else, HTTP and gRPC exchanged, are told and not a traceback."""
    exchanged = {"http": f"http://{engram['grpc']}", "grpc": engram["http"].removeprefix("http://")}
    report = _check(database, tmp_path, exchanged)
    assert "target.unreachable" in {finding.code for finding in report.errors}


def _spaces(engram: dict[str, str]) -> set[str]:
    return {space["id"] for space in httpx.get(f"{engram['http']}/api/v1/spaces").json()["spaces"]}
