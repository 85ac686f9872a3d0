"""Validation is sound: each kind of damage is found by its check and named, nothing else complains, and lag is no damage."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import psycopg

from bridge.validation import Order, validate
from bridge.validation.attending import open_sides
from tests.acceptance.conftest import MakeRig
from tests.acceptance.damages import IN_ENGRAM, IN_THE_LEDGER, OLD, SCHEMA, SHARDED, Damage, Earlier, World, at_once, opened
from tests.rig import Rig


def found(rig: Rig, order: Order | None = None) -> dict[str, Any]:
    """The result of a validation of everything."""
    book = rig.ledger()
    with open_sides(rig.config, book) as sides:
        return validate(sides, order or Order(sample=None))


def named(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Check, kind and id of all findings."""
    return [(one["check"], one["kind"], one["id"]) for one in result["findings"]]


def test_each_kind_of_damage_is_found_and_named_and_nothing_else(make_rig: MakeRig) -> None:
    """Every damage of the table: many at once while a bridge runs, and one by one while none does."""
    rig = make_rig(heartbeat={"seconds": 0.2}, **SHARDED)
    rig.sql(*SCHEMA)
    rig.start()
    rig.wait_until_proven()
    earlier = Earlier.of(rig)
    rig.sql(*OLD)
    rig.wait_until_proven()
    clean = found(rig)
    assert clean["clean"], clean
    users, orders = clean["tables"]["public.users"], clean["tables"]["public.orders"]
    assert (users["rows"], users["ledger"], users["sampled"], users["recomputed"]) == (60, 60, 60, 60)
    assert (orders["rows"], orders["ledger"], orders["sampled"], orders["edges"], orders["vectors"]) == (119, 119, 119, 238, 119)
    with opened(rig, earlier) as world:
        for some in at_once((*IN_ENGRAM, *IN_THE_LEDGER)):
            result = _damaged(world, some)
            assert sorted(named(result)) == sorted(expected for one in some for expected in one.found)
            assert result["exit_code"] == 4
        assert rig.stop() == 0
        assert found(rig)["exit_code"] == 0
        for one in (*IN_ENGRAM, *IN_THE_LEDGER):
            result = _damaged(world, [one])
            lost = one.found[0][0] == "counts"  # nobody can tell it from a row that has come or gone since
            assert tuple(named(result)) == (() if lost else one.found), one.what
            assert result["changed_since"] == ([one.found[0][2]] if lost else []), one.what
            assert result["exit_code"] == (3 if lost or one.found[0][2].startswith("orders") else 4), one.what
        assert found(rig)["exit_code"] == 0


def _damaged(world: World, some: Sequence[Damage]) -> dict[str, Any]:
    """What a validation says of these damages; afterwards they are mended."""
    for one in some:
        one.plant(world)
    result = found(world.rig)
    for one in some:
        one.heal(world)
    return result


def test_rows_that_change_all_the_time_are_lag_and_no_damage(make_rig: MakeRig) -> None:
    """A validation while every row is changed, made and deleted again: nothing is found, and what was behind passed by."""
    rig = make_rig(heartbeat={"seconds": 0.2})
    rig.sql(*SCHEMA)
    rig.start()
    rig.wait_until_proven()
    ending = threading.Event()

    def write() -> None:
        with psycopg.connect(rig.source, autocommit=True) as connection:
            number = 0
            while not ending.wait(0.1):  # without end, but not faster than the bridge: a fence is waited for
                number += 1
                connection.execute("update users set name = 'turn ' || %s where id %% 5 = %s", (number, number % 5))
                connection.execute("update orders set user_id = 1 + (user_id + 1) %% 60 where id %% 7 = %s", (number % 7,))
                connection.execute("delete from orders where id = 1000")
                connection.execute("insert into orders values (1000, 3, null, 'again')")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        results = [found(rig) for _ in range(3)]
    finally:
        ending.set()
        thread.join()
    assert [result["findings"] for result in results] == [[], [], []]
    assert sum(one["lag"] for result in results for one in result["tables"].values()) > 0
    rig.wait_until_proven()
    assert found(rig)["clean"]


def test_what_the_ledger_has_lost_is_told_by_the_count(make_rig: MakeRig) -> None:
    """A row that the ledger does not know, and one that it believes to be there: counts say so, key by key."""
    rig = make_rig(heartbeat={"seconds": 0.2})
    rig.sql(*SCHEMA)
    rig.start()
    rig.wait_until_proven()
    rig.ledger_sql("delete from memories where key = '120' and tbl = (select number from tables where label = 'public.orders')")
    result = found(rig)
    assert ("counts", "not in the ledger", "orders_120") in named(result)
    assert result["tables"]["public.orders"]["checks"]["counts"] == 1
    assert (result["tables"]["public.orders"]["rows"], result["tables"]["public.orders"]["ledger"]) == (120, 119)


def test_the_command_and_the_running_bridge_do_the_same(make_rig: MakeRig) -> None:
    """By itself, through the bridge, with a report; 1 when something is found; a sample says what it may have missed."""
    rig = make_rig(heartbeat={"seconds": 0.2})
    rig.sql(*SCHEMA)
    rig.start()
    rig.wait_until_proven()
    report = rig.folder / "report.json"
    done = rig.command("validate", "--sample", "20", "--seed", "7", "--report", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "probability that the sample missed 1 damaged row(s): 66.67 %" in done.stdout
    first = json.loads(report.read_text())
    asked = rig.command("validate", "--sample", "20", "--seed", "7", "--by-bridge", "--json")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    second = json.loads(asked.stdout)
    assert second["number"] == first["number"] + 1
    assert second["tables"] == first["tables"]
    rig.engram.damage("users", "users_8")
    bad = rig.command("validate", "--tables", "users", "--sample", "all", "--by-bridge")
    assert bad.returncode == 4, bad.stdout + bad.stderr  # 1 of 60 rows
    assert "rows: users_8: missing" in bad.stdout
    wrong = rig.command("validate", "--sample", "none")
    assert wrong.returncode == 2
