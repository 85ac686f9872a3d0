"""The server behind the operator's page: who may ask, what other sites cannot send, and that nothing becomes markup."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.requests import Request

from api import control, operator, problems
from api import watching as watching_module
from api.access import Access
from api.board import MINUTES, over_time
from api.summary import summary
from api.watching import Watching
from bridge.config_serving import Serve
from bridge.errors import LedgerUnavailable

READ, OPERATE, TENANT = "r" * 20, "o" * 20, "t" * 20
TOKENS = Serve(read_token=SecretStr(READ), operate_token=SecretStr(OPERATE), tenant_tokens={"acme": SecretStr(TENANT)})
SMALL = {"table": "public.orders"}


def figures(name: str = "public.orders", trouble: list[dict[str, Any]] | None = None, answered: int = 0) -> dict[str, Any]:
    """As much of the figures as the server itself looks at."""
    return {
        "trouble": trouble or [],
        "phase": "consistent",
        "positions": {"received": "0/1"},
        "lag": {"bytes": 0, "seconds": 0.5},
        "slot": {"retained_wal_bytes": 1},
        "target": {"health": name},
        "heartbeat": {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": float("inf")},
        "reads": {name: {"mode": "engram", "share": 5}},
        "reads_together": {"all": {"answered": answered}},
        "tables": [
            {"name": name, "state": "loaded", "chunks": 1, "chunks_done": 1, "expected": 9, "parked": 0, "pending_edges": 0}
        ],
    }


def wrong(name: str, since: float | None = None) -> dict[str, Any]:
    """One trouble."""
    return {
        "severity": "critical",
        "name": name,
        "what": f"{name} is wrong",
        "since": since,
        "do": "mend it",
        "runbook": "",
        "table": None,
    }


def site(serve: Serve) -> FastAPI:
    """The page's routes alone, over figures that were made up."""
    app = FastAPI()
    app.state.access = Access(serve)
    app.state.operator = SimpleNamespace(watching=Watching(lambda: {"figures": figures()}))
    problems.install(app)
    app.include_router(operator.router)
    app.include_router(control.router)
    return app


