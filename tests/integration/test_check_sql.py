"""`check --sql`: the script really is run by psql, and then nothing is left to complain of."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bridge import preflight
from bridge.config import Config
from bridge.sandbox.postgres import SandboxPostgres
from tests import ready
from tests.conftest import Server, sandbox
from tests.patience import PATIENCE
from tests.poolers import free_port
from tests.schemas import odd

NOWHERE = {"http": f"http://127.0.0.1:{free_port()}", "grpc": f"127.0.0.1:{free_port()}"}


@pytest.fixture
def role(database: str) -> Iterator[str]:
    """The name of a role that is not there."""
    name = 'the "bridge" ' + database[-6:]
    yield name
    with psycopg.connect(database, autocommit=True) as admin:
        if admin.execute("select 1 from pg_roles where rolname = %s", [name]).fetchone():
            admin.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(name)))


def _as(url: str, **parts: str) -> str:
    return make_conninfo("", **{name: str(value) for name, value in (conninfo_to_dict(url) | parts).items()})


def _script(folder: Path, url: str | dict[str, str], *arguments: str, **keys: object) -> str:
    path = folder / "bridge.yaml"
    path.write_text(yaml.safe_dump({"source": url, "target": NOWHERE, "ledger": str(folder / "l.db"), **keys}))
    command = [*ready.command(), "check", "--sql", "--config", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def _psql(server: Server | SandboxPostgres, url: str, script: str) -> None:
    binary = server.bin_path / "psql" if isinstance(server, SandboxPostgres) else "psql"
    command = [str(binary), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url]
    done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


def _errors(folder: Path, url: str, **keys: object) -> set[str]:
    config = Config.model_validate({"source": url, "target": NOWHERE, "ledger": str(folder / "l.db"), **keys})
    return {finding.code for finding in preflight.run(config).errors} - {"target.unreachable"}


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_a_role_that_is_not_there_yet(database: str, postgres: Server, tmp_path: Path, role: str) -> None:
    """Role, grants, policies, identities, publication: made by one run of psql; a second script is empty."""
    odd.create(database, keyless=True)
    _execute(
        database,
        'create schema "odd schema"',
        'create table "odd schema"."new\nline" (id int primary key)',
        "create table silent (id int primary key)",
        "alter table silent replica identity nothing",
        "create table beside (id int primary key, email text not null unique)",
        "alter table beside replica identity using index beside_email_key",
        "create unlogged table loose (id int primary key)",
        "create table guarded (id int primary key)",
        "alter table guarded enable row level security",
        "create policy few on guarded using (id > 5)",
    )
    keys: dict[str, object] = {"tables": {"keyless.log_lines": {"duplicates": "collapse"}}}
    script = _script(tmp_path, database, "--role", role, **keys)
    _psql(postgres, database, script)
    url = _as(database, user=role)
    assert _errors(tmp_path, url, **keys) == set()
    again = _script(tmp_path, url, **keys)
    assert [line for line in again.splitlines() if line and not line.startswith("--")] == []
    assert _script(tmp_path, database, "--role", role, **keys) == again


def test_a_role_and_a_publication_that_are_there(database: str, postgres: Server, tmp_path: Path, role: str) -> None:
    """Only what is missing stands in the script; other members of the publication stay."""
    _execute(
        database,
        "create table a (id int primary key, note text)",
        "create table b (id int primary key)",
        "create table other (id int primary key)",
        f'create role "{role.replace(chr(34), chr(34) * 2)}" login',
        "create publication engram_bridge for table a (id) where (id > 5), other with (publish = 'insert')",
    )
    url = _as(database, user=role)
    script = _script(tmp_path, url, exclude=["other"])
    _psql(postgres, database, script)
    assert _errors(tmp_path, url, exclude=["other"]) == set()
    with psycopg.connect(database) as connection:
        members = connection.execute("select tablename, rowfilter from pg_publication_tables order by 1").fetchall()
    assert members == [("a", None), ("b", None), ("other", None)]
    _execute(database, "create table later (id int primary key)")
    script = _script(tmp_path, url, exclude=["other"])
    statements = [line for line in script.splitlines() if line and not line.startswith("--")]
    assert len(statements) == 2
    assert statements[0].startswith('GRANT SELECT ON TABLE "public"."later"')
    assert statements[1] == 'ALTER PUBLICATION "engram_bridge" ADD TABLE ONLY "public"."later";'
    _psql(postgres, database, script)
    assert _errors(tmp_path, url, exclude=["other"]) == set()


def test_what_has_to_be_decided_is_a_comment(database: str, tmp_path: Path) -> None:
    """A table without a key, a deferrable key, a slot of others: said, and no statement pretends to mend it."""
    _execute(
        database,
        "create table keyless (n int)",
        "create table late (id int primary key deferrable)",
        "create table good (id int primary key)",
    )
    script = _script(tmp_path, database)
    assert "-- public.keyless has no primary key" in script
    assert "-- the primary key of public.late is deferrable" in script
    assert 'CREATE PUBLICATION "engram_bridge" FOR TABLE ONLY "public"."good"\n' in script
    _execute(database, "create publication wide for all tables")
    wide = _script(tmp_path, {"url": database, "publication": "wide"})
    assert "-- the publication wide is for all tables" in wide
    assert "PUBLICATION" not in "".join(line for line in wide.splitlines() if not line.startswith("--"))
    done = subprocess.run(
        [*ready.command(), "check", "--role", "x", "--config", str(tmp_path / "bridge.yaml")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, "--role goes with --sql" in done.stderr) == (2, True)


def test_settings_of_the_server(tmp_path: Path) -> None:
    """A server that cannot stream: the script, a restart, and nothing is left."""
    server = sandbox(tmp_path / "data")
    server.settings |= {"wal_level": "replica", "max_replication_slots": "1", "max_wal_senders": "0"}
    server.start()
    try:
        _execute(server.url(), "create table t (id int primary key)", "select pg_create_physical_replication_slot('other')")
        script = _script(tmp_path, server.url())
        assert "-- ALTER SYSTEM SET max_slot_wal_keep_size" in script
        _psql(server, server.url(), script)
        for name in ("wal_level", "max_replication_slots", "max_wal_senders"):
            server.settings.pop(name)
        server.restart()
        assert _errors(tmp_path, server.url()) == set()
    finally:
        server.kill()
