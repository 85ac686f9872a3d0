"""What the OpenAPI document says of all routes alike, where they do not say it themselves: the errors, parameters, tokens.

Handlers read paths and headers strictly and by themselves, past the framework, which therefore knows nothing of them.
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI

from api.problems import MEDIA_TYPE

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
    },
    "example": {"type": "about:blank", "title": "There is no such row", "status": 404},
}

ERRORS = {
    400: "A header, the query or the path is not valid.",
    401: "A token is needed.",
    403: "The token may not do that, or the address is open to its own machine only.",
    404: "There is no such table, or no such row for this caller.",
    405: "The method is not one of this path.",
    414: "The path or the query is too long.",
    422: "A parameter is out of range, or a row has no form in JSON.",
    503: "Nobody can answer now; Retry-After says when to ask again.",
}
ORDER_ERRORS = {
    409: "Gates are closed.",
    411: "The length is needed.",
    413: "The body is too large.",
    415: "The body is not JSON.",
}
"""Of requests with a body, besides."""

_ROW = {"type": "object", "description": "The row: its columns in the table's order.", "example": {"id": 7, "name": "Ann"}}
_ROWS = {
    "type": "object",
    "required": ["rows", "missing"],
    "properties": {
        "rows": {
            "type": "array",
            "description": "In the order of the keys.",
            "items": {
                "type": "object",
                "required": ["key", "digest", "row"],
                "properties": {"key": {"type": "string"}, "digest": {"type": "string"}, "row": _ROW},
            },
        },
        "missing": {"type": "array", "items": {"type": "string"}, "description": "Keys that have no row."},
    },
}
_BODIES = {"row": _ROW, "rows": _ROWS}
"""By operation, where the handler writes the bytes itself."""

_HEADERS: dict[str, tuple[str, str]] = {
    "X-Served-By": ("Who answered: engram, postgres, ledger; several with commas between.", "engram"),
    "X-Fallback-Reason": ("Why it was not Engram.", "stale"),
    "X-Row-Version": (
        "Source epoch, commit LSN and ordinal of the row's last change; from Engram only.",
        "0001:00000016b374d848:00000001",
    ),
    "X-Frontier-Lsn": ("Up to where all changes are proven.", "16/B374D848"),
    "X-Staleness-Ms": ("How long ago that was known to be everything.", "120"),
    "ETag": ("The digest of the answer.", '"5d41402abc4b2a76b9719d911017c592"'),
}

_IN_PATH = {
    "table": ("A table: `orders` in public, `schema.table` elsewhere.", "users"),
    "key": ("The row's key, percent-encoded once: what follows `<table>_` in its memory's id.", "7"),
}


def _header(name: str, pattern: str, description: str, example: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description, "example": example}


_DEMANDS = [
    _header(
        "X-Min-Lsn",
        "^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$",
        "A WAL position that the answer must cover: `pg_current_wal_flush_lsn()` in a statement of its own after the commit.",
        "16/B374D848",
    ),
    _header("X-Max-Staleness-Ms", "^[0-9]{1,9}$", "Milliseconds that the answer may be behind PostgreSQL.", "2000"),
    _header("X-Tenant", "^[ -~]{1,256}$", "Whose rows are asked for, where the token does not say it.", "acme"),
    _header(
        "If-None-Match",
        '^("[0-9a-f]*"|[*])$',
        "An ETag: 304 when the answer is still that one.",
        '"5d41402abc4b2a76b9719d911017c592"',
    ),
]
_KEYS = [
    {
        "name": "keys",
        "in": "query",
        "required": False,
        "schema": {"type": "string"},
        "description": "Keys with commas between, at most 100.",
        "example": "1,2,3",
    },
    {
        "name": "key",
        "in": "query",
        "required": False,
        "schema": {"type": "array", "items": {"type": "string"}, "maxItems": 100},
        "style": "form",
        "explode": True,
        "description": "One key each, for those that hold a comma.",
    },
]


def describe(app: FastAPI) -> None:
    """Have the application's OpenAPI document completed when it is made."""
    plain = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            complete(plain())
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to extend the document


def complete(document: dict[str, Any]) -> None:
    """Add to each operation what it does not say itself."""
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(path, operation)


def _complete(path: str, operation: dict[str, Any]) -> None:
    if not path.startswith("/livez"):
        operation.setdefault("security", [{"token": []}, {}])
    reads = path.startswith("/v1/")
    _add_parameters(operation, [_path_parameter(name) for name in re.findall(r"{(\w+)}", path)])
    if reads:
        _add_parameters(operation, _DEMANDS)
    if operation.get("operationId") == "rows":
        _add_parameters(operation, _KEYS)
    responses = operation["responses"]
    for status, what in (ERRORS | (ORDER_ERRORS if "requestBody" in operation else {})).items():
        known = responses.get(str(status))
        if known is None or MEDIA_TYPE not in known.get("content", {}):
            content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            responses[str(status)] = {"description": known["description"] if known else what, "content": content}
    body = _BODIES.get(str(operation.get("operationId")))
    if body is not None:
        responses["200"]["content"] = {"application/json": {"schema": body}}
        responses["200"]["headers"] = {
            name: {"description": what, "schema": {"type": "string"}, "example": example}
            for name, (what, example) in _HEADERS.items()
        }
        responses["304"] = {"description": "The answer is still the one that `If-None-Match` names."}


def _add_parameters(operation: dict[str, Any], more: list[dict[str, Any]]) -> None:
    known = operation.setdefault("parameters", [])
    said = {(one["name"].lower(), one["in"]) for one in known}
    known += [one for one in more if (one["name"].lower(), one["in"]) not in said]


def _path_parameter(name: str) -> dict[str, Any]:
    what, example = _IN_PATH.get(name, (name, name))
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": what, "example": example}
