"""References through the proxy: the ledger's edges and PostgreSQL's joins say the same, page by page, and who said it is told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bridge.gate import Parked
from bridge.ledger import Batch, Outcome
from bridge.lsn import make_version
from bridge.reads import Mode
from bridge.sandbox.postgres import SandboxPostgres
from tests.acceptance.conftest import MakeRig
from tests.conftest import Server, fresh_database
from tests.patience import PATIENCE
from tests.reading import reader, route, running
from tests.rig import Rig

TABLES = """
create table people (id int primary key, mail text unique, boss int references people, flag boolean);
insert into people select g, 'p' || g || '@x', nullif(g / 3, 0), g % 2 = 0 from generate_series(1, 30) g;
create table places (country char(3), city text, primary key (country, city));
insert into places values ('de', 'Köln_1'), ('fr', '100%'), ('it', '');
create table visits (
    who int not null references people, day date, country char(3), city text, mail text references people (mail),
    note int, primary key (who, day), foreign key (country, city) references places
);
insert into visits select 1 + g % 5, date '2020-01-01' + g, c.country, c.city, 'p' || (1 + g % 7) || '@x', null
    from generate_series(1, 40) g, lateral (select * from places order by city limit 1 offset g % 3) c;
alter table visits add constraint visits_note foreign key (note) references people (id) not valid;
create table marks (who int references people, mark text);
insert into marks select 1 + g % 3, 'm' || g from generate_series(1, 10) g;
alter table marks replica identity full;
create table switches (flag boolean, no int, primary key (flag, no));
insert into switches values (true, 1), (false, 1), (true, 2);
create table lamps (id text primary key, flag boolean, no int, foreign key (flag, no) references switches);
insert into lamps values ('', true, 1), ('a', true, 1), ('B', true, 1), ('é', false, 1), ('_', null, 1);
"""
ENDS = {
    "people": ["1", "2", "3", "15", "30"],
    "places": ["de _Köln%5F1", "fr _100%25", "it _"],
    "visits": ["2_2020-01-02", "1_2020-01-06"],
    "switches": ["t_1", "f_1", "t_2"],
    "lamps": ["", "a", "_"],
}


def quoted(key: str) -> str:
    return "".join(f"%{byte:02X}" for byte in key.encode())


def referring_rig(make_rig: MakeRig, **overrides: Any) -> Rig:
    rig = make_rig(tables={"marks": {"duplicates": "collapse"}}, **overrides)
    rig.sql(TABLES)
    rig.start()
    rig.wait_until_proven()
    return rig


async def walk(client: httpx.AsyncClient, table: str, key: str, by: str, limit: int = 20, **asked: Any) -> list[Any]:
    """All pages of a walk; every one of them is answered by the same."""
    found: list[Any] = []
    cursor = None
    while True:
        given = {"limit": limit, **asked, **({"cursor": cursor} if cursor is not None else {})}
        answer = await client.get(f"/v1/{table}/{quoted(key)}/references", params=given)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-served-by"] == by, dict(answer.headers)
        page = answer.json()
        assert len(page["references"]) <= limit
        found += page["references"]
        cursor = page["next"]
        if cursor is None:
            return found
        assert page["references"]


def test_ledger_and_joins_say_the_same(make_rig: MakeRig) -> None:
    """Of every kind of key, in both directions and in pages of any size; an orphan is pending with both, and named."""
    rig = referring_rig(make_rig)

    async def ask() -> None:
        async with reader(rig.config) as client:
            joined: dict[Any, Any] = {}
            for by in ("postgres", "ledger"):
                for table, keys in ENDS.items():
                    if by == "ledger":
                        route(rig.ledger_location, f"public.{table}", Mode.ENGRAM, 100)
                    for key in keys:
                        for direction in ("out", "in"):
                            found = await walk(client, table, key, by, direction=direction)
                            assert found == await walk(client, table, key, by, 3, direction=direction)
                            assert joined.setdefault((table, key, direction), found) == found, (table, key, direction)
            counts = {key: len(found) for key, found in joined.items()}
            assert counts["people", "1", "in"] == 2 + 8 + 6 + 3, counts
            assert {"constraint": "visits_who_fkey", "table": "public.people", "key": "2", "pending": False} in joined[
                "visits", "2_2020-01-02", "out"
            ]
            assert [one["key"] for one in joined["switches", "t_1", "in"]] == ["", "B", "a"]
            assert joined["lamps", "_", "out"] == []
            assert all(counts["places", key, "in"] > 0 for key in ENDS["places"])

    running(ask)


def test_what_is_not_there_is_pending_and_a_row_that_is_not_there_is_404(make_rig: MakeRig) -> None:
    rig = referring_rig(make_rig)
    rig.sql("alter table visits drop constraint visits_note", "update visits set note = 99 where who = 1")
    rig.sql("alter table visits add constraint visits_note foreign key (note) references people (id) not valid")
    rig.sql("update visits set day = day + 1000 where who = 1")
    rig.wait_until_proven()

    async def ask() -> None:
        async with reader(rig.config) as client:
            orphan = {"constraint": "visits_note", "table": "public.people", "key": "99", "pending": True}
            for by in ("postgres", "ledger"):
                found = await walk(client, "visits", "1_2022-10-02", by)
                assert orphan in found, found
                expanded = await walk(client, "visits", "1_2022-10-02", by, expand=True)
                rows = {one["constraint"]: one["row"] for one in expanded}
                assert rows["visits_note"] is None
                assert rows["visits_who_fkey"] == json.loads((await client.get("/v1/people/1")).content)
                for key in ("1_2020-01-06", "nobody", "1", "001_2022-10-02"):
                    for direction in ("out", "in"):
                        answer = await client.get(f"/v1/visits/{key}/references", params={"direction": direction})
                        assert answer.status_code == 404, (key, answer.text)
                route(rig.ledger_location, "public.visits", Mode.ENGRAM, 100)
                rig.wait_until_proven()
            route(rig.ledger_location, "public.visits", Mode.ENGRAM_ONLY)
            assert (await client.get("/v1/visits/nobody/references")).status_code == 404
            assert (await client.get("/v1/marks/x/references")).status_code == 404

    running(ask)


def test_who_cannot_vouch_does_not_answer(make_rig: MakeRig) -> None:
    """With a parked key or a table that is read again at the other end, behind a position, or stale: joins, with the reason."""
    rig = referring_rig(make_rig, serve={"max_staleness": 100_000})
    route(rig.ledger_location, "public.people", Mode.ENGRAM, 100)
    rig.stop()
    ledger = rig.ledger()
    ledger.acquire()
    records = {record.label: record for record in ledger.tables()}

    async def ask() -> None:
        async with reader(rig.config) as client:

            async def said(direction: str = "in", **headers: str) -> tuple[str, str | None]:
                answer = await client.get("/v1/people/1/references", params={"direction": direction}, headers=headers)
                assert answer.status_code == 200, answer.text
                return answer.headers["x-served-by"], answer.headers.get("x-fallback-reason")

            assert await said() == await said("out") == ("ledger", None)
            assert await said(**{"X-Min-Lsn": "FFFFFF/0"}) == ("postgres", "min-lsn")
            assert await said(**{"X-Max-Staleness-Ms": "0"}) == ("postgres", "stale")
            wish = f"resync:{records['public.visits'].number}"
            ledger.put_facts({wish: "asked"})
            assert await said("in") == ("postgres", "reading-again")
            assert await said("out") == ("ledger", None), "nothing of visits is at that end"
            ledger.drop_fact(wish)
            waiting = Parked("rejected", "", make_version(9, 1, 1), None, 0.0)
            ledger.record(Batch(outcomes=[Outcome((records["public.marks"].number, "some"), None, park=waiting)]))
            assert await said("in") == ("postgres", "parked")
            assert await said("out") == ("ledger", None)
            ledger.set_table(records["public.people"].number, reached=1 << 60)
            assert await said("out") == ("postgres", "catching-up")
            route(rig.ledger_location, "public.people", Mode.ENGRAM_ONLY)
            refused = await client.get("/v1/people/1/references")
            assert (refused.status_code, refused.json()["reasons"]) == (503, ["catching-up"])
            assert refused.headers["retry-after"]

    running(ask)
    ledger.close()


def test_while_postgres_is_away_the_ledger_answers_what_it_can_prove(make_rig: MakeRig, own_postgres: SandboxPostgres) -> None:
    """In any mode, and says so; what it cannot prove is 503."""
    rig = make_rig(source=own_postgres.url(), serve={"max_staleness": 100_000})
    rig.sql("create table people (id int primary key, boss int references people)", "insert into people values (1, 1), (2, 1)")
    rig.start()
    rig.wait_until_proven()
    deadline = time.monotonic() + PATIENCE
    while "covered" not in rig.ledger().facts():  # a proxy counts nothing as covered before a bridge has said what it covers
        assert time.monotonic() < deadline, rig.ledger().facts()
        time.sleep(0.1)

    async def ask() -> None:
        async with reader(rig.config) as client:
            before = await client.get("/v1/people/1/references?direction=in")
            assert (before.status_code, before.headers["x-served-by"]) == (200, "postgres"), before.text
            own_postgres.kill()
            after = await client.get("/v1/people/1/references?direction=in")
            assert (after.status_code, after.headers["x-served-by"], after.content) == (200, "ledger", before.content), after.text
            assert after.headers["x-fallback-reason"] == "mode"
            stale = await client.get("/v1/people/1/references?direction=in", headers={"X-Max-Staleness-Ms": "0"})
            assert (stale.status_code, stale.headers["x-fallback-reason"]) == (503, "stale")

    running(ask)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 422),
        ("limit=101", 422),
        ("limit=x", 422),
        ("limit=1e2", 422),
        ("direction=both", 422),
        ("expand=perhaps", 422),
        ("cursor=", 400),
        ("cursor=abc", 400),
        ("cursor=" + "A" * 5000, 400),
        ("cursor=%00", 400),
        ("cursor=WyIiLCIiLCIiLCIiXQ", 400),
        ("cursor=" + "A" * 20_000, 400),
        ("cursor=" + "A" * 60_000, 414),
    ],
)
def test_bad_input_is_told(bad_input_rig: Rig, query: str, status: int) -> None:
    async def ask() -> None:
        async with reader(bad_input_rig.config) as client:
            answer = await client.get(f"/v1/people/1/references?{query}")
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
            assert (await client.get("/v1/nothing/1/references")).status_code == 404
            assert (await client.post("/v1/people/1/references")).status_code == 405
            assert (await client.get("/v1/people/%00/references")).status_code == 400

    running(ask)


@pytest.fixture(scope="module")
def bad_input_rig(tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Iterator[Rig]:
    """One carried table for all of it."""
    for url in fresh_database(postgres):
        rig = Rig(tmp_path_factory.mktemp("rig"), url)
        try:
            rig.sql("create table people (id int primary key)", "insert into people values (1)")
            rig.catch_up()
            yield rig
        finally:
            rig.close()
