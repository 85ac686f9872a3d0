"""Stages of `migrate-postgresql` in one ledger: one is taken back, the others stay; and it can be migrated again."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from bridge import config as configuration
from bridge.sandbox.engram.process import SandboxEngram
from bridge.wiring import open_target
from tests import ready
from tests.migrating import Migrator
from tests.patience import PATIENCE

PLUGIN = os.environ.get("ENGRAM_BRIDGE_TEST_PLUGIN", "pgoutput")

SCHEMA = (
    "create schema app",
    "create table users (id int primary key, name text, created_at timestamptz)",
    "create table orders (id int primary key, user_id int references users, note text, created_at timestamptz)",
    "create table app.logs (day date, line int, text text, primary key (day, line))",
    "create table marks (name text)",
    "insert into users select n, 'user '||n, '2020-01-01'::timestamptz + n * interval '1 day' from generate_series(1, 80) n",
    "insert into orders select n, 1 + n % 80, 'note '||n, '2020-01-01' from generate_series(1, 120) n",
    "insert into app.logs select '2020-01-01'::date + n, n, 'line '||n from generate_series(1, 50) n",
    "insert into marks values ('a'), ('b')",
)


@pytest.fixture
def migrator(tmp_path: Path, database: str) -> Iterator[Migrator]:
    made = Migrator(tmp_path, database)
    made.sql(*SCHEMA)
    yield made
    made.close()


def command(migrator: Migrator, *arguments: str, without: str = "") -> subprocess.CompletedProcess[str]:
    """`engram-bridge`, in the folder of the migration, without a configuration (and without a variable)."""
    return subprocess.run(
        [*ready.command(), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=migrator.folder,
        env={name: value for name, value in migrator.environment.items() if name != without},
    )


def rollback(migrator: Migrator, migration: str, *flags: str) -> dict[str, Any]:
    """Take it back, with nothing but its id; answers the report that it leaves."""
    done = command(migrator, "rollback", "--migration-id", migration, "--yes", *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads((migrator.folder / f"rollback-{migration}.json").read_text(encoding="utf-8")))


def held(migrator: Migrator) -> dict[str, str]:
    """Everything that Engram really has in the spaces of the ledger, by space and id."""
    settings = configuration.load(None, source=migrator.source, target=migrator.engram.http)
    target, ledger = open_target(settings), migrator.ledger()
    try:
        found = {}
        for space in ledger.spaces():
            target.open(space)
            ids = [stored.memory_id for stored in target.scan(space)]
            for memory_id, stored in zip(ids, target.read(space, ids), strict=True):
                if stored is not None:
                    found[f"{space}/{memory_id}"] = stored.content
        return found
    finally:
        target.close()
        ledger.close()


def of(memories: dict[str, str], migration: str) -> dict[str, str]:
    """Those that bear the id of a migration."""
    return {name: content for name, content in memories.items() if f'"migration":"{migration}"' in content}


def rows(migrator: Migrator) -> list[Any]:
    with psycopg.connect(migrator.source) as connection:
        tables = ("users", "orders", "app.logs", "marks")
        return [
            connection.execute(f"select md5(string_agg(t::text, ',' order by t::text)) from {name} t").fetchall()
            for name in tables
        ]


def test_a_stage_is_taken_back_and_the_other_stays(migrator: Migrator) -> None:
    """In other tables, and of a delta in the same table. The source is not touched; what was taken back is migrated again,
    though nothing was committed since, by the very same command."""
    first = ("--tables", "users,orders", "--migration-id", "stage-1")
    second = ("--tables", "app.logs,marks", "--migration-id", "stage-2", "--checkpoint-file", "two.json")
    migrator.migrate(*first)
    stage_1 = held(migrator)
    migrator.migrate(*second)
    both, source = held(migrator), rows(migrator)
    assert of(both, "stage-1") == stage_1
    assert (len(of(both, "stage-1")), len(of(both, "stage-2"))) == (200, 52)

    report = rollback(migrator, "stage-2")
    assert {one["table"]: one["forgotten"] for one in report["tables"]} == {"app.logs": 50, "public.marks": 2}
    assert held(migrator) == stage_1
    assert rows(migrator) == source

    since = time.time()
    anew = migrator.migrate(*second)  # its checkpoint says that it is complete, and it was taken back
    assert anew["began"] > since, "what was taken back is no part of how long it took"
    again = held(migrator)
    assert set(again) == set(both)
    assert of(again, "stage-1") == stage_1

    migrator.sql("insert into users values (81, 'late', '2024-05-01'), (82, 'later', '2024-05-02')")
    migrator.report(0, "--tables", "users", "--since", "2024-01-01", "--migration-id", "delta-1")
    assert set(of(held(migrator), "delta-1")) == {"users/users_81", "users/users_82"}
    rollback(migrator, "delta-1")
    assert held(migrator) == again
    migrator.migrate("--tables", "users", "--migration-id", "users-again")
    assert set(held(migrator)) == set(again) | {"users/users_81", "users/users_82"}
    listed = json.loads(command(migrator, "migrations", "--json").stdout)
    assert {one["migration_id"]: sum(one["memories"].values()) for one in listed} == {
        "stage-1": 200,
        "stage-2": 52,
        "delta-1": 0,
        "users-again": 2,
    }


def test_a_migration_that_was_broken_off_is_taken_back(migrator: Migrator) -> None:
    """Killed in the middle; what it had written by then goes, and the same command begins it anew."""
    migrator.sql("insert into users select n, 'user '||n, '2020-01-01' from generate_series(1000, 5000) n")
    flags = ("--tables", "users", "--migration-id", "broken", "--checkpoint-file", "c.json", "--batch-size", "200")
    migrator.migrate("--tables", "orders", "--migration-id", "stage-1")
    stage_1 = held(migrator)
    process = migrator.start(*flags)
    migrator.until(process, lambda: migrator.recorded() > 120 + 600)
    process.kill()
    process.wait()
    assert len(held(migrator)) > len(stage_1)
    report = rollback(migrator, "broken")
    assert held(migrator) == stage_1
    assert "the migration had not ended: what it had written by now is meant" in report["reasons"]
    migrator.migrate(*flags)
    assert len(of(held(migrator), "broken")) == 80 + 4001
    assert of(held(migrator), "stage-1") == stage_1


def test_a_run_on_the_ledger_follows_what_is_left_and_keeps_away_what_came_back(migrator: Migrator) -> None:
    """After a restart of Engram, which brings the stage back that was taken back: `run` carries the other one, and forgets it."""
    migrator.migrate("--tables", "users,orders", "--migration-id", "stage-1")
    migrator.migrate("--tables", "app.logs", "--migration-id", "stage-2")
    rollback(migrator, "stage-2")
    migrator.engram.kill()
    migrator.engram.start()
    assert len(of(held(migrator), "stage-2")) == 50, "the sandbox should have the real server's bad habit"
    slot = f"rollback_{os.urandom(4).hex()}"
    document = {
        "source": {"url": migrator.source, "slot": slot, "publication": slot, "plugin": PLUGIN},
        "target": {"http": migrator.engram.http, "grpc": migrator.engram.grpc},
        "ledger": "engram-bridge.db",
        "exclude": ["marks"],
    }
    (migrator.folder / "bridge.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    migrator.sql("insert into users values (90, 'new', '2026-01-01')", "insert into app.logs values ('2026-01-01', 90, 'new')")
    done = command(migrator, "run", "--until-caught-up")
    assert done.returncode == 0, done.stderr
    after = held(migrator)
    assert not [name for name in after if name.startswith("app_logs/")]
    assert "users/users_90" in after
    down = command(migrator, "down", "--yes")
    assert down.returncode == 0, down.stderr


def test_children_of_a_table_that_was_taken_back_are_not_damaged(migrator: Migrator) -> None:
    """Their edges lead to a table that is not carried any more: that is to be looked into, and no row of them is wrong."""
    migrator.migrate("--tables", "users,orders", "--migration-id", "both")
    rollback(migrator, "both", "--tables", "users")
    asked = ("--source", migrator.source, "--target", migrator.engram.http, "--tables", "orders")
    done = command(migrator, "validate", *asked)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "orders_user_id_fkey" in done.stdout
    assert "edge too many" not in done.stdout
    migrator.migrate("--tables", "users,orders", "--migration-id", "again")
    assert command(migrator, "validate", *asked).returncode == 0


def test_a_foreign_key_that_came_since_is_no_damage(migrator: Migrator) -> None:
    """Nobody carries what has changed since: the same of a table whose rows name other references than it now has."""
    migrator.migrate("--tables", "users,orders", "--migration-id", "both")
    migrator.sql("alter table orders add constraint twice foreign key (user_id) references users")
    done = command(migrator, "validate", "--source", migrator.source, "--target", migrator.engram.http)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "twice" in done.stdout
    assert "edge missing" not in done.stdout


def test_without_a_word_the_server_is_the_one_it_was_written_to(migrator: Migrator, tmp_path: Path) -> None:
    """Engram's two sides have addresses of their own: what is forgotten over the one is looked for on the other."""
    migrator.migrate("--tables", "users", "--migration-id", "users")
    before = held(migrator)
    other = SandboxEngram(tmp_path / "other")
    other.start()
    try:
        done = command(migrator, "rollback", "--migration-id", "users", "--yes", "--grpc", other.grpc)
        assert done.returncode == 1
        assert "the same Engram server" in done.stderr
    finally:
        other.stop()
    assert held(migrator) == before
    done = command(migrator, "rollback", "--migration-id", "users", "--yes", without="ENGRAM_GRPC")
    assert done.returncode == 0, done.stdout + done.stderr
    assert held(migrator) == {}
