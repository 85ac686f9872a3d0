"""PostgreSQL as a proxy reads it: rows by key, as the very bytes that Engram's memory of them has (law 10).

Results are taken as text past the driver's adaptation, and made a body by the function that makes memories of rows. A pool of
read-only connections with a time limit. While the server cannot be reached, requests are told so at once instead of waiting,
and one probe looks whether it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import psycopg
from psycopg import pq, sql
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from api.abandoned import Abandoned
from bridge import postgres
from bridge.changes import Row
from bridge.errors import BridgeError, Fatal, SourceUnavailable
from bridge.lsn import Lsn, fence, parse_lsn
from bridge.mapping import TablePlan
from bridge.values import base_of
from snapshot.keys import column_list, compare, relation
from snapshot.texts import array_parameter

LOOK_AGAIN = 0.5
PATIENCE, AT_ONCE = 0.25, 0.001
"""Seconds between looks whether somebody who waits for a connection waits for a server that is gone; when it is known to be."""

GRACE = 0.5
"""Seconds more than the server has by itself: it may be that nobody answers at all."""

STANDBY = "Let serve.source lead to the primary (target_session_attrs=read-write helps)."


class ShapeChanged(BridgeError):
    """The table is not any more what the plan says."""


class NotAKey(BridgeError):
    """What was asked for is no value of the key's type."""


@dataclass(frozen=True, slots=True)
class Question:
    """How the rows of a plan are asked for. `attributes`: how many the table had, dropped ones included, when it was planned."""

    plan: TablePlan
    one: bytes
    several: bytes
    types: tuple[int, ...]
    attributes: int


@dataclass(frozen=True, slots=True)
class Texts:
    """The answer of a query: its rows as text, and the types of its columns."""

    rows: list[Row]
    types: tuple[int, ...]


_Answer = TypeVar("_Answer")


class PostgresReads:
    """Reads rows of the primary."""

    def __init__(self, url: str, *, timeout: float, connections: int) -> None:
        self._timeout = timeout
        self._state = _Reachable()
        limit = {"statement_timeout": str(int(timeout * 1000)), "default_transaction_read_only": "on"}
        conninfo = postgres.conninfo(url, application_name="engram-bridge proxy", connect_timeout=5, settings=limit)
        self._pool = AsyncConnectionPool(
            conninfo,
            connection_class=_noting(self._state),
            kwargs={"autocommit": True, "prepare_threshold": 0, "cursor_factory": psycopg.AsyncRawCursor},
            min_size=1,
            max_size=connections,
            timeout=timeout,
            reconnect_timeout=LOOK_AGAIN,
            configure=_configure,
            open=False,
        )
        self._conninfo = conninfo
        self._probe: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Before the first question; the server may be away."""
        await self._pool.open()

    async def close(self) -> None:
        """After the last one."""
        self._closed = True
        if self._probe is not None:
            self._probe.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._probe
        await self._pool.close()

    @property
    def down(self) -> bool:
        """Whether the server could not be reached, and has not been since."""
        return self._state.error is not None

    async def rows(self, question: Question, keys: Sequence[str]) -> dict[str, str]:
        """The bodies of those of these keys that have a row in exactly this form.

        A key that is no value of its type has none. Raises SourceUnavailable, ShapeChanged, MappingError for a row that has no
        form in JSON, and Fatal when the server refuses the query.
        """
        try:
            return await self._rows(question, keys)
        except NotAKey:
            if len(keys) == 1:
                return {}
        bodies: dict[str, str] = {}
        for key in keys:
            with contextlib.suppress(NotAKey):
                bodies |= await self._rows(question, [key])
        return bodies

    async def position(self) -> Lsn:
        """A WAL position that covers whatever was read before. Raises SourceUnavailable."""
        return await self._twice(_position)

    async def _rows(self, question: Question, keys: Sequence[str]) -> dict[str, str]:
        return await self._twice(lambda connection: _ask(connection, question, keys))

    async def texts(self, query: bytes, parameters: Sequence[str]) -> Texts:
        """The answer of a query as PostgreSQL's own text.

        Raises SourceUnavailable, ShapeChanged, and Fatal when the server refuses the query; NotAKey for a value of no such type.
        """
        return await self._twice(lambda connection: _texts(connection, query, parameters))

    async def _twice(self, ask: Callable[[psycopg.AsyncConnection[Any]], Awaitable[_Answer]]) -> _Answer:
        """Once more after a connection that was lost: after a restart of the server all that are kept are dead."""
        for attempt in range(2):
            try:
                async with self._connection() as connection:
                    async with asyncio.timeout(self._timeout + GRACE):
                        return await ask(connection)
            except TimeoutError as error:
                raise SourceUnavailable("PostgreSQL did not answer in time", hint="See serve.postgres_timeout.") from error
            except SourceUnavailable as error:
                late = isinstance(error.__cause__, psycopg.errors.QueryCanceled)  # it would take as long again
                if attempt or self.down or late:
                    raise
                await self._pool.check()
        raise AssertionError("unreachable")

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        connection = await self._get()
        try:
            with postgres.translated():
                yield connection
        finally:
            await self._pool.putconn(connection)

    async def _get(self) -> psycopg.AsyncConnection[Any]:
        """One of the pool's. Whoever waits for a server that turns out to be gone does not wait to the end."""
        end = time.monotonic() + self._timeout
        while True:
            try:
                return await self._pool.getconn(timeout=PATIENCE if self._state.error is None else AT_ONCE)
            except PoolTimeout as error:
                if self._state.error is not None:
                    self._look()
                    raise SourceUnavailable(f"PostgreSQL cannot be reached: {self._state.error}") from error
                if time.monotonic() >= end:
                    raise SourceUnavailable(
                        "all connections to PostgreSQL are in use", hint="See serve.postgres_connections."
                    ) from error

    def _look(self) -> None:
        if not self._closed and (self._probe is None or self._probe.done()):
            self._probe = asyncio.create_task(self._looking(), name="postgres probe")

    async def _looking(self) -> None:
        """Until it can be reached again."""
        while self._state.error is not None:
            with contextlib.suppress(psycopg.Error):
                connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
                await connection.close()
                await self._pool.check()
                self._state.error = None
                return
            await asyncio.sleep(LOOK_AGAIN)


