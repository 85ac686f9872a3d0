"""A migration is taken back: exactly what it wrote and nobody changed since, proven gone, and gone it stays."""

from __future__ import annotations

import asyncio
import csv
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from bridge.ledger import Migrations, Serving
from bridge.reads import Mode, Route
from bridge.wiring import open_target
from tests import ready
from tests.acceptance.conftest import MakeRig
from tests.patience import PATIENCE
from tests.reading import reader, route, running
from tests.rig import Rig

SCHEMA = (
    "create table items (id int primary key, name text)",
    "create table parts (id int primary key, item int references items, note text)",
    "insert into items select n, 'item '||n from generate_series(1, 60) n",
    "insert into parts select n, n, 'part '||n from generate_series(1, 40) n",
)
CHANGES = (
    "update items set name = 'renamed '||id where id <= 10",
    "insert into items select n, 'item '||n from generate_series(61, 90) n",
    "delete from items where id = 60",
)


def configure(rig: Rig, **changes: Any) -> None:
    """Change keys of the rig's configuration; None takes one out."""
    document = yaml.safe_load(rig.file.read_text(encoding="utf-8"))
    document |= changes
    kept = {name: value for name, value in document.items() if value is not None}
    rig.file.write_text(yaml.safe_dump(kept), encoding="utf-8")


def two_migrations(rig: Rig) -> None:
    """`one` writes items 1-60; `two` writes items 61-90, rewrites 1-10, forgets 60, writes parts 1-40 and forgets 40."""
    rig.sql(*SCHEMA)
    configure(rig, migration="one", include=["items"])
    rig.catch_up()
    rig.sql(*CHANGES)
    configure(rig, migration="two", include=None)
    rig.catch_up()
    rig.sql("delete from parts where id = 40")
    rig.catch_up()


def held(rig: Rig, space: str) -> dict[str, str]:
    """Everything that Engram really has in a space: its list pages, each confirmed by its id."""
    target = open_target(rig.config)
    try:
        target.open(space)
        ids = [stored.memory_id for stored in target.scan(space)]
        found = zip(ids, target.read(space, ids), strict=True)
        return {memory_id: stored.content for memory_id, stored in found if stored is not None}
    finally:
        target.close()


def numbers(memories: dict[str, str]) -> set[int]:
    """The keys of memories."""
    return {int(memory_id.rpartition("_")[2]) for memory_id in memories}


