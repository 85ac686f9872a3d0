"""The read side's part of the ledger, in a file and on a server: routes, audit, counts, mismatches, validations, standings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import psycopg
import pytest

from api.ledger import ledger_reads
from bridge.gate import Entry, Parked
from bridge.ledger import Batch, Ledger, Outcome, Serving, Standing, Standings
from bridge.lsn import make_version
from bridge.readiness import read_inputs
from bridge.reads import Mode, Route


@pytest.fixture(params=["file", "server"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> Iterator[Ledger]:
    place = str(tmp_path / "ledger.db") if request.param == "file" else database
    book = Ledger(place)
    yield book
    book.close()


def entry(number: int, *, live: bool = True, shard: int = 0) -> Entry:
    return Entry(make_version(1, number, 1), f"d{number}", "r", live, shard)


def test_a_route_is_changed_with_its_line_in_the_audit_trail(ledger: Ledger) -> None:
    serving = Serving(ledger)
    assert serving.routes() == {}
    serving.route("public.users", Route(Mode.ENGRAM, 5), who="ann", verb="advance", detail={"why": "looks good"})
    serving.route("public.users", Route(Mode.POSTGRES, 0), who="bridge", verb="back", detail={"why": "errors"})
    assert serving.routes()["public.users"].mode is Mode.POSTGRES
    newest, first = serving.audit()
    assert (newest.who, newest.verb, newest.detail["from"]) == ("bridge", "back", {"mode": "engram", "share": 5})
    assert first.detail == {"why": "looks good", "from": {"mode": "postgres", "share": 0}, "to": {"mode": "engram", "share": 5}}


def test_counts_of_all_proxies_add_up_by_minute(ledger: Ledger) -> None:
    one, other = Serving(ledger), Serving(ledger)
    one.count({("public.users", "served:engram"): 3, ("public.users", "reason:stale"): 1}, now=600.0)
    other.count({("public.users", "served:engram"): 2}, now=610.0)
    one.count({("public.users", "served:engram"): 4}, now=700.0)
    assert one.counts() == {"public.users": {"served:engram": 9, "reason:stale": 1}}
    assert one.counts(1, now=710.0) == {"public.users": {"served:engram": 4}}
    assert one.counts(since=660.0) == {"public.users": {"served:engram": 4}}
    assert one.series(2, now=710.0)[0] == (10, "public.users", "reason:stale", 1)


def test_a_mismatch_is_kept_once_and_settled(ledger: Ledger) -> None:
    serving = Serving(ledger)
    serving.mismatch("public.users", "1", ["name"])
    serving.mismatch("public.users", "1", ["name", "email"])
    (found,) = serving.mismatches("public.users")
    assert (found.columns, found.times) == (("name", "email"), 2)
    assert serving.settle("public.users", "1") == 1
    assert serving.mismatches() == []


def test_a_validation_goes_through_its_states(ledger: Ledger) -> None:
    serving = Serving(ledger)
    number = serving.ask_validation("ann", {"sample": 1000})
    assert serving.validations()[0].began is None
    serving.begin_validation(number)
    serving.end_validation(number, {"clean": True})
    (found,) = serving.validations()
    assert found.began is not None
    assert found.result == {"clean": True}


def test_a_standing_is_what_the_ledger_says_now(ledger: Ledger) -> None:
    record = ledger.register("public.users", ["users-0", "users-1"], [], 3)
    gone, waiting = entry(30, live=False), Parked("rejected", "", make_version(1, 40, 1), None, 0.0)
    outcomes = [
        Outcome((record.number, "1"), entry(10)),
        Outcome((record.number, "2"), entry(20, shard=1)),
        Outcome((record.number, "3"), gone),
        Outcome((record.number, "4"), entry(25), park=waiting),
    ]
    ledger.record(Batch(outcomes, facts={"proven": "50", "covered": "123.5"}))
    ledger.loaded(record.number, 45)
    ledger.put_space("users-0", repaired="e1")
    ledger.put_epoch("e1", seen=1.0)
    Serving(ledger).route("public.users", Route(Mode.ENGRAM, 7), who="ann", verb="advance", detail={})
    found = Standings(ledger).of("public.users", ["1", "2", "3", "4", 'no"such'])
    assert found is not None
    assert (found.table.state, found.table.reached, found.table.proven, found.table.covered) == ("loaded", 45, 50, 123.5)
    assert (found.table.route.mode, found.table.route.share, found.table.resync) == (Mode.ENGRAM, 7, None)
    one, two, three, four, other = (found.keys[key] for key in ("1", "2", "3", "4", 'no"such'))
    assert (one.version, one.digest, one.live, one.space, one.compared) == (entry(10).version, "d10", True, "users-0", True)
    assert (two.space, two.compared) == ("users-1", False)
    assert not three.live
    assert four.parked == "rejected"
    assert (other.version, other.live, other.space) == (None, False, None)
    together, alone = asyncio.run(as_proxies_ask(ledger.location, "public.users", list(found.keys)))
    assert together == found
    assert alone == [Standing(found.table, {key: known}) for key, known in found.keys.items()]


async def as_proxies_ask(location: str, label: str, keys: list[str]) -> tuple[Standing | None, list[Standing | None]]:
    """What a proxy's own way to the ledger says of these keys: at once, and of each alone."""
    reads = ledger_reads(location)
    await reads.open()
    try:
        return await reads.standing(label, keys), [await reads.standing(label, [key]) for key in keys]
    finally:
        await reads.close()


