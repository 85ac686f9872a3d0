"""`GET /v1/{table}/{key}/references`: the rows that a row points at, and those that point at it."""

from __future__ import annotations

from dataclasses import replace
from json.encoder import encode_basestring
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from api import cursors
from api.access import Caller, caller_of, no_row
from api.cursors import BadCursor, Place
from api.demands import demand_of
from api.denying import require_deniable, unexplained
from api.documents import ANSWERED, POSITIONS, PROBLEMS
from api.paths import decode
from api.problems import Problem
from api.proxy import Demand, Proxy
from api.tenants import Tenants
from api.walks import Page, Reference, Walk, Walks
from bridge.lsn import format_lsn
from bridge.reads import Reason

router = APIRouter()

MOST = 100
MOST_ROUNDS = 50


class ReferenceShown(BaseModel):
    """One reference, seen from the row that was asked for."""

    constraint: str = Field(description="The foreign key.")
    table: str = Field(description="The table at the other end, by its full name.")
    key: str | None = Field(description="The key of the row at the other end; null while it is not known.")
    pending: bool = Field(description="The row at the other end is not there, or not yet.")
    row: dict[str, Any] | None = Field(
        default=None, description="With expand: the row itself; null where it is not there, or its table has no key."
    )


class ReferencesShown(BaseModel):
    """A page of references, in the order of table, constraint and key."""

    references: list[ReferenceShown]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")


_EXAMPLE = {
    "references": [
        {"constraint": "orders_user_id_fkey", "table": "public.orders", "key": "17", "pending": False},
        {"constraint": "orders_user_id_fkey", "table": "public.orders", "key": "18", "pending": False},
    ],
    "next": "WyI1ZjNhIiwicHVibGljLm9yZGVycyIsIm9yZGVyc191c2VyX2lkX2ZrZXkiLCIxOCJd",
}


@router.get(
    "/v1/{table}/{key}/references",
    summary="The references of a row",
    operation_id="references",
    response_class=Response,
    responses={
        200: {
            "description": "A page of references.",
            "model": ReferencesShown,
            "headers": ANSWERED,
            "content": {"application/json": {"example": _EXAMPLE}},
        },
        **PROBLEMS,
    },
    openapi_extra=POSITIONS,
)
async def references(
    request: Request,
    table: str,
    key: str,
    direction: Annotated[
        Literal["out", "in"], Query(description="out: what the row points at; in: what points at the row.")
    ] = "out",
    limit: Annotated[int, Query(ge=1, le=MOST, description="References of a page.")] = 20,
    cursor: Annotated[str | None, Query(description="Where the page before ended: its `next`.")] = None,
    expand: Annotated[bool, Query(description="Give the rows at the other end, too.")] = False,
) -> Response:
    """From the ledger where that is proven to be whole and new enough, else from PostgreSQL by joins.

    References whose other end is another tenant's are left out.
    """
    proxy: Proxy = request.app.state.proxy
    caller = caller_of(request)
    carried, key = proxy.table(decode(table)), decode(key)
    if not carried.key:
        raise Problem(404, "The table has no key", "A row of it has no name; it is found by search only.")
    demand = demand_of(request, caller)
    sight = Sight(request.app.state.tenants, caller, proxy, demand)
    name = "\0".join((direction, carried.label, key))
    try:
        place = cursors.decode(cursor, name)
    except BadCursor:
        raise Problem(400, "The cursor is not valid", "Send `next` of the page before, for the same row and direction.") from None
    await sight.require(carried.label, key)
    walks: Walks = request.app.state.walks
    walk = Walk(carried, key, direction == "in", place, limit, demand)
    shown, last, page = await (_narrow(walks, walk, sight, expand) if sight.narrow else _whole(walks, walk, sight, expand))
    following = encode_basestring(cursors.encode(_place(last), name)) if last is not None else "null"
    body = f'{{"references":[{",".join(shown)}],"next":{following}}}'
    return Response(body.encode(), 200, {**_told(page), "Cache-Control": "no-store"}, "application/json")


_Part = tuple[list[str], Reference | None, Page]
"""References as JSON, the last one if others follow, and what was told about them."""


async def _whole(walks: Walks, walk: Walk, sight: Sight, expand: bool) -> _Part:
    page = await _page(walks, walk)
    shown = await sight.shown(page.references, expand=expand)
    return [text for _one, text in shown], page.references[-1] if page.more else None, page


