"""HTTP as the server takes it, with an end: of a request's length, of the time it takes, and of the time that its answer waits.

uvicorn's own protocol keeps a line, a header or a body as long as it comes, before anybody is asked for a token; it waits for
the rest of a request for ever, and for a caller who does not take the answer. Each such connection holds a place and what was
buffered for it, and a process has places for so many only.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST = 1 << 20
"""Bytes of a request: its line, its headers, its body and what comes behind that."""

OWN_FILES = 256
"""File descriptors that connections of callers leave to the ledger, PostgreSQL, Engram and the logs."""

LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 5\r\n\r\n"


def room() -> int:
    """How many callers may be connected to this process at once, as its limit of open files has it."""
    files, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(files - OWN_FILES, files // 2) if files != resource.RLIM_INFINITY else 1 << 16


class Counted:
    """A transport that knows how many bytes it was given; it is what it stands for in all else."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.given = 0

    def write(self, data: bytes) -> None:
        """See asyncio.WriteTransport."""
        self.given += len(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Bounded(HttpToolsProtocol):
    """Counts what was received since the last request was complete, and looks now and then how far it has come."""

    TICK: ClassVar[float] = 5.0
    """Seconds between two looks."""

    REQUEST: ClassVar[float] = 20.0
    """Seconds from the connection, or from the first byte of a later request, until a request is complete."""

    STALLED: ClassVar[float] = 30.0
    LEAST: ClassVar[int] = 32_768
    """Seconds in which a caller has to take at least so many bytes of what is ready for him."""

    ROOM: ClassVar[int] = room()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._taken = 0
        self._since: float | None = None
        self._waiting = 0
        self._gone = 0
        self._moved = 0.0
        self._tick: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own is typed
        """See asyncio.Protocol."""
        self._counted = Counted(transport)
        transport = cast(asyncio.Transport, self._counted)
        super().connection_made(transport)
        if len(self.connections) > self.ROOM:
            transport.write(FULL)
            transport.close()
        self._since = self._moved = self.loop.time()
        self._tick = self.loop.call_later(self.TICK, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._tick is not None:
            self._tick.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.transport.is_closing():
            return
        if self._since is None:
            self._since = self.loop.time()
        self._taken += len(data)
        if self._taken <= LONGEST:
            super().data_received(data)
        elif self.cycle is None or self.cycle.response_complete:
            self.send_400_response("The request is too long.")
        else:
            self.transport.abort()

    def on_message_complete(self) -> None:
        """See httptools."""
        self._taken = 0
        self._since = None
        super().on_message_complete()

    def _look(self) -> None:
        now = self.loop.time()
        self._tick = self.loop.call_later(self.TICK, self._look)
        waiting = self.transport.get_write_buffer_size()
        gone = self._counted.given - waiting  # not by what waits alone: a stream replaces what is taken of it
        if waiting == 0 or self._waiting == 0 or gone >= self._gone + self.LEAST:
            self._waiting, self._gone, self._moved = waiting, gone, now
        elif now - self._moved >= self.STALLED:
            self.transport.abort()
            return
        if self._since is not None and self._answering():
            self._since = now  # what comes behind a request waits for its answer, and has its time then
        if self._since is not None and now - self._since >= self.REQUEST and not self.transport.is_closing():
            if self._taken and (self.cycle is None or self.cycle.response_complete):
                self.transport.write(LATE)
            self.transport.close()

    def _answering(self) -> bool:
        """A request is complete, and its answer is not; one behind it may have begun, and is not read on meanwhile."""
        cycle = self.cycle
        return bool(self.pipeline) or (cycle is not None and not cycle.response_complete and not cycle.more_body)
