"""GETs over connections that are kept, to one HTTP server: the least that a proxy needs of a client, since each read passes here.

httptools parses, asyncio carries; a bare route with this client answers 1.7 times as fast as one with aiohttp, the fastest of the
general clients (`bench/proxy.py` measures against that one). One request at a time on a connection, the one that was used last
first. No redirects, no cookies, no compression, no proxies of the environment: Engram has none of it.

A server may close a kept connection in the very moment it is used again. Then nothing has come of the answer, and the GET is
asked once more on a new one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import httptools

from bridge.errors import TargetUnavailable

IDLE = 30.0
"""Seconds after which a connection that nobody used is not used again: something in between may have forgotten it."""

LONGEST = 64 << 20
"""Bytes of an answer. The longest memory has 4 MB; the longest list is asked for page by page."""


class ConnectionFailed(TargetUnavailable):
    """The server could not be reached, closed the connection, or said what is no HTTP."""


class KeptConnections:
    """One server, `limit` connections at most. `headers` go with each request.

    Raises ValueError for a header that no request can carry.
    """

    def __init__(self, base: str, headers: Mapping[str, str], *, limit: int) -> None:
        parts = urlsplit(base)
        self._host = parts.hostname or ""
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls is not None else 80)
        self._path = parts.path.rstrip("/")
        self._head = _lines({"Host": parts.netloc.rpartition("@")[2], "Accept": "application/json", **headers})
        self._room = asyncio.Semaphore(limit)
        self._idle: list[_Connection] = []
        self._closed = False

    async def get(self, target: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body of a path and query, sent as they are. Raises ConnectionFailed; limits of time are the caller's."""
        request = f"GET {_one_word(self._path + target)} HTTP/1.1\r\n".encode("ascii") + self._head + _lines(headers) + b"\r\n"
        async with self._room:
            connection = self._kept()
            if connection is not None:
                try:
                    return await self._on(connection, request)
                except _ClosedBefore:
                    pass
            try:
                return await self._on(await self._connect(), request)
            except _ClosedBefore as error:
                raise ConnectionFailed("Engram closed the connection without an answer") from error

    def close(self) -> None:
        """Close what is idle, and the rest when it is done."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()

    def _kept(self) -> _Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now - connection.since < IDLE:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> _Connection:
        try:
            _transport, made = await asyncio.get_running_loop().create_connection(
                _Connection, self._host, self._port, ssl=self._tls
            )
        except OSError as error:
            raise ConnectionFailed(f"Engram cannot be reached: {type(error).__name__}") from error
        return made

    async def _on(self, connection: _Connection, request: bytes) -> tuple[int, bytes]:
        """Whatever ends this before the answer is there also ends the connection: what comes later is nobody's."""
        try:
            answer = await connection.ask(request)
        except BaseException:
            connection.abort()
            raise
        if connection.usable and not self._closed:
            connection.since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()
        return answer


class _ClosedBefore(Exception):
    """A connection was closed before the first byte of the answer."""


class _Connection(asyncio.Protocol):
    """One request after the other. The methods named on_… are those of httptools."""

    def __init__(self) -> None:
        self.since = 0.0
        self.usable = False
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None
        self._parts: list[bytes] = []
        self._length = 0
        self._begun = False

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and wait for its answer."""
        assert self._transport is not None
        assert self._waiter is None
        if not self.usable:
            raise _ClosedBefore
        self._parts, self._length, self._begun = [], 0, False
        waiter: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        self._transport.write(request)
        try:
            return await waiter
        finally:
            self._waiter = None

    def abort(self) -> None:
        """Close it at once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by name
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._waiter is None:
            self.abort()  # nobody has asked
            return
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionFailed(f"what Engram answered is no HTTP: {error}"))

    def connection_lost(self, _error: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.usable = False
        self._fail(ConnectionFailed("Engram closed the connection in its answer") if self._begun else _ClosedBefore())

    def on_message_begin(self) -> None:
        """An answer begins; one that nobody has asked for would be taken for the next one's."""
        if self._waiter is None or self._waiter.done():
            self.abort()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._length += len(body)
        if self._length > LONGEST:
            self._fail(ConnectionFailed(f"an answer of Engram has more than {LONGEST} bytes"))
            self.abort()
            return
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """The answer is there."""
        status = self._parser.get_status_code()
        if status < 200:
            return  # 100 and its like come before the answer
        self.usable = self.usable and self._parser.should_keep_alive()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result((status, b"".join(self._parts)))

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


def _lines(headers: Mapping[str, str]) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    if any(character in line[:-2] for line in lines for character in "\r\n\0"):
        raise ValueError("a header with a line break")
    return "".join(lines).encode("latin-1")


def _one_word(target: str) -> str:
    if not target.startswith("/") or any(character <= " " for character in target):
        raise ValueError("a path with a blank, or without its slash")
    return target
