"""What the OpenAPI says of every route alike: problem documents, and the headers that callers may send."""

from __future__ import annotations

from typing import Any

from api.problems import MEDIA_TYPE


def problem_shown(what: str, title: str, status: int) -> dict[str, Any]:
    """A problem document in the OpenAPI."""
    example = {"type": "about:blank", "title": title, "status": status}
    schema = {
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
    }
    return {"description": what, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: problem_shown("A header, a cursor or the path is not valid.", "The cursor is not valid", 400),
    401: problem_shown("A token is needed.", "A token is needed", 401),
    403: problem_shown("The token may not do that.", "This token is another tenant's", 403),
    404: problem_shown("No such table, or no such row for this caller.", "There is no such row", 404),
    414: problem_shown("The path or the query is too long.", "The query is too long", 414),
    422: problem_shown("A parameter is out of range.", "The request is not valid", 422),
    503: problem_shown("Nobody can answer now.", "Nobody can answer now", 503),
}

POSITIONS: dict[str, Any] = {
    "parameters": [
        {
            "name": "X-Min-Lsn",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "pattern": "^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$"},
            "description": "A WAL position that the answer must cover: `pg_current_wal_flush_lsn()` after the commit.",
            "example": "16/B374D848",
        },
        {
            "name": "X-Max-Staleness-Ms",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "pattern": "^[0-9]{1,9}$"},
            "description": "Milliseconds that the answer may be behind PostgreSQL.",
            "example": "2000",
        },
        {
            "name": "X-Tenant",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 256},
            "description": "Whose rows are asked for, where tables have tenants and the token does not say it.",
        },
    ]
}

ANSWERED: dict[str, Any] = {
    name: {"description": what, "schema": {"type": "string"}, "example": example}
    for name, what, example in (
        ("X-Served-By", "Who answered: engram, postgres or ledger.", "ledger"),
        ("X-Fallback-Reason", "Why it was not Engram, or not the ledger.", "stale"),
        ("X-Frontier-Lsn", "Up to where all changes are proven.", "16/B374D848"),
        ("X-Staleness-Ms", "How long ago that was known to be everything.", "120"),
    )
}
