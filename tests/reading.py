"""The read side in the test's own process: its application over a rig's ledger, Engram and PostgreSQL, asked without a socket."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import uvloop

from api.app import create_app
from bridge.config import Config
from bridge.ledger import Act, Ledger, Serving
from bridge.reads import Mode, Route


def route(location: str, label: str, mode: Mode, share: int = 0) -> Act:
    """Send a table's reads somewhere, as a command would."""
    ledger = Ledger(location)
    try:
        return Serving(ledger).route(label, Route(mode, share), who="test", verb="route", detail={})
    finally:
        ledger.close()


@contextlib.asynccontextmanager
async def reader(settings: Config, **serve: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application; `client.app` is the application itself. `serve` changes the section of that name.

    A busy machine is no slow Engram: it has long to answer, and PostgreSQL does not race it.
    """
    given = settings.serve.model_copy(update={"engram_deadline": 20.0} | serve)
    app = create_app(settings.model_copy(update={"serve": given}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client,
    ):
        client.app = app  # type: ignore[attr-defined]
        app.state.proxy.engram._samples = deque(maxlen=0)
        yield client


def running(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine function to its end, on the loop that the proxy has."""
    uvloop.run(work())
