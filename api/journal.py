"""The access log: what was asked for and who answered, without anything that names a row.

A path holds keys and a query holds what somebody looks for, so neither is written: the route's template, the table if it is a
carried one, status, who answered, milliseconds.
"""

from __future__ import annotations

import logging
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.paths import decode

logger = logging.getLogger(__name__)


class Journal:
    """ASGI middleware: one line a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        said: dict[str, object] = {}

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = Headers(raw=message["headers"])
                said.update(status=message["status"], by=headers.get("x-served-by"), reason=headers.get("x-fallback-reason"))
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", None)
            milliseconds = round((time.perf_counter() - began) * 1000, 2)
            fields = {"method": scope["method"], "route": route, "table": _table(scope), **said, "ms": milliseconds}
            logger.info("answered", extra={name: value for name, value in fields.items() if value is not None})


def _table(scope: Scope) -> str | None:
    """The label of a carried table: another text would be the caller's own."""
    named = scope.get("path_params", {}).get("table")
    proxy = getattr(scope["app"].state, "proxy", None) if named is not None and "app" in scope else None
    found = proxy.tables.find(decode(named)) if proxy is not None else None
    return found.label if found is not None else None
