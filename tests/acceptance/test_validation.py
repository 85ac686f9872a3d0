"""Validation is sound: each kind of damage is found by its check and named, nothing else complains, and lag is no damage."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import psycopg

from bridge.memories import Write, split_content
from bridge.validation import Order, validate
from bridge.validation.attending import open_sides
from bridge.wiring import open_target
from tests.acceptance.conftest import MakeRig
from tests.rig import Rig

SCHEMA = (
    "create table users (id int primary key, name text, email text unique, created_at timestamptz)",
    "create table orders (id int primary key, user_id int references users, by_email text references users (email), note text)",
    """insert into users select n, 'user '||n, 'u'||n||'@x', '2020-01-01'::timestamptz + n * interval '1 hour'
       from generate_series(1, 60) n""",
    "insert into orders select n, 1 + n % 50, 'u'||(1 + n % 50)||'@x', 'note '||n from generate_series(1, 120) n",
)


def found(rig: Rig, order: Order | None = None) -> dict[str, Any]:
    """The result of a validation of everything."""
    book = rig.ledger()
    with open_sides(rig.config, book) as sides:
        return validate(sides, order or Order(sample=None))


def named(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Check, kind and id of all findings."""
    return [(one["check"], one["kind"], one["id"]) for one in result["findings"]]


def content(rig: Rig, space: str, memory_id: str) -> str:
    """What Engram holds."""
    target = open_target(rig.config)
    try:
        target.open(space)
        (stored,) = target.read(space, [memory_id])
        assert stored is not None
        return stored.content
    finally:
        target.close()


def test_each_kind_of_damage_is_found_and_named_and_nothing_else(make_rig: MakeRig) -> None:
    """A row dropped, changed in one character, reverted, brought back, one too many, an edge that leads elsewhere."""
    rig = make_rig(heartbeat={"seconds": 0.2})
    rig.sql(*SCHEMA)
    rig.start()
    rig.wait_until_proven()
    old = content(rig, "users", "users_7")
    rig.sql("update users set name = 'renamed' where id = 7", "delete from orders where id = 120")
    rig.wait_until_proven()
    clean = found(rig)
    assert clean["clean"], clean
    users, orders = clean["tables"]["public.users"], clean["tables"]["public.orders"]
    assert (users["rows"], users["ledger"], users["sampled"]) == (60, 60, 60)
    assert (orders["rows"], orders["ledger"], orders["sampled"], orders["edges"]) == (119, 119, 119, 238)
    for damage, heal, expected in _damages(rig, old):
        damage()
        result = found(rig)
        assert named(result) == expected, result["findings"]
        assert not result["clean"]
        heal()
    assert found(rig)["clean"]


def _damages(rig: Rig, old: str) -> Iterator[tuple[Any, Any, list[tuple[str, str, str]]]]:
    def put(space: str, memory_id: str, text: str) -> Any:
        return lambda: rig.engram.damage(space, memory_id, "content", text)

    now = content(rig, "users", "users_7")
    yield put("users", "users_7", old), put("users", "users_7", now), [("rows", "reverted", "users_7")]
    one = content(rig, "users", "users_8")
    wrong = one.replace("user 8", "user 9", 1)
    yield put("users", "users_8", wrong), put("users", "users_8", one), [("rows", "changed", "users_8")]
    edge = content(rig, "orders", "orders_3")
    parts = split_content(edge)
    assert parts is not None
    elsewhere = edge.replace('"to":"users_4"', '"to":"users_5"', 1)
    assert elsewhere != edge
    kind = [("references", "edge leads elsewhere in Engram", "orders_3")]
    yield put("orders", "orders_3", elsewhere), put("orders", "orders_3", edge), kind
    lost = edge.replace(json.dumps(json.loads(parts[1])["refs"][0], separators=(",", ":")) + ",", "", 1)
    assert lost != edge
    yield put("orders", "orders_3", lost), put("orders", "orders_3", edge), [("references", "edge missing in Engram", "orders_3")]
    back = [("extra", "resurrected", "orders_120")]
    yield lambda: rig.engram.damage("orders", "orders_120", "resurrect"), lambda: _forget(rig, "orders", "orders_120"), back
    extra = [("extra", "unknown to the ledger", "users_9999")]
    yield lambda: _remember(rig, "users", "users_9999"), lambda: _forget(rig, "users", "users_9999"), extra
    # a parent: its own check names it, and the edges that lead to it say nothing more
    gone = content(rig, "users", "users_9")
    yield (
        lambda: rig.engram.damage("users", "users_9"),
        lambda: _remember(rig, "users", "users_9", gone),
        [("rows", "missing", "users_9")],
    )
    yield lambda: None, lambda: None, [("forms", "another time", "users_9")]  # what was put there above has another time
    yield (
        lambda: _forget(rig, "users", "users_9"),
        lambda: _remember(rig, "users", "users_9", gone, 1577869200.0),
        [("rows", "missing", "users_9")],
    )


def _remember(rig: Rig, space: str, memory_id: str, text: str = '{"a":1}', when: float = 0.0) -> None:
    import numpy as np

    target = open_target(rig.config)
    try:
        target.open(space)
        vector = np.random.default_rng(7).standard_normal(768)
        target.remember(space, [Write(memory_id, text, when, 0.9, (vector / np.linalg.norm(vector)).astype("float32"))])
    finally:
        target.close()


def _forget(rig: Rig, space: str, memory_id: str) -> None:
    target = open_target(rig.config)
    try:
        target.open(space)
        target.forget(space, [memory_id])
    finally:
        target.close()


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
    assert bad.returncode == 1, bad.stdout + bad.stderr
    assert "rows: users_8: missing" in bad.stdout
    wrong = rig.command("validate", "--sample", "none")
    assert wrong.returncode == 2
