"""An Engram that is slower than it mostly is: PostgreSQL is asked beside it, and the first answer counts."""

from __future__ import annotations

from collections import deque

from api.engram import KEPT_SAMPLES, EngramReads
from api.proxy import Proxy
from bridge.reads import Mode
from bridge.sandbox.postgres import SandboxPostgres
from tests.acceptance.conftest import MakeRig
from tests.reading import reader, route, running

ROWS = 64
SLOW = [{"on": "GET", "do": "slow", "seconds": 4.0}]


def test_a_slow_engram_is_raced_by_postgresql(make_rig: MakeRig, own_postgres: SandboxPostgres) -> None:
    """By its own measure, which is taken from its answers here. Where PostgreSQL cannot, Engram's answer is waited for."""
    rig = make_rig(own_postgres.url(), serve={"max_staleness": 100_000})
    rig.sql("create table items (id int primary key)", f"insert into items select generate_series(1, {ROWS})")
    rig.start()
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    route(rig.ledger_location, "public.items", Mode.ENGRAM, 100)

    async def ask() -> None:
        async with reader(rig.config) as client:
            proxy: Proxy = client.app.state.proxy  # type: ignore[attr-defined]
            engram: EngramReads = proxy.engram
            engram._samples = deque(maxlen=KEPT_SAMPLES)
            for key in range(1, ROWS + 1):
                assert (await client.get(f"/v1/items/{key}")).json() == {"id": key}
            assert engram.slow is not None
            assert engram.slow < 4.0
            rig.engram.faults(SLOW)
            answer = await client.get("/v1/items/7")
            assert (answer.headers["x-served-by"], answer.headers["x-fallback-reason"]) == ("postgres", "engram-slow")
            assert answer.json() == {"id": 7}
            several = await client.get("/v1/items?keys=7,8")
            assert several.headers["x-served-by"] == "engram", "of several rows each would be asked twice"
            own_postgres.stop("immediate")
            answer = await client.get("/v1/items/8")
            assert (answer.headers["x-served-by"], answer.json()) == ("engram", {"id": 8})
            rig.engram.faults([])
            answer = await client.get("/v1/items/9")
            assert (answer.headers["x-served-by"], answer.json()) == ("engram", {"id": 9})

    running(ask)
