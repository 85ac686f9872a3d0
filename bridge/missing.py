"""The other half of a resync: what the ledger expects and PostgreSQL does not have any more becomes a tombstone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import psycopg

from bridge.ledger import Ledger
from bridge.lsn import Version
from bridge.mapping import TablePlan
from bridge.origin import Rows, open_rows
from bridge.works import Kind, Work
from snapshot.absent import absent_keys
from snapshot.chunks import read_chunk
from snapshot.plan import Chunk

PAGE = 5_000


def missing_works(url: Rows, ledger: Ledger, plan: TablePlan, version: Version) -> Iterator[Work]:
    """A work for each key that the ledger expects, or has parked, and that no row of the table has. Raises SourceUnavailable.

    `version` is that of the snapshot's rows. Where nothing newer is known of a key, that it was absent from a statement is as
    good as a row that was found: what was inserted later comes by the stream. Where something is, the row is read again by its
    key; in a table without a key it is left alone, for then its latest change came by the stream.
    """
    with open_rows(url, "engram-bridge resync") as connection:
        if plan.keyless:
            there = {plan.key_of(row) for row in read_chunk(connection, plan.table, Chunk(0, None, None))}
            gone: Iterable[str] = (key for page in _expected(ledger, plan) for key in page if key not in there)
        else:
            gone = (key for page in _expected(ledger, plan) for key in _absent(connection, plan, page))
        for key in gone:
            yield Work(plan, key, Kind.DELETE, version=version, refresh=not plan.keyless, retry=True, background=True)


def _expected(ledger: Ledger, plan: TablePlan) -> Iterator[list[str]]:
    """The keys of the live memories, and of what waits without being one."""
    yield from ledger.live_keys(plan.number, page=PAGE)
    yield list(ledger.parked_of(plan.number))


def _absent(connection: psycopg.Connection, plan: TablePlan, page: list[str]) -> list[str]:
    values = {plan.key_values(key): key for key in page}
    return [values[absent] for absent in absent_keys(connection, plan.table, list(values))]
