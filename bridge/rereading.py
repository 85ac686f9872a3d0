"""Reading tables without a key whole again: the only way to mend their rows, and to learn that one of them is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bridge.changes import Row
from bridge.frontier import Token
from bridge.gate import Parked
from bridge.mapping import TablePlan
from bridge.pool import LanePool
from bridge.postgres import snapshot_sees
from bridge.works import Kind, Work
from bridge.workshop import Workshop


@dataclass(slots=True)
class _Reading:
    """One table. With tokens the target is looked at for each row, without them each row's references are resolved anew."""

    plan: TablePlan
    tokens: list[Token]
    begun: bool = False


@dataclass(slots=True)
class Rereading:
    """What is to be read whole. `rows` reads a table in one statement, `snapshot` asks what a statement would see now."""

    shop: Workshop
    pool: LanePool
    rows: Callable[[TablePlan], Iterator[Row]]
    snapshot: Callable[[], str]
    _waiting: list[_Reading] = field(default_factory=list)

    def ask(self, plan: TablePlan, token: Token | None = None) -> None:
        """Have a table read. `token` counts its rows, and one more until the last of them was put.

        Those who ask before it has begun share one reading, so that a target that restarts all the time piles up none.
        """
        for reading in self._waiting:
            if reading.plan.number == plan.number and not reading.begun and bool(reading.tokens) == (token is not None):
                reading.tokens += [token] if token is not None else []
                return
        self._waiting.append(_Reading(plan, [token] if token is not None else []))

    def __len__(self) -> int:
        return len(self._waiting)

    def step(self, wait: Callable[[], bool]) -> None:
        """Read what waits; `wait` waits for room in the lanes, False when all is to end. Raises SourceUnavailable."""
        for reading in list(self._waiting):
            reading.begun = True
            if self._read(reading, wait):
                self._waiting.remove(reading)
                for token in reading.tokens:
                    token.done("written")
                    token.done("proven")

    def _read(self, reading: _Reading, wait: Callable[[], bool]) -> bool:
        plan = reading.plan
        absent = self._seen_by_all(plan)
        for row in self.rows(plan):
            key = plan.key_of(row)
            absent.pop(key, None)
            work = Work(plan, key, Kind.NOTHING, row, background=True)
            if reading.tokens:
                work.suspect = True
            else:
                work.refresh = work.retry = True
            if not self._put(work, reading, wait):
                return False
        for key, parked in absent.items():
            gone = Work(plan, key, Kind.DELETE, version=parked.version, retry=True, background=True)
            if not self._put(gone, reading, wait):
                return False
        self.pool.wake()
        return True

    def _put(self, work: Work, reading: _Reading, wait: Callable[[], bool]) -> bool:
        if not wait():
            return False
        for token in reading.tokens:
            work.belongs_to(token)
        self.pool.put(work)
        return True

    def _seen_by_all(self, plan: TablePlan) -> dict[str, Parked]:
        """The parked keys whose latest change every reading from now on has seen (law 11): one that finds no row for them settles
        them, since nothing else would: they cannot be read again by what the ledger knows of them."""
        parked = self.shop.ledger.parked(plan.number, sorted(self.shop.ledger.parked_of(plan.number)))
        snapshot = self.snapshot() if parked else ""
        below = self.shop.visible_below
        return {
            key: found
            for key, found in parked.items()
            if not found.dropped and (found.xid is None or found.version < below or snapshot_sees(snapshot, found.xid))
        }
