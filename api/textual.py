"""Search in PostgreSQL, for when Engram cannot: its full text of the same columns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from api import fulltext
from api.postgres import NotAKey, ShapeChanged, Texts
from api.proxy import Proxy
from api.ranking import Found
from api.searches import Search
from api.tables import Carried
from bridge.errors import SourceUnavailable
from bridge.values import base_of

AT_ONCE = 4
SCALE = "postgres"


class Textual:
    """Answers searches from PostgreSQL. One for a process."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def find(self, search: Search) -> list[Found]:
        """The best rows of each table. Raises SourceUnavailable and Fatal."""
        parts = await asyncio.gather(*[self._of_table(search, table) for table in search.tables])
        return [one for part in parts for one in part]

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Nobody waits for a turn longer than PostgreSQL may take for an answer. Raises SourceUnavailable."""
        try:
            await asyncio.wait_for(self._turns.acquire(), self._proxy.settings.serve.postgres_timeout)
        except TimeoutError as error:
            raise SourceUnavailable("too many searches wait for PostgreSQL") from error
        try:
            yield
        finally:
            self._turns.release()

    async def _of_table(self, search: Search, table: Carried) -> list[Found]:
        async with self._turn():
            for _attempt in range(2):
                if table.plan is not None:
                    try:
                        return await self._asked(search, table)
                    except ShapeChanged:
                        pass
                await self._proxy.relearn()
                table = self._proxy.tables.find(table.label) or table
        raise SourceUnavailable(f"{table.label} cannot be searched in PostgreSQL now")

    async def _asked(self, search: Search, table: Carried) -> list[Found]:
        assert table.plan is not None
        column = search.tenants.column(table.label)
        mine = [search.demand.tenant or ""] if column is not None else []
        query = fulltext.statement(table.plan, tenant=column)
        try:
            answer = await self._proxy.postgres.texts(query, [search.text, str(search.limit), *mine])
        except NotAKey as error:  # the text cannot be a text here
            raise SourceUnavailable("PostgreSQL does not take this text") from error
        ranks, bodies = await self._bodies(table, answer)
        return [
            Found(table.label, key, table.prefix + key, bodies[key], ranks[key], SCALE)
            for key in ranks
            if key in bodies and search.sees(table, bodies[key])
        ]

    async def _bodies(self, table: Carried, answer: Texts) -> tuple[dict[str, float], dict[str, str]]:
        """Ranks and bodies by key. Of a table without a key whole rows have come."""
        plan = table.plan
        assert plan is not None
        if not plan.keyless:
            ranks = {str(row[1]): float(str(row[0])) for row in answer.rows}
            if not ranks:
                return {}, {}
            return ranks, await self._proxy.ask_postgres(table, list(ranks))
        if answer.types[1:] != tuple(base_of(column.type).oid for column in plan.table.columns):
            raise ShapeChanged
        rows = {plan.key_of(row[1:]): row for row in answer.rows}
        return {key: float(str(row[0])) for key, row in rows.items()}, {key: plan.body(row[1:]) for key, row in rows.items()}