def test_a_truncated_row_is_not_alive(ledger: Ledger) -> None:
    record = ledger.register("public.users", ["users"], [], 3)
    ledger.record(Batch([Outcome((record.number, "1"), entry(10))]))
    ledger.set_table(record.number, floor=make_version(1, 11, 0))
    found = Standings(ledger).of("public.users", ["1"])
    assert found is not None
    assert not found.keys["1"].live


def test_a_table_that_is_not_carried_has_no_standing(ledger: Ledger) -> None:
    ledger.register("public.users", ["users"], [], 3)
    assert Standings(ledger).of("public.nobody", ["1"]) is None
    found = Standings(ledger).of("public.users")
    assert found is not None
    assert found.keys == {}


def test_numbers_go_on_after_a_copy(ledger: Ledger, database: str) -> None:
    """`ledger import` puts rows in with numbers of their own."""
    if ledger.place.shown.startswith("postgresql"):
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("set search_path to engram_bridge")
            connection.execute("insert into audit (id, at, who, verb, label, detail) values (7, 0, 'a', 'v', 'l', '{}')")
        with ledger.writing() as connection:
            ledger.place.settle(connection)
    serving = Serving(ledger)
    serving.note(who="ann", verb="force", label="public.users", detail={"why": "x"})
    assert serving.audit()[0].verb == "force"


def test_what_was_counted_since_a_route_was_set(ledger: Ledger) -> None:
    """What came before does not count with it, and what was counted ever never goes back when old minutes go."""
    serving = Serving(ledger)
    old, week = 1_700_000_040.0, 8 * 24 * 3600
    serving.count({("public.users", "served:postgres"): 5, ("public.notes", "served:postgres"): 2}, now=old)
    assert serving.counts_since_route()["public.users"] == {"served:postgres": 5}
    serving.route("public.users", Route(Mode.ENGRAM, 10), who="me", verb="advance", detail={})
    serving.count({("public.users", "served:engram"): 3, ("public.users", "served:postgres"): 1}, now=old + week)
    assert serving.counts_since_route() == {
        "public.users": {"served:engram": 3, "served:postgres": 1},
        "public.notes": {"served:postgres": 2},
    }
    hour = (int(old + week) // 3600 + 1) * 3600.0
    serving.count({("public.users", "served:engram"): 1}, now=hour)  # old minutes go now
    assert serving.counts(since=60.0)["public.users"] == {"served:engram": 4, "served:postgres": 1}
    assert serving.counts()["public.users"] == {"served:engram": 4, "served:postgres": 6}
    serving.route("public.users", Route(Mode.POSTGRES), who="me", verb="back", detail={})
    assert "public.users" not in serving.counts_since_route()


def test_of_many_who_change_the_route_that_they_saw_one_does(ledger: Ledger) -> None:
    """At the same moment, on either database; whoever is late changes nothing, and an operator among them is never refused."""
    serving = Serving(ledger)
    serving.route("public.users", Route(Mode.ENGRAM, 50), who="ann", verb="advance", detail={})
    seen = serving.routes()["public.users"]
    barrier = Barrier(6)

    def change(number: int) -> object:
        barrier.wait()
        if number == 5:
            return serving.route("public.users", Route(), who="ann", verb="back", detail={})
        return serving.route_from(seen, "public.users", Route(), who=f"proxy {number}", verb="returned", detail={})

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(change, range(6)))
    made = [answer for answer in answers[:5] if answer is not None]
    assert len(made) <= 1
    assert answers[5] is not None
    assert [act.verb for act in serving.audit()].count("returned") == len(made)
    assert serving.routes()["public.users"].mode is Mode.POSTGRES


def test_comparisons_count_from_the_last_trouble_and_from_before_engram_answers(ledger: Ledger) -> None:
    """A mismatch, and its explanation, begin the count anew; what was compared before Engram took over goes on counting."""
    serving, now = Serving(ledger), time.time()
    hour, users = 3600.0, "public.users"
    ledger.register(users, ["users"], [], 1)

    def counted() -> int:
        (table,) = read_inputs(ledger, None).tables
        return table.shadow

    serving.count({(users, "shadow:same"): 5, (users, "shadow:lag"): 2, (users, "shadow:unsettled"): 9}, now=now - hour)
    serving.count({(users, "shadow:same"): 100}, now=now - 30 * hour)
    assert counted() == 7
    serving.route(users, Route(Mode.ENGRAM, 5), who="ann", verb="advance", detail={})
    with ledger.shared() as connection:
        connection.exec_driver_sql(f"update audit set at = {now - 10 * hour}")
    assert counted() == 107
    serving.mismatch(users, "1", ["name"])
    assert counted() == 0
    serving.settle(users)
    assert counted() == 107
    serving.note(who="ann", verb="explain", label=users, detail={"why": "it was a test"})
    assert counted() == 0
    serving.count({(users, "shadow:same"): 3}, now=now + 120)
    assert counted() == 3
