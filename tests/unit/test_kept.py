"""GETs over kept connections: what a server may do to them, on real sockets, in both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.kept import ConnectionFailed, KeptConnections

LIMIT = 8
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each request by a function, and counts connections and requests."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.connections = 0
        self.requests: list[bytes] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                await self._answer(self.requests[-1], writer)
        writer.close()

    async def end(self) -> None:
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*[writer.wait_closed() for writer in self._writers], return_exceptions=True)


@contextlib.asynccontextmanager
async def serving(answer: Answer, **headers: str) -> AsyncIterator[tuple[Server, KeptConnections]]:
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    kept = KeptConnections(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", headers, limit=LIMIT)
    try:
        yield server, kept
    finally:
        kept.close()
        listening.close()
        await server.end()


def says(*parts: bytes, close: bool = False) -> Answer:
    """An answer in these pieces, each sent on its own."""

    async def answer(_request: bytes, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if close:
            writer.close()

    return answer


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Runs a coroutine in an event loop of either kind."""

    def in_loop(coroutine: Any) -> Any:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if request.param == "uvloop" else None) as runner:
            return runner.run(coroutine)

    return in_loop


def test_a_connection_is_used_again(run: Callable[[Any], Any]) -> None:
    """One after the other over one, at once over as many as there are questions, up to the limit; headers of both."""

    async def main() -> None:
        async with serving(says(OK), Authorization="Bearer key") as (server, kept):
            for _ in range(5):
                assert await kept.get("/a%2Fb?c=d", {"X-Memory-Space": "space"}) == (200, b"hello")
            assert server.connections == 1
            for line in (b"GET /a%2Fb?c=d HTTP/1.1", b"Host: 127.0.0.1:", b"Authorization: Bearer key", b"X-Memory-Space: space"):
                assert line in server.requests[-1]
            for _ in range(2):
                await asyncio.gather(*[kept.get("/", {}) for _ in range(3 * LIMIT)])
            assert server.connections == LIMIT

    run(main())


@given(cuts=st.lists(st.integers(1, 200), max_size=12), chunked=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_answer_is_the_same_however_it_arrives(cuts: list[int], chunked: bool) -> None:
    """In any pieces, with a length or in chunks, after an answer that only asks for patience."""
    head, body = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n", b"\xc3\xa9" * 40
    if chunked:
        whole = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"10\r\n%b\r\n40\r\n%b\r\n0\r\n\r\n" % (body[:16], body[16:])
    else:
        whole = b"HTTP/1.1 102 Processing\r\n\r\n" + head + b"Content-Length: 80\r\n\r\n" + body
    places = sorted({0, len(whole), *[cut for cut in cuts if cut < len(whole)]})
    parts = [whole[start:end] for start, end in itertools.pairwise(places)]

    async def main() -> None:
        async with serving(says(*parts)) as (server, kept):
            assert await kept.get("/", {}) == (404, body)
            assert await kept.get("/", {}) == (404, body)
            assert server.connections == 1

    asyncio.run(main())


def test_a_connection_that_the_server_closed_meanwhile_costs_nothing(run: Callable[[Any], Any]) -> None:
    """Closed when idle, closed by `Connection: close`, or closed in the moment of the next request: asked on a new one."""

    async def main() -> None:
        async with serving(says(OK, close=True)) as (server, kept):
            for _ in range(3):
                assert (await kept.get("/", {}))[0] == 200
            assert server.connections == 3
        async with serving(says(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))) as (server, kept):
            for _ in range(3):
                assert (await kept.get("/", {}))[0] == 200
            assert server.connections == 3

        async def second_is_dropped(_request: bytes, writer: asyncio.StreamWriter) -> None:
            if server.connections == 1 and len(server.requests) == 2:
                writer.transport.abort()
            else:
                writer.write(OK)

        async with serving(second_is_dropped) as (server, kept):
            for _ in range(3):
                assert (await kept.get("/", {}))[0] == 200
            assert server.connections == 2

    run(main())


@pytest.mark.parametrize(
    "parts", [(b"SSH-2.0-OpenSSH\r\n\r\n",), (OK[:-2],), (), (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",)]
)
def test_what_is_no_answer_is_an_error(run: Callable[[Any], Any], parts: tuple[bytes, ...]) -> None:
    """Other protocols, half an answer, none at all: told, once, and not waited for until the deadline."""

    async def main() -> None:
        async with serving(says(*parts, close=True)) as (_server, kept):
            with pytest.raises(ConnectionFailed):
                await kept.get("/", {})

    run(main())


def test_nobody_listens(run: Callable[[Any], Any]) -> None:
    """A refused connection is the same error."""

    async def main() -> None:
        async with serving(says(OK)) as (_server, kept):
            pass
        with pytest.raises(ConnectionFailed, match="cannot be reached"):
            await kept.get("/", {})

    run(main())


def test_what_comes_too_late_answers_nobody(run: Callable[[Any], Any]) -> None:
    """After a deadline, or when the caller went away, the connection is closed: the late answer is not the next one's."""

    async def main() -> None:
        release = asyncio.Event()

        async def late(request: bytes, writer: asyncio.StreamWriter) -> None:
            if b"/slow" in request:
                await release.wait()
                writer.write(OK.replace(b"hello", b"wrong"))
            else:
                writer.write(OK)

        async with serving(late) as (_server, kept):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await kept.get("/slow", {})
            task = asyncio.create_task(kept.get("/slow", {}))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            release.set()
            for _ in range(3):
                assert await kept.get("/", {}) == (200, b"hello")

    run(main())


def test_an_answer_to_no_question_ends_the_connection(run: Callable[[Any], Any]) -> None:
    """Bytes behind an answer are not the beginning of the next one."""

    async def main() -> None:
        async with serving(says(OK, OK.replace(b"hello", b"extra"))) as (_server, kept):
            for _ in range(3):
                assert await kept.get("/", {}) == (200, b"hello")
                await asyncio.sleep(0.05)

    run(main())


@pytest.mark.parametrize("header", ["a\r\nX: y", "a\nb", "a\0b"])
def test_no_header_can_end_its_line(header: str) -> None:
    """Nor can a path."""
    with pytest.raises(ValueError, match="header"):
        KeptConnections("http://localhost", {"Authorization": header}, limit=1)

    async def ask() -> None:
        await KeptConnections("http://localhost", {}, limit=1).get(f"/{header}", {})

    with pytest.raises(ValueError, match="path"):
        asyncio.run(ask())
