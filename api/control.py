"""What can be done from the operator's page: where a table's reads go, a parked key again, a validation.

The rules are those of the commands, in the same functions (`bridge.cutover`, `bridge.parking`). A request that changes something
takes the operate token, is JSON and says so, and does not come from another site: across sites a browser sends nothing like it
without asking first, and nobody answers that question here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from api.access import Caller, Role, require
from api.problems import Problem
from bridge.cutover import GatesClosed, Moves
from bridge.errors import BridgeError, ConfigError, Transient
from bridge.ledger import Act, Ledger, Serving
from bridge.parking import retry
from bridge.reads import Mode

LARGEST_BODY = 16_384
LONGEST_NAME = 80

router = APIRouter(tags=["operate"])


class Order(BaseModel):
    """What all orders have."""

    model_config = ConfigDict(extra="forbid")

    table: str = Field(min_length=1, max_length=200, description="As `status` shows it.", examples=["public.orders"])


class RouteOrder(Order):
    """Where the reads of a table shall go."""

    mode: Mode = Field(description="Of the four, engram-only is left to `engram-bridge cutover complete`.")
    share: int = Field(default=100, ge=0, le=100, description="Percent of the keys that Engram answers, or that are compared.")
    why: str = Field(default="", max_length=500, description="For the audit trail.")
    force: bool = Field(default=False, description="Go on although gates are closed; needs a reason.")


class RetryOrder(Order):
    """A parked key to be tried again."""

    key: str = Field(min_length=1, max_length=4000)


async def from_here(request: Request) -> None:
    """Raises Problem for a request that another site's page could have sent, or that is too large."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "Another site's page may not do that")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "Send JSON", "Content-Type: application/json")
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise Problem(411, "The length is needed", "Send Content-Length.")
    if int(length) > LARGEST_BODY:
        raise Problem(413, "The body is too large", f"At most {LARGEST_BODY} bytes are taken.")


Operator = Annotated[Caller, Depends(require(Role.OPERATE))]
FromHere = Depends(from_here)


def who(request: Request) -> str:
    """Who does it, for the audit trail: the name that was given, and from where."""
    name = "".join(sign for sign in unquote(request.headers.get("x-operator", "")) if sign.isprintable())[:LONGEST_NAME].strip()
    host = request.client.host if request.client is not None else "somewhere"
    return f"{name or 'operator'}@{host} (page)"


@router.post("/ops/route", dependencies=[FromHere])
async def route(order: RouteOrder, request: Request, _caller: Operator) -> dict[str, Any]:
    """Change where a table's reads go. 409 with the closed gates when Engram may not answer more than it does."""
    by = who(request)
    asked = request.app.state.operator.board

    def change() -> dict[str, Any]:
        ledger: Ledger = asked.ledger
        label = _carried(ledger, order.table)
        moves = Moves(ledger, asked.settings.cutover.thresholds(), asked.slot(), by)
        return asdict(_move(moves, label, order))

    return await _done(request, change)


def _move(moves: Moves, label: str, order: RouteOrder) -> Act:
    match order.mode:
        case Mode.POSTGRES:
            return moves.back(label, why=order.why)
        case Mode.SHADOW:
            return moves.shadow(label, order.share, why=order.why)
        case Mode.ENGRAM:
            return moves.advance(label, order.share, why=order.why, force=order.force)
        case Mode.ENGRAM_ONLY:
            raise ConfigError("a table is not completed from here", hint="engram-bridge cutover complete")


@router.post("/ops/retry", dependencies=[FromHere])
async def retry_key(order: RetryOrder, request: Request, _caller: Operator) -> dict[str, Any]:
    """Have a parked key read again and written: by the running bridge at once, or by the next run."""
    by, ledger = who(request), request.app.state.operator.board.ledger
    return await _done(request, lambda: {"retried": retry(ledger, f"{order.table}/{order.key}", who=by)})


@router.post("/ops/validate", dependencies=[FromHere])
async def validate(order: Order, request: Request, _caller: Operator) -> dict[str, Any]:
    """Ask the running bridge for a validation of a table."""
    by, ledger = who(request), request.app.state.operator.board.ledger

    def ask() -> dict[str, Any]:
        label = _carried(ledger, order.table)
        return {"number": Serving(ledger).ask_validation(by, {"tables": [label]})}

    return await _done(request, ask)


def _carried(ledger: Ledger, label: str) -> str:
    if label not in {record.label for record in ledger.tables()}:
        raise Problem(404, "There is no such table", "`status` shows the tables.")
    return label


async def _done(request: Request, deed: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do it in a thread, and have the page see it at once. Raises Problem."""
    try:
        answer = await asyncio.to_thread(deed)
    except GatesClosed as error:
        gates = [asdict(gate) for gate in error.gates]
        raise Problem(409, "Gates are closed", "Mend what they say, or go on with a reason.", gates=gates) from None
    except ConfigError as error:
        raise Problem(422, str(error), error.hint) from None
    except Transient as error:
        raise Problem(503, str(error), error.hint, headers={"Retry-After": "5"}) from None
    except BridgeError as error:
        raise Problem(500, str(error), error.hint) from None
    request.app.state.operator.watching.hurry()
    return answer
