"""One statement asked of PostgreSQL again and again, over one connection in libpq's pipeline mode.

What a request costs here is a message out and a message in: no connection is fetched from a pool and given back, no cursor is
made, and requests that come at once do not wait for each other's answers before they are sent. For statements that are short
and alike; a slow one would hold up those behind it. Each ends with a Sync, so one that fails fails alone.

Made like every connection (`bridge.postgres.conninfo`); a connection that is lost fails what is under way, and is made anew by
the next question.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import pq, sql
from psycopg.errors import error_from_result

_NAME = b"engram_bridge_asked"
_DECODERS: dict[int, Callable[[bytes], Any]] = {
    16: lambda value: value == b"t",
    20: int,
    21: int,
    23: int,
    700: float,
    701: float,
}
"""By the OID of a type: boolean, integers, floats. Everything else is text here."""

_STALE = ("0A000", "26000")
"""The tables have changed under the prepared statement, or it is gone."""

Row = tuple[Any, ...]


class Pipelined:
    """A statement with placeholders $1, $2, … for texts. `wait`: seconds after which an answer does not come any more."""

    def __init__(self, conninfo: str, schema: str, statement: str, *, wait: float) -> None:
        self._conninfo, self._schema, self._statement, self._wait = conninfo, schema, statement.encode(), wait
        self._connecting: asyncio.Task[_Line] | None = None
        self._line: _Line | None = None

    async def ask(self, parameters: Sequence[str]) -> list[Row]:
        """The rows of the statement for these. Raises psycopg.Error."""
        line = self._line
        if line is None or line.broken:
            line = await self._connected()
        return await line.ask([parameter.encode() for parameter in parameters])

    async def close(self) -> None:
        """Close the connection; what is under way fails."""
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError, psycopg.Error):
                await self._connecting
        if self._line is not None:
            self._line.end(psycopg.OperationalError("the connection is closed"))

    async def _connected(self) -> _Line:
        """Whoever comes meanwhile waits for the same connection."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect(), name="pipeline")
            self._connecting.add_done_callback(_seen)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Line:
        if self._line is not None and not self._line.broken:
            return self._line
        try:
            async with asyncio.timeout(self._wait):
                connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
                await connection.execute(sql.SQL("set search_path to {}, pg_catalog").format(sql.Identifier(self._schema)))
        except TimeoutError as error:
            raise psycopg.OperationalError("the server does not answer") from error
        self._line = _Line(connection, self._statement, self._wait)
        return self._line


class _Line:
    """One connection, whose answers come in the order of the questions."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], statement: bytes, wait: float) -> None:
        self.broken = False
        self._connection = connection  # it would close itself when nobody holds it
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._wait = wait
        self._asked: deque[tuple[asyncio.Future[list[Row]], float]] = deque()
        self._result: pq.abc.PGresult | None = None
        self._decoders: list[Callable[[bytes], Any]] = []
        self._watch: asyncio.TimerHandle | None = None
        self._socket = self._pgconn.socket
        self._writing = False
        self._pgconn.enter_pipeline_mode()
        self._loop.add_reader(self._socket, self._readable)
        self._send(lambda: self._pgconn.send_prepare(_NAME, statement)).add_done_callback(_seen)  # each question tells it too

    async def ask(self, parameters: list[bytes]) -> list[Row]:
        """Send the question, and wait until its answer has come."""
        return await self._send(lambda: self._pgconn.send_query_prepared(_NAME, parameters))

    def end(self, error: psycopg.Error) -> None:
        """Close the connection; nobody gets an answer any more."""
        if self.broken:
            return
        self.broken = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        if self._watch is not None:
            self._watch.cancel()
        self._pgconn.finish()
        while self._asked:
            waiter, _since = self._asked.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    def _send(self, message: Callable[[], None]) -> asyncio.Future[list[Row]]:
        waiter: asyncio.Future[list[Row]] = self._loop.create_future()
        now = self._loop.time()
        self._asked.append((waiter, now))
        try:
            message()
            self._pgconn.pipeline_sync()
            self._flush()
        except psycopg.Error as error:
            self.end(error)
        if self._watch is None and not self.broken:
            self._watch = self._loop.call_at(now + self._wait, self._look)
        return waiter

    def _flush(self) -> None:
        left = bool(self._pgconn.flush())
        if left and not self._writing:
            self._loop.add_writer(self._socket, self._writable)
        elif self._writing and not left:
            self._loop.remove_writer(self._socket)
        self._writing = left

    def _writable(self) -> None:
        try:
            self._flush()
        except psycopg.Error as error:
            self.end(error)

    def _readable(self) -> None:
        try:
            self._pgconn.consume_input()
            while self._asked and not self._pgconn.is_busy() and self._take(self._pgconn.get_result()):
                pass
        except psycopg.Error as error:
            self.end(error)

    def _take(self, result: pq.abc.PGresult | None) -> bool:
        """A question has one result, nothing, and its Sync. Answers whether there may be more."""
        if result is None:
            return self._result is not None
        if result.status != pq.ExecStatus.PIPELINE_SYNC:
            self._result = result
            return True
        waiter, _since = self._asked.popleft()
        found, self._result = self._result, None
        if found is not None and found.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            if not waiter.done():
                waiter.set_result(self._rows(found))
            return True
        error = psycopg.OperationalError("the server did not answer") if found is None else error_from_result(found)
        stale = error.sqlstate in _STALE
        if not waiter.done():
            waiter.set_exception(psycopg.OperationalError("the prepared statement does not fit any more") if stale else error)
        if stale:
            self.end(error)
        return not stale

    def _rows(self, result: pq.abc.PGresult) -> list[Row]:
        if not self._decoders:
            self._decoders = [_DECODERS.get(result.ftype(column), bytes.decode) for column in range(result.nfields)]
        get = result.get_value
        return [
            tuple(
                [None if (value := get(row, column)) is None else decode(value) for column, decode in enumerate(self._decoders)]
            )
            for row in range(result.ntuples)
        ]

    def _look(self) -> None:
        """Whether the oldest question has waited too long."""
        self._watch = None
        if not self._asked:
            return
        due = self._asked[0][1] + self._wait
        if due <= self._loop.time():
            self.end(psycopg.OperationalError("the server does not answer"))
        else:
            self._watch = self._loop.call_at(due, self._look)


def _seen(done: asyncio.Future[Any]) -> None:
    """An error that nobody waited for is no news: whoever asks is told."""
    if not done.cancelled():
        done.exception()
