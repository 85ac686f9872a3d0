"""The floor of the proxy: bare FastAPI routes that do the one thing which cannot be left out, and nothing else.

`python -m bench.bare_route PORT ENGRAM SPACE POSTGRES TABLE`. `/engram/{key}` hands on what one GET to Engram answers, by
aiohttp, the fastest of the general clients (httpx-aiohttp takes half as long again, httpx more than twice as long).
`/postgres/{key}` runs one prepared SELECT by a psycopg pool and writes the row as JSON. Server settings are those of the proxy.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import uvicorn
from fastapi import FastAPI, Request, Response
from psycopg import sql
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from yarl import URL

CONNECTIONS = 10


def make(engram: str, space: str, postgres: str, table: str) -> FastAPI:
    """The application of both routes."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            postgres, min_size=1, max_size=CONNECTIONS, open=False, kwargs={"autocommit": True, "row_factory": dict_row}
        )
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session, pool:
            app.state.session, app.state.pool = session, pool
            yield

    app = FastAPI(lifespan=lifespan)
    headers = {"X-Memory-Space": space}
    statement = sql.SQL("select * from {} where id = %s").format(sql.Identifier("public", table))

    @app.get("/engram/{key}")
    async def from_engram(request: Request, key: str) -> Response:
        session: aiohttp.ClientSession = request.app.state.session
        async with session.get(URL(f"{engram}/api/v1/memories/{table}_{key}", encoded=True), headers=headers) as answer:
            return Response(await answer.read(), answer.status, media_type="application/json")

    @app.get("/postgres/{key}")
    async def from_postgres(request: Request, key: str) -> Response:
        async with request.app.state.pool.connection() as connection:
            cursor = await connection.execute(statement, (int(key),), prepare=True)
            row = await cursor.fetchone()
        return Response(json.dumps(row, separators=(",", ":"), ensure_ascii=False), media_type="application/json")

    return app


if __name__ == "__main__":
    _port, *_given = sys.argv[1:]
    uvicorn.run(
        make(*_given), host="127.0.0.1", port=int(_port), http="httptools", access_log=False, log_config=None, server_header=False
    )
