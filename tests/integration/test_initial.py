"""`init` on databases that nobody prepared: the file loads, means every table as it is, and keeps no secret."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg import sql

from bridge import config as configuration
from bridge import preflight
from bridge.check_report import Report
from bridge.config import Config
from bridge.sandbox import shop
from bridge.sandbox.engram.process import SandboxEngram
from tests import ready
from tests.conftest import Server
from tests.patience import PATIENCE
from tests.schemas import odd


@pytest.fixture(scope="module")
def engram(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxEngram]:
    """An Engram server."""
    server = SandboxEngram(tmp_path_factory.mktemp("engram")).start()
    yield server
    server.stop()


def _init(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ready.command(), "init", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("ENGRAM")} | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _drafted(folder: Path, url: str, engram: SandboxEngram) -> tuple[str, Config, Report]:
    """The file, the configuration it loads as, and what `check` says of that."""
    done = _init(folder, "--source", url)
    assert done.returncode == 0, done.stderr
    path = folder / "bridge.yaml"
    settings = configuration.load(path, target=engram.http)
    settings = settings.model_copy(
        update={
            "target": settings.target.model_copy(update={"grpc": engram.grpc}),
            "ledger": str(folder / "ledger.db"),
        }
    )
    return path.read_text(encoding="utf-8"), settings, preflight.run(settings)


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_the_shop(database: str, tmp_path: Path, engram: SandboxEngram) -> None:
    """Every table is carried; words are embedded, codes, keys and references are not; the row's birth is its time."""
    shop.create(database)
    shop.seed(database, 2000)
    _execute(database, "analyze")
    text, settings, report = _drafted(tmp_path, database, engram)
    assert report.errors == []
    assert {table.name for table in report.tables} == {f"public.{name}" for name in shop.TABLES}
    assert set(settings.tables) == set(shop.TABLES)
    assert settings.tables["users"].text == ("email", "name", "bio")
    assert settings.tables["users"].timestamp == "created_at"
    assert settings.tables["orders"].text == ("note",)
    assert "not embedded: status (" in text
    assert settings.tables["orders"].timestamp == "placed_at"
    assert settings.tables["coupons"].timestamp is None
    assert "There is: expires" in text
    assert "large values lie beside the rows (in sku, name, description, specs, manual)" in text


def test_odd_names_and_keyless_tables(database: str, tmp_path: Path, engram: SandboxEngram) -> None:
    """Reserved words, spaces, quotes, dots, signs of patterns and of YAML: each is named so that it alone is meant."""
    odd.create(database, keyless=True)
    odd.seed(database, 200)
    names = [
        "null",
        "yes",
        "1e3",
        "a: b",
        "- x",
        "#c",
        "${HOME}",
        "$${X}",
        "<<",
        "it's",
        '"q"',
        "new\nline",
        "a*",
        "ab",
        "[z]",
        "?",
    ]
    for name in names:
        quoted = '"' + name.replace('"', '""') + '"'
        _execute(database, f'create table {quoted} (id int primary key, {quoted} text, {quoted[:-1]} 2" text)')
    _execute(
        database,
        'create table "x*" (n int)',
        "create table xy (id int primary key)",
        'create table stamped (id int primary key, "_bridge" text, note text)',
        'create table stamped_key ("_bridge" int primary key)',
        "create unlogged table loose (id int primary key)",
        "create table silent (id int primary key)",
        "alter table silent replica identity nothing",
        "create table late (id int primary key deferrable)",
        'create schema "s.t"',
        "create schema s",
        'create table "s.t".u (id int primary key)',
        'create table s."t.u" (id int primary key)',
        "create view seen as select 1",
    )
    text, settings, report = _drafted(tmp_path, database, engram)
    assert report.errors == []
    carried = {table.name for table in report.tables}
    assert {f"public.{name}" for name in names} <= carried
    for name in names:
        assert settings.tables[name].text == (name, f"{name} 2"), name
    left_out = {"public.x*", "public.loose", "public.silent", "public.late", "public.stamped_key", "s.t.u", "keyless.log_lines"}
    assert not carried & left_out
    assert "public.xy" in carried
    assert settings.tables["stamped"].columns.exclude == ("_bridge",)
    assert '#   ALTER TABLE "public"."silent" REPLICA IDENTITY DEFAULT;' in text
    assert "views (1): public.seen" in text
    _execute(database, "alter table silent replica identity default")
    again = settings.model_copy(update={"exclude": tuple(name for name in settings.exclude if name != "silent")})
    assert "public.silent" in {table.name for table in preflight.run(again).tables}
    assert preflight.run(again).errors == []


