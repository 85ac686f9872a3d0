"""The witness against the database itself: what it says of rows is what they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bridge.compiling import compile_mapping
from bridge.mapping import Identity, TablePlan
from bridge.memories import digest
from bridge.postgres import connect
from bridge.sandbox import shop, witness
from bridge.sandbox.promises import UNKNOWN, Fault, Read, judge
from bridge.sandbox.witness import NEVER, Look, Witness
from snapshot import catalog
from snapshot.chunks import read_chunk
from snapshot.plan import Chunk
from tests.conftest import sandbox


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A shop with a witness, on a server that notes when transactions commit."""
    folder: Path = tmp_path_factory.mktemp("witness")
    server = sandbox(folder / "data")
    server.settings |= witness.SETTINGS
    server.start()
    try:
        url = server.url()
        shop.create(url)
        witness.call(url, shop.KEYS)
        shop.seed(url, 300)
        yield url
    finally:
        server.kill()


def plans_of(url: str) -> dict[str, TablePlan]:
    with connect(url) as connection:
        tables = [table for table in catalog.load(connection).tables.values() if table.schema == "public"]
    numbers = {table.label: number for number, table in enumerate(tables, 1)}
    return compile_mapping(tables, {}, Identity("ledger", "migration", "now", ""), numbers).plans


def test_the_last_state_of_each_row_is_the_row(source: str) -> None:
    """After everything that the shop does to its rows: cascades, moved keys, roll-backs, TRUNCATE."""
    plans = plans_of(source)
    assert sorted(plan.table.name for plan in plans.values()) == sorted(shop.TABLES)
    application = shop.Application(source, seed=7, rate=None)
    application.run(400)
    counts = application.stop()
    assert counts["clear_visits"]
    assert counts["renumber_line"]
    one = Witness(source)
    try:
        one.look()
        histories = one.histories(plans.values())
        told = {key: history.states[-1].value for key, history in histories.items() if history.states[-1].value is not None}
        with connect(source) as connection:
            real = {
                (label, plan.key_of(row)): digest(plan.body(row))
                for label, plan in plans.items()
                for row in read_chunk(connection, plan.table, Chunk(0, None, None))
            }
        assert told == real
        deleted = [key for key, history in histories.items() if history.states[-1].value is None]
        assert {"public.orders", "public.users", "public.visits", "public.coupons"} <= {str(key[0]) for key in deleted}
        touched = one.touched(plans["public.orders"], 50)
        assert touched
        assert all(("public.orders", key) in histories for key in touched)
    finally:
        one.close()


def test_a_look_tells_from_when_on_a_commit_is_seen(source: str) -> None:
    """A transaction under way is neither visible nor covered; committed, it is both with the next look, and not before."""
    plan = plans_of(source)["public.coupons"]
    one = Witness(source)
    try:
        with psycopg.connect(source) as connection:
            connection.execute("insert into coupons (code, percent) values ('NEW', 1)")
            connection.execute("update coupons set percent = 2 where code = 'NEW'")
            before = one.look()
            assert ("public.coupons", "NEW") not in one.histories([plan])
            connection.commit()
            blind = one.histories([plan])["public.coupons", "NEW"].states
            assert [(state.seen, state.lsn) for state in blind[1:]] == [(UNKNOWN, NEVER)]
            after = one.look()
            connection.execute("delete from coupons where code = 'NEW'")
            connection.commit()
            last = one.look()
        history = one.histories([plan])["public.coupons", "NEW"]
        absent, there, gone = history.states
        assert absent.value is None
        assert there.value is not None
        assert gone.value is None
        assert before.at <= there.began <= there.seen == after.at
        assert before.lsn < there.lsn == after.lsn < gone.lsn == last.lsn
        key = ("public.coupons", "NEW")
        stale = Read(key, last.at + 0.001, last.at + 1, 200, there.value, "postgres")
        assert [broken.fault for broken in judge({key: history}, [stale]).broken] == [Fault.DELETED]
    finally:
        one.close()


def test_a_look_knows_which_transactions_it_sees() -> None:
    look = Look(0.0, "100:110:103,107", 0)
    assert [xid for xid in range(98, 113) if look.sees(xid)] == [98, 99, 100, 101, 102, 104, 105, 106, 108, 109]
    assert Look(0.0, "100:100:", 0).sees(99)
