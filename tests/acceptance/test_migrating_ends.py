"""How a one-shot migration ends: in order when interrupted, with a code that says what was found; and what is never begun."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rich.console import Console

from bridge import config as configuration
from bridge.migration import conduct
from bridge.migration.attempt import Attempt, Settings
from bridge.migration.order import Order
from bridge.postgres import connect
from bridge.sandbox.postgres import SandboxPostgres
from tests.migrating import Migrator

TABLES = """
    create table users (id int primary key, name text not null, created_at timestamptz not null default now());
    create table orders (id int primary key, user_id int references users, description text);
    insert into users select n, 'user ' || n from generate_series(1, 100) n;
    insert into orders select n, n % 100 + 1, 'order ' || n from generate_series(1, 400) n;
"""


@pytest.fixture
def migrator(tmp_path: Path, database: str) -> Iterator[Migrator]:
    """Two tables, and an Engram."""
    made = Migrator(tmp_path, database)
    made.sql(TABLES)
    yield made
    made.close()


def attempt(migrator: Migrator, checkpoint: Path | None = None) -> Attempt:
    """A migration in this process, carried to its end and not checked yet."""
    base = configuration.load(
        None, source=migrator.source, target=migrator.engram.http, ledger=str(migrator.folder / "engram-bridge.db")
    )
    base = base.model_copy(update={"target": base.target.model_copy(update={"grpc": migrator.engram.grpc})})
    begun = conduct.begin(Order(), base, Settings(2, 50, checkpoint), Console(stderr=True))
    assert isinstance(begun, Attempt)
    begun.run(threading.Event())
    assert begun.ended
    return begun


def writes(migrator: Migrator) -> set[str]:
    """The kinds of calls that Engram has had and that write."""
    calls: Any = migrator.engram.counters()["calls"]
    return {str(name) for name in calls if "remember" in str(name).lower() or "forget" in str(name).lower()}


@pytest.mark.parametrize(("damaged", "code", "outcome"), [(1, 3, "investigate"), (8, 4, "rollback")])
def test_damage_between_load_and_check_is_in_the_exit_code(migrator: Migrator, damaged: int, code: int, outcome: str) -> None:
    """Up to one row in a hundred: investigate. More: a rollback is advised. The check that found it is named."""
    begun = attempt(migrator)
    try:
        for number in range(1, damaged + 1):
            migrator.engram.damage("orders", f"orders_{number}")
        document = conduct.report(begun, validate=True, ending=threading.Event())
    finally:
        begun.carrying.close()
    assert document is not None
    assert (document["exit_code"], document["outcome"]) == (code, outcome)
    validation: Any = document["validation"]
    assert {one["id"] for one in validation["findings"]} == {f"orders_{number}" for number in range(1, damaged + 1)}
    assert any("orders" in reason for reason in document["reasons"])


def test_interrupted_it_says_how_to_go_on_and_goes_on(migrator: Migrator) -> None:
    """Ctrl-C: what is done is kept, the command to go on with is printed; no password is in it."""
    flags = ["--batch-size", "5", "--parallel-workers", "1", "--checkpoint-file", "c.json"]
    process = migrator.start(*flags, "--report", "broken.json")
    migrator.until(process, lambda: migrator.recorded() > 30)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 1
    said = migrator.log.read_text(encoding="utf-8")
    assert "To go on:\n  migrate-postgresql --source" in said
    assert "--checkpoint-file c.json" in said
    checkpoint = json.loads((migrator.folder / "c.json").read_text(encoding="utf-8"))
    assert checkpoint["state"] == "interrupted"
    broken = json.loads((migrator.folder / "broken.json").read_text(encoding="utf-8"))
    assert (broken["outcome"], broken["exit_code"]) == ("failed", 1)
    assert "it was interrupted" in broken["reasons"]
    assert 0 < sum(one["rows"] for one in broken["tables"]) < 500
    with psycopg.connect(migrator.source, autocommit=True) as connection:
        left = connection.execute("select count(*) from pg_stat_activity where application_name like 'engram-bridge%'")
        assert left.fetchone() == (0,), "the snapshot is let go"
    report = migrator.report(3, *flags)
    assert report["resumed"]
    assert {one["table"]: one["rows"] for one in report["tables"]} == {"public.users": 100, "public.orders": 400}


def test_an_engram_that_restarts_meanwhile_ends_up_complete(migrator: Migrator) -> None:
    """What it forgets is mended, and written anew so that search finds it, before the migration counts as complete."""
    process = migrator.start("--batch-size", "10", "--report", "after.json")
    migrator.until(process, lambda: migrator.recorded() > 100)
    migrator.engram.kill()
    migrator.engram.start()
    assert process.wait(120) == 0, migrator.log.read_text(encoding="utf-8")
    report = json.loads((migrator.folder / "after.json").read_text(encoding="utf-8"))
    assert report["writes"]["target_restarts"] == 1
    assert report["validation"]["clean"]
    ledger = migrator.ledger()
    try:
        assert all(one.complete for one in ledger.search_progress().values()), ledger.search_progress()
    finally:
        ledger.close()


def test_a_source_that_restarts_ends_it_and_the_same_command_goes_on(tmp_path: Path, own_postgres: SandboxPostgres) -> None:
    """The snapshot is lost with its connection: what is left is read at a later one, and the report says so."""
    migrator = Migrator(tmp_path / "m", own_postgres.url())
    try:
        migrator.sql(TABLES)
        flags = ["--batch-size", "5", "--parallel-workers", "2"]
        process = migrator.start(*flags)
        migrator.until(process, lambda: migrator.recorded() > 50)
        own_postgres.kill()
        own_postgres.start()
        assert process.wait(120) == 1
        said = migrator.log.read_text(encoding="utf-8")
        assert "the snapshot that all rows are read from has ended" in said
        assert "To go on:" in said
        report = migrator.report(3, *flags)
        assert report["resumed"]
        assert [one["rows"] for one in report["tables"]] == [400, 100]
    finally:
        migrator.close()


def test_a_checkpoint_of_something_else_is_refused(migrator: Migrator) -> None:
    """Another order, another version, another ledger, no checkpoint at all: nothing is done."""
    path = migrator.folder / "c.json"
    migrator.migrate("--checkpoint-file", "c.json", "--no-validate")
    other = migrator.run("--checkpoint-file", "c.json", "--tables", "users")
    assert other.returncode == 1
    assert "another order" in other.stderr
    ledger = migrator.run("--checkpoint-file", "c.json", "--ledger", "other.db")
    assert ledger.returncode == 1
    assert "another ledger" in ledger.stderr
    written = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(written | {"schema": 99}), encoding="utf-8")
    newer = migrator.run("--checkpoint-file", "c.json")
    assert newer.returncode == 2
    assert "version 99" in newer.stderr
    path.write_text("[]", encoding="utf-8")
    assert migrator.run("--checkpoint-file", "c.json").returncode == 2
    path.write_text(json.dumps(written | {"source": written["source"] | {"database": "x"}}), encoding="utf-8")
    source = migrator.run("--checkpoint-file", "c.json")
    assert source.returncode == 1
    assert "another source" in source.stderr
    nowhere = migrator.run("--checkpoint-file", "nowhere/c.json")
    assert nowhere.returncode == 1
    assert "nowhere" in nowhere.stderr


def test_killed_while_it_is_checked_it_is_checked_again(migrator: Migrator) -> None:
    """All was carried at one snapshot: the same command reads nothing again, and ends well."""
    begun = attempt(migrator, migrator.folder / "c.json")
    begun.carrying.close()  # as a kill would, before anything of the report is kept
    known = json.loads((migrator.folder / "c.json").read_text(encoding="utf-8"))
    assert known["state"] == "running"
    report = migrator.report(0, "--checkpoint-file", "c.json", "--ledger", known["ledger"])
    assert report["migration_id"] == known["migration_id"]
    assert not report["resumed"]
    assert report["writes"]["sent"] == 0
    assert report["validation"]["clean"]


def test_a_dry_run_writes_nothing(migrator: Migrator) -> None:
    """It prints the plan: no ledger, no checkpoint, no write to Engram."""
    done = migrator.run("--dry-run", "--checkpoint-file", "c.json")
    assert done.returncode == 0, done.stderr
    assert "orders" in done.stdout
    assert not list(migrator.folder.glob("*.db*"))
    assert not (migrator.folder / "c.json").exists()
    assert not writes(migrator)
    migrator.migrate("--no-validate")
    assert writes(migrator), "or it was not looked at the right calls"


def test_wrong_usage_is_two(migrator: Migrator) -> None:
    """Missing addresses, malformed pairs, unknown columns."""
    for flags in (["--table-to-space", "users"], ["--text-columns", "users:nothing"], ["--confidence", "0.99"], ["--nothing"]):
        assert migrator.run(*flags).returncode == 2, flags
    assert not list(migrator.folder.glob("*.db*"))


def test_it_shows_what_workers_do_and_all_read_one_snapshot(
    migrator: Migrator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As many connections as workers, named in pg_stat_activity; queries that take long are told; what is committed meanwhile is
    in none of them."""
    monkeypatch.setattr("snapshot.loader.SLOW_SECONDS", 0.0)
    base = configuration.load(
        None, source=migrator.source, target=migrator.engram.http, ledger=str(migrator.folder / "engram-bridge.db")
    )
    base = base.model_copy(update={"target": base.target.model_copy(update={"grpc": migrator.engram.grpc})})
    begun = conduct.begin(Order(), base, Settings(3, 10), Console(stderr=True))
    assert isinstance(begun, Attempt)
    try:
        migrator.sql("insert into users values (5000, 'too late')", "update orders set description = 'too late'")
        ending, seen = threading.Event(), [0]

        def watch() -> None:
            with connect(migrator.source, application_name="a watcher") as connection:
                while not ending.wait(0.01):
                    query = "select count(*) from pg_stat_activity where application_name = 'engram-bridge snapshot'"
                    row = connection.execute(query).fetchone()
                    seen[0] = max(seen[0], int(row[0]) if row else 0)

        thread = threading.Thread(target=watch)
        thread.start()
        begun.run(threading.Event())
        ending.set()
        thread.join()
        document = conduct.report(begun, validate=True, ending=threading.Event())
    finally:
        begun.carrying.close()
    assert seen[0] == 3
    slow = [record for record in caplog.records if record.getMessage().startswith("a chunk's query took long")]
    assert {record.__dict__["table"] for record in slow} == {"public.users", "public.orders"}
    assert document is not None
    assert document["exit_code"] == 0
    assert {one["table"]: one["rows"] for one in document["tables"]} == {"public.users": 100, "public.orders": 400}


def test_spaces_of_another_ledger_are_refused_and_others_may_be_named(migrator: Migrator) -> None:
    """The refusal leaves no ledger behind that would hold on to the spaces that it refused."""
    migrator.migrate("--ledger", "first.db")
    refused = migrator.run()
    assert refused.returncode == 1
    assert "memories of another ledger" in refused.stderr
    migrator.migrate("--memory-space", "elsewhere")
