"""The proxy: for each row, who answers (law 7).

One statement of the ledger says where reads go and what is proven. Where nothing is against it Engram is asked, and its answer
counts only if version and digest are the ledger's; for anything else PostgreSQL answers, and the reason is told and counted.
When PostgreSQL cannot, Engram may answer in every mode if it could in its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from api.counting import Counting
from api.engram import BreakerOpen, DeadlineExceeded, EngramReads, HurriedUp
from api.freshness import Freshness
from api.hedging import Hedge
from api.ledger import LedgerReads
from api.postgres import PostgresReads, ShapeChanged
from api.problems import Problem, not_found
from api.shadow import Shadowing
from api.tables import Carried, Tables
from api.verdict import ABSENT, against_route, none_for_engram, unproven
from bridge import reads
from bridge.config import Config
from bridge.errors import BridgeError, Fatal, LedgerError, LedgerUnavailable, MappingError, SourceUnavailable, TargetUnavailable
from bridge.ledger import KeyStanding, Serving, Standing
from bridge.lsn import Lsn, Version
from bridge.memories import digest, split_content
from bridge.reads import Mode, Reason, Served

LOOK_FOR_LSN = 0.01
RETRY_AFTER = 1
SETTLING = 0.02
"""Seconds until a row that is being written is looked at again, where nobody else can answer."""

UNDER_WAY = frozenset({Reason.MISSING, Reason.DIFFERS})
"""What a row looks like while it is being written: between its forget and its record in the ledger."""

AT_ONCE = 16
"""Questions to Engram at the same time, of one request."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What the caller wants. `max_staleness` in seconds; `tenant`: whose rows are asked for."""

    min_lsn: Lsn = 0
    max_staleness: float | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One row, or that there is none: then `body` is None. `content` is the body with its stamp, from Engram only."""

    key: str
    body: str | None
    digest: str
    by: Served
    reason: Reason | None = None
    version: Version | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """Rows in the order they were asked for. `frontier` is None when the ledger could not be asked; `staleness` in seconds."""

    rows: list[Answer]
    frontier: Lsn | None = None
    staleness: float | None = None


@dataclass(slots=True)
class _Asking:
    """A request on its way: what is known of its keys, and what was answered so far."""

    table: Carried
    keys: Sequence[str]
    demand: Demand
    standing: Standing | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    reasons: dict[str, Reason] = field(default_factory=dict)
    hedge: Hedge | None = None

    @property
    def rest(self) -> list[str]:
        """Keys without an answer."""
        return [key for key in self.keys if key not in self.answers]


class Proxy:
    """Answers rows. One for a process, in one event loop."""

    def __init__(
        self,
        settings: Config,
        *,
        ledger: LedgerReads,
        engram: EngramReads,
        postgres: PostgresReads,
        tables: Tables,
        counting: Counting,
        serving: Serving,
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.engram = engram
        self.postgres = postgres
        self.tables = tables
        self.counting = counting
        self.freshness = Freshness()
        self.shadow = Shadowing(
            ledger=ledger, engram=engram, postgres=postgres, counting=counting, serving=serving, ask_postgres=self.ask_postgres
        )

    def table(self, name: str) -> Carried:
        """The carried table of that name. Raises Problem."""
        found = self.tables.find(name)
        if found is None:
            raise not_found(
                "There is no such table", "Names are those of /v1/tables: `orders` in public, `schema.table` elsewhere."
            )
        return found

    async def row(self, table: Carried, key: str, demand: Demand) -> Answers:
        """The row of this key. Raises Problem."""
        return await self.rows(table, (key,), demand)

    async def rows(self, table: Carried, keys: Sequence[str], demand: Demand) -> Answers:
        """The rows of these keys, in their order; the same key may be asked twice. Raises Problem."""
        began = time.perf_counter()
        if not table.key:
            raise not_found("The table has no key", "A row of it has no name; it is found by search only.")
        asking = _Asking(table, keys if len(keys) == 1 else list(dict.fromkeys(keys)), demand)
        try:
            await self._answer(asking)
        except Problem as problem:
            if problem.status >= 500:
                self.counting.add(table.label, reads.failed(problem.status), len(keys))
            raise
        self._count(asking, (time.perf_counter() - began) * 1000)
        rows = [asking.answers[key] for key in keys]
        if asking.standing is None:
            return Answers(rows)
        known = asking.standing.table
        return Answers(rows, known.proven, self.freshness.age(known.covered))

    # who answers

    async def _answer(self, asking: _Asking) -> None:
        try:
            asking.standing = standing = await self.standing(asking.table, asking.keys, asking.demand)
        except (LedgerUnavailable, LedgerError):
            asking.reasons = dict.fromkeys(asking.keys, Reason.LEDGER)
            await self._from_postgres(asking, asking.keys)
            return
        route = standing.table.route
        if route.mode is Mode.ENGRAM_ONLY:
            await self._only_engram(asking)
            return
        proven = []
        for key in asking.keys:
            reason = against_route(route, asking.table.prefix + key) or self._unproven(asking, key)
            if reason is None:
                proven.append(key)
            else:
                asking.reasons[key] = reason
        if proven:
            await self._from_engram(asking, proven, hedged=len(asking.keys) == 1)
        rest = asking.rest
        if rest:
            await self._from_postgres(asking, rest)

    async def standing(self, table: Carried, keys: Sequence[str], demand: Demand) -> Standing:
        """What the ledger says; for the position that the caller wants, it is waited a moment.

        Raises Problem for a table that is not carried any more, LedgerUnavailable and LedgerError.
        """
        wanted, end = demand.min_lsn, 0.0
        while True:
            standing = await self.ledger.standing(table.label, keys)
            if standing is None:
                with contextlib.suppress(BridgeError):
                    await self.tables.refresh()
                raise not_found("The table is not carried any more")
            if standing.table.sure >= wanted or none_for_engram(standing.table.route, table.prefix, keys):
                return standing
            end = end or time.monotonic() + self.settings.serve.min_lsn_wait
            if time.monotonic() >= end:
                return standing
            await asyncio.sleep(LOOK_FOR_LSN)

    def _unproven(self, asking: _Asking, key: str) -> Reason | None:
        assert asking.standing is not None
        allowed, now = self.allowed(asking.table, asking.demand), self.freshness.now(asking.standing.table.covered)
        return unproven(asking.standing, key, now=now, max_staleness=allowed, min_lsn=asking.demand.min_lsn)

    def allowed(self, table: Carried, demand: Demand) -> float:
        """Seconds that an answer may be behind PostgreSQL: the table's promise, or less when the caller wants that."""
        promised = table.options.max_staleness or self.settings.serve.max_staleness
        return promised if demand.max_staleness is None else min(promised, demand.max_staleness)

    async def _only_engram(self, asking: _Asking) -> None:
        """PostgreSQL is not asked: what the ledger knows to be gone is not there, and a row that is being written is awaited."""
        await self._from_engram_alone(asking, ledger_too=True)
        if asking.rest:
            raise self._nobody(asking, asking.rest)

    async def _from_engram_alone(self, asking: _Asking, *, ledger_too: bool) -> None:
        """The answers that can be had without PostgreSQL, whatever the route; `ledger_too`: also those that there is no row."""
        end = time.monotonic() + self.settings.serve.engram_deadline
        while True:
            proven = []
            for key in asking.rest:
                reason = self._unproven(asking, key)
                if reason is None:
                    proven.append(key)
                elif ledger_too and reason in ABSENT:
                    asking.answers[key] = Answer(key, None, "", Served.LEDGER)
                else:
                    asking.reasons[key] = reason
            if proven:
                await self._from_engram(asking, proven)
            if time.monotonic() >= end or not any(asking.reasons.get(key) in UNDER_WAY for key in asking.rest):
                return
            await asyncio.sleep(SETTLING)
            try:
                asking.standing = await self.standing(asking.table, asking.keys, asking.demand)
            except (LedgerUnavailable, LedgerError):
                asking.reasons |= dict.fromkeys(asking.rest, Reason.LEDGER)
                return

    # Engram

    async def _from_engram(self, asking: _Asking, keys: Sequence[str], *, hedged: bool = False) -> None:
        """What Engram can answer of these keys enters the answers, the reason of what it cannot the reasons."""
        if len(keys) == 1:
            await self._one_from_engram(asking, keys[0], hedged=hedged)
            return
        room = asyncio.Semaphore(AT_ONCE)

        async def one(key: str) -> None:
            async with room:
                await self._one_from_engram(asking, key)

        await asyncio.gather(*[one(key) for key in keys])

    async def _one_from_engram(self, asking: _Asking, key: str, *, hedged: bool = False) -> None:
        assert asking.standing is not None
        entry = asking.standing.keys[key]
        assert entry.space is not None
        late = None
        if hedged and not self.postgres.down:
            asking.hedge = Hedge(lambda: self.ask_postgres(asking.table, [key]))
            late = asking.hedge.begin
        try:
            stored = await self.engram.get(entry.space, asking.table.prefix + key, asking.table.label, late)
        except HurriedUp:
            asking.reasons[key] = Reason.SLOW
        except BreakerOpen:
            asking.reasons[key] = Reason.BREAKER
        except DeadlineExceeded:
            asking.reasons[key] = Reason.TIMEOUT
        except TargetUnavailable:
            asking.reasons[key] = Reason.ERROR
        else:
            answer = proven(entry, stored.content) if stored is not None else None
            if answer is not None:
                asking.answers[key] = answer
            else:
                asking.reasons[key] = Reason.DIFFERS if stored is not None else Reason.MISSING

    # PostgreSQL

    async def _from_postgres(self, asking: _Asking, keys: Sequence[str]) -> None:
        try:
            if asking.hedge is not None and asking.hedge.begun:
                found = await asking.hedge.answer()
            else:
                found = await self.ask_postgres(asking.table, keys)
        except MappingError as error:
            raise Problem(422, "A row has no form in JSON", str(error)) from error
        except (SourceUnavailable, Fatal) as error:
            await self._without_postgres(asking, error)
            return
        for key in keys:
            body = found.get(key)
            reason = asking.reasons[key]
            asking.answers[key] = Answer(key, body, digest(body) if body is not None else "", Served.POSTGRES, reason)
            standing = asking.standing
            if reason is Reason.SHADOW and standing is not None and standing.table.route.takes(asking.table.prefix + key):
                self.shadow.begin(asking.table, key, standing, body)

    async def _without_postgres(self, asking: _Asking, error: BridgeError) -> None:
        """PostgreSQL cannot answer: Engram does, where it could in its own mode."""
        untried = reads.FOREIGN_REASONS | UNDER_WAY
        if asking.standing is not None and any(asking.reasons[key] in untried for key in asking.rest):
            await self._from_engram_alone(asking, ledger_too=False)
        rest = asking.rest
        if rest:
            raise self._nobody(asking, rest) from error

    async def ask_postgres(self, table: Carried, keys: Sequence[str]) -> dict[str, str]:
        """Bodies of those of these keys that PostgreSQL has a row of. Raises SourceUnavailable, MappingError and Fatal."""
        for _attempt in range(2):
            if table.question is None:
                await self.relearn()
                table = self.tables.find(table.label) or table
                if table.question is None:
                    raise SourceUnavailable(f"{table.label} cannot be read from PostgreSQL now")
            plan = table.question.plan
            fitting = keys if len(table.key) == 1 else [key for key in keys if len(plan.key_values(key)) == len(table.key)]
            if not fitting:
                return {}
            try:
                return await self.postgres.rows(table.question, fitting)
            except ShapeChanged:
                await self.relearn()
                table = self.tables.find(table.label) or table
        raise SourceUnavailable(f"{table.label} is being changed in PostgreSQL")

    async def relearn(self) -> None:
        """Learn the tables anew. Raises SourceUnavailable when that cannot be done now."""
        try:
            await self.tables.refresh()
        except BridgeError as error:
            raise SourceUnavailable(f"the tables cannot be learnt anew now: {error}", hint=error.hint) from error

    # the end

    def _nobody(self, asking: _Asking, keys: Sequence[str]) -> Problem:
        """Neither can."""
        reasons = sorted({asking.reasons[key].value for key in keys if key in asking.reasons})
        return Problem(
            503,
            "Nobody can answer now",
            "PostgreSQL is not asked or cannot answer, and an answer of Engram is not proven right and new enough.",
            headers={"Retry-After": str(RETRY_AFTER), "X-Fallback-Reason": ", ".join(reasons)},
            reasons=reasons,
        )

    def _count(self, asking: _Asking, milliseconds: float) -> None:
        label, add = asking.table.label, self.counting.add
        for answer in asking.answers.values():
            add(label, reads.served(answer.by))
            add(label, reads.took(answer.by, milliseconds))
            if answer.reason is not None:
                add(label, reads.fell_back(answer.reason))


def proven(entry: KeyStanding, content: str) -> Answer | None:
    """The answer in a content, if version and digest are those of the ledger (law 6)."""
    parts = split_content(content)
    if parts is None or not parts[1].startswith(f'{{"v":"{entry.version}","d":"{entry.digest}",'):
        return None
    body = parts[0]
    if digest(body) != entry.digest:
        return None
    return Answer(entry.key, body, entry.digest, Served.ENGRAM, None, entry.version, content)