def ask(serve: Serve, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
    """One request."""

    async def send() -> httpx.Response:
        headers = {**options.pop("headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(site(serve)), base_url="http://127.0.0.1") as client:
            return await client.request(method, path, headers=headers, **options)

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("token", "sees", "operates"), [(None, 401, 401), ("x" * 20, 401, 401), (TENANT, 403, 403), (READ, 200, 403)]
)
def test_roles(token: str | None, sees: int, operates: int) -> None:
    """Figures take the read token, changes the operate token; a tenant's token shows nothing: keys of all tenants are there."""
    assert ask(TOKENS, "GET", "/ops/figures", token).status_code == sees
    if sees != 200:
        assert ask(TOKENS, "GET", "/ops/events", token).status_code == sees
    for path in ("/ops/route", "/ops/retry", "/ops/validate"):
        assert ask(TOKENS, "POST", path, token, json=SMALL).status_code == operates


def test_without_a_token_the_page_holds_no_figure() -> None:
    """It asks for one; whoever needs none gets the facts at once. It is told which role it has."""
    closed, opened = ask(TOKENS, "GET", "/"), ask(Serve(), "GET", "/")
    assert closed.status_code == opened.status_code == 200
    assert "public.orders" not in closed.text
    assert "A token is needed" in closed.text
    assert "public.orders" in opened.text
    assert ask(TOKENS, "GET", "/ops/figures", READ).json()["role"] == "read"
    assert ask(TOKENS, "GET", "/ops/figures", OPERATE).json()["role"] == "operate"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({}, 415),
        ({"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "application/json", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "application/json", "Host": "evil.example"}, 403),
    ],
)
def test_another_site_cannot_change_anything(headers: dict[str, str], status: int) -> None:
    """What a browser sends for another site's page without asking is refused, also where no token is needed."""
    answer = ask(Serve(), "POST", "/ops/route", headers=headers, content=b'{"table":"public.orders","mode":"postgres"}')
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_bad_orders_are_refused() -> None:
    """Too large, of no length, of unknown parts, or beyond what there is."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"{}"

    form = {"Content-Type": "application/json"}
    large = {"table": "x", "mode": "shadow", "why": "y" * 20_000}
    assert ask(Serve(), "POST", "/ops/route", json=large).status_code == 413
    assert ask(Serve(), "POST", "/ops/route", headers=form, content=chunks()).status_code == 411
    for order in (
        {"table": "x", "mode": "engram", "share": 101},
        {"table": "x", "mode": "engram", "share": -1},
        {"table": "x", "mode": "all"},
        {"table": "", "mode": "postgres"},
        {"table": "x", "mode": "postgres", "who": "somebody else"},
        [],
    ):
        assert ask(Serve(), "POST", "/ops/route", json=order).status_code == 422, order


def test_the_files_are_small_and_nothing_in_them_is_inline() -> None:
    """300 kB in all, with the chart library; the policy would refuse what is inline, so there must be none."""
    folder = operator.resources.files("api") / "page"
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert sum(map(len, files.values())) <= 300_000
    page = files["index.html"].decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?://", page)
    assert b"innerHTML" not in b"".join(body for name, body in files.items() if name.endswith(".js"))
    assert b"MIT License" in files["uplot-LICENSE.txt"]
    linked = set(re.findall(r'(?:src|href)="page/([^"]+)"', page))
    linked |= {name for body in files.values() for name in re.findall(r'from "\./([a-z]+\.js)"', body.decode())}
    for name in linked:
        answer = ask(Serve(), "GET", f"/page/{name}")
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        again = ask(Serve(), "GET", f"/page/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
    for name in ("index.html", "none.js", "..%2Foperator.py", "%2e%2e"):
        assert ask(Serve(), "GET", f"/page/{name}").status_code == 404


class Tags(HTMLParser):
    """The tags of a piece of markup."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _value in attrs}


@given(st.text(alphabet="<>&\"'/=abimgonerrscript x;", min_size=1))
def test_no_name_becomes_markup(name: str) -> None:
    """Whatever a table, a trouble or an error is called."""
    trouble = {**wrong(name), "do": name, "what": name}
    tags = Tags()
    tags.feed(summary({"at": 1.0, "figures": figures(name, [trouble]), "trouble": [trouble]}))
    assert tags.found <= {"p", "div", "ul", "li", "strong", "em", "table", "thead", "tbody", "tr", "th", "td"}
    assert tags.attributes <= {"class"}


def test_who_is_bounded_and_printable() -> None:
    """A name for the audit trail holds no line break or escape, and is not endless."""

    def named(name: str) -> str:
        return control.who(SimpleNamespace(headers={"x-operator": name}, client=SimpleNamespace(host="::1")))  # type: ignore[arg-type]

    assert named("%C3%84nn") == "Änn@::1 (page)"
    assert named("a%0A%1B%5B31mb") == "a[31mb@::1 (page)"
    assert named("") == "operator@::1 (page)"
    assert len(named("x" * 5000)) < 100


def test_since_is_remembered_while_it_lasts() -> None:
    """A trouble without a moment of its own is dated by when it was first seen here; one that comes again begins anew."""
    found: list[dict[str, Any]] = []
    now = 100.0
    watching = Watching(lambda: {"figures": figures(trouble=found)}, clock=lambda: now)

    def since() -> list[float]:
        return [one["since"] for one in asyncio.run(watching.refresh())["trouble"]]

    found = [wrong("a"), wrong("b", since=42.0)]
    assert since() == [100.0, 42.0]
    now = 130.0
    assert since() == [100.0, 42.0]
    found = []
    assert since() == []
    now, found = 160.0, [wrong("a")]
    assert since() == [160.0]


def test_a_ledger_that_is_away_is_told() -> None:
    """It is a trouble, with its remedy, not a failure of the page."""

    def look() -> dict[str, Any]:
        raise LedgerUnavailable("the ledger's server is away", hint="bring it back")

    view = asyncio.run(Watching(look).refresh())
    assert view["figures"] is None
    assert view["trouble"][0]["do"] == "bring it back"
    assert "bring it back" in summary(view)


def test_many_watchers_share_one_look() -> None:
    """Ten pages ask the ledger no more often than one."""
    looks = 0
    lock = threading.Lock()

    def look() -> dict[str, Any]:
        nonlocal looks
        with lock:
            looks += 1
        return {"figures": figures(answered=looks)}

    async def watch() -> None:
        watching = Watching(look)
        streams = [watching.views() for _ in range(10)]
        first = await asyncio.gather(*(anext(stream) for stream in streams))
        assert all(view is first[0] for view in first)
        second = [asyncio.ensure_future(anext(stream)) for stream in streams]
        await asyncio.sleep(0)
        fresh = await watching.refresh()
        assert all(view is fresh for view in await asyncio.gather(*second))
        for stream in streams:
            await stream.aclose()

    asyncio.run(watch())
    assert looks == 2


def test_infinity_is_null() -> None:
    """A browser reads no Infinity."""
    assert json.loads(operator.encoded({"a": [float("inf"), {"b": float("nan")}], "c": 1.5})) == {
        "a": [None, {"b": None}],
        "c": 1.5,
    }


def test_reads_over_time_are_those_of_all_tables() -> None:
    """By minute; what is older than the span is not drawn."""
    last = 1000
    drawn = over_time(
        [
            (last, "a", "served:engram", 3),
            (last, "b", "served:engram", 4),
            (last - MINUTES, "a", "served:engram", 9),
            (last - 1, "a", "reason:stale", 2),
            (last, "a", "ms:engram:5", 7),
        ],
        last,
    )
    assert drawn["minutes"][-1] == last * 60
    assert drawn["served"]["engram"][-1] == 7
    assert sum(drawn["served"]["engram"]) == 7
    assert drawn["reasons"]["stale"][-2] == 2


def test_so_many_streams_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is told to poll, and has its place as soon as another page is closed."""
    monkeypatch.setattr(watching_module, "MOST_WATCHERS", 2)

    async def main() -> None:
        app = site(TOKENS)
        watching = app.state.operator.watching
        streams = [watching.views() for _ in range(2)]
        for stream in streams:
            await anext(stream)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            headers = {"Authorization": f"Bearer {READ}"}
            refused = await client.get("/ops/events", headers=headers)
            assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
            assert (await client.get("/ops/figures", headers=headers)).status_code == 200
        await streams[0].aclose()
        assert not watching.full
        await streams[1].aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("later", "told"),
    [(Serve(read_token=SecretStr("n" * 20)), []), (Serve(read_token=SecretStr(OPERATE)), ["read"]), (TOKENS, ["operate"])],
)
def test_a_stream_is_good_for_what_its_token_is_good_for_now(later: Serve, told: list[str]) -> None:
    """A token that is revoked sees no view more; one whose role has changed has the new one; nobody else is sent away."""

    async def main() -> None:
        app = site(TOKENS)
        headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {OPERATE}".encode())]
        request = Request({"type": "http", "method": "GET", "path": "/ops/events", "headers": headers, "app": app})
        answer = await operator.events(request, await operator.whole(request))
        views = answer.body_iterator
        assert json.loads((await anext(views))["data"])["role"] == "operate"  # type: ignore[call-overload, arg-type, index]
        app.state.access = Access(later)
        await app.state.operator.watching.refresh()
        found = []
        with contextlib.suppress(StopAsyncIteration):
            found.append(json.loads((await asyncio.wait_for(anext(views), 20))["data"])["role"])  # type: ignore[arg-type, index]
        assert found == told
        await views.aclose()  # type: ignore[attr-defined]
        assert app.state.operator.watching._watchers == 0, "its place is free"

    asyncio.run(main())
