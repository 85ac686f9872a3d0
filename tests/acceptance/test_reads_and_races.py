"""Reads against what happens at the same moment: clocks that are set, columns that are added, ledgers that are moved."""

from __future__ import annotations

import asyncio
import json
import time

from api.freshness import Freshness
from bridge.reads import Mode
from tests.acceptance.conftest import MakeRig
from tests.reading import reader, route, running
from tests.rig import Rig

USERS = "create table users (id int primary key, name text)"
ROWS = "insert into users select g, 'user ' || g from generate_series(1, 20) g"


def loaded(make_rig: MakeRig, **overrides: object) -> Rig:
    """A rig whose users are read from Engram, while its bridge runs."""
    rig = make_rig(**overrides)
    rig.sql(USERS, ROWS)
    rig.start()
    rig.wait_until_proven()
    route(rig.ledger_location, "public.users", Mode.ENGRAM, 100)
    return rig


def test_a_clock_that_is_set_back_makes_no_answer_look_younger(make_rig: MakeRig) -> None:
    """The bridge is dead and a row changes; by the wall clock what it knew would be fresh for another hour."""
    rig = loaded(make_rig, serve={"max_staleness": 2.0})

    async def ask() -> None:
        off = 0.0
        async with reader(rig.config) as client:
            client.app.state.proxy.freshness = Freshness(wall=lambda: time.time() - off)
            first = await client.get("/v1/users/7")
            assert first.headers["x-served-by"] == "engram", first.headers
            rig.kill()
            rig.sql("update users set name = 'changed' where id = 7")
            for off in (3600.0, 2.5):
                await asyncio.sleep(2.2)
                again = await client.get("/v1/users/7")
                assert (again.headers["x-served-by"], again.headers["x-fallback-reason"]) == ("postgres", "stale")
                assert json.loads(again.content)["name"] == "changed"
                assert ("x-staleness-ms" in again.headers) == (off == 2.5)

    running(ask)


def test_a_column_that_is_added_is_in_every_answer_within_the_staleness_promised(make_rig: MakeRig) -> None:
    """Of its default nothing is streamed, and no row of the table is written."""
    rig = loaded(make_rig, serve={"max_staleness": 5.0})
    bound = rig.config.serve.max_staleness

    async def ask() -> None:
        async with reader(rig.config) as client:
            rig.sql("alter table users add column level int not null default 3")
            added = time.monotonic()
            late, by = [], set()
            while time.monotonic() < added + 3 * bound:
                asked = time.monotonic() - added
                answer = await client.get("/v1/users/7")
                by.add(answer.headers["x-served-by"])
                if "level" not in json.loads(answer.content):
                    late.append((round(asked, 2), answer.headers["x-served-by"], answer.headers.get("x-fallback-reason")))
                await asyncio.sleep(0.1)
            assert not [one for one in late if one[0] > bound], late[-5:]
            assert "engram" in by

    running(ask)
