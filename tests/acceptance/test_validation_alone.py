"""Validation when nobody carries changes: of a migrated database, of one that went on, at a held snapshot, behind a restart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge import config as configuration
from bridge.config import Config
from bridge.engram.client import EngramTarget
from bridge.migration.held import HeldSnapshot
from bridge.validation import Order, validate
from bridge.validation.attending import open_sides
from bridge.validation.queries import queries_of
from tests.acceptance.conftest import MakeRig
from tests.acceptance.damages import OLD, SCHEMA
from tests.migrating import Migrator
from tests.patience import PATIENCE

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "validate_migration.sh"


@pytest.fixture
def migrated(tmp_path: Path, database: str) -> Iterator[Migrator]:
    """Two tables, migrated once."""
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in SCHEMA:
            connection.execute(statement)
    made = Migrator(tmp_path, database)
    made.migrate()
    yield made
    made.close()


def sql(migrated: Migrator, *statements: str) -> None:
    """As the application would."""
    with psycopg.connect(migrated.source, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def settings(migrated: Migrator, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The configuration of a command in the migration's folder."""
    monkeypatch.setenv("ENGRAM_GRPC", migrated.engram.grpc)
    place = str(migrated.folder / "engram-bridge.db")
    return configuration.load(None, source=migrated.source, target=migrated.engram.http, ledger=place)


def found(migrated: Migrator, config: Config, order: Order | None = None, **more: Any) -> dict[str, Any]:
    """What a validation says."""
    book = migrated.ledger()
    try:
        with open_sides(config, book, **more) as sides:
            return validate(sides, order or Order(sample=None))
    finally:
        book.close()


def named(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Check, kind and id of all findings."""
    return [(one["check"], one["kind"], one["id"]) for one in result["findings"]]


def script(migrated: Migrator, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script, from another folder."""
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd="/",
        env={**migrated.environment, "PATH": beside, **environment},
    )


def test_the_script_of_the_guide_ends_with_what_it_found(migrated: Migrator) -> None:
    """All and one space, from any folder; damaged, it says so and fails; what it cannot do is told."""
    place = {"ENGRAM_BRIDGE_LEDGER": str(migrated.folder / "engram-bridge.db")}
    whole = script(migrated, "postgresql", migrated.source, migrated.engram.http, "all", **place)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert "public.users" in whole.stdout
    assert "public.orders" in whole.stdout
    migrated.engram.damage("users", "users_8")
    one = script(migrated, "postgresql", migrated.source, migrated.engram.http, "users", **place)
    assert one.returncode == 4, one.stdout + one.stderr
    assert "rows: users_8: missing" in one.stdout
    assert "public.orders" not in one.stdout
    other = script(migrated, "postgresql", migrated.source, migrated.engram.http, "orders", **place)
    assert other.returncode == 4, other.stdout + other.stderr  # one of the fifty users that orders lead to
    assert "references: users_8: target missing" in other.stdout
    for wrong in (["neo4j", migrated.source, migrated.engram.http, "all"], ["postgresql", migrated.source]):
        assert script(migrated, *wrong, **place).returncode == 2
    assert script(migrated, "postgresql", migrated.source, migrated.engram.http, "nowhere", **place).returncode == 2
    assert script(migrated, "postgresql", migrated.source, migrated.engram.http, "all").returncode == 2  # no ledger there


