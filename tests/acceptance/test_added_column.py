"""A column that is added with a default: no message says so, and every row has it at once, also for those who ask Engram."""

from __future__ import annotations

import asyncio
import time

import httpx

from bridge.lsn import format_lsn
from bridge.postgres import connect
from bridge.reads import Mode
from tests.acceptance.conftest import MakeRig
from tests.patience import PATIENCE
from tests.reading import reader, route, running
from tests.rig import Rig

ROUNDS = 3
WATCHED = 1.5
"""Seconds after each ALTER in which every answer is looked at: the heartbeat has carried the frontier past it within one."""


def carried(make_rig: MakeRig) -> Rig:
    rig = make_rig()
    rig.sql(
        "create table items (id int primary key, name text)",
        "insert into items select g, 'item ' || g from generate_series(1, 20) g",
    )
    rig.start()
    rig.wait_until_proven()
    route(rig.ledger_location, "public.items", Mode.ENGRAM, 100)
    return rig


async def engram_has(client: httpx.AsyncClient, column: str) -> None:
    """Until Engram answers the row with it: the table was read again."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = await client.get("/v1/items/7")
        if answer.headers["x-served-by"] == "engram" and column in answer.json():
            return
        assert time.monotonic() < deadline, (answer.headers, answer.text)
        await asyncio.sleep(0.1)


def test_who_names_a_position_behind_the_alter_sees_the_column(make_rig: MakeRig) -> None:
    """Also where something else commits all the time, so that the frontier passes that position at once."""
    rig = carried(make_rig)

    async def ask() -> None:
        async with reader(rig.config) as client:
            for number in range(ROUNDS):
                column = f"extra_{number}"
                rig.sql(f"alter table items add column {column} int default {number}")
                position, until = rig.flush(), time.monotonic() + WATCHED
                rig.sql(f"create table elsewhere_{number} ()")
                while time.monotonic() < until:
                    answer = await client.get("/v1/items/7", headers={"X-Min-Lsn": format_lsn(position)})
                    assert answer.json().get(column) == number, (answer.headers, answer.text)
                await engram_has(client, column)

    running(ask)


def test_an_answer_is_no_staler_than_it_says_about_columns_too(make_rig: MakeRig) -> None:
    """An answer without the column is from before the ALTER, and its staleness is at least the time since."""
    rig = carried(make_rig)

    async def ask() -> None:
        async with reader(rig.config) as client:
            for number in range(ROUNDS):
                column = f"extra_{number}"
                rig.sql(f"alter table items add column {column} int default {number}")
                altered = time.time()
                while time.time() < altered + WATCHED:
                    allowed = time.time() - altered
                    answer = await client.get("/v1/items/7", headers={"X-Max-Staleness-Ms": str(int(allowed * 1000))})
                    assert answer.json().get(column) == number, (allowed, answer.headers, answer.text)
                    answer = await client.get("/v1/items/8")
                    if column not in answer.json():
                        assert int(answer.headers["x-staleness-ms"]) >= int(allowed * 1000), answer.headers
                await engram_has(client, column)

    running(ask)


def test_while_a_table_is_being_altered_its_older_positions_are_answered(make_rig: MakeRig) -> None:
    """An ALTER that is not committed yet is nobody's position: what was written before is read from Engram meanwhile."""
    rig = carried(make_rig)

    async def ask() -> None:
        async with reader(rig.config) as client:
            before = rig.flush()
            rig.wait_until_proven()
            with connect(rig.source) as connection, connection.transaction():
                connection.execute("alter table public.items add column late int default 5")
                rig.sql("create table elsewhere ()")
                deadline = time.monotonic() + PATIENCE
                while True:
                    answer = await client.get("/v1/items/7", headers={"X-Min-Lsn": format_lsn(before)})
                    if answer.headers["x-served-by"] == "engram":
                        break
                    assert time.monotonic() < deadline, answer.headers
                await asyncio.sleep(2.5)  # the frontier passes what others do
                answer = await client.get("/v1/items/7")
                assert (answer.headers["x-served-by"], "late" in answer.json()) == ("engram", False)
            position = rig.flush()
            for _ in range(50):
                answer = await client.get("/v1/items/7", headers={"X-Min-Lsn": format_lsn(position)})
                assert answer.json().get("late") == 5, (answer.headers, answer.text)
            await engram_has(client, "late")

    running(ask)
