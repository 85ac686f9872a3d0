"""Paths as they were sent: a key may hold `/`, `%` and anything else, and none of it changes which route is taken.

The application is routed on the *undecoded* path, so a `%2F` is part of its segment; each segment is decoded once, by
`segment`, where it is used. What could mean two things to two programs is refused before anything looks at it: `.` and `..`,
NUL, broken escapes, what is no UTF-8, and what is too long.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Problem

LONGEST_PATH = 8192
LONGEST_QUERY = 32768
_PLAIN = re.compile(rb"[A-Za-z0-9/_~!$&'()*+,;=:@-]*\Z")
_BROKEN = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class RawPaths:
    """ASGI middleware: checks the path and the query's size, and routes by what was really sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        try:
            check(raw, scope["query_string"])
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        if b"%" in raw:
            scope = {**scope, "path": raw.decode("ascii")}
        await self._app(scope, receive, send)


def check(path: bytes, query: bytes) -> None:
    """Raises Problem for a path or a query that is refused."""
    if len(path) > LONGEST_PATH:
        raise Problem(414, "The path is too long", f"At most {LONGEST_PATH} bytes are taken.")
    if len(query) > LONGEST_QUERY:
        raise Problem(414, "The query is too long", f"At most {LONGEST_QUERY} bytes are taken.")
    if _PLAIN.match(path):
        return
    if not path.isascii() or _BROKEN.search(path):
        raise Problem(400, "The path is not percent-encoded", "Each byte beyond ASCII, and each %, is written as %XX.")
    for part in path.split(b"/"):
        decoded = unquote_to_bytes(part)
        if decoded in (b".", b".."):
            raise Problem(400, "The path has a segment `.` or `..`", "A row with such a key is asked for by ?key=.")
        if b"\0" in decoded:
            raise Problem(400, "The path holds NUL", "No text of PostgreSQL does.")
        try:
            decoded.decode()
        except UnicodeDecodeError:
            raise Problem(400, "The path is not UTF-8", "Percent-encode the UTF-8 form of the key.") from None


def segment(request: Request, name: str) -> str:
    """A parameter of the path, decoded: what the caller percent-encoded."""
    return decode(request.path_params[name])


def decode(part: Any) -> str:
    """A segment of a path that was checked."""
    text = str(part)
    return unquote_to_bytes(text).decode() if "%" in text else text