def test_rows_that_changed_since_are_no_damage_and_hide_none(migrated: Migrator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row more, one less and one changed since: to be looked into, by id. What Engram lost of the changed one is damage."""
    config = settings(migrated, monkeypatch)
    assert found(migrated, config)["outcome"] == "ok"
    sql(
        migrated,
        "update users set name = 'another' where id = 3",
        "insert into users values (61, 'new', 'n@x', now())",
        "delete from orders where id = 119",
    )
    result = found(migrated, config)
    assert (result["outcome"], result["exit_code"], named(result)) == ("investigate", 3, [])
    assert sorted(result["changed_since"]) == ["orders_119", "users_3", "users_61"]
    assert result["carried_by"] == "nobody"
    migrated.engram.damage("users", "users_3")
    result = found(migrated, config)
    assert named(result) == [("rows", "missing", "users_3")]
    assert sorted(result["changed_since"]) == ["orders_119", "users_3", "users_61"]


def test_at_a_held_snapshot_every_difference_is_damage(migrated: Migrator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is changed after it is not seen; what the ledger has lost cannot have come since; but for tables read earlier."""
    config = settings(migrated, monkeypatch)
    held = HeldSnapshot.take(migrated.source)
    try:
        sql(migrated, "update users set name = 'another' where id = 3", "delete from orders where id = 119")
        result = found(migrated, config, snapshot=held)
        assert (result["outcome"], result["carried_by"], result["changed_since"]) == ("ok", "a snapshot", [])
        book = migrated.ledger()
        with book.shared() as connection:
            connection.exec_driver_sql(
                "delete from memories where key = '60' and tbl = (select number from tables where label = 'public.users')"
            )
        book.close()
        result = found(migrated, config, snapshot=held)
        assert named(result) == [("counts", "not in the ledger", "users_60")]
        earlier = found(migrated, config, snapshot=held, earlier=["public.users"])
        assert (named(earlier), earlier["changed_since"], earlier["exit_code"]) == ([], ["users_60"], 3)
    finally:
        held.close()


def test_a_missing_memory_is_found_whatever_the_sample(migrated: Migrator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows of 120 are looked at: the one that is lost is none of them, and is found by its absence from the lists."""
    config = settings(migrated, monkeypatch)
    order = Order(sample=2, seed=1)
    clean = found(migrated, config, order)
    assert clean["tables"]["public.orders"]["memories"] == 120
    migrated.engram.damage("orders", "orders_77")
    result = found(migrated, config, order)
    assert named(result) == [("counts", "missing", "orders_77")]
    assert result["exit_code"] == 3
    table = result["tables"]["public.orders"]
    assert (table["rows"], table["ledger"], table["memories"], table["sampled"]) == (120, 120, 119, 2)


def test_a_vector_too_near_to_a_sampled_one_is_found(migrated: Migrator, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not sampled lies beside one that is: Engram would take the two for one."""
    config = settings(migrated, monkeypatch)
    seen: list[str] = []
    recompute = Order(sample=5, seed=3)
    monkeypatch.setattr("bridge.validation.rows.RowCheck.run", _noting(seen))
    assert found(migrated, config, recompute)["clean"]
    monkeypatch.undo()
    config = settings(migrated, monkeypatch)
    sampled = next(f"users_{key}" for key in seen if f"users_{key}" and int(key) <= 60)
    other = next(f"users_{number}" for number in range(1, 61) if str(number) not in seen)
    book = migrated.ledger()
    with open_sides(config, book) as sides:
        sides.target.open("users")
        vectors = {stored.memory_id: vector for stored, vector in sides.target.vectors("users")}
    book.close()
    near = 0.97 * vectors[sampled] + 0.1 * vectors[other]  # type: ignore[operator]
    migrated.engram.damage("users", other, "vector", near.tolist())
    result = found(migrated, config, recompute)
    assert named(result) == [("vectors", "too near to another row", sampled)]
    assert other in result["findings"][0]["detail"]


def _noting(seen: list[str]) -> Any:
    from bridge.validation.rows import RowCheck

    run = RowCheck.run

    def noted(check: RowCheck, keys: Any) -> None:
        seen.extend(keys) if check.plan.table.name == "users" else None
        run(check, keys)

    return noted


def test_a_server_that_gives_no_vectors_back_is_told(migrated: Migrator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be said then: the check is not done, and the result is not clean. Left out on purpose, it is."""
    config = settings(migrated, monkeypatch)
    pages = EngramTarget._pages
    monkeypatch.setattr(EngramTarget, "_pages", lambda target, space, _more: pages(target, space, {}))
    result = found(migrated, config)
    assert (result["exit_code"], named(result)) == (3, [])
    assert result["tables"]["public.users"]["undone"] == {"vectors": "Engram gives no vectors back in its lists"}
    without = found(migrated, config, Order(sample=None, without=("vectors",)))
    assert without["exit_code"] == 0
    assert "vectors" not in without["checks"]


def test_queries_find_what_they_should_or_are_told(migrated: Migrator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row by its words; one that the query does not mean; a limit of time that nobody can keep."""
    config = settings(migrated, monkeypatch)
    good = {"query": "user 17 u17@x", "table": "users", "expect": ["users_17"], "limit": 3}
    result = found(migrated, config, Order(queries=queries_of({"queries": [good], "p95_ms": 60_000})))
    assert result["exit_code"] == 0, result["findings"]
    assert result["tables"]["public.users"]["queries"] == 1
    bad = good | {"expect": ["users_17", "users_4000"]}
    lenient = bad | {"recall": 0.5}
    result = found(migrated, config, Order(queries=queries_of({"queries": [good, bad, lenient], "p95_ms": 0.000_1})))
    assert named(result) == [("queries", "not among the first 3", "users_4000"), ("queries", "slow", "")]
    assert result["exit_code"] == 3
    path = migrated.folder / "queries.yaml"
    path.write_text("queries: [{query: user 17 u17@x, table: users, expect: [users_17]}]\nlimit: 5\n", encoding="utf-8")
    for form in ("html", "txt", "json"):
        report = migrated.folder / f"validation.{form}"
        migrated.bridge("validate", "--queries", str(path), "--report", str(report))
        assert "public.users" in report.read_text(encoding="utf-8")
    path.write_text("queries: [{query: user 17, expect: [users_17]}]\n", encoding="utf-8")
    refused = migrated.bridge("validate", "--queries", str(path), code=2)
    assert "query 1 has no text `table`" in refused.stderr


def test_what_a_restart_of_engram_has_done_is_named_and_nothing_else(make_rig: MakeRig) -> None:
    """With the real server's memory: an updated row is reverted, a deleted one is back, and all others are right.

    Without the foreign key to another key than the parent's own: its memories are written again once the parent is known.
    """
    rig = make_rig(heartbeat={"seconds": 0.2})
    rig.sql(SCHEMA[0], "create table orders (id int primary key, user_id int references users, note text)", SCHEMA[2])
    rig.sql("insert into orders select n, 1 + n % 50, 'note '||n from generate_series(1, 120) n")
    rig.start()
    rig.wait_until_proven()
    rig.sql(*OLD)
    rig.wait_until_proven()
    assert rig.stop() == 0
    assert rig.engram.terminate() == 0
    rig.engram.start()
    book = rig.ledger()
    with open_sides(rig.config, book) as sides:
        result = validate(sides, Order(sample=None))
    assert sorted(named(result)) == [("extra", "resurrected", "orders_120"), ("rows", "reverted", "users_7")]
    assert {label: one["vectors"] for label, one in result["tables"].items()} == {"public.users": 60, "public.orders": 119}
