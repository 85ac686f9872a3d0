"""Law 12: bad input is told, early, and with the remedy; nothing is written before.

Everything goes through the command line, as a user would do it: exit code, a sentence with what and where, a remedy, and no trace
in ledger, source or target. What stands here for `run` is told by `check` in the same sentences.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bridge.sandbox.postgres import SandboxPostgres
from tests.acceptance.conftest import MakeRig
from tests.acceptance.traces import configure, ended_with, refused, spaces, traces
from tests.conftest import Server, drop_database, sandbox
from tests.patience import PATIENCE
from tests.rig import Rig

USERS = (
    "create table users (id int primary key, name text)",
    "insert into users select n, 'user ' || n from generate_series(1, 5) n",
)


def finds(rig: Rig, code: int, *says: str, source: str | None = None) -> None:
    """A first run is refused and leaves no trace, not even a ledger; and is so again, since nothing was begun."""
    before = traces(rig, source)
    assert before.ledger is None
    refused(rig, code, *says)
    assert traces(rig, source) == before


def with_parts(url: str, **parts: str) -> str:
    """A connection string with other parts."""
    return make_conninfo("", **{name: str(value) for name, value in (conninfo_to_dict(url) | parts).items()})


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_places_that_cannot_be_reached(make_rig: MakeRig) -> None:
    """75 at the very first start, and again at the next: only a ledger that has begun waits for its source and target."""
    rig = make_rig()
    rig.sql(*USERS)
    http = rig.engram.http
    nowhere = with_parts(rig.source, port=str(free_port()))
    configure(rig, target={"http": f"http://127.0.0.1:{free_port()}"})
    finds(rig, 75, "Engram", "Check that the server runs and that target is right")
    configure(rig, target={"http": http}, source={"url": nowhere})
    finds(rig, 75, "PostgreSQL is not available", "Check host, port and that the server is running")
    configure(rig, source={"url": with_parts(rig.source, dbname="no_such_database")})
    finds(rig, 2, 'database "no_such_database" does not exist', "Check user, database and pg_hba.conf")
    configure(rig, source={"url": "no connection string"})
    finds(rig, 2, "source", "postgresql://")


@pytest.fixture
def strict_postgres(tmp_path: Path) -> Iterator[SandboxPostgres]:
    """A server without logical decoding, with one slot, that asks for passwords."""
    server = sandbox(tmp_path / "data")
    server.settings |= {"wal_level": "replica", "max_replication_slots": "1"}
    server.start()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("create role asked login replication password 'right' in role pg_read_all_data")
    hba = server.data / "pg_hba.conf"
    hba.write_text("host all asked 127.0.0.1/32 scram-sha-256\n" + hba.read_text(encoding="utf-8"), encoding="utf-8")
    server.restart()
    try:
        yield server
    finally:
        server.kill()


def test_a_server_that_does_not_allow_it(strict_postgres: SandboxPostgres, make_rig: MakeRig) -> None:
    """wal_level, no free slot, a wrong password: each with its remedy; with all mended, the same configuration works."""
    rig = make_rig(strict_postgres.url())
    rig.sql(*USERS)
    finds(rig, 1, "wal_level is replica", "ALTER SYSTEM SET wal_level = 'logical'")
    strict_postgres.settings["wal_level"] = "logical"
    strict_postgres.restart()
    rig.sql("select pg_create_physical_replication_slot('others')")
    finds(rig, 1, "no replication slot is free: 1 of 1 are in use", "max_replication_slots = 5")
    rig.sql("select pg_drop_replication_slot('others')")
    for password in ("wrong-secret", ""):
        configure(rig, source={"url": strict_postgres.url(user="asked", password=password or None)})
        before = traces(rig)
        said = refused(rig, 2, "PostgreSQL refused the password", "Correct the password")
        assert "wrong-secret" not in said
        assert traces(rig) == before
    configure(rig, source={"url": strict_postgres.url()})
    rig.catch_up()
    rig.prove()


def test_a_role_that_may_not(make_rig: MakeRig, database: str) -> None:
    """REPLICATION, SELECT, USAGE and hidden rows: what the role lacks is told with the statement that gives it."""
    name = conninfo_to_dict(database)["dbname"]
    role = f"weak_{name}"
    rig = make_rig()
    try:
        rig.sql(f"create role {role} login password 'weak'", *USERS, f"create publication {rig.slot} for table users")
        rig.sql(f"alter publication {rig.slot} set (publish_via_partition_root = true)")
        configure(rig, source={"url": with_parts(database, user=role, password="weak")})
        before = traces(rig)
        said = refused(rig, 1, "2 things stand in the way")
        assert f"the role {role} may not replicate" in said
        assert f'ALTER ROLE "{role}" REPLICATION' in said
        assert f"the role {role} may not read public.users" in said
        assert f'GRANT SELECT ON TABLE "public"."users" TO "{role}"' in said
        rig.sql(f"alter role {role} replication", f"grant select on users to {role}")
        rig.sql("alter table users enable row level security", f"create policy few on users to {role} using (id > 2)")
        refused(rig, 1, "row-level security hides rows of public.users", "BYPASSRLS")
        assert traces(rig) == before
        rig.sql(f"alter role {role} bypassrls")
        rig.catch_up()
        rig.prove()
    finally:
        rig.sql(f"drop owned by {role}", f"drop role {role}")


def test_mistakes_in_the_configuration(make_rig: MakeRig) -> None:
    """Unknown tables, columns and keys, with the nearest right one; names of spaces that cannot be, or that collide."""
    rig = make_rig()
    rig.sql(*USERS, "create table orders (id int primary key)", "create table users_old (id text primary key)")
    for changes, says in (
        ({"tables": {"user": {}}}, ("tables.user: there is no such table", "users")),
        ({"tables": {"users": {"text": ["nam"]}}}, ("tables.users.text: there is no column 'nam'", "name")),
        ({"include": ["userz"]}, ("include: no table matches 'userz'", "users")),
        ({"tabels": {"users": {}}}, ("tabels", "tables")),
        ({"tables": {"users": {"space": "No Space!"}}}, ("'No Space!' is no valid space name", "3 to 64 characters")),
        ({"tables": {"users": {"space": "one"}, "users_old": {"space": "one"}, "orders": {"space": "one"}}}, None),
        ({"exclude": ["*"]}, ("there is no table to carry", "include and exclude")),
    ):
        text = rig.file.read_text(encoding="utf-8")
        configure(rig, **changes)  # type: ignore[arg-type]
        if says is None:  # ids users_… of text keys are not told from users_old_…
            rig.sql("alter table users alter column id type text")
            finds(rig, 2, "could use the same memory id in the space 'one'", "Give one of them a space of its own")
        else:
            finds(rig, 2, *says)
        rig.file.write_text(text, encoding="utf-8")


def test_tables_that_cannot_be_carried(make_rig: MakeRig) -> None:
    """No key, a deferrable one, an identity without it: refused at the first start, before the publication could do harm."""
    rig = make_rig()
    rig.sql(
        *USERS,
        "create table keyless (n int)",
        "create table late (id int primary key deferrable)",
        "create table silent (id int primary key)",
        "alter table silent replica identity nothing",
        "create unlogged table loose (id int primary key)",
    )
    before = traces(rig)
    said = refused(rig, 1, "4 things stand in the way")
    assert "public.keyless has no primary key" in said
    assert 'ALTER TABLE "public"."keyless" REPLICA IDENTITY FULL; and in the configuration' in said
    assert "tables: {keyless: {duplicates: collapse}}" in said
    assert "the primary key of public.late is deferrable" in said
    assert "public.silent has REPLICA IDENTITY NOTHING" in said
    assert "public.loose is unlogged" in said
    checked = rig.command("check")
    assert checked.returncode == 1
    assert traces(rig) == before
    assert before.ledger is None


def test_ledgers_and_plans_that_do_not_fit(make_rig: MakeRig) -> None:
    """A newer ledger, another number of shards, another space, another slot than the ledger's: refused, and nothing is moved."""
    rig = make_rig()
    rig.sql(*USERS)
    rig.catch_up()
    text = rig.file.read_text(encoding="utf-8")
    for code, changes, says in (
        (2, {"tables": {"users": {"shards": 2}}}, ("the configuration says users-0, users-1", "number of shards back")),
        (2, {"tables": {"users": {"space": "people"}}}, ("the configuration says people", "Put the old space")),
        (1, {"source": {"slot": "another"}}, (f"the ledger's slot is {rig.slot}", f"Set source.slot: {rig.slot}")),
    ):
        configure(rig, **changes)  # type: ignore[arg-type]
        before = traces(rig)
        refused(rig, code, *says)
        assert traces(rig) == before
        rig.file.write_text(text, encoding="utf-8")
    with contextlib.closing(sqlite3.connect(rig.ledger_path)) as connection, connection:
        connection.execute("update facts set value = '999' where name = 'schema_version'")
    before = traces(rig)
    refused(rig, 1, "has version 999", "Use the engram-bridge that wrote it, or a newer one")
    for command in (("status",), ("parked", "list")):
        refused(rig, 1, "has version 999", command=command)
    assert traces(rig) == before


