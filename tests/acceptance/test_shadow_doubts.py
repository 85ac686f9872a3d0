"""Shadow reads while Engram is restarted: rows that reverted are mended, and nobody calls them mismatches; a lost row is one."""

from __future__ import annotations

import asyncio
import time

from bridge.ledger import Serving
from bridge.postgres import connect
from bridge.reads import Mode, Shadow, shadow
from bridge.wiring import make_plan, open_target
from tests.acceptance.conftest import MakeRig
from tests.reading import reader, route, running
from tests.rig import Rig

SHOP = """
create table users (id int primary key, name text);
insert into users select g, 'user ' || g from generate_series(1, 50) g;
"""


def forget(rig: Rig, key: str) -> None:
    """Somebody else removes a memory."""
    ledger, target = rig.ledger(), open_target(rig.config)
    try:
        with connect(rig.source) as connection:
            plan = make_plan(rig.config, ledger, connection).mapping.plans["public.users"]
        target.open(plan.space_of(key))
        target.forget(plan.space_of(key), [plan.prefix + key])
    finally:
        target.close()
        ledger.close()


def counted(rig: Rig, found: Shadow) -> int:
    """How often all proxies have found this."""
    return Serving(rig.ledger()).counts().get("public.users", {}).get(shadow(found), 0)


def test_what_a_restart_took_is_no_mismatch(make_rig: MakeRig) -> None:
    """Each update and deletion reverts with the restart; shadow reads of all rows go on over it. On a source without
    heartbeats the frontier has passed every position at once."""
    rig = make_rig(heartbeat={"seconds": 0})
    rig.sql(SHOP)
    rig.start()
    rig.wait_until_proven()
    rig.sql("update users set name = 'newer' where id <= 25")
    rig.wait_until_proven()
    route(rig.ledger_location, "public.users", Mode.SHADOW, 100)

    async def ask() -> None:
        async with reader(rig.config) as client:
            rig.engram.kill()
            rig.engram.start()
            end = time.monotonic() + 3.0
            while time.monotonic() < end:
                for number in range(1, 51, 7):
                    assert (await client.get(f"/v1/users/{number}")).status_code == 200
                await asyncio.sleep(0.05)
            await client.app.state.proxy.shadow.settled()  # type: ignore[attr-defined]

    running(ask)
    assert Serving(rig.ledger()).mismatches() == []
    assert counted(rig, Shadow.MISMATCH) == 0
    rig.wait_until_proven()


def test_a_row_that_was_removed_behind_our_back_is_one(make_rig: MakeRig) -> None:
    """It does not come back by itself, and is kept with its key."""
    rig = make_rig()
    rig.sql(SHOP)
    rig.start()
    rig.wait_until_proven()
    forget(rig, "7")
    route(rig.ledger_location, "public.users", Mode.SHADOW, 100)

    async def ask() -> None:
        async with reader(rig.config) as client:
            for number in (6, 7):
                assert (await client.get(f"/v1/users/{number}")).headers["x-served-by"] == "postgres"
            await client.app.state.proxy.shadow.settled()  # type: ignore[attr-defined]

    running(ask)
    assert [(one.label, one.key) for one in Serving(rig.ledger()).mismatches()] == [("public.users", "7")]
    assert counted(rig, Shadow.SAME) == 1
