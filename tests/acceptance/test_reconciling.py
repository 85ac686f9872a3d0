"""Reconciliation: what differs behind everybody's back is found, named, mended and noted; a clean pair is left as it is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from bridge.ledger import Findings, Reconciliation, Reconciliations
from bridge.memories import Write
from bridge.reconcile.neighbours import vectors_of_rows
from bridge.validation.attending import open_sides
from bridge.wiring import open_target
from tests.acceptance.conftest import MakeRig
from tests.rig import Rig

SCHEMA = (
    "create table users (id int primary key, name text, email text unique, created_at timestamptz)",
    "create table orders (id int primary key, user_id int references users, by_email text references users (email), tags text[])",
    """insert into users select n, 'user '||n, 'u'||n||'@x', '2020-01-01'::timestamptz + n * interval '1 hour'
       from generate_series(1, 60) n""",
    "insert into orders select n, 1 + n % 50, 'u'||(1 + n % 50)||'@x', array['tag '||n] from generate_series(1, 120) n",
)
WRITTEN = "read again from PostgreSQL and written"
FAST = {"rest": 3600, "rows_per_second": 100_000, "memories_per_second": 100_000, "target_share": 1.0}


def started(make_rig: MakeRig, **reconcile: Any) -> Rig:
    """A bridge that has loaded everything."""
    rig = make_rig(heartbeat={"seconds": 0.2}, reconcile={**FAST, **reconcile})
    rig.sql(*SCHEMA)
    rig.start()
    rig.wait_until_proven()
    return rig


def reconciled(rig: Rig, *arguments: str) -> dict[str, Any]:
    """The result of one round by the command."""
    done = rig.command("reconcile", "--json", *arguments)
    assert done.returncode in (0, 3), done.stderr + rig.tail()
    result: dict[str, Any] = json.loads(done.stdout)
    assert "failed" not in result, result
    assert done.returncode == (0 if result["clean"] else 3)
    return result


def named(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Table, key and kind of all findings, in order."""
    return sorted((one["table"].removeprefix("public."), one["key"], one["kind"]) for one in result["findings"])


def test_a_clean_pair_is_left_as_it_is(make_rig: MakeRig) -> None:
    """Nothing is written, and how much was compared is said: by PostgreSQL's own digests where it can make them."""
    rig = started(make_rig)
    before = rig.ledger().counters()
    result = reconciled(rig)
    assert result["clean"], result
    assert result["findings"] == []
    users, orders = result["tables"]["public.users"], result["tables"]["public.orders"]
    assert (users["rows"], users["marked"], users["keys"], users["memories"]) == (60, 60, 60, 60)
    assert (orders["rows"], orders["marked"], orders["keys"], orders["memories"]) == (120, 0, 120, 120)  # it has an array
    after = rig.ledger().counters()
    changed = {name for name in after if after[name] != before.get(name, 0)}
    assert changed <= {"reconciled_rounds", "reconciled_rows", "reconciled_memories"}, changed
    rig.prove()


def test_what_was_changed_behind_our_back_is_found_and_mended(make_rig: MakeRig) -> None:
    """Both sides at once: memories and lines of the ledger that somebody has changed, removed and added."""
    rig = started(make_rig)
    rig.sql("delete from orders where id = 120")
    rig.wait_until_proven()
    orders = next(record.number for record in rig.ledger().tables() if record.label == "public.orders")
    text = content(rig, "users", "users_8")
    rig.engram.damage("users", "users_8", "content", text.replace("user 8", "user 9", 1))
    rig.engram.damage("users", "users_9")
    rig.engram.damage("orders", "orders_120", "resurrect")
    rig.ledger_sql(f"update memories set digest = 'x', mark = 1 where key = '11' and tbl = {orders}")
    rig.ledger_sql(f"delete from memories where key = '12' and tbl = {orders}")
    rig.ledger_sql(f"update memories set live = false where key = '13' and tbl = {orders}")
    source = [("orders", "11", "another row"), ("orders", "12", "not in the ledger"), ("orders", "13", "not in the ledger")]
    target = [("orders", "120", "resurrected"), ("users", "8", "changed"), ("users", "9", "missing")]
    # What the ledger is made to forget is damage on the other side as well: Engram holds what is not expected.
    both = [("orders", "11", "another stamp"), ("orders", "12", "unknown to the ledger"), ("orders", "13", "resurrected")]
    seen = reconciled(rig, "--dry-run")
    assert named(seen) == sorted(source + target + both), seen["findings"]
    assert seen["mended"] == 0
    assert Findings(rig.ledger()).newest() == [], "a look leaves all as it is"
    result = reconciled(rig)
    assert named(result) == sorted(source + target), "the rows were mended before their space was looked at"
    assert result["found"] == result["mended"] == 6
    book = Findings(rig.ledger())
    assert book.open() == []
    assert {(one.key, one.how) for one in book.newest()} == {
        ("11", WRITTEN), ("12", WRITTEN), ("13", WRITTEN), ("120", "forgotten"), ("8", WRITTEN), ("9", WRITTEN)
    }  # fmt: skip
    assert all(one.mended is not None and one.found <= one.mended for one in book.newest())
    assert reconciled(rig)["clean"]
    rig.prove()


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


