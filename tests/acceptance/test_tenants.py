"""Tenants, route by route: what is another's is not there, and nothing tells that it is. A route without a test is an error."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from bridge.reads import Mode
from tests.acceptance.test_search_after_restart import wait_until_searchable
from tests.conftest import Server, fresh_database
from tests.reading import reader, route, running
from tests.rig import Rig

TABLES = """
create table colours (id text primary key, name text);
insert into colours values ('red', 'the colour red'), ('blue', 'the colour blue');
create table accounts (id int primary key, team int, name text, colour text references colours);
insert into accounts select g, g % 3, 'account ' || g, (array['red','blue'])[1 + g / 2 % 2] from generate_series(1, 30) g;
create table orders (id int primary key, team int, account int references accounts, what text);
insert into orders select g, g % 3, 1 + g % 30, 'secret' || g || ' of team' || g % 3 from generate_series(1, 60) g;
create table logs (id int primary key, account int references accounts, line text);
insert into logs select g, g, 'secret line ' || g from generate_series(1, 9) g;
create table scraps (team int, scrap text);
insert into scraps select g % 3, 'scrap ' || g || ' of team' || g % 3 from generate_series(1, 9) g;
alter table scraps replica identity full;
"""
SETTINGS: dict[str, Any] = {
    "colours": {"tenant": "*"},
    "accounts": {"tenant": "team"},
    "orders": {"tenant": "team"},
    "scraps": {"tenant": "team", "duplicates": "collapse"},
}
MINE = "1"
TOKENS = {name: f"{name}-0123456789abcdef" for name in ("read", "operate", "one")}

Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Iterator[Rig]:
    """Three teams, a table of everybody's, and one that says nothing."""
    for url in fresh_database(postgres):
        made = Rig(tmp_path_factory.mktemp("rig"), url, tables=SETTINGS, serve={"max_staleness": 100_000})
        try:
            made.sql(TABLES)
            made.start()
            made.wait_until_proven()
            wait_until_searchable(made)
            yield made
        finally:
            made.close()


async def one_row(ask: Ask, other: Ask, nobody: Ask) -> None:
    """Another's row is answered as one that is not there: byte for byte, and header for header."""
    assert (await ask("/v1/accounts/1")).json()["team"] == 1
    assert (await other("/v1/accounts/2")).json()["team"] == 2
    absent = _plain(await ask("/v1/accounts/999"))
    for table, key in (("accounts", 2), ("accounts", 3), ("orders", 5), ("logs", 1)):
        for reply in (await ask(f"/v1/{table}/{key}"), await nobody(f"/v1/{table}/{key}")):
            assert _plain(reply) == absent, (table, key)
        etag = await ask(f"/v1/{table}/{key}", headers={"If-None-Match": "*"})
        assert etag.status_code == 404
    assert (await nobody("/v1/accounts/1")).status_code == 404
    for who in (ask, other, nobody):
        assert (await who("/v1/colours/red")).status_code == 200


async def empty_key(ask: Ask, _other: Ask, _nobody: Ask) -> None:
    assert (await ask("/v1/accounts/")).status_code == 404
    assert (await ask("/v1/logs/")).status_code == 404


async def several_rows(ask: Ask, _other: Ask, nobody: Ask) -> None:
    """Others' are among the missing."""
    answer = (await ask("/v1/accounts?keys=1,2,3,4,999")).json()
    assert [one["key"] for one in answer["rows"]] == ["1", "4"]
    assert answer["missing"] == ["2", "3", "999"]
    reply = await nobody("/v1/accounts?keys=1,2")
    assert reply.status_code == 404 or reply.json() == {"rows": [], "missing": ["1", "2"]}
    assert (await ask("/v1/logs?keys=1,2")).status_code == 404


async def references(ask: Ask, other: Ask, nobody: Ask) -> None:
    """Both ends: of another's row there are none, and another's row is at no end; a cursor does not name one either."""
    absent = _plain(await ask("/v1/accounts/999/references"))
    for who, key in ((ask, "accounts/2"), (ask, "orders/5"), (ask, "logs/1"), (nobody, "accounts/1"), (nobody, "orders/4")):
        for direction in ("out", "in"):
            for expand in ("true", "false"):
                reply = await who(f"/v1/{key}/references?direction={direction}&expand={expand}")
                assert _plain(reply) == absent, (key, direction)
    for key in ("red", "blue"):
        teams: dict[str, set[str]] = {}
        for name, who in (("1", ask), ("2", other), ("", nobody)):
            for size in (1, 3, 100):
                found = [one async for one in _walked(who, f"/v1/colours/{key}/references?direction=in&limit={size}")]
                assert len({one["key"] for one in found}) == len(found)
                assert teams.setdefault(name, {one["key"] for one in found}) == {one["key"] for one in found}
            expanded = [one async for one in _walked(who, f"/v1/colours/{key}/references?direction=in&expand=true")]
            assert {str(one["row"]["team"]) for one in expanded} <= {name}
        assert teams["1"]
        assert teams["2"]
        assert not teams["1"] & teams["2"]
        assert not teams[""]
        assert all(int(account) % 3 == 1 for account in teams["1"])
    (mine,) = (await ask("/v1/orders/4/references")).json()["references"] or [None]
    assert mine is None or int(mine["key"]) % 3 == 1
    for order in range(1, 61, 3):
        out = (await ask(f"/v1/orders/{order}/references?expand=true")).json()["references"]
        assert all(one["row"]["team"] == 1 for one in out)
    assert not [one async for one in _walked(ask, "/v1/accounts/1/references?direction=in") if one["table"] == "public.logs"]


