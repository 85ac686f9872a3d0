"""Foreign keys that lead nowhere: found, named, told apart from what only looks like them, and gone when somebody mends them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from bridge.memories import Write
from bridge.wiring import open_target
from tests.acceptance.conftest import MakeRig
from tests.rig import Rig

SCHEMA = """
create table users (id int primary key, email text unique, name text);
create table countries (id int primary key);
create table notes (owner int references users (id), body text);
alter table notes replica identity full;
create table seats (room text, number int, primary key (room, number));
create table orders (
    id int primary key,
    buyer int, by_email text, country int references countries (id), room text, number int,
    constraint orders_email foreign key (by_email) references users (email),
    constraint orders_seat foreign key (room, number) references seats (room, number)
);
insert into users select n, 'u' || n || '@x', 'user ' || n from generate_series(1, 60) n;
insert into countries values (1);
insert into seats values ('A_1', 1);
insert into orders (id, buyer, country) select n, n, case when n <= 7 then 1 end from generate_series(1, 102) n;
alter table orders add constraint orders_buyer foreign key (buyer) references users (id) not valid;
set session_replication_role = replica;
insert into orders (id, by_email) values (200, 'u1@x'), (201, 'nobody@x');
insert into orders (id, room, number) values (210, 'A_1', 1), (211, 'A_1', 2), (212, 'A_1', null);
insert into notes values (1, 'kept'), (999, 'lost'), (null, 'of nobody');
"""


def listed(rig: Rig, *arguments: str) -> dict[str, Any]:
    """The command's answer."""
    answer = rig.command("orphans", "--json", *arguments)
    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    assert isinstance(document, dict)
    return document


def test_orphans_are_told_apart_from_what_only_looks_like_them(make_rig: MakeRig, tmp_path: Path) -> None:
    """42 behind a constraint that is not valid, one each by another unique key, by a composite one and in a table without a key,
    which came in while triggers were off. Not among them: nulls, half of a composite key, tables that are not carried."""
    rig = make_rig(exclude=["countries"], tables={"notes": {"duplicates": "collapse"}})
    rig.sql(SCHEMA)
    rig.catch_up()
    found = listed(rig)
    orders, notes = found["tables"]["public.orders"], found["tables"]["public.notes"]
    assert orders == {"edges": 60 + 1 + 1, "external": 7, "orphans": 44, "waiting": 0, "placeholders": 0}
    assert notes == {"edges": 1, "external": 0, "orphans": 1, "waiting": 0, "placeholders": 0}
    named = {(one["constraint"], one["child"], one["parent"]) for one in found["orphans"]["listed"]}
    assert {("orders_buyer", f"orders_{n}", f"users_{n}") for n in range(61, 103)} <= named
    assert ("orders_seat", "orders_211", "seats_A%5F1_2") in named
    assert ("orders_email", "orders_201", "public.users, found by email") in named
    assert [parent for constraint, _child, parent in named if constraint == "notes_owner_fkey"] == ["users_999"]
    assert found["orphans"]["count"] == len(named) == 45

    _placeholder(rig, "users", "users_999")
    _placeholder(rig, "users", "users_61")
    again = listed(rig, "--report", str(tmp_path / "orphans.html"))
    assert again["orphans"]["count"] == 43
    assert again["tables"]["public.orders"]["placeholders"] == 1
    assert "users_62" in (tmp_path / "orphans.html").read_text()
    kinds = {one["id"]: one["kind"] for one in json.loads(rig.command("validate", "--json").stdout)["findings"]}
    assert kinds == {}, "a placeholder for a missing parent is no stranger"
    _placeholder(rig, "users", "users_777")
    kinds = {one["id"]: one["kind"] for one in json.loads(rig.command("validate", "--json").stdout)["findings"]}
    assert kinds == {"users_777": "unknown to the ledger"}, "nothing refers to this one"
    said = rig.command("orphans", "--tables", "orders").stdout
    assert "Found 43 orphaned foreign keys" in said
    rig.sql("insert into users values (61, 'u61@x', 'the real one')")
    rig.catch_up()
    orders = listed(rig)["tables"]["public.orders"]
    assert (orders["edges"], orders["orphans"], orders["placeholders"]) == (63, 43, 0), "the real parent replaces a placeholder"
    (users,) = (one for one in rig.evidence() if one.table == "public.users")
    assert (users.rows, users.missing, users.wrong) == (61, 0, 0)


def _placeholder(rig: Rig, space: str, memory_id: str) -> None:
    """What an operator makes by hand, with a client of his own."""
    vector = np.random.default_rng(sum(memory_id.encode())).standard_normal(768)
    target = open_target(rig.config)
    try:
        target.open(space)
        target.remember(space, [Write(memory_id, "{}", time.time(), 0.9, (vector / np.linalg.norm(vector)).astype("float32"))])
    finally:
        target.close()


def test_a_row_that_waits_for_its_parent_is_no_orphan(make_rig: MakeRig) -> None:
    """The parent is in PostgreSQL, and its memory is not live in the ledger."""
    rig = make_rig()
    rig.sql("create table a (id int primary key); insert into a values (1), (2)")
    rig.sql("create table b (id int primary key, a int references a (id)); insert into b values (1, 1), (2, 2)")
    rig.catch_up()
    rig.ledger_sql(
        "update memories set live = false where key = '2' and tbl = (select number from tables where label = 'public.a')"
    )
    found = listed(rig)
    assert found["orphans"] == {"count": 0, "listed": [], "not_listed": 0}
    assert found["tables"]["public.b"] == {"edges": 1, "external": 0, "orphans": 0, "waiting": 1, "placeholders": 0}
