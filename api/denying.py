"""Saying that there is no row to a caller who may not learn which keys others use.

Another's row is answered as one that is not there. That holds only if it would be the answer whether it is there or not: while
PostgreSQL is away nobody can say of a key that it has no row, but Engram can still prove one, and a 404 for that one beside a 503
for all others would tell them apart. So before a caller is told that there is no row, it is found out whether that could be said
of any key now: PostgreSQL is asked for it where it is PostgreSQL's to say, and in `engram-only` everything that could keep a row
from being proven is looked for in the whole table. And a 503 tells no reason, since reasons are those of keys.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from api.ledger import states_of
from api.problems import Problem
from api.proxy import RETRY_AFTER, Answer, Proxy
from api.tables import Carried
from bridge.errors import Fatal, LedgerError, LedgerUnavailable, MappingError, SourceUnavailable, TargetUnavailable
from bridge.reads import Mode, Served


async def require_deniable(proxy: Proxy, table: Carried, answers: Iterable[Answer]) -> None:
    """Before these are answered as rows that are not there. Raises Problem when nobody could say that of a key now."""
    keys = [answer.key for answer in answers if answer.by is not Served.POSTGRES]
    if not keys:
        return
    try:
        if not await _provable(proxy, table):
            await proxy.ask_postgres(table, keys)
    except MappingError:
        return  # PostgreSQL has answered
    except (SourceUnavailable, Fatal, TargetUnavailable, LedgerUnavailable, LedgerError) as error:
        raise _nobody() from error


async def _provable(proxy: Proxy, table: Carried) -> bool:
    """Whether PostgreSQL is not asked, and every row of the table could be proven now.

    Raises TargetUnavailable when it is not asked and they could not, LedgerUnavailable and LedgerError.
    """
    standing = await proxy.ledger.standing(table.label, [])
    if standing is None or standing.table.route.mode is not Mode.ENGRAM_ONLY:
        return False
    state = (await states_of(proxy.ledger, [table.label])).get(table.label)
    if state is None or state.parked or not state.compared or await proxy.engram.epoch() != standing.table.epoch:
        raise TargetUnavailable("not every row of the table could be proven now")
    return True


@contextlib.contextmanager
def unexplained(*, narrow: bool) -> Iterator[None]:
    """Where not all rows are for the caller, a 503 says nothing about keys."""
    try:
        yield
    except Problem as problem:
        if narrow and problem.status == 503:
            raise _nobody() from problem
        raise


def _nobody() -> Problem:
    return Problem(
        503,
        "Nobody can answer now",
        "PostgreSQL is not asked or cannot answer, and an answer of Engram is not proven right and new enough.",
        headers={"Retry-After": str(RETRY_AFTER)},
    )
