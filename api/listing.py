"""`GET /v1/tables`: what can be asked for, and how far each table is."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from api.access import Role, caller_of
from api.documents import PROBLEMS
from api.ledger import states_of
from api.problems import Problem
from api.proxy import RETRY_AFTER, Proxy
from api.tables import Carried
from api.tenants import Tenants
from api.verdict import incomplete
from bridge.errors import LedgerError, LedgerUnavailable
from bridge.ledger.links import TableState

router = APIRouter()


class TableShown(BaseModel):
    """One carried table."""

    table: str = Field(description="Its full name.")
    name: str = Field(description="Its name in paths.")
    key: list[str] = Field(description="The columns of its key, in order; none for a table without one.")
    tenant: str | None = Field(description="The column that says whose a row is.")
    mode: str = Field(description="Where its reads go: postgres, shadow, engram, engram-only.")
    share: int = Field(description="Percent of its keys that Engram answers, or that are compared in the mode shadow.")
    state: str = Field(description="new, loading, loaded or stopped.")
    consistent: bool = Field(description="All its rows are proven in Engram, and none is being read again.")
    searchable: bool = Field(description="Engram's recall knows all its rows.")


class TablesShown(BaseModel):
    """The carried tables, by name."""

    tables: list[TableShown]


_EXAMPLE = {
    "tables": [
        {
            "table": "public.users",
            "name": "users",
            "key": ["id"],
            "tenant": None,
            "mode": "engram",
            "share": 10,
            "state": "loaded",
            "consistent": True,
            "searchable": True,
        }
    ]
}


@router.get(
    "/v1/tables",
    summary="The carried tables",
    operation_id="tables",
    response_class=Response,
    responses={
        200: {
            "description": "The carried tables, by name.",
            "model": TablesShown,
            "content": {"application/json": {"example": _EXAMPLE}},
        },
        **{status: PROBLEMS[status] for status in (400, 401, 403, 414, 503)},
    },
)
async def tables(request: Request) -> Response:
    """Those whose rows the caller may see; with the operate token all."""
    proxy: Proxy = request.app.state.proxy
    caller = caller_of(request)
    tenants: Tenants = request.app.state.tenants
    seen = [
        table for table in proxy.tables.all() if caller.role is Role.OPERATE or not tenants.closed(table.label, caller.tenant)
    ]
    try:
        states = await states_of(proxy.ledger, [table.label for table in seen])
        rows = [await _shown(proxy, tenants, table, states[table.label]) for table in seen if table.label in states]
    except (LedgerUnavailable, LedgerError) as error:
        headers = {"Retry-After": str(RETRY_AFTER)}
        raise Problem(503, "The ledger cannot be read now", "Only it knows how far each table is.", headers=headers) from error
    shown = [row for row in rows if row is not None]
    body = json.dumps({"tables": shown}, ensure_ascii=False, separators=(",", ":"))
    return Response(body.encode(), 200, {"Cache-Control": "no-store"}, "application/json")


async def _shown(proxy: Proxy, tenants: Tenants, table: Carried, state: TableState) -> dict[str, Any] | None:
    """None for a table that is not carried any more."""
    standing = await proxy.ledger.standing(table.label, [])
    if standing is None:
        return None
    known = standing.table
    return {
        "table": table.label,
        "name": table.name,
        "key": list(table.key),
        "tenant": tenants.column(table.label),
        "mode": known.route.mode.value,
        "share": known.route.share,
        "state": known.state,
        "consistent": incomplete(known, known.proven) is None,
        "searchable": state.searchable,
    }