def test_an_empty_database(database: str, tmp_path: Path, engram: SandboxEngram) -> None:
    """Nothing to carry is no mistake of the file."""
    text, settings, report = _drafted(tmp_path, database, engram)
    assert "There is no table that could be carried" in text
    assert settings.tables == {}
    assert [finding.code for finding in report.errors] == ["source.no_tables"]


def test_three_hundred_tables(database: str, tmp_path: Path, engram: SandboxEngram) -> None:
    """All of them stand in the file, and what their spaces cost is said."""
    _execute(
        database,
        "do $$ begin for n in 1..300 loop execute format("
        "'create table t%s (id int primary key, note text)', n); end loop; end $$",
    )
    text, settings, report = _drafted(tmp_path, database, engram)
    assert len(settings.tables) == 300
    assert report.errors == []
    assert "here 300, in 300 space(s)" in text
    assert "930 GB" in text


def test_many_rows_are_spread_over_shards(database: str, tmp_path: Path, engram: SandboxEngram) -> None:
    """A table beyond what one space holds is proposed with as many shards as `check` wants."""
    _execute(
        database,
        "create table big (id int primary key, note text)",
        "insert into big select n, 'x' from generate_series(1, 100000) n",
        "analyze big",
    )
    _text, settings, report = _drafted(tmp_path, database, engram)
    assert settings.tables["big"].shards > 1
    assert [finding.code for finding in report.findings if finding.where == "public.big"] == []


def test_no_secret_is_written_and_no_file_is_overwritten(database: str, tmp_path: Path) -> None:
    """Neither from flags nor from the environment; what is there stays byte for byte, unless --force says otherwise."""
    _execute(database, "create table t (id int primary key)")
    secret = database.replace("postgres@", "postgres:very-secret@")
    done = _init(tmp_path, "--source", secret)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "bridge.yaml"
    written = path.read_text()
    assert "very-secret" not in written + done.stdout + done.stderr
    assert "PGPASSWORD" in done.stdout
    path.write_text("mine")
    refused = _init(tmp_path, "--source", secret)
    assert refused.returncode == 2
    assert "bridge.yaml is there already" in refused.stderr
    assert "--force" in refused.stderr
    assert path.read_text() == "mine"
    assert _init(tmp_path, "--source", secret, "--force").returncode == 0
    assert path.read_text() == written
    done = _init(tmp_path, "--output", "other.yaml", ENGRAM_BRIDGE_SOURCE=secret, ENGRAM_BRIDGE_TARGET="http://h:1")
    assert done.returncode == 0, done.stderr
    other = yaml.safe_load((tmp_path / "other.yaml").read_text())
    assert (other["source"], other["target"]) == ("${ENGRAM_BRIDGE_SOURCE}", "http://${ENGRAM_BRIDGE_TARGET}"[7:])
    environment = {"ENGRAM_BRIDGE_SOURCE": secret, "ENGRAM_BRIDGE_TARGET": "http://h:1"}
    loaded = configuration.load(tmp_path / "other.yaml", environment=environment)
    assert (loaded.source.url, loaded.target.http) == (secret, "http://h:1")
    assert _init(tmp_path, "--output", "third.yaml").returncode == 2
    assert "no HTTP URL" in _init(tmp_path, "--output", "third.yaml", "--source", secret, "--target", "host:7432").stderr
    assert not (tmp_path / "third.yaml").exists()


def test_a_role_that_may_only_connect(database: str, postgres: Server, tmp_path: Path) -> None:
    """The catalogue is enough for a draft; the grants that are missing stand beside the tables."""
    role = "only_" + database[-6:]
    _execute(
        database,
        "create table t (id int primary key, note text)",
        "create table guarded (id int primary key, note text)",
        "alter table guarded enable row level security",
        f"create role {role} login",
    )
    try:
        done = _init(tmp_path, "--source", postgres.url(database.rsplit("/", 1)[1].split("?")[0], user=role))
        assert done.returncode == 0, done.stderr
        text = (tmp_path / "bridge.yaml").read_text()
        assert f'# the role {role} may not read public.t: GRANT SELECT ON TABLE "public"."t" TO "{role}";' in text
        assert f'ALTER ROLE "{role}" BYPASSRLS' in text
        assert "guarded" in configuration.load(tmp_path / "bridge.yaml").tables
        assert configuration.load(tmp_path / "bridge.yaml").tables["t"].text == ("note",)
    finally:
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))
