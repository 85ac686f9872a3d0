"""The carried tables as a proxy knows them: how requests name them, whose rows they hold, how their rows become bodies.

What names a memory (the id's prefix) and where it is (its space) follows from the ledger alone, so that Engram can be asked while
PostgreSQL is away. The plan, which takes the catalogue, is made when PostgreSQL can be reached, and made anew when the ledger has
another generation of a table or PostgreSQL another shape.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from typing import Any

from api.postgres import Question, question_of
from api.tenants import EVERYBODY
from bridge.config import Config
from bridge.config import Table as Options
from bridge.errors import BridgeError, ConfigError
from bridge.ledger import Ledger, TableRecord
from bridge.mapping import TablePlan
from bridge.postgres import connect, translated
from bridge.wiring import make_plan

logger = logging.getLogger(__name__)

AGAIN = 1.0
"""Seconds between two attempts to make plans."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A table that is carried. `question`, `plan`: None until PostgreSQL was reached, and for a table that is not as planned.

    `name`: how paths call it; `key`: the names of its key columns, none for a table without a key.
    """

    label: str
    name: str
    number: int
    prefix: str
    key: tuple[str, ...]
    options: Options
    plan: TablePlan | None = None
    question: Question | None = None


class Tables:
    """All carried tables. `find` is called by requests, `refresh` and `look` where there is time."""

    def __init__(self, settings: Config, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._by_name: dict[str, Carried] = {}
        self._seen: object = None
        self._making: asyncio.Task[None] | None = None
        self._next = 0.0
        self._failed = False

    def follow(self, settings: Config) -> None:
        """What the configuration promises is other now, of tables that it named before."""
        self._settings = settings
        tables = {table.label: replace(table, options=self._options(table.label)) for table in self.all()}
        self._by_name = {table.name: table for table in tables.values()} | tables

    def find(self, name: str) -> Carried | None:
        """The table of that name: `users` in public, or `schema.table`."""
        return self._by_name.get(name)

    def all(self) -> list[Carried]:
        """Every carried table, by label."""
        return sorted({table.label: table for table in self._by_name.values()}.values(), key=lambda table: table.label)

    async def open(self) -> None:
        """Learn what is carried; without PostgreSQL, as much as the ledger knows. Raises LedgerUnavailable and ConfigError."""
        await self.refresh()

    async def refresh(self) -> None:
        """Learn it anew; requests that find it wanting at the same time share one attempt."""
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._refresh(), name="tables")
        await asyncio.shield(self._making)

    async def _refresh(self) -> None:
        wait = self._next - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        try:
            self._by_name, self._seen = await asyncio.to_thread(self._read)
        finally:
            self._next = time.monotonic() + AGAIN

    def look(self) -> bool:
        """Whether the ledger says something else than when it was learnt; asked in a thread, once a second."""
        return self._failed or self._shape(self._ledger.tables()) != self._seen

    def _read(self) -> tuple[dict[str, Carried], object]:
        records = self._ledger.tables()
        plans: dict[str, TablePlan] = {}
        attributes: dict[int, int] = {}
        try:
            with connect(
                self._settings.serve.source or self._settings.source.url, application_name="engram-bridge proxy"
            ) as conn:
                with translated():
                    attributes = dict(
                        conn.execute("select oid::int8, relnatts::int4 from pg_class where relkind in ('r', 'p')").fetchall()
                    )
                plans = make_plan(self._settings, self._ledger, conn, register=False).mapping.plans
        except BridgeError as error:
            if not self._failed:
                logger.warning("the tables' shapes cannot be read now: %s", error, extra={"hint": error.hint})
            self._failed = True
            attributes, plans = self._known()
        else:
            self._failed = False
        tables = [_carried(record, self._options(record.label), plans.get(record.label), attributes) for record in records]
        return {table.name: table for table in tables} | {table.label: table for table in tables}, self._shape(records)

    def _known(self) -> tuple[dict[int, int], dict[str, TablePlan]]:
        """What was learnt before, while PostgreSQL cannot be asked: what is not so any more is found out by each question."""
        asked = [table.question for table in self.all() if table.question is not None]
        plans = {table.label: table.plan for table in self.all() if table.plan is not None}
        return {question.plan.table.oid: question.attributes for question in asked}, plans

    def _options(self, label: str) -> Options:
        tables = self._settings.tables
        return tables.get(label) or tables.get(label.removeprefix("public.")) or Options()

    @staticmethod
    def _shape(records: list[TableRecord]) -> object:
        return [(record.label, record.number, record.columns) for record in records]


def _carried(record: TableRecord, options: Options, plan: TablePlan | None, attributes: dict[int, int]) -> Carried:
    label = record.label
    name = label.removeprefix("public.") if label.startswith("public.") else label
    key = tuple(column["name"] for column in sorted((c for c in record.columns if c.get("key") is not None), key=_place))
    if plan is not None and plan.number != record.number:
        plan = None
    if (
        options.tenant not in (None, EVERYBODY)
        and plan is not None
        and options.tenant not in {c.name for c in plan.table.columns}
    ):
        raise ConfigError(
            f"tables.{name}.tenant: {options.tenant!r} is no carried column of {label}", hint="Name a column that is carried."
        )
    question = question_of(plan, attributes.get(plan.table.oid, -1)) if plan is not None and plan.key_indexes else None
    prefix = plan.prefix if plan is not None else label.removeprefix("public.").replace(".", "_", 1) + "_"
    return Carried(label, name, record.number, prefix, key, options, plan, question)


def _place(column: dict[str, Any]) -> int:
    return int(column["key"])
