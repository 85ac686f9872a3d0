"""What a one-shot migration asks of its source: SELECT on the tables, and nothing else; what it says when that is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.migrating import Migrator
from tests.patience import PATIENCE

TABLES = """
    create table users (id int primary key, name text not null, created_at timestamptz not null default now());
    create table orders (id int primary key, user_id int references users, description text);
    insert into users select n, 'user ' || n from generate_series(1, 30) n;
    insert into orders select n, n % 30 + 1, 'order ' || n from generate_series(1, 60) n;
"""


@pytest.fixture
def migrator(tmp_path: Path, database: str) -> Iterator[Migrator]:
    """Two tables, and an Engram."""
    made = Migrator(tmp_path, database)
    made.sql(TABLES)
    yield made
    made.close()


@pytest.fixture
def reader(database: str) -> Iterator[str]:
    """The connection string of a role that may connect, use the schema and read `orders`, and nothing else at all."""
    name = f"reader_{conninfo_to_dict(database)['dbname']}"
    with psycopg.connect(database, autocommit=True) as owner:
        role, there = sql.Identifier(name), sql.Identifier(str(conninfo_to_dict(database)["dbname"]))
        owner.execute(sql.SQL("create role {} login nosuperuser nocreatedb nocreaterole noreplication").format(role))
        owner.execute(sql.SQL("revoke all on database {} from public").format(there))
        owner.execute(sql.SQL("revoke all on schema public from public"))
        owner.execute(sql.SQL("grant connect on database {} to {}").format(there, role))
        owner.execute(sql.SQL("grant usage on schema public to {}").format(role))
        owner.execute(sql.SQL("grant select on orders to {}").format(role))
        yield make_conninfo(database, user=name)
        owner.execute(sql.SQL("drop owned by {}").format(role))
        owner.execute(sql.SQL("drop role {}").format(role))


def test_select_alone_is_enough_and_what_is_missing_is_granted_as_printed(migrator: Migrator, reader: str) -> None:
    """Without SELECT on one table it names it and prints the GRANT; after that statement the same command passes."""
    refused = migrator.run(source=reader)
    assert refused.returncode == 1
    assert "permission denied for table users" in refused.stderr
    found = re.search(r"GRANT SELECT ON ALL TABLES IN SCHEMA public TO \S+;", refused.stderr)
    assert found is not None, refused.stderr
    assert not (migrator.folder / "engram-bridge.db").exists(), "nothing was written"
    migrator.sql(found[0])
    report = migrator.migrate(source=reader)
    assert {one["table"]: one["loaded"] for one in report["tables"]} == {"public.users": 30, "public.orders": 60}
    assert report["validation"]["clean"]
    with psycopg.connect(migrator.source) as connection:
        assert connection.execute("select count(*) from pg_replication_slots where database = current_database()").fetchone() == (
            0,
        )
        assert connection.execute("select count(*) from pg_publication").fetchone() == (0,)


def test_what_cannot_be_reached_is_a_failure_before_anything_is_written(migrator: Migrator) -> None:
    """A closed port on either side: exit code 1, and neither ledger nor checkpoint."""
    nowhere = make_conninfo(migrator.source, port="1", connect_timeout="5")
    for source, target in ((nowhere, migrator.engram.http), (migrator.source, "http://127.0.0.1:1")):
        done = migrator.run("--target", target, "--checkpoint-file", "c.json", source=source)
        assert done.returncode == 1, done.stderr
        assert "→" in done.stderr
        assert not list(migrator.folder.glob("*.db"))
        assert not (migrator.folder / "c.json").exists()
    assert migrator.engram.counted() == 0 if hasattr(migrator.engram, "counted") else True


def test_a_table_that_was_left_out_is_gone_on_with_when_that_is_mended(migrator: Migrator, reader: str) -> None:
    """A right that is taken away in the middle stops a table, exit 1. Given back, the same command goes on: it does not call a
    migration complete that failed."""
    role = sql.Identifier(str(conninfo_to_dict(reader)["user"])).as_string(None)
    migrator.sql(
        f"grant select on users to {role}",
        "insert into orders select n, n % 30 + 1, 'more ' || n from generate_series(61, 4000) n",
    )
    owner, migrator.source = migrator.source, reader
    process = migrator.start("--batch-size", "100", "--parallel-workers", "1", "--checkpoint-file", "c.json")
    migrator.until(process, lambda: migrator.recorded() > 100)
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(f"revoke select on orders from {role}".encode())
    assert process.wait(timeout=PATIENCE) == 1, migrator.log.read_text(encoding="utf-8")
    assert "public.orders was not migrated" in migrator.log.read_text(encoding="utf-8")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(f"grant select on orders to {role}".encode())
    report = migrator.report(3, "--batch-size", "100", "--parallel-workers", "1", "--checkpoint-file", "c.json")
    assert {one["table"]: one["rows"] for one in report["tables"]} == {"public.users": 30, "public.orders": 4000}
    assert migrator.recorded() == 4030
    assert report["validation"]["clean"]