def forget(rig: Rig, space: str, memory_id: str) -> None:
    """As somebody else would."""
    target = open_target(rig.config)
    try:
        target.open(space)
        target.forget(space, [memory_id])
    finally:
        target.close()


def remember(rig: Rig, space: str, memory_id: str, text: str, vector: Any = None) -> None:
    """As somebody else would."""
    target = open_target(rig.config)
    try:
        target.open(space)
        own = np.random.default_rng(7).standard_normal(768)
        vector = own / np.linalg.norm(own) if vector is None else vector
        target.remember(space, [Write(memory_id, text, 0.0, 0.9, np.asarray(vector, dtype="float32"))])
    finally:
        target.close()


def causes(result: dict[str, Any]) -> set[tuple[str, str, str | None]]:
    """Key, kind and cause of all findings."""
    return {(one["key"], one["kind"], one["cause"]) for one in result["findings"]}


def test_causes_are_named_where_there_is_evidence(make_rig: MakeRig) -> None:
    """Another writer, and one whose vector is nearly that of a row of ours: told, left alone where it is not ours, and open."""
    rig = started(make_rig)
    remember(rig, "users", "guest_1", '{"a":1}')
    result = reconciled(rig, "--table", "users")
    assert causes(result) == {("users/guest_1", "another writer's", "another writer in our spaces")}
    assert result["mended"] == 0
    assert [one.key for one in Findings(rig.ledger()).open()] == ["users/guest_1"]
    assert "not mended" in rig.command("status").stdout
    forget(rig, "users", "guest_1")
    book = rig.ledger()
    (found,) = vectors_of(rig, "users", ["9"])
    rig.engram.damage("users", "users_9")
    remember(rig, "users", "guest_2", '{"a":2}', found)
    result = reconciled(rig, "--table", "users", "--dry-run")
    assert causes(result) == {
        ("9", "missing", "a memory with nearly the same vector"),
        ("users/guest_2", "another writer's", "another writer in our spaces"),
    }
    forget(rig, "users", "guest_2")
    result = reconciled(rig, "--table", "users")
    assert causes(result) == {("9", "missing", None)}
    assert result["mended"] == 1
    assert Findings(rig.ledger()).open() == [], "the guests have left, and were looked for again"
    assert book.parked_count() == 0
    rig.prove()


def vectors_of(rig: Rig, label: str, keys: list[str]) -> list[Any]:
    """The vectors that these rows have in Engram."""
    with open_sides(rig.config, rig.ledger()) as sides:
        plan = sides.mapping.plans[f"public.{label}"]
        return list(vectors_of_rows(sides, plan, keys).values())


def test_a_full_space_and_a_restart_are_named(make_rig: MakeRig) -> None:
    """A memory missing from a space at its capacity, and one from a server that was started again since the last round."""
    rig = make_rig(reconcile=FAST, target={"capacity": 60, "limit": 60}, capacity=60, include=["users"])
    rig.sql(*SCHEMA)
    rig.start()
    rig.wait_until_proven()
    remember(rig, "users", "guest_1", '{"a":1}')  # one more than the space holds: another one is thrown out
    result = reconciled(rig, "--dry-run")
    lost = [one for one in result["findings"] if one["kind"] == "missing"]
    assert [one["cause"] for one in lost] == ["the space is at its capacity"]
    forget(rig, "users", "guest_1")
    assert not reconciled(rig)["findings"][1:]
    rig.engram.kill()
    rig.engram.start()
    rig.wait_for("compared 1 space(s)")
    rig.wait_until_proven()
    rig.engram.damage("users", "users_7")
    found = causes(reconciled(rig, "--dry-run"))  # the guest is back, too, and has thrown out somebody again
    assert {cause for _key, kind, cause in found if kind == "missing"} == {"the server was restarted"}


