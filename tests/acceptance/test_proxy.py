"""The proxy between an application, Engram and PostgreSQL: who answers, with what, and that both say the same."""

from __future__ import annotations

import json

from bridge.reads import Mode
from tests.acceptance.conftest import MakeRig
from tests.reading import reader, route, running

SHOP = """
create table users (id int primary key, name text, score numeric);
insert into users select g, 'user ' || g, g / 7.0 from generate_series(1, 20) g;
create table pairs (a text, b text, n int, primary key (a, b));
insert into pairs values ('x_y', '100%', 1), ('a/b', 'é 🎈', 2), ('', ',', 3);
"""


def test_both_answer_with_the_same_bytes(make_rig: MakeRig) -> None:
    """The mode decides who answers; body and ETag are alike, and the headers say who it was and why."""
    rig = make_rig()
    rig.sql(SHOP)
    rig.start()
    rig.wait_until_proven()

    async def ask() -> None:
        async with reader(rig.config) as client:
            first = await client.get("/v1/users/7")
            assert first.status_code == 200, first.text
            assert (first.headers["x-served-by"], first.headers["x-fallback-reason"]) == ("postgres", "mode")
            assert json.loads(first.content)["name"] == "user 7"
            route(rig.ledger_location, "public.users", Mode.ENGRAM, 100)
            second = await client.get("/v1/users/7")
            assert second.headers["x-served-by"] == "engram", second.headers
            assert "x-fallback-reason" not in second.headers
            assert second.content == first.content
            assert second.headers["etag"] == first.headers["etag"]
            assert (await client.get("/v1/users/7", headers={"If-None-Match": second.headers["etag"]})).status_code == 304
            for key in ("007", "8 ", "99", "x"):
                gone = await client.get(f"/v1/users/{key}")
                assert (gone.status_code, gone.headers["x-fallback-reason"]) == (404, "unknown-key"), key
                assert gone.headers["content-type"] == "application/problem+json"

    running(ask)
