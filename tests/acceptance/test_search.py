"""Search through the proxy: from Engram's recall when that is whole, by PostgreSQL's full text otherwise."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from bridge.embedding.hashing import HashingEmbedder
from bridge.lsn import format_lsn
from bridge.reads import Mode
from tests.acceptance.conftest import MakeRig
from tests.acceptance.test_search_after_restart import wait_until_searchable
from tests.conftest import Server, fresh_database
from tests.reading import reader, route, running
from tests.rig import Rig

THINGS = ["kettle", "walrus", "lantern", "violin", "harbour", "meadow"]
TABLES = """
create table things (id int primary key, name text not null, made date default '2020-01-01');
insert into things select g, (array['kettle','walrus','lantern','violin','harbour','meadow'])[1 + g % 6] || ' number ' || g
    from generate_series(1, 60) g;
create table notes (name text not null);
insert into notes select 'a note about the ' || name from things where id <= 6;
alter table notes replica identity full;
create table quiet (id int primary key, size int);
insert into quiet values (1, 4711);
"""


def searched_rig(make_rig: MakeRig, **overrides: Any) -> Rig:
    """Everything goes to Engram."""
    rig = make_rig(tables={"notes": {"duplicates": "collapse"}, **overrides.pop("tables", {})}, **overrides)
    rig.sql(TABLES)
    rig.start()
    rig.wait_until_proven()
    wait_until_searchable(rig)
    for label in ("public.things", "public.notes", "public.quiet"):
        route(rig.ledger_location, label, Mode.ENGRAM, 100)
    return rig


async def find(client: httpx.AsyncClient, q: str, **asked: Any) -> tuple[list[Any], tuple[str, str | None]]:
    headers = asked.pop("headers", {})
    answer = await client.get("/v1/search", params={"q": q, **asked}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"], (answer.headers["x-served-by"], answer.headers.get("x-fallback-reason"))


def test_the_nearest_rows_by_their_clean_vectors(make_rig: MakeRig) -> None:
    """What comes, and in which order, is what an exact search over the rows' own texts finds; rows are those of the row route."""
    rig = searched_rig(make_rig, tables={"things": {"shards": 3, "confidence": 0.75}})
    embedder = HashingEmbedder()
    texts = {str(n): f"name: {THINGS[n % 6]} number {n}" for n in range(1, 61)}
    vectors = embedder.embed(list(texts.values()))

    async def ask() -> None:
        async with reader(rig.config) as client:
            for q in ("violin", "kettle number 6", "walrus 13", "number"):
                cosines = dict(zip(texts, vectors @ embedder.embed([q])[0], strict=True))
                exact = sorted((float(cosine) for cosine in cosines.values()), reverse=True)[:10]
                found, said = await find(client, q, table="things")
                assert said == ("engram", None)
                assert [one["score"] for one in found] == pytest.approx(exact, abs=1e-4)
                assert all(one["score"] == pytest.approx(cosines[one["key"]], abs=1e-4) for one in found)
                for one in found:
                    row = await client.get(f"/v1/things/{one['key']}")
                    assert one["row"] == row.json()
                    assert one["id"] == f"things_{one['key']}"
                    assert one["confidence"] == 0.75
            everywhere, _said = await find(client, "kettle", limit=50)
            assert {one["table"] for one in everywhere} == {"public.things", "public.notes"}
            note = next(one for one in everywhere if one["table"] == "public.notes")
            assert note["row"] == {"name": "a note about the kettle number 6"}

    running(ask)


def test_what_was_forgotten_or_replaced_never_appears(make_rig: MakeRig) -> None:
    """Engram's recall gives it all the same: deleted rows, older texts, a row that a transaction gave another key."""
    rig = searched_rig(make_rig)
    rig.sql(
        "delete from things where id in (3, 9, 15)",
        "update things set name = 'umbrella number ' || id where id in (21, 27)",
        "update things set id = 1033 where id = 33",
        "delete from notes where name like '%violin%'",
    )
    rig.wait_until_proven()
    raw = _recalled(rig, "things", "violin")
    assert {"things_3", "things_9", "things_15", "things_33"} <= raw, "the sandbox forgot the real one's bad habits"

    async def ask() -> None:
        async with reader(rig.config) as client:
            found, said = await find(client, "violin", limit=50)
            assert said == ("engram", None)
            keys = {one["key"] for one in found if one["table"] == "public.things"}
            assert not keys & {"3", "9", "15", "33"}
            assert "1033" in keys
            assert not any("violin" in one["row"]["name"] for one in found if one["table"] == "public.notes")
            assert all(one["row"]["name"].startswith("umbrella") for one in found if one["key"] in ("21", "27"))
            best = [one["key"] for one in found[:6]]
            assert not {"21", "27"} & set(best), "an older text decided about their place"
            assert {one["key"] for one in (await find(client, "umbrella", limit=2))[0]} == {"21", "27"}

    running(ask)


