"""Rounds of reconciliation: the running bridge's own, and those that were asked for; where they are, and what they found."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, select, update

from bridge.ledger import tables
from bridge.ledger.ledger import Ledger
from bridge.ledger.patience import waits

KEPT = 500
"""Rounds that are kept: of more, the oldest go."""

LOOKED = 50
"""So many of the newest are looked through for one of a kind."""

OWN = "bridge"
"""Who asks for the rounds that come by themselves."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One round. Times are in seconds since 1970; `began`, `ended`, `position` and `result` are None until then.

    `detail` is what was ordered: `tables` (none: all), `repair`, and `round` for one of the bridge's own.
    """

    number: int
    asked: float
    who: str
    detail: dict[str, Any]
    began: float | None
    seen: float | None
    ended: float | None
    position: dict[str, Any] | None
    result: dict[str, Any] | None

    @property
    def own(self) -> bool:
        """One of those over everything that come by themselves."""
        return bool(self.detail.get("round"))


class Reconciliations:
    """What a ledger knows of rounds. Any process may ask for one."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.patience = ledger.patience

    @waits
    def ask(self, who: str, detail: Mapping[str, Any], *, begun: bool = False) -> int:
        """Ask the running bridge for a round, or note one that the caller does himself; answers its number."""
        r, now = tables.reconciliations, time.time()
        row = {"asked": now, "who": who, "detail": json.dumps(dict(detail)), "began": now if begun else None}
        with self._ledger.shared() as connection:
            number = int(connection.execute(r.insert().values(**row).returning(r.c.id)).scalar_one())
            connection.execute(delete(r).where(r.c.id <= number - KEPT, r.c.ended.is_not(None)))
        return number

    @waits
    def newest(self, limit: int = 20) -> list[Reconciliation]:
        """The newest ones, newest first."""
        return self._read(limit=limit)

    @waits
    def waiting(self) -> list[Reconciliation]:
        """Those that have not ended: what somebody has asked for first, in the order in which it was."""
        found = self._read(tables.reconciliations.c.ended.is_(None), limit=KEPT)
        return sorted(found, key=lambda one: (one.own, one.number))

    @waits
    def last_ended(self) -> Reconciliation | None:
        """The newest of the bridge's own rounds that has ended and left no table out."""
        found = self._read(tables.reconciliations.c.ended.is_not(None), limit=LOOKED)
        return next((one for one in found if one.own and one.result is not None and one.result.get("whole")), None)

    @waits
    def find(self, number: int) -> Reconciliation | None:
        """The round of this number."""
        return next(iter(self._read(tables.reconciliations.c.id == number, limit=1)), None)

    @waits
    def begin(self, number: int) -> None:
        """It is under way."""
        self._set(number, began=time.time())

    @waits
    def at(self, number: int, position: Mapping[str, Any]) -> None:
        """It has come so far."""
        self._set(number, seen=time.time(), position=json.dumps(dict(position)))

    @waits
    def end(self, number: int, result: Mapping[str, Any]) -> None:
        """It has ended, with this."""
        self._set(number, ended=time.time(), position=None, result=json.dumps(dict(result)))

    def _set(self, number: int, **values: Any) -> None:
        r = tables.reconciliations
        with self._ledger.shared() as connection:
            connection.execute(update(r).where(r.c.id == number).values(**values))

    def _read(self, *conditions: ColumnElement[bool], limit: int) -> list[Reconciliation]:
        r = tables.reconciliations
        with self._ledger.reading() as connection:
            rows = connection.execute(select(r).where(*conditions).order_by(r.c.id.desc()).limit(limit)).all()
        return [_reconciliation(row) for row in rows]


def _reconciliation(row: Row[Any]) -> Reconciliation:
    position, result = (None if text is None else json.loads(text) for text in (row.position, row.result))
    return Reconciliation(row.id, row.asked, row.who, json.loads(row.detail), row.began, row.seen, row.ended, position, result)
