"""Requests without an end, on real sockets: the connection ends, and what is kept of them has a bound."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
import uvicorn
import uvloop
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


ANSWER = 48 << 20
"""Bytes of a long answer: more than sockets keep."""


async def long(_scope: Any, _receive: Any, send: Any) -> None:
    """An answer in one piece, as rows are."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % ANSWER)]})
    await send({"type": "http.response.body", "body": b"x" * ANSWER})


class Quick(Bounded):
    """The same with less patience."""

    TICK, REQUEST, STALLED = 0.1, 0.7, 1.0


async def connected(
    answers: Any = greet, protocol: type[Bounded] = Bounded, state: ServerState | None = None
) -> tuple[asyncio.Server, asyncio.StreamReader, asyncio.StreamWriter]:
    config = uvicorn.Config(answers, http=protocol, lifespan="off", log_config=None)
    config.load()
    state = state or ServerState()
    listening = await asyncio.get_running_loop().create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
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


@pytest.mark.parametrize("what", ["nothing", *BEGINNINGS])
def test_a_request_that_does_not_come_is_not_waited_for(what: str) -> None:
    """Nor one that comes byte by byte."""

    async def main() -> None:
        listening, reader, writer = await connected(protocol=Quick)

        async def drip() -> None:
            writer.write(BEGINNINGS.get(what, b""))
            while what != "nothing":
                await asyncio.sleep(0.05)
                writer.write(b"a")

        dripping = asyncio.create_task(drip())
        try:
            said = await asyncio.wait_for(reader.read(), 20)
        except ConnectionError:
            said = b""
        assert said == b"" or said.startswith(b"HTTP/1.1 408"), said
        dripping.cancel()
        writer.close()
        listening.close()

    uvloop.run(main())


def test_an_answer_that_nobody_takes_is_not_kept() -> None:
    async def main() -> None:
        state = ServerState()
        listening, _reader, writer = await connected(long, Quick, state)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        end = asyncio.get_running_loop().time() + 20
        while not state.total_requests:
            await asyncio.sleep(0.01)
        while state.connections:
            assert asyncio.get_running_loop().time() < end, "the connection is still there"
            await asyncio.sleep(0.05)
        writer.transport.abort()
        listening.close()

    uvloop.run(main())


def test_an_answer_that_is_taken_slowly_is_sent_to_its_end() -> None:
    """Longer than the patience, but all the time some of it."""

    async def main() -> None:
        listening, reader, writer = await connected(long, Quick)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        left = ANSWER
        while left:
            left -= len(await asyncio.wait_for(reader.readexactly(min(left, 2 << 20)), 20))
            await asyncio.sleep(0.1)
        writer.close()
        listening.close()

    uvloop.run(main())


def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is told so at once, and those who are there go on."""
    monkeypatch.setattr(Bounded, "ROOM", 1)

    async def main() -> None:
        listening, reader, writer = await connected()
        other, rest = await asyncio.open_connection("127.0.0.1", listening.sockets[0].getsockname()[1])
        assert (await asyncio.wait_for(other.read(), 20)).startswith(b"HTTP/1.1 503")
        rest.close()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).startswith(b"HTTP/1.1 200")
        writer.close()
        listening.close()

    uvloop.run(main())


PIECE, PIECES = 64 << 10, 512


async def stream(_scope: Any, _receive: Any, send: Any) -> None:
    """An answer in pieces, as fast as they are taken."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % (PIECE * PIECES))]})
    for left in reversed(range(PIECES)):
        await send({"type": "http.response.body", "body": b"x" * PIECE, "more_body": left > 0})


def test_a_stream_that_is_never_caught_up_with_goes_on_while_it_is_taken() -> None:
    """As much is ready at each look as at the one before, since what was taken has been replaced."""

    async def main() -> None:
        listening, reader, writer = await connected(stream, Quick)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        left = PIECE * PIECES
        while left:
            left -= len(await asyncio.wait_for(reader.readexactly(min(left, 512 << 10)), 20))
            await asyncio.sleep(0.1)
        writer.close()
        listening.close()

    uvloop.run(main())


async def ticking(_scope: Any, receive: Any, send: Any) -> None:
    """An answer that takes longer than a request may, and begins when the request is whole."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"20")]})
    for left in reversed(range(20)):
        await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b"x", "more_body": left > 0})


@pytest.mark.parametrize("behind", [b"\r\n", *BEGINNINGS.values()])
def test_what_comes_behind_a_request_does_not_end_its_answer(behind: bytes) -> None:
    """The answer goes to its end; what came early has its own time afterwards, and is not waited for longer than that."""

    async def main() -> None:
        listening, reader, writer = await connected(ticking, Quick)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(behind)
        assert await asyncio.wait_for(reader.readexactly(20), 20) == b"x" * 20
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 20)
        writer.close()
        listening.close()

    uvloop.run(main())