def rollback(rig: Rig, migration: str, *flags: str, code: int = 0) -> dict[str, Any]:
    """Take it back; answers the report."""
    report = rig.folder / "report.json"
    arguments = ("--report", str(report), "--id-map", str(rig.folder / "ids.csv"), *flags)
    done = rig.command("rollback", "--migration-id", migration, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return dict(json.loads(report.read_text(encoding="utf-8")))


def tallies(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {table["table"]: table for table in report["tables"]}


def rows(rig: Rig) -> list[Any]:
    """All of the source."""
    with psycopg.connect(rig.source) as connection:
        query = "select (select json_agg(i order by id) from items i), (select json_agg(p order by id) from parts p)"
        return list(connection.execute(query).fetchall())


def test_what_one_migration_wrote_goes_and_the_other_stays_untouched(make_rig: MakeRig) -> None:
    """In one table and in two: of the other migration's memories not a byte is another one. The source is not touched."""
    rig = make_rig()
    two_migrations(rig)
    before, source = held(rig, "items"), rows(rig)
    assert numbers(before) == set(range(1, 60)) | set(range(61, 91))
    ones = {memory_id: content for memory_id, content in before.items() if '"migration":"one"' in content}
    assert numbers(ones) == set(range(11, 60))

    for flag in ("--dry-run", "--rehearse"):
        rehearsed = rollback(rig, "two", flag)
        assert (rehearsed["kind"], rehearsed["outcome"]) == ("rehearsal", "ok")
        counts = {name: (one["forgotten"], one["others"]) for name, one in tallies(rehearsed).items()}
        assert counts == {"public.items": (40, 49), "public.parts": (39, 0)}
        assert held(rig, "items") == before
        assert all(record.state == "loaded" for record in rig.ledger().tables())
    assert rehearsed["seconds_expected"] > 0

    report = rollback(rig, "two", "--yes")
    assert held(rig, "items") == ones
    assert held(rig, "parts") == {}
    assert rows(rig) == source
    assert (report["outcome"], report["kind"], report["migration_id"]) == ("ok", "rollback", "two")
    assert [(one["forgotten"], one["others"], one["left"]) for one in tallies(report).values()] == [(40, 49, []), (39, 0, [])]
    with (rig.folder / "ids.csv").open(encoding="utf-8") as file:
        ids = list(csv.DictReader(file))
    states = {(one["memory_id"], one["state"]) for one in ids}
    assert len(states) == len(ids) == 40 + 40
    assert ("items_61", "gone") in states
    assert ("parts_40", "deleted") in states
    assert not any(one["memory_id"] == "items_60" for one in ids)  # it was the other one's
    listed = json.loads(rig.command("migrations", "--json").stdout)
    assert [(one["migration_id"], sum(one["memories"].values())) for one in listed] == [("one", 49), ("two", 0)]
    assert listed[0]["rolled_back"] is None
    assert listed[1]["rolled_back"]["ended"] is not None


def test_only_in_one_table(make_rig: MakeRig) -> None:
    """--tables: the other tables of the same migration stay carried, and as they are."""
    rig = make_rig()
    two_migrations(rig)
    before = held(rig, "items")
    rollback(rig, "two", "--tables", "parts", "--yes")
    assert held(rig, "parts") == {}
    assert held(rig, "items") == before
    rig.sql("insert into items values (200, 'later')", "insert into parts values (200, 200, 'later')")
    rig.catch_up()
    assert numbers(held(rig, "items")) == numbers(before) | {200}
    assert held(rig, "parts") == {}
    refused = rig.command("rollback", "--migration-id", "one", "--tables", "parts", "--yes")
    assert refused.returncode == 2
    assert "the migration one wrote nothing in public.parts" in refused.stderr


def test_what_a_restart_brings_back_is_kept_away(make_rig: MakeRig) -> None:
    """By `run`, which still carries other tables or none, and without one by the same rollback again."""
    rig = make_rig()
    two_migrations(rig)
    rollback(rig, "two", "--tables", "parts", "--yes")
    rig.engram.kill()
    rig.engram.start()
    assert numbers(held(rig, "parts")) == set(range(1, 41)), "the sandbox should have the real server's bad habit"
    rig.start()
    rig.wait_until_proven()
    rig.until(lambda: held(rig, "parts") == {}, what="what came back was not forgotten")
    assert rig.stop() == 0
    rig.prove()

    rollback(rig, "two", "--yes")
    ones = held(rig, "items")
    assert numbers(ones) == set(range(11, 60))
    rig.engram.kill()
    rig.engram.start()
    report = rollback(rig, "two", "--yes")
    assert numbers(held(rig, "items")) & set(range(61, 91)) == set()
    assert held(rig, "parts") == {}
    assert tallies(report)["public.parts"]["returned"] == 40
    rig.engram.kill()
    rig.engram.start()
    reconciled = rig.command("reconcile")  # there is nothing left to be carried
    assert reconciled.returncode in (0, 1), reconciled.stderr
    assert held(rig, "parts") == {}
    assert numbers(held(rig, "items")) & set(range(61, 91)) == set()


def test_what_somebody_changed_is_left_and_listed(make_rig: MakeRig) -> None:
    """A row, a stamp, or something else in its place; what is gone already is no difference. A person is to look: 3."""
    rig = make_rig()
    two_migrations(rig)
    content = held(rig, "parts")
    changed = {
        "parts_1": content["parts_1"].replace("part 1", "mine 1"),
        "parts_2": content["parts_2"].replace('"to":"items_2"', '"to":"items_3"'),
        "parts_3": content["parts_3"].replace('"migration":"two"', '"migration":"one"'),
        "parts_4": "a note of my own",
    }
    for memory_id, text in changed.items():
        assert text != content[memory_id]
        rig.engram.damage("parts", memory_id, "content", text)
    rig.engram.damage("parts", "parts_5")
    report = rollback(rig, "two", "--yes", code=3)
    assert held(rig, "parts") == changed
    tally = tallies(report)["public.parts"]
    assert (report["outcome"], tally["forgotten"], tally["missing"]) == ("investigate", 34, 1)
    reasons = {one["memory_id"]: one["reason"] for one in tally["left"]}
    assert reasons == {
        "parts_1": "its row is not the one that was written",
        "parts_2": "it is not what was written under its version",
        "parts_3": "another migration has written it",
        "parts_4": "it bears no stamp of a bridge",
    }
    again = rollback(rig, "two", "--yes", code=3)
    assert {one["memory_id"] for one in tallies(again)["public.parts"]["left"]} == set(changed)
    assert held(rig, "parts") == changed


def test_killed_anywhere_it_goes_on(make_rig: MakeRig) -> None:
    """kill -9 while it forgets, between what Engram and what the ledger knows, four times; nobody begins it anew meanwhile."""
    rig = make_rig()
    rig.sql(
        "create table items (id int primary key, name text)",
        "create table parts (id int primary key, name text)",
        "insert into items select n, 'item '||n from generate_series(1, 3000) n",
        "insert into parts select n, 'part '||n from generate_series(1, 10) n",
    )
    configure(rig, migration="one", include=["parts"])
    rig.catch_up()
    configure(rig, migration="two", include=None, tables={"items": {"shards": 2}})
    rig.catch_up()
    parts = held(rig, "parts")
    rig.engram.faults([{"on": "Forget", "do": "slow", "seconds": 0.02}])
    killed = 0
    for attempt in range(4):
        process = ready.started(
            [*ready.command(), "rollback", "--migration-id", "two", "--yes", "--config", str(rig.file)],
            cwd=rig.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wanted = 250 * (attempt + 1)
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and forgets(rig) < wanted + attempt * 250:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        killed += process.poll() is None
        process.kill()
        process.wait()
        ledger = rig.ledger()
        migration = Migrations(ledger).find("two")
        assert migration is not None
        state = Migrations(ledger).rollback_of(migration.number)
        ledger.close()
        assert state is not None
        if state["ended"] is None:
            refused = rig.command("run", "--until-caught-up")
            assert refused.returncode == 2
            assert "is being rolled back" in refused.stderr
    assert killed >= 3
    rig.engram.faults()
    report = rollback(rig, "two", "--yes")
    assert report["outcome"] == "ok"
    assert held(rig, "items-0") == held(rig, "items-1") == {}
    assert held(rig, "parts") == parts
    with (rig.folder / "ids.csv").open(encoding="utf-8") as file:
        assert {one["state"] for one in csv.DictReader(file)} == {"gone"}
    listed = json.loads(rig.command("migrations", "--json", "--migration-id", "two").stdout)
    assert listed[0]["gone"] == {"public.items": 3000}


def forgets(rig: Rig) -> int:
    """How many memories Engram was told to forget."""
    calls = rig.engram.counters()["calls"]
    assert isinstance(calls, dict)
    return int(calls.get("Forget", 0))


def test_reads_go_back_first_and_nothing_is_loaded_again(make_rig: MakeRig) -> None:
    """While Engram is away the rollback ends with 75, but the routes are PostgreSQL's by then; with it, the rest follows."""
    rig = make_rig()
    two_migrations(rig)
    ledger = rig.ledger()
    for label in ("public.items", "public.parts"):
        Serving(ledger).route(label, Route(Mode.ENGRAM, 100), who="test", verb="advance", detail={})
    ledger.close()
    rig.engram.faults([{"on": "*", "do": "refuse"}])
    places = ("--report", str(rig.folder / "report.json"), "--id-map", str(rig.folder / "ids.csv"))
    away = rig.command("rollback", "--migration-id", "two", "--yes", *places)
    assert away.returncode == 75, away.stderr
    routes = Serving(rig.ledger()).routes()
    assert {route.mode for route in routes.values()} == {Mode.POSTGRES}
    rig.engram.faults([{"on": "Forget", "do": "drop", "about": "parts_"}])
    failed = rollback(rig, "two", "--yes", code=1)
    assert failed["outcome"] == "failed"
    assert len(tallies(failed)["public.parts"]["unproven"]) >= 39
    rig.engram.faults()
    assert rollback(rig, "two", "--yes")["outcome"] == "ok"
    audit = [(act.verb, act.label) for act in Serving(rig.ledger()).audit(100)]
    assert audit.count(("rollback", "public.parts")) == 2  # of the route, and of the end
    status = json.loads(rig.command("status", "--json").stdout)
    assert {table["state"] for table in status["tables"]} == {"stopped"}


def test_no_read_fails_while_it_is_taken_back(make_rig: MakeRig) -> None:
    """From Engram before, from PostgreSQL afterwards, each row alike at every moment, also where Engram had answered alone."""
    rig = make_rig(migration="only", serve={"max_staleness": 3600})
    rig.sql(*SCHEMA)
    rig.start()
    rig.wait_until_proven()
    route(rig.ledger_location, "public.items", Mode.ENGRAM, 100)
    route(rig.ledger_location, "public.parts", Mode.ENGRAM_ONLY, 100)
    paths = [f"/v1/items/{key}" for key in range(1, 61)] + [f"/v1/parts/{key}" for key in range(1, 41)]
    arguments = ["rollback", "--migration-id", "only", "--yes", "--config", str(rig.file)]

    async def ask() -> None:
        async with reader(rig.config) as client:
            before: dict[str, httpx.Response] = {}
            deadline = time.monotonic() + PATIENCE
            while {answer.headers.get("x-served-by") for answer in before.values()} != {"engram"}:
                assert time.monotonic() < deadline, [dict(answer.headers) for answer in before.values()][:3]
                before = {path: await client.get(path) for path in paths}
            assert rig.stop() == 0  # what it has covered is young enough for an hour
            assert {(await client.get(path)).headers["x-served-by"] for path in paths} == {"engram"}
            process = await asyncio.create_subprocess_exec(*ready.command(), *arguments, cwd=rig.folder)
            ended = asyncio.create_task(process.wait())
            rounds = 0
            while not ended.done() or rounds < 2:
                rounds += ended.done()
                for path in paths:
                    answer = await client.get(path)
                    assert (answer.status_code, answer.content) == (200, before[path].content), path
                    await asyncio.sleep(0)
            assert ended.result() == 0
            after = [await client.get(path) for path in paths]
            assert {answer.headers["x-served-by"] for answer in after} == {"postgres"}

    running(ask)
    assert held(rig, "items") == held(rig, "parts") == {}


def test_beside_a_running_bridge_it_is_refused(make_rig: MakeRig) -> None:
    """The bridge would load again what is taken back. A rehearsal changes nothing, and may."""
    rig = make_rig(migration="only")
    rig.sql(*SCHEMA)
    rig.start()
    rig.wait_until_proven()
    refused = rig.command("rollback", "--migration-id", "only", "--yes")
    assert refused.returncode == 1
    assert "it would load again what is taken back" in refused.stderr
    rehearsed = rollback(rig, "only", "--rehearse")
    assert {one["forgotten"] for one in tallies(rehearsed).values()} == {60, 40}
    assert rig.stop() == 0
    rig.prove()
    unknown = rig.command("rollback", "--migration-id", "onyl", "--yes")
    assert unknown.returncode == 2
    assert "only" in unknown.stderr
    asked = rig.command("rollback", "--migration-id", "only")
    assert asked.returncode == 2
    assert "nobody is there to confirm" in asked.stderr
    assert list(Path().glob("rollback-*")) == []  # whatever is refused leaves no file
    rig.prove()


def test_a_table_that_was_taken_back_can_be_carried_again(make_rig: MakeRig) -> None:
    """By `add`: every row is loaded, tombstones or not, though nothing was committed since; then a second rollback is empty."""
    rig = make_rig()
    two_migrations(rig)
    rollback(rig, "two", "--yes")
    configure(rig, migration="three")
    for label in ("items", "parts"):
        assert rig.command("add", label).returncode == 0
    rig.start()
    rig.until(lambda: numbers(held(rig, "parts")) == set(range(1, 40)), what="parts were not loaded again")
    rig.until(lambda: numbers(held(rig, "items")) == set(range(1, 60)) | set(range(61, 91)), what="items were not loaded again")
    rig.wait_until_proven()
    assert rig.stop() == 0
    rig.prove()
    before = held(rig, "items") | held(rig, "parts")
    report = rollback(rig, "two", "--yes")
    assert {one["forgotten"] for one in report["tables"]} == {0}
    assert held(rig, "items") | held(rig, "parts") == before


@pytest.mark.parametrize("name", ["odd/name of it", "ünïcode"])
def test_an_id_of_any_text(make_rig: MakeRig, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that are left by default have names that every system takes."""
    rig = make_rig(migration=name)
    rig.sql("create table items (id int primary key)", "insert into items values (1)")
    rig.catch_up()
    monkeypatch.chdir(tmp_path)
    done = rig.command("rollback", "--migration-id", name, "--yes")
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in tmp_path.glob("rollback-*")} == {".json", ".csv"}
    assert held(rig, "items") == {}
