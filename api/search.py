"""`GET /v1/search`: rows for a text, from Engram's recall where that is whole, by PostgreSQL's full text otherwise."""

from __future__ import annotations

from json.encoder import encode_basestring
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from api.access import caller_of, no_row
from api.demands import demand_of
from api.denying import unexplained
from api.documents import ANSWERED, POSITIONS, PROBLEMS
from api.problems import Problem
from api.proxy import RETRY_AFTER, Proxy
from api.ranking import Found, ranked
from api.searches import Result, Search, Unfit
from api.semantic import Semantic
from api.tables import Carried
from api.tenants import Tenants
from api.textual import Textual
from bridge import reads
from bridge.errors import Fatal, LedgerError, LedgerUnavailable, SourceUnavailable
from bridge.lsn import format_lsn
from bridge.reads import Mode, Reason, Served
from bridge.spaces import confidence_class

router = APIRouter()

LONGEST = 1000
MOST = 50
MOST_TABLES = 20


class FoundShown(BaseModel):
    """One row that was found."""

    table: str = Field(description="Its table, by its full name.")
    key: str = Field(description="Its key; of a table without one, the digest of the row.")
    id: str = Field(description="The id of its memory.")
    score: float = Field(
        description="How near it is: the cosine of the texts from Engram, the rank of the words from PostgreSQL."
    )
    confidence: float = Field(
        ge=0, le=1, description="How much its table's rows are trusted, as configured: alike for all of them, whoever answers."
    )
    row: dict[str, Any] = Field(description="The row itself.")


class ResultShown(BaseModel):
    """Rows, the best first."""

    results: list[FoundShown]


_EXAMPLE = {
    "results": [
        {
            "table": "public.products",
            "key": "42",
            "id": "products_42",
            "score": 0.8123,
            "confidence": 0.9,
            "row": {"id": 42, "name": "Electric kettle", "price": "39.90"},
        }
    ]
}


class Searches:
    """Answers searches, from whoever can. One for a process."""

    def __init__(self, proxy: Proxy, semantic: Semantic, textual: Textual) -> None:
        self._proxy = proxy
        self._semantic = semantic
        self._textual = textual

    async def find(self, search: Search) -> Result:
        """The best rows, by one of the two: ranks of both cannot be compared. Raises Problem."""
        if not search.tables:
            return Result([], Served.LEDGER)
        try:
            result = await self._semantic.find(search)
        except Unfit as unfit:
            self._proxy.counting.add(unfit.label, reads.searched(Served.POSTGRES, unfit.reason))
            result = await self._instead(search, unfit)
        for table in search.tables:
            self._proxy.counting.add(table.label, reads.searched(result.by))
        return result

    async def _instead(self, search: Search, unfit: Unfit) -> Result:
        for table in search.tables:
            if await self._alone(table):
                raise _nobody(unfit.reason) from unfit
        try:
            return Result(await self._textual.find(search), Served.POSTGRES, unfit.reason)
        except (SourceUnavailable, Fatal) as error:
            raise _nobody(unfit.reason) from error

    async def _alone(self, table: Carried) -> bool:
        """Whether PostgreSQL is not to be asked for a table. Without the ledger nobody knows, and it is."""
        try:
            standing = await self._proxy.ledger.standing(table.label, [])
        except (LedgerUnavailable, LedgerError):
            return False
        return standing is not None and standing.table.route.mode is Mode.ENGRAM_ONLY


@router.get(
    "/v1/search",
    summary="Rows for a text",
    operation_id="search",
    response_class=Response,
    responses={
        200: {
            "description": "Rows, the best first.",
            "model": ResultShown,
            "headers": ANSWERED,
            "content": {"application/json": {"example": _EXAMPLE}},
        },
        **PROBLEMS,
    },
    openapi_extra=POSITIONS,
)
async def search(
    request: Request,
    q: Annotated[
        str, Query(min_length=1, max_length=LONGEST, description="What is sought.", examples=["something to boil water in"])
    ],
    table: Annotated[
        list[str],
        Query(default_factory=list, max_length=MOST_TABLES, description="A table to search; once for each. By default all."),
    ],
    limit: Annotated[int, Query(ge=1, le=MOST, description="Rows at most.")] = 10,
) -> Response:
    """From Engram, each hit confirmed like a row that was asked for and ranked by its own text, or from PostgreSQL's full text.

    Forgotten rows, older versions and rows of other tenants never appear. Scores of Engram and of PostgreSQL cannot be compared.
    """
    proxy: Proxy = request.app.state.proxy
    caller = caller_of(request)
    demand = demand_of(request, caller)
    if not q.strip() or "\0" in q:
        raise Problem(422, "The query is not valid", "`q` is a text of at least one letter, without NUL.")
    tenants: Tenants = request.app.state.tenants
    tables = _tables(proxy, table, tenants, caller.tenant)
    searches: Searches = request.app.state.searches
    with unexplained(narrow=tenants.in_use):
        result = await searches.find(Search(q, tables, limit, demand, tenants))
    trusted = {one.label: confidence_class(one.options.confidence)[1] for one in tables}
    body = '{"results":[' + ",".join(_shown(one, trusted[one.label]) for one in ranked(result.found, limit)) + "]}"
    return Response(body.encode(), 200, {**_told(result), "Cache-Control": "no-store"}, "application/json")


def _tables(proxy: Proxy, names: list[str], tenants: Tenants, tenant: str | None) -> list[Carried]:
    """The tables of a search, each once, by label. Raises Problem for one that is not there, and for too many."""
    if names:
        tables = list({found.label: found for found in map(proxy.table, names)}.values())
        if any(tenants.closed(table.label, tenant) for table in tables):
            raise no_row()
        return sorted(tables, key=lambda one: one.label)
    tables = [table for table in proxy.tables.all() if not tenants.closed(table.label, tenant)]
    if len(tables) > MOST_TABLES:
        raise Problem(400, "Too many tables", f"Name those to search: ?table=… for each, at most {MOST_TABLES}.")
    return tables


def _shown(one: Found, confidence: float) -> str:
    return (
        f'{{"table":{encode_basestring(one.label)},"key":{encode_basestring(one.key)},"id":{encode_basestring(one.memory_id)},'
        f'"score":{one.score:.6f},"confidence":{confidence},"row":{one.body}}}'
    )


def _told(result: Result) -> dict[str, str]:
    headers = {"X-Served-By": result.by.value}
    if result.reason is not None:
        headers["X-Fallback-Reason"] = result.reason.value
    if result.frontier is not None and result.staleness is not None:
        headers["X-Frontier-Lsn"] = format_lsn(result.frontier)
        headers["X-Staleness-Ms"] = str(int(result.staleness * 1000))
    return headers


def _nobody(reason: Reason) -> Problem:
    return Problem(
        503,
        "Nobody can search now",
        "PostgreSQL is not asked, cannot answer, or takes too long without an index; and Engram's recall is not whole.",
        headers={"Retry-After": str(RETRY_AFTER), "X-Fallback-Reason": reason.value},
        reasons=[reason.value],
    )
