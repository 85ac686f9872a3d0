"""Whatever Engram and PostgreSQL do, the proxy answers what PostgreSQL has, or that nobody can answer now."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from bridge.reads import Mode
from bridge.sandbox.engram.process import SandboxEngram, SandboxFailed
from tests.acceptance.conftest import MakeRig
from tests.reading import reader, route, running
from tests.rig import Rig

ROWS = """
create table items (id int primary key, name text);
insert into items select g, 'item ' || g from generate_series(1, 12) g;
"""
FOREVER = 1e9
NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"
MODES = [(Mode.POSTGRES, 0), (Mode.SHADOW, 100), (Mode.ENGRAM, 100), (Mode.ENGRAM, 0), (Mode.ENGRAM_ONLY, 0)]

Engram = Callable[[SandboxEngram], None]


def slow(engram: SandboxEngram) -> None:
    engram.faults([{"on": "GET", "do": "slow", "seconds": 30.0}])


def failing(engram: SandboxEngram) -> None:
    engram.faults([{"on": "GET", "do": "5xx"}])


def losing(engram: SandboxEngram) -> None:
    engram.faults([{"on": "GET", "do": "lose_reply"}])


def hidden(engram: SandboxEngram) -> None:
    with suppress(SandboxFailed):  # it is hidden for good: another row than that of the other cases
        engram.damage("items", "items_2", "hide")


def rewritten(change: Callable[[str], str]) -> Engram:
    """The content of the first row is another one."""

    def act(engram: SandboxEngram) -> None:
        content = httpx.get(f"{engram.http}/api/v1/memories/items_1", headers={"X-Memory-Space": "items"}).json()["content"]
        engram.damage("items", "items_1", "content", change(content))

    return act


def older(content: str) -> str:
    body, stamp = content.split(',"_bridge":')
    return body + ',"_bridge":' + stamp.replace('{"v":"0001:', '{"v":"0000:', 1)


def wrong(content: str) -> str:
    return content.replace("item 1", "item X")


def foreign(content: str) -> str:
    return '{"id":1,"name":"item 1"}'


ENGRAMS: dict[str, tuple[Engram, str | None]] = {
    "right": (lambda engram: engram.faults(), None),
    "5xx": (failing, "engram-error"),
    "lost": (losing, "engram-error"),
    "slow": (slow, "engram-timeout"),
    "hidden": (hidden, "engram-missing"),
    "wrong version": (rewritten(older), "engram-differs"),
    "wrong digest": (rewritten(wrong), "engram-differs"),
    "not ours": (rewritten(foreign), "engram-differs"),
}
"""What Engram does with a row, and the reason why it is not believed."""


@contextmanager
def in_trouble(rig: Rig, trouble: Engram) -> Iterator[None]:
    """For a while; afterwards the row is as it was."""
    space = {"X-Memory-Space": "items"}
    before = httpx.get(f"{rig.engram.http}/api/v1/memories/items_1", headers=space).json()["content"]
    trouble(rig.engram)
    yield
    rig.engram.faults()
    rig.engram.damage("items", "items_1", "content", before)


def loaded(make_rig: MakeRig, **overrides: Any) -> Rig:
    """Everything is proven, and the bridge has ended: what it proved is as old as the caller likes."""
    rig = make_rig(**overrides)
    rig.sql(ROWS)
    rig.start()
    rig.wait_until_proven()
    rig.sql("delete from items where id = 11")
    rig.wait_until_proven()
    rig.stop()
    return rig


def expected(mode: Mode, share: int, reason: str | None, *, postgres: bool) -> tuple[int, str | None, str | None]:
    """Status, who answered, why, of the row that is there."""
    chosen = mode is Mode.ENGRAM_ONLY or (mode is Mode.ENGRAM and share == 100)
    if chosen and reason is None:
        return 200, "engram", None
    if mode is Mode.ENGRAM_ONLY:
        return 503, None, reason
    if postgres:
        why = reason if chosen else {Mode.POSTGRES: "mode", Mode.SHADOW: "shadow"}.get(mode, "share")
        return 200, "postgres", why
    return (200, "engram", None) if reason is None else (503, None, reason)


def test_the_answer_matrix(make_rig: MakeRig) -> None:
    """Engram's troubles times modes times PostgreSQL: the row's own bytes, or 503 with when to come again."""
    rig = loaded(make_rig)

    async def ask(postgres: bool) -> None:
        away = {} if postgres else {"source": NOBODY}
        async with reader(rig.config, max_staleness=FOREVER, engram_deadline=0.3, **away) as client:
            engram = client.app.state.proxy.engram  # type: ignore[attr-defined]
            for name, (trouble, reason) in ENGRAMS.items():
                with in_trouble(rig, trouble):
                    for mode, share in MODES:
                        route(rig.ledger_location, "public.items", mode, share)
                        engram._breaker.succeeded()
                        engram._deadline = 0.3 if name == "slow" else 20.0  # a busy machine is no slow Engram
                        key = 2 if name == "hidden" else 1
                        answer = await client.get(f"/v1/items/{key}")
                        found = (answer.status_code, answer.headers.get("x-served-by"), answer.headers.get("x-fallback-reason"))
                        case = (name, mode, share, "up" if postgres else "down")
                        status, by, why = expected(mode, share, reason, postgres=postgres)
                        if status == 200:
                            assert found == (status, by, why), case
                            assert answer.json() == {"id": key, "name": f"item {key}"}, case
                        else:
                            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), case
                            assert why in answer.json()["reasons"], (case, answer.text)
            await client.app.state.proxy.shadow.close()  # type: ignore[attr-defined]

    running(lambda: ask(postgres=True))
    running(lambda: ask(postgres=False))


def test_rows_that_are_gone(make_rig: MakeRig) -> None:
    """A deleted row that Engram has again, one that PostgreSQL lost, one that nobody knows: no answer comes out of Engram's."""
    rig = loaded(make_rig)
    rig.engram.damage("items", "items_11", "resurrect")

    async def ask() -> None:
        async with reader(rig.config, max_staleness=FOREVER) as client:
            for mode, share in MODES:
                route(rig.ledger_location, "public.items", mode, share)
                for key, reason in (("11", "deleted"), ("99", "unknown-key")):
                    gone = await client.get(f"/v1/items/{key}")
                    by = "ledger" if mode is Mode.ENGRAM_ONLY else "postgres"
                    assert (gone.status_code, gone.headers["x-served-by"]) == (404, by), (mode, key)
                    if mode is Mode.ENGRAM and share == 100:
                        assert gone.headers["x-fallback-reason"] == reason

    running(ask)