def test_a_row_that_changed_past_the_stream_is_found_and_mended(make_rig: MakeRig) -> None:
    """The publication lacked the table for a moment. The bridge would see that in the catalogue, were its note of it not lost."""
    rig = started(make_rig, rest=0.5)
    assert rig.stop() == 0, rig.tail()
    alter = f'alter publication "{rig.slot}" {{}} table users'
    rig.sql(
        alter.format("drop"),
        "update users set name = 'unseen' where id = 5",
        "insert into users values (61, 'unseen', 'u61@x', now())",
        "delete from users where id = 60",
        alter.format("add"),
    )
    rig.ledger_sql("delete from facts where name like 'shape:%'")
    rig.start()
    rig.until(lambda: len(Findings(rig.ledger()).newest()) == 3, what="not all was found")
    rig.until(lambda: not Findings(rig.ledger()).open(), what="not all was mended")
    assert {(one.key, one.kind) for one in Findings(rig.ledger()).newest()} == {
        ("5", "another row"), ("61", "not in the ledger"), ("60", "only in the ledger")
    }  # fmt: skip
    rig.prove()


def test_a_killed_round_goes_on_where_it_was(make_rig: MakeRig) -> None:
    """kill -9 in the middle of a slow round: the next run does not begin it anew, and ends it with all rows counted once."""
    rig = started(make_rig, rest=0.0, rows_per_second=60)

    def own() -> Reconciliation | None:
        return next((one for one in Reconciliations(rig.ledger()).newest() if one.own), None)

    def underway() -> bool:
        one = own()
        return one is not None and one.position is not None and "rows:1" in one.position["done"]

    rig.until(underway, what="no stage was done")
    rig.kill()
    before = own()
    assert before is not None
    rig.start()

    def ended() -> Reconciliation | None:
        one = Reconciliations(rig.ledger()).find(before.number)
        return one if one is not None and one.ended is not None else None

    rig.until(lambda: ended() is not None, what="the round did not end")
    result = (ended() or before).result
    assert result is not None
    assert result["clean"], result
    assert result["resumed"] >= 1
    assert result["rows"] == 180
    assert {label: one["rows"] for label, one in result["tables"].items()} == {"public.users": 60, "public.orders": 120}


def test_without_a_bridge_it_reads_only_or_runs_one(make_rig: MakeRig) -> None:
    """--dry-run holds the ledger and changes nothing; what PostgreSQL has changed since is no damage. --repair runs a bridge."""
    rig = started(make_rig)
    assert rig.stop() == 0, rig.tail()
    rig.engram.damage("users", "users_7")
    rig.sql("update users set name = 'later' where id = 8", "insert into users values (61, 'later', 'u61@x', now())")
    result = reconciled(rig, "--dry-run")
    assert named(result) == [("users", "7", "missing")]
    assert result["tables"]["public.users"]["unsettled"] == 2
    result = reconciled(rig)
    assert named(result) == [("users", "7", "missing")]
    assert result["mended"] == 1
    rig.prove()


def test_a_table_without_a_key_is_compared_whole(make_rig: MakeRig) -> None:
    """Its rows are their own keys: one that is lost in Engram, and one that the ledger forgot, come back."""
    rig = make_rig(reconcile=FAST, tables={"notes": {"duplicates": "collapse"}})
    rig.sql("create table notes (body text)", "alter table notes replica identity full")
    rig.sql("insert into notes select 'note '||n from generate_series(1, 50) n")
    rig.start()
    rig.wait_until_proven()
    assert reconciled(rig)["clean"]
    keys = sorted(key for page in rig.ledger().live_keys(1) for key in page)
    rig.engram.damage("notes", f"notes_{keys[0]}")
    rig.ledger_sql(f"delete from memories where key = '{keys[1]}'")
    result = reconciled(rig)
    assert named(result) == sorted([("notes", keys[0], "missing"), ("notes", keys[1], "not in the ledger")])
    assert result["mended"] == 2, result
    assert reconciled(rig)["clean"]
    rig.prove()


def test_tables_that_are_not_carried_any_more(make_rig: MakeRig) -> None:
    """What was forgotten with a removed table and comes back is forgotten again; memories that were kept are left alone."""
    rig = make_rig(reconcile=FAST)
    rig.sql("create table kept (id int primary key)", "create table gone (id int primary key)", *SCHEMA)
    rig.sql("insert into kept select generate_series(1, 5)", "insert into gone select generate_series(1, 5)")
    rig.start()
    rig.wait_until_proven()
    for arguments in (("kept", "--keep-memories"), ("gone", "--yes")):
        done = rig.command("remove", *arguments)
        assert done.returncode == 0, done.stderr
    rig.until(lambda: {one.label for one in rig.ledger().tables()} == {"public.users", "public.orders", "public.kept"})
    assert reconciled(rig)["clean"]
    rig.engram.damage("gone", "gone_3", "resurrect")
    result = reconciled(rig)
    assert [(one["table"], one["key"], one["kind"], one["how"]) for one in result["findings"]] == [
        ("public.gone", "gone/gone_3", "unknown to the ledger", "forgotten")
    ]
    assert reconciled(rig)["clean"]
    assert content(rig, "kept", "kept_3")