def test_who_cannot_vouch_does_not_search(make_rig: MakeRig) -> None:
    """Every reason for PostgreSQL, and its answer: the words, of the same columns, the same rows."""
    rig = searched_rig(make_rig, target={"rewrite_share": 0.005})

    async def ask() -> None:
        async with reader(rig.config) as client:

            async def said(**asked: Any) -> tuple[str, str | None]:
                found, by = await find(client, "violin", table="things", limit=50, **asked)
                assert {one["key"] for one in found} >= {str(n) for n in range(1, 61) if n % 6 == 3}
                return by

            await _later(said, ("engram", None))
            assert await said(headers={"X-Min-Lsn": "FFFFFF/0"}) == ("postgres", "min-lsn")
            assert await said(headers={"X-Max-Staleness-Ms": "0"}) == ("postgres", "stale")
            for mode, share, reason in (
                (Mode.POSTGRES, 0, "mode"),
                (Mode.SHADOW, 50, "shadow"),
                (Mode.ENGRAM, 0, "share"),
            ):
                route(rig.ledger_location, "public.things", mode, share)
                assert await said() == ("postgres", reason)
            assert (await find(client, "note"))[1] == ("postgres", "share"), "one table decides for all that are asked"
            found, by = await find(client, "note kettle", table="notes")
            assert by == ("engram", None)
            route(rig.ledger_location, "public.notes", Mode.POSTGRES)
            again, by = await find(client, "note kettle", table="notes")
            assert by == ("postgres", "mode")
            assert [one["key"] for one in again] == [one["key"] for one in found[:1]], "a row without a key has the same name"
            assert [one["key"] for one in (await find(client, "4711", table="quiet"))[0]] == ["1"]
            route(rig.ledger_location, "public.things", Mode.ENGRAM, 100)
            rig.engram.kill()
            assert (await said())[1] in ("engram-error", "breaker-open", "stale")
            rig.engram.start()
            rig.wait_until_proven()
            await _later(said, ("postgres", "not-searchable"))
            route(rig.ledger_location, "public.things", Mode.ENGRAM_ONLY)
            refused = await client.get("/v1/search?q=violin&table=things")
            assert (refused.status_code, refused.json()["reasons"]) == (503, ["not-searchable"])

    running(ask)


def test_a_restart_that_the_bridge_has_not_seen_yet_is_seen(make_rig: MakeRig) -> None:
    """Engram recalls nothing after a start, and says so of its own accord to nobody: the ledger does not know it yet either."""
    rig = searched_rig(make_rig, serve={"max_staleness": 600})

    async def ask() -> None:
        async with reader(rig.config) as client:
            assert (await find(client, "violin", table="things", limit=50))[1] == ("engram", None)
            assert rig.process is not None
            rig.process.send_signal(signal.SIGSTOP)
            rig.engram.kill()
            rig.engram.start()
            found, by = await find(client, "violin", table="things", limit=50)
            assert {one["key"] for one in found} == {str(n) for n in range(1, 61) if n % 6 == 3}
            assert by == ("postgres", "not-searchable")
            note = await client.get("/v1/search?q=note&table=notes")
            assert (note.headers["x-served-by"], len(note.json()["results"])) == ("postgres", 6)
            route(rig.ledger_location, "public.things", Mode.ENGRAM_ONLY)
            refused = await client.get("/v1/search?q=violin&table=things")
            assert (refused.status_code, refused.json()["reasons"]) == (503, ["not-searchable"])
            row = await client.get("/v1/things/9")
            assert (row.headers["x-served-by"], row.json()["name"]) == ("engram", "violin number 9")

    running(ask)


def test_a_write_of_ones_own_is_found(make_rig: MakeRig) -> None:
    """Recall learns of a row a moment after it can be read: until then PostgreSQL finds it."""
    rig = searched_rig(make_rig)

    async def ask() -> None:
        async with reader(rig.config) as client:
            rig.sql("insert into things values (100, 'umbrella')")
            mine = {"X-Min-Lsn": format_lsn(rig.flush())}
            rig.wait_until_proven()

            async def who() -> tuple[str, str | None]:
                found, by = await find(client, "umbrella", table="things", headers=mine)
                assert "100" in [one["key"] for one in found]
                return by

            assert await who() == ("postgres", "min-lsn")
            await _later(who, ("engram", None))

    running(ask)


