"""`GET /v1/{table}/{key}` and `GET /v1/{table}?keys=…`: rows, whoever has them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from json.encoder import encode_basestring
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute

from api.access import Caller, caller_of, no_row
from api.demands import demand_of, matches, position, told
from api.denying import require_deniable, unexplained
from api.paths import segment
from api.problems import Problem
from api.proxy import Answer, Proxy
from api.tables import Carried
from api.tenants import Tenants
from bridge.memories import digest

MOST_KEYS = 100
REVALIDATE = "private, no-cache"


class Plain(APIRoute):
    """A route whose function takes the request and gives the response: what FastAPI does in between costs more than the rest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The function itself."""
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


def install_row(app: FastAPI) -> None:
    """The route of one row: the first, since each route before it costs each request."""
    add = app.router.add_api_route
    add("/v1/{table}/{key}", row, route_class_override=Plain, summary="One row", operation_id="row")


def install_rows(app: FastAPI) -> None:
    """The routes of several rows: the last, since a table's name would match what is fixed in others."""
    add = app.router.add_api_route
    add("/v1/{table}", rows, route_class_override=Plain, summary="Several rows", operation_id="rows")
    add("/v1/{table}/", row, route_class_override=Plain, include_in_schema=False)


async def row(request: Request) -> Response:
    """The row, byte for byte the same whoever answers. Without a key in the path it is the row whose key is the empty text."""
    proxy: Proxy = request.app.state.proxy
    caller = caller_of(request)
    table = proxy.table(segment(request, "table"))
    sight = _Sight(request, caller, table)
    key = segment(request, "key") if "key" in request.path_params else ""
    with unexplained(narrow=sight.narrow):
        answers = await proxy.row(table, key, demand_of(request, caller))
    answer = answers.rows[0]
    if not sight.has(answer):
        await sight.require_deniable(proxy, table, [answer])
        problem = no_row()
        problem.headers = position(answers) if sight.narrow else told(answers)
        raise problem
    headers = told(answers)
    headers["ETag"] = f'"{answer.digest}"'
    headers["Cache-Control"] = REVALIDATE
    if answer.version is not None:
        headers["X-Row-Version"] = answer.version
    if matches(request, headers["ETag"]):
        return Response(None, 304, headers)
    return Response(_shown(answer, request).encode(), 200, headers, "application/json")


async def rows(request: Request) -> Response:
    """Rows in the order of their keys, and the keys that have none."""
    proxy: Proxy = request.app.state.proxy
    caller = caller_of(request)
    table = proxy.table(segment(request, "table"))
    sight = _Sight(request, caller, table)
    keys = keys_of(request)
    with unexplained(narrow=sight.narrow):
        answers = await proxy.rows(table, keys, demand_of(request, caller))
    found, missing = [], []
    for answer in answers.rows:
        if sight.has(answer):
            key, etag = encode_basestring(answer.key), answer.digest
            found.append(f'{{"key":{key},"digest":"{etag}","row":{_shown(answer, request)}}}')
        else:
            missing.append(answer)
    await sight.require_deniable(proxy, table, missing)
    body = f'{{"rows":[{",".join(found)}],"missing":[{",".join(encode_basestring(answer.key) for answer in missing)}]}}'
    headers = position(answers) if sight.narrow else told(answers)
    headers["ETag"] = f'"{digest(body)}"'
    headers["Cache-Control"] = REVALIDATE
    if matches(request, headers["ETag"]):
        return Response(None, 304, headers)
    return Response(body.encode(), 200, headers, "application/json")


def keys_of(request: Request) -> list[str]:
    """The keys of a query: `keys` has them with commas between, `key`, which may be repeated, has one each. Raises Problem."""
    listed, single = request.query_params.getlist("keys"), request.query_params.getlist("key")
    keys = [key for one in listed for key in one.split(",")] + single
    if not keys:
        raise Problem(400, "No key was asked for", "Say ?keys=1,2,3, or ?key=… for each key that holds a comma.")
    if len(keys) > MOST_KEYS:
        raise Problem(400, "Too many keys", f"At most {MOST_KEYS} rows are answered at once; {len(keys)} keys were asked for.")
    if any("\0" in key for key in keys):
        raise Problem(400, "A key holds NUL", "No text of PostgreSQL does.")
    return keys


class _Sight:
    """Which rows of a table a caller sees. `narrow`: not all, and then nobody may learn whether another's row is there."""

    def __init__(self, request: Request, caller: Caller, table: Carried) -> None:
        self._tenants: Tenants | None = request.app.state.narrowing
        self._label, self._tenant = table.label, caller.tenant
        self.narrow = self._tenants is not None
        if self._tenants is not None and self._tenants.closed(table.label, caller.tenant):
            raise no_row()

    async def require_deniable(self, proxy: Proxy, table: Carried, answers: list[Answer]) -> None:
        """Before the caller is told that these rows are not there. Raises Problem when that would tell which are."""
        if self.narrow:
            await require_deniable(proxy, table, answers)

    def has(self, answer: Answer) -> bool:
        """Whether there is a row, for this caller."""
        return answer.body is not None and (self._tenants is None or self._tenants.sees(self._label, self._tenant, answer.body))


def _shown(answer: Answer, request: Request) -> str:
    """The row, with the stamp of its memory where that is asked for and known."""
    assert answer.body is not None
    if answer.content is not None and request.scope["query_string"] and request.query_params.get("meta") == "1":
        return answer.content
    return answer.body