async def _narrow(walks: Walks, walk: Walk, sight: Sight, expand: bool) -> _Part:
    """The same past what is not for the caller: a cursor that named a row of another tenant would tell that it is there."""
    found: list[tuple[Reference, str]] = []
    step = replace(walk, limit=MOST)
    for _round in range(MOST_ROUNDS):
        page = await _page(walks, step)
        found += await sight.shown(page.references, expand=expand)
        if not page.more or len(found) > walk.limit:
            break
        step = replace(step, place=_place(page.references[-1]))
    else:
        raise Problem(
            503,
            "Too many rows of others are in between",
            f"Of {MOST * MOST_ROUNDS} references hardly any is for this tenant.",
            headers={"Retry-After": "60"},
        )
    more = len(found) > walk.limit
    found = found[: walk.limit]
    return [text for _one, text in found], found[-1][0] if more else None, page


async def _page(walks: Walks, walk: Walk) -> Page:
    page = await walks.page(walk)
    if page is None:
        raise no_row()
    return page


@router.get("/v1/{table}//references", include_in_schema=False)
async def references_of_empty_key(
    request: Request,
    table: str,
    direction: Annotated[Literal["out", "in"], Query()] = "out",
    limit: Annotated[int, Query(ge=1, le=MOST)] = 20,
    cursor: Annotated[str | None, Query()] = None,
    expand: Annotated[bool, Query()] = False,
) -> Response:
    """Those of the row whose key is the empty text."""
    return await references(request, table, "", direction, limit, cursor, expand)


class Sight:
    """What of the rows at the other ends a caller sees, and the rows themselves."""

    def __init__(self, tenants: Tenants, caller: Caller, proxy: Proxy, demand: Demand) -> None:
        self._tenants = tenants
        self._tenant = caller.tenant
        self._proxy = proxy
        self._demand = demand

    async def require(self, label: str, key: str) -> None:
        """Raises Problem for a row that is not there for this caller; looks only where there are tenants."""
        if self.narrow and not await self._rows(label, [key]):
            raise no_row()

    @property
    def narrow(self) -> bool:
        """Whether there are tenants at all."""
        return self._tenants.in_use

    async def shown(self, references: list[Reference], *, expand: bool) -> list[tuple[Reference, str]]:
        """The references with their JSON, without those whose other end is another tenant's."""
        wanted: dict[str, list[str]] = {}
        for one in references:
            if one.key is not None and (expand or self._guarded(one.label)):
                wanted.setdefault(one.label, []).append(one.key)
        rows = {label: await self._rows(label, list(dict.fromkeys(keys))) for label, keys in wanted.items()}
        found = []
        for one in references:
            body = rows.get(one.label, {}).get(one.key or "")
            if body is None and self._guarded(one.label):
                continue
            found.append((one, _shown(one, body, expand=expand)))
        return found

    def _guarded(self, label: str) -> bool:
        return self._tenants.column(label) is not None or self._tenants.closed(label, self._tenant)

    async def _rows(self, label: str, keys: list[str]) -> dict[str, str]:
        """The bodies of those rows that are there for this caller. Of a table without a key none: they have no name."""
        table = self._proxy.tables.find(label)
        if table is None or not table.key or self._tenants.closed(label, self._tenant):
            return {}
        with unexplained(narrow=self.narrow):
            answers = await self._proxy.rows(table, keys, self._demand)
        rows = {
            answer.key: answer.body
            for answer in answers.rows
            if answer.body is not None and self._tenants.sees(label, self._tenant, answer.body)
        }
        if self.narrow:
            await require_deniable(self._proxy, table, [answer for answer in answers.rows if answer.key not in rows])
        return rows


def _shown(one: Reference, body: str | None, *, expand: bool) -> str:
    key = "null" if one.key is None else encode_basestring(one.key)
    row = f',"row":{body or "null"}' if expand else ""
    return (
        f'{{"constraint":{encode_basestring(one.constraint)},"table":{encode_basestring(one.label)},"key":{key},'
        f'"pending":{"true" if one.pending else "false"}{row}}}'
    )


def _place(last: Reference) -> Place:
    return Place(last.label, last.constraint, last.key or "")


def _told(page: Page) -> dict[str, str]:
    headers = {"X-Served-By": page.by.value}
    if isinstance(page.reason, Reason):
        headers["X-Fallback-Reason"] = page.reason.value
    if page.standing is not None and page.staleness is not None:
        headers["X-Frontier-Lsn"] = format_lsn(page.standing.table.proven)
        headers["X-Staleness-Ms"] = str(int(page.staleness * 1000))
    return headers
