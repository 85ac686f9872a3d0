"""The ledger's notes about Engram: its spaces, and its starts."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import select, update

from bridge.ledger import tables
from bridge.ledger.patience import waits
from bridge.ledger.store import Store


class Targets(Store):
    """What `Ledger` knows of spaces and epochs."""

    @waits
    def space(self, name: str) -> tuple[bool, str] | None:
        """Whether it was empty when this ledger began, and the epoch it was last compared in."""
        s = tables.spaces.c
        with self.reading() as connection:
            row = connection.execute(select(s.pristine, s.repaired).where(s.name == name)).one_or_none()
        return (row[0], row[1]) if row else None

    @waits
    def spaces(self) -> list[str]:
        """The names of all spaces that were ever used."""
        with self.reading() as connection:
            return list(connection.execute(select(tables.spaces.c.name).order_by(tables.spaces.c.name)).scalars())

    @waits
    def rewritten(self, name: str) -> int:
        """The number of the epoch that a space was last written through in; 0: in none, or it is not known."""
        query = select(tables.spaces.c.rewritten).where(tables.spaces.c.name == name)
        with self.reading() as connection:
            return connection.execute(query).scalar() or 0

    @waits
    def put_space(
        self, name: str, *, pristine: bool | None = None, repaired: str | None = None, rewritten: int | None = None
    ) -> None:
        """Note a space, or that it was compared, or written through."""
        values: dict[str, Any] = {}
        if pristine is not None:
            values["pristine"] = pristine
        if repaired is not None:
            values["repaired"] = repaired
        if rewritten is not None:
            values["rewritten"] = rewritten
        with self.writing() as connection:
            changed = connection.execute(update(tables.spaces).where(tables.spaces.c.name == name).values(**values))
            if changed.rowcount == 0:
                connection.execute(tables.spaces.insert().values(name=name, **{"pristine": False, "repaired": "", **values}))

    @waits
    def put_epoch(self, epoch: str, *, seen: float | None = None, repaired: float | None = None) -> int:
        """Note that the target started, or that all was compared since. Answers the number of this start."""
        e = tables.epochs.c
        with self.writing() as connection:
            last = connection.execute(select(e.number, e.epoch).order_by(e.number.desc()).limit(1)).one_or_none()
            number = last[0] if last else 0
            if last is None or last[1] != epoch:
                number += 1
                connection.execute(tables.epochs.insert().values(number=number, epoch=epoch, seen=seen or time.time()))
            if repaired is not None:
                connection.execute(update(tables.epochs).where(e.epoch == epoch).values(repaired=repaired))
        return int(number)

    @waits
    def epochs(self) -> list[tuple[str, float, float | None]]:
        """The target's starts: epoch, when seen, when all was compared."""
        e = tables.epochs.c
        with self.reading() as connection:
            return [tuple(row) for row in connection.execute(select(e.epoch, e.seen, e.repaired).order_by(e.number))]
