"""Requests without an end, on real sockets: the connection ends, and what is kept of them has a bound."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from api.bounded import LONGEST, Bounded

BEGINNINGS = {
    "a line": b"GET /",
    "a header": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ",
    "a body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
    "a trailer": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: ",
}


async def greet(_scope: Any, receive: Any, send: Any) -> None:
    """Reads the whole request first, as FastAPI does where a body is expected."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def connected() -> tuple[asyncio.Server, asyncio.StreamReader, asyncio.StreamWriter]:
    config = uvicorn.Config(greet, http=Bounded, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    listening = await asyncio.get_running_loop().create_server(lambda: Bounded(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
    return listening, reader, writer


@pytest.mark.parametrize("what", BEGINNINGS)
def test_a_request_without_an_end_is_ended(what: str) -> None:
    async def main() -> None:
        listening, _reader, writer = await connected()

        async def send() -> None:
            writer.write(BEGINNINGS[what])
            for _ in range(32 * LONGEST // 65536):
                writer.write(b"a" * 65536)
                await asyncio.wait_for(writer.drain(), 20)

        with pytest.raises(ConnectionError):
            await send()
        writer.close()
        listening.close()

    asyncio.run(main())


def test_any_number_of_requests_of_a_fair_length_go_over_a_connection() -> None:
    async def main() -> None:
        listening, reader, writer = await connected()
        request = b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 40_000 + b"\r\n\r\n"
        for _ in range(2 * LONGEST // len(request)):
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(5) == b"hello"
        writer.close()
        listening.close()

    asyncio.run(main())
