"""PostgreSQL against the ledger: chunk by chunk in key order, and then what the ledger expects and no row has.

Where PostgreSQL can compute a row's mark it sends that, beside the key, and not the row: the row that differs is then known at
once, so nothing has to be narrowed. A row whose mark the ledger does not know yet is read, and its mark is learnt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from bridge.changes import Row
from bridge.errors import MappingError
from bridge.keys import join_key
from bridge.ledger import Marks
from bridge.lsn import Lsn
from bridge.mapping import TablePlan
from bridge.memories import digest, mark_of
from bridge.reconcile.tallies import ONLY_HERE, OTHER_ROW, UNKNOWN_HERE, Tally
from bridge.validation.settling import Look
from bridge.validation.sides import Sides, pages
from snapshot.absent import absent_keys
from snapshot.chunks import next_chunk, read_chunk
from snapshot.marks import comparable_there, read_marks
from snapshot.plan import Chunk, KeyText

PAGE = 2_000
"""Rows of a chunk: what is done again after a kill."""

FEW = 100
"""A chunk with more rows than this whose marks are not known is read whole."""


@dataclass(slots=True)
class SourceSide:
    """One table. `parked`: its keys that were set aside: nothing is expected of them. `learn`: whether marks may be kept."""

    sides: Sides
    plan: TablePlan
    parked: set[str]
    tally: Tally
    learn: bool = True
    size: int = PAGE

    def chunk(self, connection: psycopg.Connection, after: KeyText | None) -> tuple[KeyText | None, list[str]]:
        """Compare the rows behind a key; answers the last key, None after the last chunk, and the keys that differ.

        Raises SourceUnavailable, Fatal and LedgerUnavailable.
        """
        table = self.plan.table
        chunk = next_chunk(connection, table, after, self.size)
        suspects = self._by_mark(connection, chunk) if comparable_there(connection, table) else None
        if suspects is None:
            suspects = self.by_row(connection, chunk)
        return chunk.upto, [key for key in suspects if key not in self.parked]

    def whole(self) -> list[str]:
        """The keys of a table without a key that are on one side only: its rows can be compared by nothing else."""
        here, without, _lsn = self.sides.keys(self.plan)
        there = {key for page in self.sides.ledger.live_keys(self.plan.number) for key in page}
        self.tally.rows += len(here) + without
        self.tally.keys += len(there)
        return sorted((here ^ there) - self.parked)

    def expected(self, connection: psycopg.Connection, after: str | None) -> tuple[str | None, list[str]]:
        """The next keys that the ledger expects; answers the last, None after the last page, and those that no row has."""
        keys, last = self.sides.ledger.live_page(self.plan.number, after, self.size)
        self.tally.keys += len(keys)
        values = {self.plan.key_values(key): key for key in keys if key not in self.parked}
        gone = []
        for page in pages(values):
            gone += [values[absent] for absent in absent_keys(connection, self.plan.table, page)]
        return last, gone

    def look(self, keys: Sequence[str]) -> tuple[Mapping[str, Look[str]], Lsn]:
        """Both sides of these keys now, the row first: what the ledger knows is then rarely older."""
        rows, fence = self.sides.rows(self.plan, keys)
        entries = self.sides.ledger.entries(self.plan.number, keys)
        parked = self.sides.ledger.parked(
            self.plan.number, keys
        )  # now: a stage takes long, and a row may have been set aside in it
        looks = {}
        for key in keys:
            entry = entries.get(key)
            found = self._digest(rows[key]) if key in rows else ""
            expected = entry.digest if entry is not None and entry.live else ""
            right = found in (expected, None) or key in parked
            wrong = () if right else (ONLY_HERE if not found else OTHER_ROW if expected else UNKNOWN_HERE,)
            looks[key] = Look((found, expected, entry.version if entry is not None else None), wrong)
        return looks, fence

    def _digest(self, row: Row) -> str | None:
        """None for a row that has no form: its key is parked, or will be when its change comes."""
        try:
            return digest(self.plan.body(row))
        except MappingError:
            return None

    def _by_mark(self, connection: psycopg.Connection, chunk: Chunk) -> list[str] | None:
        """The keys that differ by what PostgreSQL has computed; None when too few marks are known to compare by them."""
        marks = {_key(values): mark for values, mark in read_marks(connection, self.plan.table, chunk)}
        found = {key: mark for key, mark in marks.items() if key is not None}
        known = Marks(self.sides.ledger).read(self.plan.number, list(found))
        if self.learn and sum(not mark for mark in known.values()) > FEW:
            return None
        self.tally.rows += len(found)
        self.tally.marked += len(found)
        return [key for key, mark in found.items() if known.get(key) != mark]

    def by_row(self, connection: psycopg.Connection, chunk: Chunk) -> list[str]:
        """The keys of a chunk that differ, by reading its rows; marks that are not known yet are learnt."""
        suspects: list[str] = []
        learnt: list[tuple[str, str, int]] = []
        for page in pages(self._bodies(connection, chunk)):
            self.tally.rows += len(page)
            known = self.sides.ledger.digests(self.plan.number, [key for key, _body in page])
            for key, body in page:
                found = digest(body)
                if known.get(key, ("", ""))[0] == found:
                    learnt.append((key, found, mark_of(body)))
                else:
                    suspects.append(key)
        if self.learn and comparable_there(connection, self.plan.table):
            Marks(self.sides.ledger).learn(self.plan.number, learnt)
        return suspects

    def _bodies(self, connection: psycopg.Connection, chunk: Chunk) -> Iterable[tuple[str, str]]:
        for row in read_chunk(connection, self.plan.table, chunk):
            try:
                yield self.plan.key_of(row), self.plan.body(row)
            except MappingError:
                continue  # its key is parked, or has no text at all: nobody expects anything of it


def _key(values: Row) -> str | None:
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) != len(values):
        return None
    return texts[0] if len(texts) == 1 else join_key(texts)
