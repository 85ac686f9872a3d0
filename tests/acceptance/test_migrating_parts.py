"""Parts of a database: chosen tables, a limit, up to a date and since it; mappings of the guide; tables that nobody prepared."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge import config as configuration
from bridge.memories import split_content
from bridge.wiring import open_target
from tests.embedding_endpoint import EmbeddingEndpoint
from tests.migrating import Migrator
from tests.patience import PATIENCE

TABLES = """
    create table users (id int primary key, name text not null, bio text, notes text, created_at timestamptz not null,
        inserted_on date);
    create table orders (id int primary key, user_id int references users, description text, comments text,
        created_at timestamptz not null);
    create table countries (code text primary key, label text);
    create table log (line text, at timestamptz);
    insert into users select n, 'user ' || n, 'bio ' || n, 'secret notes ' || n, '2025-01-01'::timestamptz + n * interval '1 day',
        '2020-02-02' from generate_series(1, 40) n;
    insert into orders select n, (n * 7) % 40 + 1, 'order ' || n, 'comment', '2025-01-01'::timestamptz + n * interval '1 day'
        from generate_series(1, 80) n;
    insert into countries select 'c' || n, 'country ' || n from generate_series(1, 5) n;
    insert into log select 'line ' || n % 10, '2025-01-01' from generate_series(1, 30) n;
