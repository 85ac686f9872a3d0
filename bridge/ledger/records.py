"""What the ledger gives and takes: records of tables and chunks, and the batch of one durable step; its two joins as SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.ledger.books import Outcome
from bridge.lsn import Lsn

MIGRATED = "migrated_at"
"""Fact: the newest position at which a one-shot migration has read its rows."""

RESYNC_ASKED, RESYNC_BEHIND, RESYNC_LOADING = "asked", "asked behind a barrier", "loading"
"""Values of the fact `resync:<table>`: the table is to be loaded again, at once or when all transactions that run now have ended;
it is being loaded again. With `@<lsn>` after it, rows are read by key once everything before that position is recorded."""


def resyncing(facts: Mapping[str, str]) -> dict[int, str]:
    """The tables that are to be read again, or are being, by number, and the wish."""
    return {int(name.partition(":")[2]): value for name, value in facts.items() if name.startswith("resync:")}


def known_too(wish: str | None) -> str:
    """The wish to read the known rows again by key, beside one that stands: a loading alone reads what is not loaded yet."""
    if wish is not None and wish.startswith(RESYNC_LOADING):
        return wish if "@" in wish else f"{RESYNC_LOADING}@0"
    return wish or "rows by key"


SERVING, FILLING, RETIRED = "serving", "filling", "retired"
"""The role of a generation: it answers; it is loaded into new spaces, to take that one's place; its memories are forgotten."""


@dataclass(frozen=True, slots=True)
class TableRecord:
    """A generation of a carried table as the ledger knows it. `columns` is its definition at that time, for comparison.

    `role`: SERVING, FILLING or RETIRED. `origin` is the number of the table's first generation: edges name their parent by it.
    """

    number: int
    label: str
    spaces: tuple[str, ...]
    columns: list[dict[str, Any]]
    state: str
    reason: str | None
    floor: str
    reached: Lsn
    rows_estimated: int
    role: str
    origin: int


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """One chunk of a table's plan."""

    number: int
    after: tuple[str, ...] | None
    upto: tuple[str, ...] | None
    done: bool = False
    rows: int = 0
    reached: Lsn = 0


@dataclass(slots=True)
class Batch:
    """What one durable step of the ledger records together."""

    outcomes: list[Outcome] = field(default_factory=list)
    chunks: list[tuple[int, ChunkRecord]] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)


STALE = """
    select e.tbl, e.key
      from edges e
      left join alternates a
        on a.lookup = e.lookup and a.value = e.lookup_value and a.tbl in (select number from tables where role = 'serving')
     where e.lookup is not null
       and coalesce(a.key, '') <> coalesce(e.parent_key, '')
       and (e.tbl, e.key) > (:table, :key)
     order by e.tbl, e.key
     limit :limit
"""
"""What `books.record` answers as it goes along, found again after a run that died in between."""

PENDING = """
    select e.tbl, count(*)
      from edges e
      left join tables t on t.origin = e.parent and t.role = 'serving'
      left join memories m on m.tbl = t.number and m.key = e.parent_key and m.live
     where m.key is null
     group by e.tbl
"""
"""Children point at a parent that is not known, or not alive."""
