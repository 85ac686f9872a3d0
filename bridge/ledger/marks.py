"""Second digests of live rows (`mark_of`), by which PostgreSQL's own side can be compared without being sent."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select, update

from bridge.ledger import tables
from bridge.ledger.books import BATCH
from bridge.ledger.ledger import Ledger
from bridge.ledger.patience import waits
from bridge.ledger.rows import among

_MARKS = f"select key, mark from memories where tbl = ? and key in ({', '.join('?' * BATCH)}) and live"


class Marks:
    """What a ledger says of them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.patience = ledger.patience

    @waits
    def read(self, table: int, keys: Sequence[str]) -> dict[str, int]:
        """Those of the live ones among these keys; 0 where none is known."""
        m = tables.memories.c
        found: dict[str, int] = {}
        with self._ledger.reading() as connection:
            for start in range(0, len(keys), BATCH):
                page = keys[start : start + BATCH]
                if connection.dialect.name == "sqlite":  # one statement for pages of all lengths, as for digests
                    padded = [*page, *[page[-1]] * (BATCH - len(page))]
                    rows = connection.exec_driver_sql(_MARKS, (table, *padded))
                else:
                    rows = connection.execute(select(m.key, m.mark).where(m.tbl == table, among(connection, m.key, page), m.live))
                found.update((key, mark) for key, mark in rows)
        return found

    @waits
    def learn(self, table: int, found: Sequence[tuple[str, str, int]]) -> None:
        """Keep marks that are not known yet: key, the digest of the body that it was made of, mark.

        A row that was written meanwhile has another digest, and a mark of its own.
        """
        if not found:
            return
        m = tables.memories
        here = (m.c.tbl == table, m.c.key == bindparam("k"), m.c.digest == bindparam("d"), m.c.mark == 0)
        with self._ledger.writing() as connection:
            connection.execute(
                update(m).where(*here).values(mark=bindparam("new")),
                [{"k": key, "d": body, "new": mark} for key, body, mark in found],
            )
