"""The operator's page: its files, the figures that it shows, live, and the few things that can be done from it.

Everything that is shown is text to the browser, whatever a table is called: the page sets text and never markup, the summary that
the server writes is escaped, and the policy below lets no script run that is not one of the page's files.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from importlib import resources
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from sse_starlette import EventSourceResponse

from api.access import Access, Caller, Role, require
from api.board import Board
from api.problems import Problem
from api.summary import summary
from api.watching import View, Watching
from bridge.collector import Collector
from bridge.config import Config
from bridge.ledger import Ledger

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NO_STORE = {**HEADERS, "Cache-Control": "no-store"}
KINDS = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "txt": "text/plain"}
PLACE = "<!--summary-->"

ROLES = {Role.READ: "read", Role.OPERATE: "operate"}

router = APIRouter(include_in_schema=False)


class Operator:
    """The page's state in one process: what it reads, and who watches."""

    def __init__(self, settings: Config, ledger: Ledger, figures: Collector) -> None:
        self.board = Board(settings, ledger, figures)
        self.watching = Watching(self.board.look)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Operator]:
        """Watch for as long as the application runs."""
        task = asyncio.create_task(self.watching.run(), name="operator's page")
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class Files:
    """The page's files, read once: each with its type and the digest that a browser asks again with."""

    def __init__(self) -> None:
        folder = resources.files("api") / "page"
        self._found = {
            file.name: (file.read_bytes(), KINDS[file.name.rpartition(".")[2]])
            for file in folder.iterdir()
            if file.name.rpartition(".")[2] in KINDS
        }
        self.index = (folder / "index.html").read_text(encoding="utf-8")

    def answer(self, name: str, known: str | None) -> Response:
        """A file, or 304 when the browser has it, or 404."""
        if name not in self._found:
            return Response(status_code=404, headers=HEADERS)
        body, kind = self._found[name]
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {**HEADERS, "ETag": tag, "Cache-Control": "no-cache"}
        if known == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=kind)


def encoded(view: Mapping[str, Any]) -> str:
    """As JSON. What is beyond all measure is null: JSON has no infinity."""
    try:
        return json.dumps(view, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(view), ensure_ascii=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))) else value


async def whole(request: Request) -> Caller:
    """Somebody who may see all tables: a tenant's token may not, since the page names keys of all tenants. Raises Problem."""
    caller = await require(Role.READ)(request)
    if caller.tenant is not None:
        raise Problem(403, "The page is not for one tenant", "It takes the read token or the operate token.")
    return caller


Reader = Annotated[Caller, Depends(whole)]


def operator_of(request: Request) -> Operator:
    """The page's state, which the application's lifespan has opened."""
    found: Operator = request.app.state.operator
    return found


@router.get("/")
async def page(request: Request) -> Response:
    """The page. Whoever may read without a token gets the figures at once; everybody else the page that asks for one."""
    operator = operator_of(request)
    access: Access = request.app.state.access
    try:
        access.caller(request)
    except Problem as problem:
        if problem.status != 401:
            raise
        facts = '<p class="plain">A token is needed to see this page.<noscript> It needs JavaScript for that.</noscript></p>'
    else:
        facts = summary(await operator.watching.now())
    return HTMLResponse(FILES.index.replace(PLACE, facts), headers=NO_STORE)


@router.get("/page/{name}")
async def file(name: str, request: Request) -> Response:
    """A file of the page; they hold no figures, so no token is asked for."""
    return FILES.answer(name, request.headers.get("if-none-match"))


@router.get("/ops/figures")
async def figures(request: Request, caller: Reader) -> Response:
    """Everything that the page shows, once."""
    return Response(_for(caller, await operator_of(request).watching.now()), headers=NO_STORE, media_type="application/json")


@router.get("/ops/events")
async def events(request: Request, _caller: Reader) -> EventSourceResponse:
    """The same again and again, as server-sent events. Whoever is one too many has to poll. Raises Problem."""
    watching = operator_of(request).watching
    if watching.full:
        raise Problem(503, "Too many pages are open", "GET /ops/figures has the same, once.", headers={"Retry-After": "30"})

    async def views() -> AsyncIterator[dict[str, str]]:
        async with contextlib.aclosing(watching.views()) as seen:
            async for view in seen:
                try:
                    now = await whole(request)  # the token may have been revoked, or be good for less, since the stream began
                except Problem:
                    return
                yield {"data": _for(now, view)}

    return EventSourceResponse(views(), headers=NO_STORE, ping=15)


def _for(caller: Caller, view: View) -> str:
    return encoded({**view, "role": ROLES[caller.role]})


FILES = Files()
