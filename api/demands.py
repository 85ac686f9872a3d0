"""What callers say in headers, read strictly: a value that could be meant otherwise is refused."""

from __future__ import annotations

import re

from starlette.requests import Request

from api.access import Caller
from api.problems import Problem
from api.proxy import Answer, Answers, Demand
from bridge.lsn import Lsn, fence, format_lsn, parse_lsn
from bridge.reads import Reason

_LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")
_MILLISECONDS = re.compile(r"[0-9]{1,9}")


_NOTHING = Demand()


def demand_of(request: Request, caller: Caller) -> Demand:
    """What the caller wants. Raises Problem for a header that is not valid."""
    headers = dict(request.scope["headers"])
    least, most = headers.get(b"x-min-lsn"), headers.get(b"x-max-staleness-ms")
    if least is None and most is None and caller.tenant is None:
        return _NOTHING
    return Demand(
        min_lsn=_position(least.decode("latin-1")) if least is not None else 0,
        max_staleness=_seconds(most.decode("latin-1")) if most is not None else None,
        tenant=caller.tenant,
    )


def _position(text: str) -> Lsn:
    if not _LSN.fullmatch(text):
        raise Problem(
            400, "X-Min-Lsn is not valid", "It is a WAL position such as 16/B374D848: SELECT pg_current_wal_flush_lsn()."
        )
    return fence(parse_lsn(text))


def _seconds(text: str) -> float:
    if not _MILLISECONDS.fullmatch(text):
        raise Problem(400, "X-Max-Staleness-Ms is not valid", "It is a whole number of milliseconds, of at most 9 digits.")
    return int(text) / 1000


def told(answers: Answers) -> dict[str, str]:
    """Who answered, why, and how new it is, as headers. Several rows can have several: each is named once."""
    if len(answers.rows) == 1:
        return _told_of_one(answers.rows[0]) | position(answers)
    who = sorted({answer.by.value for answer in answers.rows})
    why = sorted({answer.reason.value for answer in answers.rows if isinstance(answer.reason, Reason)})
    return {
        **({"X-Served-By": ", ".join(who)} if who else {}),
        **({"X-Fallback-Reason": ", ".join(why)} if why else {}),
        **position(answers),
    }


def _told_of_one(answer: Answer) -> dict[str, str]:
    if answer.reason is None:
        return {"X-Served-By": answer.by}
    return {"X-Served-By": answer.by, "X-Fallback-Reason": answer.reason}


def position(answers: Answers) -> dict[str, str]:
    """How new it is: the frontier, and how long ago it was known to cover everything."""
    if answers.frontier is None or answers.staleness is None:
        return {}
    return {"X-Frontier-Lsn": format_lsn(answers.frontier), "X-Staleness-Ms": str(int(answers.staleness * 1000))}


def matches(request: Request, etag: str) -> bool:
    """Whether `If-None-Match` names this entity."""
    header = dict(request.scope["headers"]).get(b"if-none-match")
    if header is None:
        return False
    said = header.decode("latin-1")
    return said.strip() == "*" or etag in [one.strip().removeprefix("W/") for one in said.split(",")]