def test_a_slot_that_was_lost(own_postgres: SandboxPostgres, make_rig: MakeRig) -> None:
    """The server has thrown away what the slot held back: told at the start, and by a run that it happens to."""
    rig = make_rig(own_postgres.url())
    rig.sql(*USERS, "alter system set max_slot_wal_keep_size = '1MB'", "select pg_reload_conf()")
    rig.catch_up()
    for _ in range(4):
        rig.sql("create table filler as select 1", "drop table filler", "select pg_switch_wal()")
    rig.sql("checkpoint")
    with psycopg.connect(rig.source) as connection:
        lost = connection.execute("select wal_status from pg_replication_slots where slot_name = %s", (rig.slot,)).fetchone()
    assert lost == ("lost",)
    before = traces(rig)
    refused(rig, 1, f"the replication slot '{rig.slot}' was invalidated", "resync --new-slot")
    assert traces(rig) == before
    assert '"wal_status": "lost"' in rig.command("status", "--json").stdout


@pytest.fixture
def ascii_database(postgres: Server, database: str) -> Iterator[str]:
    """A database that takes any bytes."""
    name = f"{conninfo_to_dict(database)['dbname']}_ascii"
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(f"create database {name} template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'")  # type: ignore[arg-type]
    try:
        yield with_parts(postgres.url(name), client_encoding="utf8")
    finally:
        drop_database(postgres, name)


