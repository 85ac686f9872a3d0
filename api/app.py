"""The application: makes the parts of the read side from a configuration and puts them together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from importlib import metadata

from fastapi import FastAPI

from api import control, listing, metrics, operator, problems, references, rows, search
from api.access import Access, require_safe
from api.counting import Counting
from api.described import describe
from api.encoders import Encoders
from api.engram import EngramReads
from api.journal import Journal
from api.ledger import LedgerReads, ledger_reads
from api.paths import RawPaths
from api.postgres import PostgresReads
from api.proxy import Proxy
from api.reloading import Again, following
from api.search import Searches
from api.semantic import Semantic
from api.tables import Tables
from api.tenants import Tenants
from api.textual import Textual
from api.walks import Walks
from bridge import reads
from bridge.collector import Collector
from bridge.config import Config
from bridge.errors import BridgeError
from bridge.ledger import Ledger, Serving
from bridge.returning import Returning

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0


def create_app(settings: Config, again: Again | None = None) -> FastAPI:
    """The read side of this configuration; its ledger must be there. Raises ConfigError for one that strangers could use.

    `again`: how SIGHUP is followed, where the process is this application's own.
    `app.state` has what routes need: `proxy`, `access`, `tenants`, `settings`, `counting`; `ledger` and `serving` for threads.
    """
    require_safe(settings.serve)
    app = FastAPI(
        title="engram-bridge",
        summary="Rows of a PostgreSQL database, from Engram where that is proven to be right.",
        version=metadata.version("engram-bridge"),
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.again = again
    app.state.access = Access(settings.serve)
    app.state.tenants = tenants = Tenants({name: table.tenant for name, table in settings.tables.items()})
    app.state.narrowing = tenants if tenants.in_use else None
    problems.install(app)
    rows.install_row(app)
    # The other routes stand here, between the one that has to be fast and those that would match any name.
    app.include_router(operator.router)
    app.include_router(control.router)
    app.include_router(metrics.router)
    app.include_router(search.router)
    app.include_router(listing.router)
    app.include_router(references.router)
    rows.install_rows(app)
    describe(app)
    if settings.serve.access_log:
        app.add_middleware(Journal)
    app.add_middleware(RawPaths)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open everything, in the order in which it is needed, and close it the other way round."""
    settings: Config = app.state.settings
    key, serve = settings.target.api_key, settings.serve
    async with contextlib.AsyncExitStack() as stack:
        ledger = Ledger(settings.ledger)
        stack.callback(ledger.close)
        app.state.figures = Collector.of(settings, ledger)
        stack.callback(app.state.figures.close)
        counting = Counting(Serving(ledger))
        budget = settings.cutover.budget()
        if budget is not None:
            counting.every_beat.append(Returning(Serving(ledger), budget, f"proxy on {socket.gethostname()}").step)
        counting.start()
        stack.push_async_callback(counting.close)
        asked = ledger_reads(settings.ledger)
        await asked.open()
        stack.push_async_callback(asked.close)
        engram = EngramReads(
            settings.target.http,
            key.get_secret_value() if key is not None else None,
            deadline=serve.engram_deadline,
            took=lambda label, milliseconds: counting.add(label, reads.target_took(milliseconds)),
        )
        await engram.open()
        stack.push_async_callback(engram.close)
        postgres = PostgresReads(
            serve.source or settings.source.url, timeout=serve.postgres_timeout, connections=serve.postgres_connections
        )
        await postgres.open()
        stack.push_async_callback(postgres.close)
        tables = Tables(settings, ledger)
        await tables.open()
        serving = Serving(ledger)
        app.state.ledger, app.state.serving, app.state.counting = ledger, serving, counting
        app.state.proxy = proxy = Proxy(
            settings, ledger=asked, engram=engram, postgres=postgres, tables=tables, counting=counting, serving=serving
        )
        stack.push_async_callback(proxy.shadow.close)
        stack.push_async_callback(_ended, asyncio.create_task(_watching(asked, tables), name="watching"))
        app.state.operator = await stack.enter_async_context(operator.Operator(settings, ledger, app.state.figures).open())
        app.state.walks = Walks(app.state.proxy)
        encoders = Encoders(settings, deadline=serve.engram_deadline)
        stack.push_async_callback(encoders.close)
        app.state.searches = Searches(app.state.proxy, Semantic(app.state.proxy, encoders), Textual(app.state.proxy))
        if app.state.again is not None:
            await stack.enter_async_context(following(app, app.state.again))
        yield


async def _watching(ledger: LedgerReads, tables: Tables) -> None:
    """Once a second: whether the ledger is another file now, and whether it knows other tables."""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        try:
            await ledger.look()
            if await asyncio.to_thread(tables.look):
                await tables.refresh()
        except BridgeError as error:
            logger.debug("the tables cannot be looked at now: %s", error)
        except Exception:
            logger.exception("a look at the tables failed, and is tried again")


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