"""


@pytest.fixture
def migrator(tmp_path: Path, database: str) -> Iterator[Migrator]:
    """Users and their orders, a reference table, a table without a key; and an Engram."""
    made = Migrator(tmp_path, database)
    made.sql(TABLES)
    yield made
    made.close()


def counts(report: dict[str, Any], what: str = "rows") -> dict[str, int]:
    """Of each table, without its schema."""
    return {one["table"].removeprefix("public."): one[what] for one in report["tables"]}


def stored(migrator: Migrator, space: str, memory_id: str) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """What Engram answers for an id: the row, its stamp, and its time."""
    target = open_target(configuration.load(None, source=migrator.source, target=migrator.engram.http))
    try:
        target.open(space)
        (found,) = target.read(space, [memory_id])
    finally:
        target.close()
    assert found is not None, f"{memory_id} is not in {space}"
    parts = split_content(found.content)
    assert parts is not None
    return json.loads(parts[0]), json.loads(found.content)["_bridge"], found.timestamp


def test_the_custom_mapping_of_the_guide(migrator: Migrator) -> None:
    """Spaces, text columns, the timestamp column, confidence and id of the migration stand in what Engram has; a table without a
    key is carried, too."""
    flags = ["--table-to-space", "users:user_space,orders:order_space", "--text-columns", "users:name,bio;orders:description"]
    flags += ["--timestamp-column", "inserted_on", "--confidence", "0.95", "--migration-id", "guide-1", "--batch-size", "5000"]
    report = migrator.migrate(*flags)
    assert counts(report) == {"users": 40, "orders": 80, "countries": 5, "log": 30}
    assert counts(report, "loaded") == {"users": 40, "orders": 80, "countries": 5, "log": 10}
    row, stamp, when = stored(migrator, "user_space", "users_7")
    assert (row["name"], row["notes"]) == ("user 7", "secret notes 7")
    assert (stamp["migration"], stamp["confidence"], stamp["class"]) == ("guide-1", 0.95, "configured")
    assert str(when).startswith("2020-02-02")
    _row, stamp, _when = stored(migrator, "order_space", "orders_3")
    assert stamp["refs"] == [
        {"type": "references", "constraint": "orders_user_id_fkey", "columns": {"user_id": 22}, "to": "users_22", "weight": 0.8}
    ]
    again = migrator.migrate("--migration-id", "guide-2")
    assert sum(counts(again, "loaded").values()) == 0, "what was said of the tables is kept, and nothing has changed"
    assert sum(counts(again, "unchanged").values()) == 135


def test_all_in_one_space_without_edges(migrator: Migrator) -> None:
    """For graph use, and for whoever wants no edges; a later validation is not told either, and knows."""
    report = migrator.migrate("--single-space", "--memory-space", "everything", "--skip-edges", "--tables", "users,orders")
    assert {space for one in report["tables"] for space in one["spaces"]} == {"everything"}
    assert report["edges"] == 0
    _row, stamp, _when = stored(migrator, "everything", "orders_3")
    assert stamp["refs"] == []
    assert json.loads(migrator.bridge("validate", "--json").stdout)["clean"]


def test_stages_a_date_and_a_delta(migrator: Migrator) -> None:
    """Reference tables alone, transactional ones up to a date, then what is new since: and the edges between them are right."""
    first = migrator.migrate("--tables", "countries,users", "--until", "2025-02-01")
    assert counts(first) == {"countries": 5, "users": 31}
    second = migrator.migrate("--tables", "orders", "--until", "2025-02-01", "--no-validate")
    assert counts(second) == {"orders": 31}
    assert counts(second, "edges") == {"orders": 31 - counts(second, "external")["orders"]}
    assert second["orphans"]["count"] == 0, "users later than the date are not missing, they were not meant"
    migrator.sql("insert into users select n, 'new', null, null, '2025-06-01' from generate_series(101, 110) n")
    delta = migrator.migrate("--since", "2025-02-01", "--tables", "users,orders")
    assert counts(delta) == {"users": 19, "orders": 49}
    assert counts(delta, "loaded") == {"users": 19, "orders": 49}
    assert counts(delta, "external") == {"users": 0, "orders": 0}
    assert any("delta" in one for one in delta["advice"])
    refused = migrator.run("--since", "2025-02-01", "--tables", "countries")
    assert refused.returncode == 2
    assert "created_at" in refused.stderr


def test_a_limit_to_try_the_mapping(migrator: Migrator) -> None:
    """At most so many rows of each table, edges between those; references that leave them are counted apart."""
    report = migrator.migrate("--limit", "10", "--batch-size", "3", "--tables", "users,orders")
    assert counts(report) == {"users": 10, "orders": 10}
    inside = sum((n * 7) % 40 + 1 <= 10 for n in range(1, 11))
    assert counts(report, "edges")["orders"] == inside
    assert counts(report, "external")["orders"] == 10 - inside
    assert report["orphans"]["count"] == 0
    whole = migrator.migrate()
    assert counts(whole) == {"users": 40, "orders": 80, "countries": 5, "log": 30}
    assert counts(whole, "edges")["orders"] == 80


def test_orphans_are_named_and_the_run_goes_on(migrator: Migrator) -> None:
    """42 of them under a constraint that was never validated: all are listed, with child and missing parent."""
    migrator.sql(
        "alter table orders drop constraint orders_user_id_fkey",
        "insert into orders select 1000 + n, 900 + n, 'orphan', null, now() from generate_series(1, 42) n",
        "alter table orders add constraint orders_user foreign key (user_id) references users not valid",
    )
    path = migrator.folder / "orphans.json"
    done = migrator.run("--report", str(path))
    assert done.returncode == 0, done.stderr
    assert "Found 42 orphaned foreign keys" in done.stderr
    report = json.loads(path.read_text(encoding="utf-8"))
    assert counts(report, "loaded")["orders"] == 122
    assert {(one["constraint"], one["child"], one["parent"]) for one in report["orphans"]["listed"]} == {
        ("orders_user", f"orders_{1000 + n}", f"users_{900 + n}") for n in range(1, 43)
    }


def test_what_was_rolled_back_can_be_migrated_again(migrator: Migrator) -> None:
    """The second migration takes the tables in again, under its own id."""
    migrator.migrate("--tables", "users,orders", "--migration-id", "first", "--table-to-space", "users:people")
    migrator.bridge("rollback", "--migration-id", "first", "--yes")
    again = migrator.migrate("--migration-id", "second")
    assert counts(again, "loaded") == {"users": 40, "orders": 80, "countries": 5, "log": 10}
    _row, stamp, _when = stored(migrator, "people", "users_7")
    assert stamp["migration"] == "second"


def test_a_model_of_its_own_and_a_table_too_large_for_a_space(migrator: Migrator) -> None:
    """The model is sent the chosen columns alone, and is kept with the tables; a table that would not fit is spread unasked."""
    config = migrator.folder / "small.yaml"
    config.write_text("target: {limit: 30, capacity: 40}\n", encoding="utf-8")
    with EmbeddingEndpoint() as endpoint:
        model = ["--embedding-provider", f"{endpoint.url}/v1/embeddings", "--text-columns", "users:name,bio"]
        report = migrator.migrate("--config", str(config), *model, "--tables", "users")
        assert [one["spaces"] for one in report["tables"]] == [["users-0", "users-1"]]
        assert counts(report, "loaded") == {"users": 40}
        sent = {text for call in endpoint.calls for text in call}
        assert "name: user 7 | bio: bio 7" in sent
        assert not [text for text in sent if "secret" in text]
        assert json.loads(migrator.bridge("validate", "--json").stdout)["clean"]


def test_the_example_migrates_documents(migrator: Migrator) -> None:
    """`SELECT id, content, created_at, metadata FROM documents`: one memory a row, with its confidence, why, and whence."""
    migrator.sql(
        "create table documents (id int primary key, content text, created_at timestamptz, metadata jsonb)",
        "insert into documents select n, 'document ' || n, '2024-05-06 07:08:09+00', jsonb_build_object('lang', 'en', 'n', n)"
        " from generate_series(1, 12) n",
        "insert into documents values (13, 'without', null, null)",
    )
    script = Path(__file__).parents[2] / "examples" / "postgres_migration.py"
    done = subprocess.run(
        [sys.executable, str(script), migrator.source, migrator.engram.http, migrator.engram.grpc],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=migrator.folder,
        env=migrator.environment,
    )
    assert done.returncode == 0, done.stderr
    assert "13  rows read" in done.stdout
    row, stamp, when = stored(migrator, "documents", "documents_5")
    assert row == {"id": 5, "content": "document 5", "created_at": "2024-05-06 07:08:09+00", "metadata": {"lang": "en", "n": 5}}
    assert (stamp["confidence"], stamp["source"]) == (0.95, "postgres")
    assert stamp["why"] == "Migrated from authoritative PostgreSQL database"
    assert str(when).startswith("2024-05-06T07:08:09")