async def references_of_empty_key(ask: Ask, _other: Ask, _nobody: Ask) -> None:
    assert (await ask("/v1/accounts//references")).status_code == 404
    assert (await ask("/v1/logs//references")).status_code == 404


async def search(ask: Ask, other: Ask, nobody: Ask) -> None:
    """Rows of others are found by nobody, whatever was sought and in whichever table."""
    for name, who in (("1", ask), ("2", other)):
        for q in ("secret", "account", "team0", "team1", "team2", "scrap", f"secret4 of team{name}"):
            for named in ("", "&table=orders", "&table=orders&table=accounts", "&table=scraps"):
                reply = await who(f"/v1/search?q={q}&limit=50{named}")
                assert reply.status_code == 200, reply.text
                found = [one["row"] for one in reply.json()["results"] if one["table"] != "public.colours"]
                assert {str(row["team"]) for row in found} <= {name}
                assert "secret line" not in reply.text
    assert len((await ask("/v1/search?q=team1&table=orders&limit=50")).json()["results"]) == 20
    assert (await ask("/v1/search?q=team1&table=scraps")).json()["results"]
    assert (await ask("/v1/search?q=secret&table=logs")).status_code == 404
    assert (await nobody("/v1/search?q=secret&table=orders")).status_code == 404
    everybodys = (await nobody("/v1/search?q=colour&limit=50")).json()["results"]
    assert {one["table"] for one in everybodys} == {"public.colours"}


async def tables(ask: Ask, _other: Ask, nobody: Ask) -> None:
    """Those of which the caller can see a row."""

    async def names(who: Ask) -> set[str]:
        return {one["name"] for one in (await who("/v1/tables")).json()["tables"]}

    assert await names(ask) == {"colours", "accounts", "orders", "scraps"}
    assert await names(nobody) == {"colours"}


ROUTES: dict[str, Callable[[Ask, Ask, Ask], Awaitable[None]]] = {
    "/v1/{table}/{key}": one_row,
    "/v1/{table}/": empty_key,
    "/v1/{table}": several_rows,
    "/v1/{table}/{key}/references": references,
    "/v1/{table}//references": references_of_empty_key,
    "/v1/search": search,
    "/v1/tables": tables,
}


def test_every_route_of_rows_is_tried(rig: Rig) -> None:
    """What is under /v1/ answers applications: a new route there needs its line in ROUTES. Those beside it are the operator's."""
    assert {path for path in _paths(create_app(rig.config).routes) if path.startswith("/v1")} == set(ROUTES)


@pytest.mark.parametrize("mode", [Mode.POSTGRES, Mode.SHADOW, Mode.ENGRAM])
@pytest.mark.parametrize("path", sorted(ROUTES))
def test_nobody_sees_what_is_anothers(rig: Rig, path: str, mode: Mode) -> None:
    for table in ("colours", "accounts", "orders", "logs", "scraps"):
        route(rig.ledger_location, f"public.{table}", mode, 100)

    async def ask() -> None:
        async with _callers(rig) as (mine, other, nobody):
            await ROUTES[path](mine, other, nobody)

    running(ask)


def test_a_token_of_a_tenant_speaks_for_no_other(rig: Rig) -> None:
    async def ask() -> None:
        async with _callers(rig) as (mine, _other, _nobody):
            for path in (
                "/v1/accounts/2",
                "/v1/search?q=secret",
                "/v1/colours/red/references",
                "/v1/accounts?keys=2",
                "/v1/tables",
            ):
                assert (await mine(path, headers={"X-Tenant": "2"})).status_code == 403, path

    running(ask)


@contextlib.asynccontextmanager
async def _callers(rig: Rig) -> AsyncIterator[tuple[Ask, Ask, Ask]]:
    """One whose token says its tenant, one that names it in a header, and one that names none."""
    serve = {
        "read_token": SecretStr(TOKENS["read"]),
        "operate_token": SecretStr(TOKENS["operate"]),
        "tenant_tokens": {MINE: SecretStr(TOKENS["one"])},
    }
    async with reader(rig.config, **serve) as client:

        def caller(token: str, **said: str) -> Ask:
            async def ask(path: str, headers: dict[str, str] | None = None) -> httpx.Response:
                own = {"Authorization": f"Bearer {TOKENS[token]}", **said}
                return await client.get(path, headers={**own, **(headers or {})})

            return ask

        yield caller("one"), caller("read", **{"X-Tenant": "2"}), caller("read")


async def _walked(ask: Ask, path: str) -> AsyncIterator[Any]:
    cursor = ""
    while True:
        page = (await ask(path + cursor)).json()
        for one in page["references"]:
            yield one
        if page["next"] is None:
            return
        named = json.loads(base64.urlsafe_b64decode(page["next"] + "==="))[-1]
        assert named == page["references"][-1]["key"], "a cursor names what was shown"
        cursor = f"&cursor={page['next']}"


def _plain(reply: httpx.Response) -> tuple[int, bytes, list[str]]:
    """What a caller can tell replies apart by, but for how old they are."""
    kept = sorted(name for name in reply.headers if name not in ("x-staleness-ms", "x-frontier-lsn"))
    return reply.status_code, reply.content, kept


def _paths(routes: Iterable[Any]) -> Iterator[str]:
    for one in routes:
        inner = getattr(one, "original_router", None)
        if inner is not None:
            yield from _paths(inner.routes)
        elif getattr(one, "path", None) is not None and "GET" in one.methods:
            yield one.path