def test_several_rows(make_rig: MakeRig) -> None:
    """The order is that of the keys, the missing ones are named, and rows come from both where one of them cannot."""
    rig = loaded(make_rig)
    route(rig.ledger_location, "public.items", Mode.ENGRAM, 100)
    rig.engram.damage("items", "items_3", "hide")

    async def ask() -> None:
        async with reader(rig.config, max_staleness=FOREVER) as client:
            answer = await client.get("/v1/items?keys=5,3,x,1,99,5,11,007")
            assert [row["key"] for row in answer.json()["rows"]] == ["5", "3", "1", "5"]
            assert [row["row"]["name"] for row in answer.json()["rows"]] == ["item 5", "item 3", "item 1", "item 5"]
            assert answer.json()["missing"] == ["x", "99", "11", "007"]
            assert answer.headers["x-served-by"] == "engram, postgres"
            again = await client.get("/v1/items?key=5", headers={"If-None-Match": answer.headers["etag"]})
            assert again.status_code == 200
            same = {"If-None-Match": again.headers["etag"]}
            assert (await client.get("/v1/items?key=5", headers=same)).status_code == 304
            rig.engram.damage("items", "items_5", "hide")
            assert (await client.get("/v1/items?key=5")).content == again.content  # PostgreSQL's, byte for byte
            for bad in ("", "?keys=" + ",".join(map(str, range(101))), "?key=%00"):
                assert (await client.get(f"/v1/items{bad}")).status_code == 400, bad
            meta = (await client.get("/v1/items/1?meta=1")).json()
            assert meta["_bridge"]["key"] == "1"
            assert json.dumps({k: v for k, v in meta.items() if k != "_bridge"}) == json.dumps({"id": 1, "name": "item 1"})

    running(ask)