def test_bytes_that_are_no_utf8(ascii_database: str, make_rig: MakeRig) -> None:
    """From a SQL_ASCII database: the row is parked with the reason `encoding`, by snapshot and by stream, and the others flow on;
    in a key, the table is stopped with a sentence. Mended and retried, all is proven."""
    bad = "convert_from('\\x61ff62', 'SQL_ASCII')"
    rig = make_rig(ascii_database)
    rig.sql(
        "create table notes (id int primary key, body text)",
        "insert into notes select n, 'grün ' || n from generate_series(1, 10) n",
        f"update notes set body = {bad} where id = 3",
        "create table named (name text primary key)",
        f"insert into named values ('good'), ({bad})",
        "create table later (name text primary key)",
        "insert into later values ('good')",
        "create table calm (id int primary key, body text)",
    )
    rig.start()
    rig.wait_until_proven()
    rig.sql(
        f"insert into notes values (11, {bad}), (12, 'schön')",
        f"update notes set body = {bad} where id = 4",
        f"insert into later values ({bad})",
        "insert into calm values (1, 'goes on')",
    )
    rig.wait_until_proven()
    ledger = rig.ledger()
    parked = {key[1]: waiting.reason for key, waiting in ledger.parked_keys()}
    reasons = {record.label: record.reason for record in ledger.tables() if record.state == "stopped"}
    ledger.close()
    assert parked == {"3": "encoding", "11": "encoding", "4": "encoding"}
    assert set(reasons) == {"public.named", "public.later"}
    assert all("is not valid UTF-8" in (reason or "") for reason in reasons.values()), reasons
    rig.sql("update notes set body = 'mended' where id in (3, 4, 11)")
    rig.wait_until_proven()
    assert rig.command("parked", "retry", "all").returncode == 0
    rig.until(lambda: '"parked": 0' in rig.command("status", "--json").stdout)
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.sql("truncate named, later")  # nothing can be said of such keys
    evidence = {one.table: one for one in rig.evidence() if one.table in ("public.notes", "public.calm")}
    assert all(one.proven for one in evidence.values()), evidence
    assert evidence["public.notes"].rows == 12


def test_a_ledger_without_room(make_rig: MakeRig) -> None:
    """The disk is full: the run ends and says so, the slot was told nothing that the ledger has not; with room, it goes on."""
    rig = make_rig(snapshot={"workers": 1, "chunk_rows": 500})
    rig.sql(
        "create table notes (id int primary key, body text)",
        "insert into notes select n, 'note ' || n from generate_series(1, 3000) n",
    )
    limit = 300_000
    with rig.log.open("ab") as log:
        rig.process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "run", "--config", str(rig.file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
    ended_with(
        rig, 1, "error: the ledger", "cannot be used", "make room", "nothing was acknowledged that is not in it", timeout=PATIENCE
    )
    ledger = rig.ledger()
    assert rig.confirmed() <= int(ledger.facts()["confirmed"])
    assert [record.state for record in ledger.tables()] != ["loaded"]
    ledger.close()
    rig.catch_up()
    (one,) = rig.prove()
    assert one.rows == 3000
    assert "notes" in spaces(rig)
