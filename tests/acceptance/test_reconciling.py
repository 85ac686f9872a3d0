"""Reconciliation: what differs behind everybody's back is found, named, mended and noted; a clean pair is left as it is."""

from __future__ import annotations

import json
from typing import Any

from bridge.ledger import Findings
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
