"""`migrate-postgresql --dry-run`: it tells what will be, and what it tells is true; it writes nothing anywhere."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from bridge.engram.client import Address, EngramTarget
from bridge.sandbox import shop
from tests.migrating import Migrator

VECTOR_BYTES = 768 * 4


@pytest.fixture
def migrator(tmp_path: Path, database: str) -> Iterator[Migrator]:
    """A shop of some 1,500 rows, and an empty Engram."""
    shop.create(database)
    shop.seed(database, 1_500)
    made = Migrator(tmp_path, database)
    yield made
    made.close()


@contextmanager
def forwarded(address: str) -> Iterator[tuple[str, list[str]]]:
    """Engram behind somebody who notes what is asked of it: the new address, and the notes."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            headers = {name: value for name, value in self.headers.items() if name.lower() in ("x-memory-space", "authorization")}
            with urllib.request.urlopen(urllib.request.Request(address + self.path, headers=headers)) as answer:
                body = answer.read()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _refused(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.send_error(405)

        do_POST = do_PUT = do_DELETE = do_PATCH = _refused

        def log_message(self, *_given: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def spaces(migrator: Migrator) -> set[str]:
    """Those that Engram has."""
    with urllib.request.urlopen(migrator.engram.http + "/api/v1/spaces") as answer:
        return {space["id"] for space in json.load(answer)["spaces"]}


def stored_bytes(migrator: Migrator, names: list[str]) -> int:
    """Contents and vectors of all memories that Engram lists."""
    target = EngramTarget(Address(migrator.engram.http, migrator.engram.grpc, None))
    try:
        total = 0
        for name in names:
            target.open(name)
            total += sum(len(stored.content.encode()) + VECTOR_BYTES for stored in target.scan(name))
        return total
    finally:
        target.close()


def test_it_writes_nothing_and_its_estimates_hold(migrator: Migrator, tmp_path: Path) -> None:
    """Engram is only read, its gRPC side is not even reached; no ledger, no checkpoint, no space. Then the real run: as many rows
    as were said, in the spaces that were said, and the storage within a factor of two of what was said."""
    before, files = spaces(migrator), {path.name for path in tmp_path.iterdir()}
    plan_file = tmp_path / "plan.json"
    with forwarded(migrator.engram.http) as (address, asked):
        done = migrator.run(
            *(
                "--target",
                address,
                "--grpc",
                "127.0.0.1:9",
                "--checkpoint-file",
                "m.json",
                "--report",
                str(plan_file),
                "--dry-run",
            )
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert asked
    assert all(one.startswith("GET ") for one in asked), asked
    assert spaces(migrator) == before
    assert {path.name for path in tmp_path.iterdir()} == files | {"plan.json"}
    assert "The migration can begin" in done.stdout
    plan = json.loads(plan_file.read_text())
    assert plan["ok"]
    steps = {label: number for number, group in enumerate(plan["order"]) for label in group}
    assert steps["public.users"] < steps["public.orders"] < steps["public.order_items"] < steps["public.shipments"]
    assert steps["public.departments"] == steps["public.employees"], "they refer to each other"

    report = migrator.migrate("--no-validate")
    said = {table["table"]: table for table in plan["tables"]}
    for table in report["tables"]:
        assert said[table["table"]]["rows"] == table["rows"]
        assert said[table["table"]]["spaces"] == table["spaces"]
    measured = stored_bytes(migrator, [space for table in report["tables"] for space in table["spaces"]])
    assert measured / 2 <= plan["storage"]["engram"] <= measured * 2
    assert abs(plan["storage"]["engram"] / measured - 1) < 0.2, "it is better than that on rows that were sampled"


def test_what_stands_in_the_way_is_told(migrator: Migrator, database: str, tmp_path: Path) -> None:
    """A table that may not be read, with the GRANT that is missing; that there is no checkpoint; advice."""
    role = f"reader_{database[-8:]}"
    migrator.sql(
        f"create role {role} login",
        f"grant select on all tables in schema public to {role}",
        f"revoke select on reviews from {role}",
    )
    try:
        plan_file = tmp_path / "plan.json"
        done = migrator.run(
            *("--dry-run", "--batch-size", "7", "--report", str(plan_file)), source=make_conninfo(database, user=role)
        )
        plan = json.loads(plan_file.read_text())
        assert done.returncode == plan["exit_code"] == 1
        found = {one["code"]: one for one in plan["findings"]}
        assert {code for code, one in found.items() if one["level"] == "error"} == {"table.select"}
        assert f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};" in found["table.select"]["remedy"]
        assert "checkpoint.none" in found
        assert not any(code.startswith(("slot.", "publication.", "source.wal", "role.")) for code in found)
        assert any("--batch-size is 7" in one for one in plan["advice"])
        assert "permission denied for table reviews" in done.stdout
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(role)))


def test_an_engram_that_cannot_be_reached_is_a_finding(migrator: Migrator) -> None:
    """The rest of the plan is shown all the same."""
    migrator.engram.terminate()
    done = migrator.run("--dry-run")
    assert done.returncode == 1
    assert "1 thing stands in the way" in done.stdout
    assert "public.order_items" in done.stdout


def test_parts_of_a_database(migrator: Migrator, tmp_path: Path) -> None:
    """What leads out of the chosen tables is named; a limit is what the plan counts with."""
    plan_file = tmp_path / "plan.json"
    done = migrator.run("--dry-run", "--tables", "orders,order_items", "--limit", "20", "--report", str(plan_file))
    assert done.returncode == 0, done.stderr
    plan = json.loads(plan_file.read_text())
    assert [table["rows"] for table in plan["tables"]] == [20, 20]
    assert sorted(one.partition(":")[0] for one in plan["external"]) == ["public.order_items", "public.orders"]
    assert any("leads to public.users" in one for one in plan["external"])
