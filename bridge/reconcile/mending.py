"""Mending goes through the lanes, by refresh (laws 3 and 11): whatever was compared, a lane decides anew what is to be done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bridge.changes import UNCHANGED, Row
from bridge.frontier import Token
from bridge.mapping import TablePlan
from bridge.pool import LanePool
from bridge.reconcile.tallies import BACK, ONLY_HERE, OTHER_ROW, STRAY, UNKNOWN_HERE
from bridge.works import Kind, Work

PATIENCE = 300.0
"""Seconds until what was put into the lanes is no longer waited for. It is done all the same, and seen by the next round."""

POLL = 0.1

Broken = tuple[TablePlan, str, str]
"""A table, a key of it, and what is wrong (`KINDS`)."""


@dataclass(slots=True)
class Mender:
    """The lanes of a running bridge. `version`: that of a snapshot's rows, below all that was streamed.

    `reload` has a table without a key read whole, each row looked at in Engram; `compare` has whole spaces compared, until
    `compared`.
    """

    pool: LanePool
    version: Callable[[], str]
    reload: Callable[[TablePlan, Token], None]
    compare: Callable[[Sequence[str]], None]
    compared: Callable[[], bool]
    stop: Callable[[], bool]

    def clear(self, space: str) -> None:
        """Have what belongs to no table that is carried forgotten, and wait for it: the comparison of a space sees to that."""
        self.compare([space])
        self._wait(self.compared)

    def mend(self, broken: Sequence[Broken], rows: Callable[[TablePlan, list[str]], Mapping[str, Row]]) -> None:
        """Have these put in order, and wait until that is recorded. `rows` reads rows of a table without a key again."""
        token = Token(threading.Lock(), streamed=False)
        whole: dict[int, TablePlan] = {}
        again = _read_again(broken, rows)
        for plan, key, kind in broken:
            work = self._keyless(plan, key, kind, again[plan.number].get(key)) if plan.keyless else self._work(plan, key, kind)
            if work is None:
                whole[plan.number] = plan
                continue
            work.belongs_to(token)
            while not self.pool.wait_for_room(background=True, timeout=0.5):
                if self.stop():
                    return
            self.pool.put(work)
        for plan in whole.values():
            token.add()
            self.reload(plan, token)
        token.closed = True
        self.pool.wake()
        self._wait(lambda: token.complete("proven"))

    def _wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done() and time.monotonic() < deadline and not self.stop():
            time.sleep(POLL)

    def _work(self, plan: TablePlan, key: str, kind: str) -> Work:
        """A row that PostgreSQL has otherwise comes as a snapshot's row of which no column is known: the lane reads it again,
        writes what is there or forgets what is not, and whatever is streamed wins over it."""
        if kind not in (UNKNOWN_HERE, ONLY_HERE, OTHER_ROW):
            return Work(plan, key, suspect=True, background=True)
        row = (UNCHANGED,) * len(plan.table.columns)
        return Work(plan, key, Kind.ROW, row=row, version=self.version(), refresh=True, background=True)

    def _keyless(self, plan: TablePlan, key: str, kind: str, row: Row | None) -> Work | None:
        """None where the whole table has to be read. Nothing but its values names a row of such a table."""
        if kind in (BACK, STRAY):
            return Work(plan, key, suspect=True, background=True)
        if kind == ONLY_HERE:
            return Work(plan, key, Kind.DELETE, version=self.version(), retry=True, background=True)
        return None if row is None else Work(plan, key, Kind.ROW, row=row, version=self.version(), background=True)


def _read_again(
    broken: Sequence[Broken], rows: Callable[[TablePlan, list[str]], Mapping[str, Row]]
) -> dict[int, Mapping[str, Row]]:
    """By table without a key: its rows that the ledger lacks. Reading some of them reads the whole table, so it is done once."""
    keys: dict[int, tuple[TablePlan, list[str]]] = {}
    for plan, key, kind in broken:
        if plan.keyless:
            wanted = keys.setdefault(plan.number, (plan, []))[1]
            wanted += [key] if kind == UNKNOWN_HERE else []
    return {number: rows(plan, wanted) if wanted else {} for number, (plan, wanted) in keys.items()}
