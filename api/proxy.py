"""The proxy: for each row, who answers (law 7).

One statement of the ledger says where reads go and what is proven. Where nothing is against it Engram is asked, and its answer
counts only if version and digest are the ledger's; for anything else PostgreSQL answers, and the reason is told and counted.
When PostgreSQL cannot, Engram may answer in every mode if it could in its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from api.counting import Counting
from api.engram import BreakerOpen, DeadlineExceeded, EngramReads
from api.freshness import Freshness
from api.ledger import LedgerReads
from api.postgres import PostgresReads, Rows, ShapeChanged
from api.problems import Problem, not_found
from api.tables import Carried, Tables
from api.verdict import ABSENT, against_route, unproven
from bridge import reads
from bridge.config import Config
from bridge.errors import BridgeError, Fatal, LedgerError, LedgerUnavailable, SourceUnavailable, TargetUnavailable
from bridge.ledger import KeyStanding, Standing
from bridge.lsn import Lsn, Version
from bridge.memories import digest, split_content
from bridge.reads import Mode, Reason, Served

LOOK_FOR_LSN = 0.01
RETRY_AFTER = 1
SETTLING = 0.02
"""Seconds until a row that is being written is looked at again, where nobody else can answer."""


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
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.engram = engram
        self.postgres = postgres
        self.tables = tables
        self.counting = counting
        self.freshness = Freshness()

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
        return await self.rows(table, [key], demand)

    async def rows(self, table: Carried, keys: Sequence[str], demand: Demand) -> Answers:
        """The rows of these keys, in their order; the same key may be asked twice. Raises Problem."""
        began = time.perf_counter()
        if not table.key:
            raise not_found("The table has no key", "A row of it has no name; it is found by search only.")
        asking = _Asking(table, list(dict.fromkeys(keys)), demand)
        try:
            await self._answer(asking)
        except Problem as problem:
            if problem.status >= 500:
                self.counting.add(table.label, reads.failed(problem.status), len(keys))
            raise
        self._count(asking, (time.perf_counter() - began) * 1000)
        known = asking.standing.table if asking.standing is not None else None
        rows = [asking.answers[key] for key in keys]
        if known is None:
            return Answers(rows)
        return Answers(rows, known.proven, self.freshness.age(known.covered))

    # who answers

    async def _answer(self, asking: _Asking) -> None:
        try:
            asking.standing = await self._standing(asking)
        except (LedgerUnavailable, LedgerError):
            asking.reasons = dict.fromkeys(asking.keys, Reason.LEDGER)
            await self._from_postgres(asking, asking.keys)
            return
        standing = asking.standing
        only = standing.table.route.mode is Mode.ENGRAM_ONLY
        proven: list[str] = []
        for key in asking.keys:
            reason = against_route(standing.table.route, asking.table.prefix + key) or self._unproven(asking, key)
            if reason is None:
                proven.append(key)
            elif only and reason in ABSENT:
                asking.answers[key] = Answer(key, None, "", Served.LEDGER)
            else:
                asking.reasons[key] = reason
        if proven:
            await self._from_engram(asking, proven)
        rest = [key for key in asking.keys if key not in asking.answers]
        if not rest:
            return
        if only:
            raise self._nobody(asking, rest)
        await self._from_postgres(asking, rest)

    async def _standing(self, asking: _Asking) -> Standing:
        """What the ledger says; for the position that the caller wants, it is waited a moment."""
        label, demand = asking.table.label, asking.demand
        end = time.monotonic() + self.settings.serve.min_lsn_wait
        while True:
            standing = await self.ledger.standing(label, asking.keys)
            if standing is None:
                await self.tables.refresh()
                raise not_found("The table is not carried any more")
            if standing.table.proven >= demand.min_lsn or standing.table.route.mode in (Mode.POSTGRES, Mode.SHADOW):
                return standing
            if time.monotonic() >= end:
                return standing
            await asyncio.sleep(LOOK_FOR_LSN)

    def _unproven(self, asking: _Asking, key: str) -> Reason | None:
        assert asking.standing is not None
        allowed = asking.table.options.max_staleness or self.settings.serve.max_staleness
        if asking.demand.max_staleness is not None:
            allowed = min(allowed, asking.demand.max_staleness)
        now = self.freshness.now(asking.standing.table.covered)
        return unproven(asking.standing, key, now=now, max_staleness=allowed, min_lsn=asking.demand.min_lsn)

    # Engram

    async def _from_engram(self, asking: _Asking, keys: Sequence[str]) -> None:
        """What Engram can answer of these keys enters the answers, the reason of what it cannot the reasons."""
        if len(keys) == 1:
            await self._one_from_engram(asking, keys[0])
        else:
            await asyncio.gather(*[self._one_from_engram(asking, key) for key in keys])

    async def _one_from_engram(self, asking: _Asking, key: str) -> None:
        assert asking.standing is not None
        entry = asking.standing.keys[key]
        try:
            assert entry.space is not None
            stored = await self.engram.get(entry.space, asking.table.prefix + key, asking.table.label)
        except BreakerOpen:
            asking.reasons[key] = Reason.BREAKER
        except DeadlineExceeded:
            asking.reasons[key] = Reason.TIMEOUT
        except TargetUnavailable:
            asking.reasons[key] = Reason.ERROR
        else:
            if stored is None:
                asking.reasons[key] = Reason.MISSING
                return
            answer = _proven(entry, stored.content)
            if answer is None:
                asking.reasons[key] = Reason.DIFFERS
            else:
                asking.answers[key] = answer

    # PostgreSQL

    async def _from_postgres(self, asking: _Asking, keys: Sequence[str]) -> None:
        try:
            found = await self.ask_postgres(asking.table, keys)
        except (SourceUnavailable, Fatal) as error:
            await self._instead(asking, keys, error)
            return
        for key in keys:
            body = found.bodies.get(key)
            asking.answers[key] = Answer(
                key, body, digest(body) if body is not None else "", Served.POSTGRES, asking.reasons[key]
            )

    async def _instead(self, asking: _Asking, keys: Sequence[str], error: BridgeError) -> None:
        """PostgreSQL cannot answer: Engram does, if it could in its own mode and was not asked yet."""
        if asking.standing is not None:
            wanted = [key for key in keys if asking.reasons[key] in reads.FOREIGN_REASONS and self._unproven(asking, key) is None]
            if wanted:
                await self._from_engram(asking, wanted)
        rest = [key for key in keys if key not in asking.answers]
        if rest:
            raise self._nobody(asking, rest) from error

    async def ask_postgres(self, table: Carried, keys: Sequence[str], *, lsn: bool = False) -> Rows:
        """What PostgreSQL says of these keys. Raises SourceUnavailable and Fatal."""
        for _attempt in range(2):
            if table.question is None:
                await self.tables.refresh()
                table = self.tables.find(table.label) or table
                if table.question is None:
                    raise SourceUnavailable(f"{table.label} cannot be read from PostgreSQL now")
            fitting = [key for key in keys if len(table.question.plan.key_values(key)) == len(table.key)]
            if not fitting:
                return Rows({})
            try:
                return await self.postgres.rows(table.question, fitting, lsn=lsn)
            except ShapeChanged:
                await self.tables.refresh()
                table = self.tables.find(table.label) or table
        raise SourceUnavailable(f"{table.label} is being changed in PostgreSQL")

    # the end

    def _nobody(self, asking: _Asking, keys: Sequence[str]) -> Problem:
        """Neither can."""
        reasons = sorted({asking.reasons[key].value for key in keys})
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


def _proven(entry: KeyStanding, content: str) -> Answer | None:
    """The answer in a content, if version and digest are those of the ledger (law 6)."""
    parts = split_content(content)
    if parts is None or not parts[1].startswith(f'{{"v":"{entry.version}","d":"{entry.digest}",'):
        return None
    body = parts[0]
    if digest(body) != entry.digest:
        return None
    return Answer(entry.key, body, entry.digest, Served.ENGRAM, None, entry.version, content)
