"""`migrate-postgresql`: the commands of the guide, on a database that nobody prepared, and killed in between."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import psycopg
import pytest

from bridge import config as configuration
from bridge.evidence import compare
from bridge.ledger import Ledger
from bridge.postgres import connect
from bridge.sandbox import shop
from bridge.wiring import make_plan, open_target
from tests.migrating import Migrator
from tests.schemas import odd

ROWS = 600


@pytest.fixture
def migrator(tmp_path: Path, database: str) -> Iterator[Migrator]:
    """The shop, and an Engram."""
    shop.create(database)
    shop.seed(database, ROWS)
    made = Migrator(tmp_path, database)
    yield made
    made.close()


def counts(url: str) -> dict[str, int]:
    """Rows by table."""
    with psycopg.connect(url) as connection:
        found = {}
        for table in shop.TABLES:
            row = connection.execute(f"select count(*) from {table}").fetchone()
            found[f"public.{table}"] = int(row[0]) if row else 0
    return found


def references(url: str) -> int:
    """Non-null foreign keys of all rows."""
    total = 0
    with psycopg.connect(url) as connection:
        keys = connection.execute(
            "select conrelid::regclass::text, array(select attname from pg_attribute where attrelid = conrelid"
            " and attnum = any (conkey))::text[] from pg_constraint where contype = 'f'"
        ).fetchall()
        for table, columns in keys:
            where = " and ".join(f'"{column}" is not null' for column in columns)
            row = connection.execute(f"select count(*) from {table} where {where}").fetchone()
            total += int(row[0]) if row else 0
    return total


def proven(migrator: Migrator) -> None:
    """Everything that PostgreSQL has is in Engram, as the ledger expects it, and nothing else."""
    settings = configuration.load(
        None,
        source=migrator.source,
        target=migrator.engram.http,
        ledger=str(migrator.folder / "engram-bridge.db"),
    )
    ledger, target = migrator.ledger(), open_target(settings)
    try:
        with connect(settings.source.url) as connection:
            plan = make_plan(settings, ledger, connection, register=False)
            for space in plan.mapping.spaces:
                target.open(space)
            evidence = compare(connection, target, plan.mapping, ledger)
        bad = [one for one in evidence if not one.proven]
        assert not bad, bad
    finally:
        target.close()
        ledger.close()


def under_way(ledger: Ledger) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
    """Chunks that are recorded, and chunks of which some rows are: by table and number, of tables whose key is a number."""
    done, begun = set(), set()
    for record in ledger.tables():
        if record.label in ("public.order_items", "public.coupons", "public.shipments"):
            continue
        chunks = ledger.chunks(record.number)
        done |= {(record.label, chunk.number) for chunk in chunks if chunk.done}
        keys = [int(key) for page in ledger.live_keys(record.number) for key in page]
        for chunk in chunks:
            after, upto = (int(bound[0]) if bound else None for bound in (chunk.after, chunk.upto))
            inside = any((after is None or key > after) and (upto is None or key <= upto) for key in keys)
            if inside and not chunk.done:
                begun.add((record.label, chunk.number))
    return done, begun


def test_the_basic_command_of_the_guide(migrator: Migrator) -> None:
    """Every row is one memory, every non-null foreign key one edge, each table in one space of its own."""
    report = migrator.migrate("--batch-size", "1000")
    tables = {one["table"]: one for one in report["tables"]}
    assert {label: one["rows"] for label, one in tables.items()} == counts(migrator.source)
    assert all(one["rows"] == one["loaded"] for one in tables.values())
    assert report["edges"] == references(migrator.source)
    spaces = [space for one in tables.values() for space in one["spaces"]]
    assert len(spaces) == len(set(spaces)) == len(tables)
    assert (report["outcome"], report["orphans"]["count"], report["parked"]) == ("ok", 0, [])
    assert report["validation"]["clean"]
    proven(migrator)


def test_a_database_of_everything_legal_and_unusual_is_migrated(tmp_path: Path, database: str) -> None:
    """All types, composite and text keys, cycles, partitions, quoted names, a twin in another schema, a table without a key:
    that nobody prepared."""
    odd.create(database, keyless=True)
    odd.seed(database, 800)
    migrator = Migrator(tmp_path, database)
    try:
        migrator.sql(
            "insert into keyless.log_lines select '2024-01-01', 'seeded', n % 90 from generate_series(1, 300) n",
            "insert into keyless.log_lines values (null, null, null), (null, null, null), (null, '', null)",
        )
        report = migrator.migrate()
        tables = {one["table"]: one for one in report["tables"]}
        assert len(tables) >= 24
        assert sum(one["edges"] for one in tables.values()) > 200
        assert (tables["keyless.log_lines"]["rows"], tables["keyless.log_lines"]["loaded"]) == (303, 92)
        proven(migrator)
    finally:
        migrator.close()


def test_it_is_installed_under_its_name() -> None:
    """The entry of the package leads to the command."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = project["scripts"]["migrate-postgresql"].partition(":")
    assert callable(getattr(import_module(module), name))


def test_a_run_on_its_ledger_takes_up_what_has_changed(migrator: Migrator) -> None:
    """The first `run` loads all tables again: rows that came, changed and went since the migration; and then it follows."""
    migrator.migrate("--table-to-space", "users:user_memories", "--text-columns", "users:name;products:name")
    migrator.sql(
        "update users set name = 'changed since' where id % 7 = 0",
        "delete from visits where id % 2 = 0",
        "insert into categories (name) values ('new since')",
    )
    migrator.bridge("run", "--until-caught-up")
    proven(migrator)
    ledger = migrator.ledger()
    spaces = {record.label: record.spaces for record in ledger.tables()}
    ledger.close()
    assert spaces["public.users"] == ("user_memories",)
    beside = migrator.run()
    assert beside.returncode == 1
    assert "this ledger is of a `run`" in beside.stderr


def test_killed_and_run_again_it_reads_no_finished_chunk_again(migrator: Migrator) -> None:
    """kill -9 in the middle: the same command goes on, redoes at most a chunk per worker, and says that it was resumed."""
    workers, batch = 2, 20
    flags = ["--parallel-workers", str(workers), "--batch-size", str(batch), "--checkpoint-file", "pg_migration.json"]
    process = migrator.start(*flags)
    migrator.until(process, lambda: migrator.recorded() > ROWS // 3)
    process.kill()
    process.wait()
    ledger = migrator.ledger()
    done, begun = under_way(ledger)
    written = sum(ledger.live_counts().values())
    ledger.close()
    assert done
    assert len(begun) <= workers, begun
    assert written < sum(counts(migrator.source).values())
    report = migrator.report(3, *flags)
    assert report["resumed"]
    assert len(report["source"]["snapshots"]) == 2
    assert sum(one["rows"] for one in report["tables"]) == sum(counts(migrator.source).values())
    proven(migrator)
    checkpoint = json.loads((migrator.folder / "pg_migration.json").read_text(encoding="utf-8"))
    assert (checkpoint["state"], checkpoint["exit_code"]) == ("finished", 3)
    again = migrator.report(3, *flags)
    assert again == report, "a migration that is complete is not done again"
