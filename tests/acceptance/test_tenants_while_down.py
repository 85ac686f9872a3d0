"""Tenants while servers are away: whether anybody can answer must not tell which keys others use, on any route."""

from __future__ import annotations

import contextlib
import time

import httpx
import pytest

from bridge.reads import Mode
from bridge.sandbox.postgres import SandboxPostgres
from tests.acceptance.conftest import MakeRig
from tests.acceptance.test_search_after_restart import wait_until_searchable
from tests.reading import reader, route, running
from tests.rig import Rig

TABLES = """
create table teams (id int primary key, team int);
insert into teams select g, g from generate_series(1, 2) g;
create table accounts (id int primary key, team int, name text, boss int);
insert into accounts select g, 1 + g % 2, 'account ' || g, 1 + g % 7 from generate_series(1, 20) g;
alter table accounts add constraint boss foreign key (boss) references accounts not valid;
insert into accounts values (31, 2, 'mine, of one that is another''s', 4), (32, 2, 'mine, of my own', 5);
"""
MINE, OTHERS, PARKED, GONE, NEVER = "7", "4", "6", "8", "999"
"""Keys of accounts: of the tenant 2, of tenant 1 (one of them parked), a deleted one of tenant 1, and one that never was."""

HIDDEN = (OTHERS, PARKED, GONE, NEVER)
SAID = {"X-Tenant": "2"}


@pytest.fixture
def rig(make_rig: MakeRig, own_postgres: SandboxPostgres) -> Rig:
    rig = make_rig(
        own_postgres.url(),
        tables={"teams": {"tenant": "*"}, "accounts": {"tenant": "team"}},
        serve={"max_staleness": 100_000, "postgres_timeout": 2.0},
    )
    rig.sql(TABLES)
    rig.start()
    rig.wait_until_proven()
    rig.sql(f"delete from accounts where id = {GONE}")
    rig.wait_until_proven()
    wait_until_searchable(rig)
    assert rig.stop() == 0, rig.tail()
    return rig


def replies(*answers: httpx.Response) -> set[tuple[int, str, tuple[str, ...]]]:
    """What a caller can tell answers apart by; keys that were asked for stand in some of them."""
    told = set()
    for answer in answers:
        body = answer.text
        for key in HIDDEN:
            body = body.replace(f'"{key}"', '"KEY"')
        kept = tuple(sorted(name for name in answer.headers if name not in ("x-staleness-ms", "x-frontier-lsn")))
        told.add((answer.status_code, body, kept))
    return told


async def require_alike(client: httpx.AsyncClient, status: int) -> None:
    """One answer for every key that is not the caller's, on every route of keys."""
    for path in (
        "/v1/accounts/{key}",
        "/v1/accounts?keys={key}",
        "/v1/accounts?keys={mine},{key}",
        "/v1/accounts/{key}/references",
        "/v1/accounts/{key}/references?direction=in",
        "/v1/accounts/{key}/references?expand=true",
    ):
        for headers in (SAID, {**SAID, "If-None-Match": "*"}):
            asked = [await client.get(path.format(key=key, mine=MINE), headers=headers) for key in HIDDEN]
            told = replies(*asked)
            assert len(told) == 1, (path, told)
            found = told.pop()[0]
            assert found == status or ("keys" in path and status == 404 and found in (200, 304)), (path, found)


@pytest.mark.parametrize("parked", [False, True])
def test_who_cannot_be_asked_tells_nothing(rig: Rig, own_postgres: SandboxPostgres, *, parked: bool) -> None:
    """Absent, gone, another's, another's that is parked: alike while all is well, without PostgreSQL, and without Engram."""
    if parked:
        number = next(one.number for one in rig.ledger().tables() if one.label == "public.accounts")
        rig.ledger_sql(
            "insert into parked (tbl, key, reason, detail, version, since, attempts, dropped)"
            f" values ({number}, '{PARKED}', 'rejected', '', '', {time.time()}, 1, false)"
        )

    async def ask() -> None:
        async with reader(rig.config, engram_deadline=2.0) as client:
            for mode in Mode:
                route(rig.ledger_location, "public.accounts", mode, 100)
                await require_alike(client, 503 if parked and mode is Mode.ENGRAM_ONLY else 404)
                assert (await client.get(f"/v1/accounts/{MINE}", headers=SAID)).status_code == 200
            own_postgres.stop("immediate")
            for mode in Mode:
                route(rig.ledger_location, "public.accounts", mode, 100)
                await require_alike(client, 404 if mode is Mode.ENGRAM_ONLY and not parked else 503)
                assert (await client.get(f"/v1/accounts/{MINE}", headers=SAID)).headers["x-served-by"] == "engram"
                await require_searches_alike(client)
                for one in ("31", "32"):  # of one that is another's, and of one's own: the reference itself tells nothing more
                    reply = await client.get(f"/v1/accounts/{one}/references", headers=SAID)
                    assert (reply.status_code, len(reply.json().get("references", []))) in ((200, int(one == "32")), (503, 0)), (
                        reply.text
                    )
            rig.engram.kill()
            for mode in Mode:
                route(rig.ledger_location, "public.accounts", mode, 100)
                await require_alike(client, 503)
                await require_searches_alike(client)

    with contextlib.closing(rig.ledger()):
        running(ask)


async def require_searches_alike(client: httpx.AsyncClient) -> None:
    """What is sought is answered by the same status, whether it stands in another's row or nowhere."""
    asked = [await client.get(f"/v1/search?table=accounts&q=account+{key}", headers=SAID) for key in HIDDEN]
    assert len({one.status_code for one in asked}) == 1, asked
    assert not any(hit["key"] in HIDDEN for one in asked if one.status_code == 200 for hit in one.json()["results"])
    listed = await client.get("/v1/tables", headers=SAID)
    assert listed.status_code == 200, "which tables there are depends on no row"