def test_a_space_with_warm_rows_is_not_searched(make_rig: MakeRig) -> None:
    """Rows stored at a low activation come up whatever is asked, and rows behind them may not."""
    rig = make_rig(capacity=200, target={"capacity": 200, "limit": 200})
    rig.sql("create table crowd (id int primary key, name text)")
    rig.sql("insert into crowd select g, 'a walrus ' || g from generate_series(1, 140) g")
    rig.start()
    rig.wait_until_proven()
    wait_until_searchable(rig)
    route(rig.ledger_location, "public.crowd", Mode.ENGRAM, 100)

    async def ask() -> None:
        async with reader(rig.config) as client:
            found, by = await find(client, "walrus", table="crowd")
            assert by == ("postgres", "not-searchable")
            assert len(found) == 10

    running(ask)


def test_forgotten_rows_that_crowd_the_recall_are_seen(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.sql("create table crowd (id int primary key, name text)")
    rig.sql("insert into crowd select g, 'a walrus' from generate_series(1, 120) g")
    rig.sql("insert into crowd select g, 'the walrus of the harbour and the meadow ' || g from generate_series(201, 220) g")
    rig.start()
    rig.wait_until_proven()
    rig.sql("delete from crowd where id <= 120")
    rig.wait_until_proven()
    wait_until_searchable(rig)
    route(rig.ledger_location, "public.crowd", Mode.ENGRAM, 100)

    async def ask() -> None:
        async with reader(rig.config) as client:
            found, by = await find(client, "a walrus", table="crowd")
            assert by == ("postgres", "crowded")
            found, by = await find(client, "the harbour and the meadow", table="crowd", limit=5)
            assert by == ("engram", None)
            assert len(found) == 5
            assert all(int(one["key"]) > 200 for one in found)

    running(ask)


def test_no_space_is_asked_that_is_not_the_ledgers(make_rig: MakeRig) -> None:
    """A search makes no space at Engram, whatever tables it names."""
    rig = searched_rig(make_rig)
    before = _spaces(rig)

    async def ask() -> None:
        async with reader(rig.config) as client:
            await find(client, "violin")
            for name in ("nothing", "things_1", "things ", "THINGS", "public", "default", "../default", "pg_catalog.pg_class"):
                answer = await client.get("/v1/search", params={"q": "violin", "table": name})
                assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), name

    running(ask)
    assert _spaces(rig) == before


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("q=", 422),
        ("q=%20", 422),
        ("q=%00", 422),
        ("q=x&limit=0", 422),
        ("q=x&limit=51", 422),
        ("q=x&limit=-1", 422),
        ("q=x&limit=1e1", 422),
        ("q=" + "x" * 1001, 422),
        ("q=x" + "&table=things" * 21, 422),
        ("q=x&table=", 404),
        ("q=" + "x" * 1_000_000, 414),
    ],
)
def test_bad_input_is_told(one_table: Rig, query: str, status: int) -> None:
    async def ask() -> None:
        async with reader(one_table.config) as client:
            got, kind, _body = await raw_get(client, "/v1/search", query)
            assert (got, kind) == (status, "application/problem+json")

    running(ask)


@pytest.fixture(scope="module")
def one_table(tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Iterator[Rig]:
    """One carried table for all of it."""
    for url in fresh_database(postgres):
        rig = Rig(tmp_path_factory.mktemp("rig"), url)
        try:
            rig.sql("create table things (id int primary key, name text)")
            rig.catch_up()
            yield rig
        finally:
            rig.close()


async def raw_get(client: Any, path: str, query: str) -> tuple[int, str, bytes]:
    """A GET past the client's own limits."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await client.app(scope, receive, send)
    kinds = dict(sent[0]["headers"])
    return sent[0]["status"], kinds[b"content-type"].decode(), b"".join(message.get("body", b"") for message in sent[1:])


async def _later(ask: Any, expected: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while (found := await ask()) != expected:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)


def _recalled(rig: Rig, space: str, text: str) -> set[str]:
    vector = np.zeros(768)
    vector[:512] = HashingEmbedder().embed([text])[0]
    parameters = {"embedding": json.dumps(vector.tolist()), "threshold": "0.0", "max_results": "100"}
    url = f"{rig.engram.http}/api/v1/memories/recall"
    answer = httpx.get(url, params=parameters, headers={"X-Memory-Space": space}).json()["memories"]
    return {memory["id"] for group in answer.values() for memory in group}


def _spaces(rig: Rig) -> set[str]:
    return {space["id"] for space in httpx.get(f"{rig.engram.http}/api/v1/spaces").json()["spaces"]}
