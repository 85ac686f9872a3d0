"""Shadow reads: PostgreSQL answers, and beside that it is found out whether Engram would have said the same.

Unlike answers are lag until the frontier has passed a WAL position that was taken after PostgreSQL's; then both are read again.
Still unlike, and both as they were, and so again a few seconds later: a mismatch, which is counted and kept, with the names of
its columns and no value.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from api.counting import Counting
from api.engram import EngramReads
from api.ledger import LedgerReads
from api.postgres import PostgresReads
from api.tables import Carried
from api.verdict import ABSENT, unproven
from bridge import reads, values
from bridge.errors import BridgeError, TargetUnavailable
from bridge.ledger import Serving, Standing
from bridge.lsn import Lsn
from bridge.memories import digest, split_content
from bridge.reads import Shadow

logger = logging.getLogger(__name__)

MOST = 64
"""Comparisons at the same time; what comes beyond is counted as unsettled."""

LOOK = 0.05
PATIENCE = 30.0
ROUNDS = 5
DOUBT = 3.0
"""Seconds after which what looks like a mismatch is looked at once more: within them the bridge, which asks once a second, has
seen that Engram was restarted, and a row that reverted is being mended, not wrong."""

AskPostgres = Callable[[Carried, Sequence[str]], Awaitable[dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Side:
    """What one of both says: a body, or that there is no row."""

    body: str | None

    @property
    def digest(self) -> str:
        """Of the body; empty without one."""
        return digest(self.body) if self.body is not None else ""


class Shadowing:
    """Comparisons in the background."""

    def __init__(
        self,
        *,
        ledger: LedgerReads,
        engram: EngramReads,
        postgres: PostgresReads,
        counting: Counting,
        serving: Serving,
        ask_postgres: AskPostgres,
    ) -> None:
        self._ledger = ledger
        self._engram = engram
        self._postgres = postgres
        self._counting = counting
        self._serving = serving
        self._ask_postgres = ask_postgres
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, table: Carried, key: str, standing: Standing, body: str | None) -> None:
        """Compare what PostgreSQL has just answered; nobody waits for it."""
        if len(self._tasks) >= MOST:
            self._count(table, Shadow.UNSETTLED)
            return
        task = asyncio.create_task(self._compare(table, key, standing, Side(body)), name="shadow")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Until nothing is being compared."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def close(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _compare(self, table: Carried, key: str, standing: Standing, ours: Side) -> None:
        try:
            found = await self._found(table, key, standing, ours)
        except BridgeError:
            found = Shadow.UNSETTLED
        self._count(table, found)

    def _count(self, table: Carried, found: Shadow) -> None:
        self._counting.add(table.label, reads.shadow(found))

    async def _found(self, table: Carried, key: str, standing: Standing, ours: Side) -> Shadow:
        theirs = await self._theirs(table, key, standing)
        if theirs is None:
            return Shadow.UNSETTLED
        if ours.digest == theirs.digest:
            return Shadow.SAME
        doubted = False
        for _round in range(ROUNDS):
            after = await self._passed(table, key, await self._postgres.position())
            if after is None:
                return Shadow.LAG
            now_ours = Side((await self._ask_postgres(table, [key])).get(key))
            now_theirs = await self._theirs(table, key, after)
            if now_theirs is None:
                return Shadow.UNSETTLED
            if now_ours.digest == now_theirs.digest:
                return Shadow.LAG
            if (now_ours.digest, now_theirs.digest) == (ours.digest, theirs.digest):
                if doubted:
                    await self._keep(table, key, ours, theirs)
                    return Shadow.MISMATCH
                doubted = True
                await asyncio.sleep(DOUBT)
            ours, theirs = now_ours, now_theirs
        return Shadow.UNSETTLED

    async def _theirs(self, table: Carried, key: str, standing: Standing) -> Side | None:
        """What Engram says, as far as the ledger expects anything of it; None when nothing is expected, or it does not answer."""
        entry = standing.keys[key]
        reason = unproven(standing, key, now=standing.table.covered, max_staleness=1.0, min_lsn=0)
        if reason in ABSENT:
            return Side(None)
        if reason is not None or entry.space is None:
            return None
        try:
            stored = await self._engram.get(entry.space, table.prefix + key, table.label)
        except TargetUnavailable:
            return None
        parts = split_content(stored.content) if stored is not None else None
        if stored is not None and parts is None:
            return Side("")  # something that is not ours: unlike any row
        return Side(parts[0] if parts is not None else None)

    async def _passed(self, table: Carried, key: str, position: Lsn) -> Standing | None:
        """The standing once rows and columns of this position are in Engram; None when it does not within our patience."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            standing = await self._ledger.standing(table.label, [key])
            if standing is None:
                return None
            if standing.table.sure >= position:
                return standing
            await asyncio.sleep(LOOK)
        return None

    async def _keep(self, table: Carried, key: str, ours: Side, theirs: Side) -> None:
        columns = unlike(ours.body, theirs.body)
        logger.warning("a row differs between PostgreSQL and Engram", extra={"table": table.label, "columns": list(columns)})
        await asyncio.to_thread(self._serving.mismatch, table.label, key, columns)


def unlike(ours: str | None, theirs: str | None) -> list[str]:
    """The names of the columns in which two bodies differ; none when one of them is no row."""
    if not ours or not theirs:
        return []
    try:
        mine, other = values.split_object(ours), values.split_object(theirs)
    except (ValueError, RecursionError):
        return []
    return [name for name in dict.fromkeys([*mine, *other]) if mine.get(name) != other.get(name)]