class _Reachable:
    """Whether the last attempt to connect failed, and how."""

    error: str | None = None


def _noting(state: _Reachable) -> type[psycopg.AsyncConnection[Any]]:
    """A class of connections that notes whether it could be made: the pool itself tries again without telling anybody."""

    class Noting(Abandoned):
        noted: ClassVar[_Reachable] = state

        @classmethod
        async def connect(cls, *arguments: Any, **named: Any) -> Any:
            try:
                made = await super().connect(*arguments, **named)
            except psycopg.Error as error:
                cls.noted.error = str(postgres.translate(error))
                raise
            cls.noted.error = None
            return made

    return Noting


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    postgres.require_pinned(connection.pgconn)
    postgres.send_as_it_is(connection.pgconn)


def question_of(plan: TablePlan, attributes: int) -> Question:
    """The statements for the rows of a plan whose table has a key."""
    table = plan.table
    width = len(table.key)
    singles = [sql.SQL("${}").format(sql.Literal(number)) for number in range(1, width + 1)]
    names = [sql.Identifier("k", f"k{number}") for number in range(width)]
    arrays = [sql.SQL("${}::text[]").format(sql.Literal(number)) for number in range(1, width + 1)]
    state = sql.SQL("select pg_is_in_recovery(), (select relnatts from pg_class where oid = {}::oid)").format(
        sql.Literal(table.oid)
    )
    columns = column_list(table.columns)
    one = sql.SQL("select s.*, r.* from ({}) as s left join (select true, {} from {} where {}) as r on true").format(
        state, columns, relation(table), compare(table, "=", singles)
    )
    several = sql.SQL(
        "select s.*, r.* from ({}) as s left join (select true, {} from unnest({}) as k ({}) join {} on {}) as r on true"
    ).format(
        state,
        columns,
        sql.SQL(", ").join(arrays),
        sql.SQL(", ").join([sql.Identifier(f"k{number}") for number in range(width)]),
        relation(table),
        compare(table, "=", names),
    )
    types = tuple(base_of(column.type).oid for column in table.columns)  # a domain is described as its base
    return Question(plan, one.as_bytes(None), several.as_bytes(None), types, attributes)


_FRONT = 3
"""Columns before the row's own: whether the server is a standby, how many attributes the table has, whether there is a row."""


async def _ask(connection: psycopg.AsyncConnection[Any], question: Question, keys: Sequence[str]) -> dict[str, str]:
    plan = question.plan
    parts = [plan.key_values(key) for key in keys]
    if len(keys) == 1:
        result = await _execute(connection, question.one, parts[0])
    else:
        texts = [array_parameter(values).decode() for values in zip(*parts, strict=True)]
        result = await _execute(connection, question.several, texts)
    if result.get_value(0, 0) != b"f":
        raise SourceUnavailable("PostgreSQL is a standby, and rows are read from the primary only", hint=STANDBY)
    if result.get_value(0, 1) != b"%d" % question.attributes:
        raise ShapeChanged
    if any(result.ftype(_FRONT + place) != oid for place, oid in enumerate(question.types)):
        raise ShapeChanged
    wanted = set(keys)
    bodies = {}
    for number in range(result.ntuples):
        if result.get_value(number, 2) is not None:
            row = _row(result, number)
            key = plan.key_of(row)
            if key in wanted:
                bodies[key] = plan.body(row)
    return bodies


async def _texts(connection: psycopg.AsyncConnection[Any], query: bytes, parameters: Sequence[str]) -> Texts:
    result = await _execute(connection, query, parameters)
    rows = [_row(result, number, 0) for number in range(result.ntuples)]
    return Texts(rows, tuple(result.ftype(column) for column in range(result.nfields)))


async def _execute(connection: psycopg.AsyncConnection[Any], query: bytes, parameters: Sequence[str]) -> pq.abc.PGresult:
    try:
        cursor = await connection.execute(query, parameters, prepare=True)
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state.startswith("22"):
            raise NotAKey from error
        if state in ("42703", "42P01", "0A000", "42883", "42704"):  # column, table, result's type, operator, type
            raise ShapeChanged from error
        raise
    assert cursor.pgresult is not None
    return cursor.pgresult


def _row(result: pq.abc.PGresult, number: int, first: int = _FRONT) -> Row:
    value = result.get_value
    return tuple([_text(value(number, column)) for column in range(first, result.nfields)])


def _text(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value


async def _position(connection: psycopg.AsyncConnection[Any]) -> Lsn:
    """The insert position: an asynchronous commit is visible before it is flushed."""
    cursor = await connection.execute("select pg_current_wal_insert_lsn()", prepare=True)
    assert cursor.pgresult is not None
    position = cursor.pgresult.get_value(0, 0)
    if position is None:
        raise Fatal("PostgreSQL gave no WAL position")
    return fence(parse_lsn(position.decode()))
