"""The ledger as a proxy reads it: one statement a request, past SQLAlchemy, and nothing cached (law 7).

A SQLite file is asked on the event loop itself: it answers in some fifty microseconds, readers of its WAL mode wait for nobody,
and a thread would cost more than the statement. A ledger in PostgreSQL is asked for one row over a connection that all requests
share (`api.pipelined`), for everything else through a pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from api.abandoned import Abandoned
from api.pipelined import Pipelined
from bridge import postgres
from bridge.errors import ConfigError, LedgerUnavailable
from bridge.ledger.failure import translated
from bridge.ledger.file import FilePlace
from bridge.ledger.links import TABLES, Statement, TableState, table_states
from bridge.ledger.place import place_of
from bridge.ledger.server import SETTINGS, ServerPlace
from bridge.ledger.standing import STANDING, STANDING_OF_ONE, Standing, standing_of

BUSY_MS = 250
"""A reader waits only while a ledger that was not closed is recovered."""

CONNECTIONS = 10
WAIT = 2.0
LONGEST = 2 * WAIT
"""Seconds after which nobody waits for a server that hangs: its own limit of a statement does not count then."""


class LedgerReads(Protocol):
    """What requests ask of the ledger."""

    async def open(self) -> None:
        """Before the first question."""

    async def close(self) -> None:
        """After the last one."""

    async def look(self) -> None:
        """Once a second: whether it is still the ledger that was opened. Raises LedgerUnavailable."""

    async def standing(self, label: str, keys: Sequence[str]) -> Standing | None:
        """What is known of these keys now; None for a table that is not carried. Raises LedgerUnavailable and LedgerError."""

    async def ask(self, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement of `bridge.ledger.links`. Raises LedgerUnavailable and LedgerError."""


async def states_of(ledger: LedgerReads, labels: Iterable[str]) -> dict[str, TableState]:
    """How far these tables are, in one statement, by label. Raises LedgerUnavailable and LedgerError."""
    return table_states(await ledger.ask(TABLES, {"labels": json.dumps(sorted(labels))}))


def ledger_reads(location: str) -> LedgerReads:
    """Reads of the ledger at this place. Raises ConfigError."""
    place = place_of(location)
    return FileReads(place) if isinstance(place, FilePlace) else ServerReads(place)


class FileReads:
    """Of a SQLite file."""

    def __init__(self, place: FilePlace) -> None:
        self._place = place
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)

    async def open(self) -> None:
        """Connect to the file as it is now. Raises LedgerUnavailable."""
        self._close()
        path = self._place.path
        try:
            found = path.stat()
            self._file = (found.st_dev, found.st_ino)
            uri = f"{path.absolute().as_uri()}?mode=rw"
            self._connection = sqlite3.connect(uri, uri=True, timeout=BUSY_MS / 1000, isolation_level=None)
            self._connection.execute("pragma query_only = on")
        except (OSError, sqlite3.Error) as error:
            raise self._unavailable(error) from error

    async def close(self) -> None:
        """See LedgerReads."""
        self._close()

    async def standing(self, label: str, keys: Sequence[str]) -> Standing | None:
        """See LedgerReads."""
        return standing_of(await self._execute(STANDING["sqlite"], (json.dumps(keys), label)))

    async def ask(self, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """See LedgerReads."""
        return await self._execute(statement["sqlite"], parameters)

    async def _execute(self, text: str, parameters: Any) -> list[tuple[Any, ...]]:
        if self._connection is None:
            await self.open()
        assert self._connection is not None
        try:
            return self._connection.execute(text, parameters).fetchall()
        except sqlite3.Error as error:
            self._close()  # a file that was replaced, or damaged: the next request looks anew
            raise self._unavailable(error) from error

    async def look(self) -> None:
        """See LedgerReads: another file at the same path is another ledger, and the one to ask."""
        with contextlib.suppress(OSError):
            found = os.stat(self._place.path)
            if self._connection is not None and (found.st_dev, found.st_ino) != self._file:
                await self.open()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _unavailable(self, error: Exception) -> LedgerUnavailable:
        return LedgerUnavailable(f"the ledger {self._place.shown} cannot be read: {error}", hint="Check the file and its folder.")


class ServerReads:
    """Of a schema in PostgreSQL."""

    def __init__(self, place: ServerPlace) -> None:
        self._place, self._shown = place, place.shown
        settings = {**SETTINGS, "statement_timeout": f"{int(WAIT * 1000)}", "default_transaction_read_only": "on"}
        conninfo = postgres.conninfo(place.url, application_name="engram-bridge proxy", settings=settings)
        self._one = Pipelined(conninfo, place.schema, STANDING_OF_ONE, wait=WAIT)
        self._pool = AsyncConnectionPool(
            conninfo,
            connection_class=Abandoned,
            kwargs={"autocommit": True, "prepare_threshold": 0},
            min_size=1,
            max_size=CONNECTIONS,
            timeout=WAIT,
            reconnect_timeout=WAIT,
            configure=self._configure,
            open=False,
        )
        self._checking: asyncio.Task[None] | None = None

    async def _configure(self, connection: psycopg.AsyncConnection[Any]) -> None:
        await connection.execute(sql.SQL("set search_path to {}, pg_catalog").format(sql.Identifier(self._place.schema)))

    async def open(self) -> None:
        """See LedgerReads."""
        await self._pool.open()

    async def close(self) -> None:
        """See LedgerReads."""
        await self._one.close()
        if self._checking is not None:
            self._checking.cancel()
        await self._pool.close()

    async def look(self) -> None:
        """See LedgerReads: each connection is made to the place itself."""

    async def standing(self, label: str, keys: Sequence[str]) -> Standing | None:
        """See LedgerReads."""
        if len(keys) != 1:
            return standing_of(await self._execute(STANDING["postgresql"], (json.dumps(keys), label)))
        try:
            with self._translated():
                return standing_of(await self._one.ask((keys[0], label)))
        except LedgerUnavailable:  # after a restart of the server the connection is dead: the next one is not
            with self._translated():
                return standing_of(await self._one.ask((keys[0], label)))

    async def ask(self, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """See LedgerReads."""
        return await self._execute(statement["postgresql"], parameters)

    async def _execute(self, text: str, parameters: Any) -> list[tuple[Any, ...]]:
        try:
            async with asyncio.timeout(LONGEST):
                return await self._twice(text, parameters)
        except TimeoutError as error:
            raise self._silent() from error

    async def _twice(self, text: str, parameters: Any) -> list[tuple[Any, ...]]:
        try:
            with self._translated():
                return await self._once(text, parameters)
        except LedgerUnavailable:
            if self._checking is None or self._checking.done():  # after a restart of the server all its connections are dead
                self._checking = asyncio.create_task(self._pool.check(), name="ledger check")
            await asyncio.shield(self._checking)  # one that were left in the middle would lose the pool its connections
            with self._translated():
                return await self._once(text, parameters)

    async def _once(self, text: str, parameters: Any) -> list[tuple[Any, ...]]:
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(text.encode(), parameters)
                return await cursor.fetchall()
        except PoolTimeout as error:
            raise self._silent() from error

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """To a request, a login that was changed meanwhile is a ledger that is away."""
        try:
            with translated(self._shown):
                yield
        except ConfigError as error:
            raise LedgerUnavailable(str(error), hint=error.hint) from error

    def _silent(self) -> LedgerUnavailable:
        return LedgerUnavailable(f"the ledger {self._shown} does not answer", hint="Check that its server is running.")
