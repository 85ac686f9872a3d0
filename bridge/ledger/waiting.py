"""What waits in the ledger: parked keys, and what other processes have asked about single keys."""

from __future__ import annotations

import time

from sqlalchemy import delete, func, select, update

from bridge.gate import Parked
from bridge.ledger import tables
from bridge.ledger.patience import waits
from bridge.ledger.store import Store
from bridge.memories import Key


class Waiting(Store):
    """What `Ledger` knows of keys that wait."""

    @waits
    def parked_keys(self, *, due: float | None = None) -> list[tuple[Key, Parked]]:
        """All parked keys, or those whose time to be tried again has come."""
        p = tables.parked.c
        query = select(tables.parked).order_by(p.since)
        if due is not None:
            query = query.where(p.retry_at <= due, ~p.dropped)
        with self.reading() as connection:
            rows = connection.execute(query).all()
        return [
            (
                (r.tbl, r.key),
                Parked(r.reason, r.detail, r.version, r.xid, r.since, r.attempts, r.retry_at, r.dropped),
            )
            for r in rows
        ]

    @waits
    def parked_count(self) -> int:
        """How many keys are parked, those aside that were dropped."""
        with self.reading() as connection:
            return (
                connection.execute(select(func.count()).select_from(tables.parked).where(~tables.parked.c.dropped)).scalar() or 0
            )

    @waits
    def drop_parked(self, key: Key) -> None:
        """Stop waiting for a key: PostgreSQL answers for it until its next change is proven."""
        p = tables.parked.c
        with self.writing() as connection:
            connection.execute(update(tables.parked).where(p.tbl == key[0], p.key == key[1]).values(dropped=True, retry_at=None))

    @waits
    def request(self, verb: str, key: Key) -> None:
        """Ask the running bridge, in another process, to do something with a key."""
        with self.writing() as connection:
            connection.execute(tables.requests.insert().values(verb=verb, tbl=key[0], key=key[1], made=time.time()))

    def take_requests(self) -> list[tuple[str, Key]]:
        """What was asked since the last call."""
        found = self._requests()
        if found:
            self._drop_requests(found[-1][0])  # asked again after a lost answer, it finds none: what was read must stay
        return [(verb, key) for _id, verb, key in found]

    @waits
    def _requests(self) -> list[tuple[int, str, Key]]:
        with self.reading() as connection:
            rows = connection.execute(select(tables.requests).order_by(tables.requests.c.id)).all()
        return [(row.id, row.verb, (row.tbl, row.key)) for row in rows]

    @waits
    def _drop_requests(self, last: int) -> None:
        with self.writing() as connection:
            connection.execute(delete(tables.requests).where(tables.requests.c.id <= last))
