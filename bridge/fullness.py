"""How full the spaces of the tables are, and how many shards a table would need that has outgrown its own.

At `target.limit` new keys are parked (`capacity`), never sent: beyond its capacity the server evicts rows without a word. So an
operator is told when a space is nearly full, and again when keys find no room in it, with the one command that mends it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from bridge.capacity import proposed_shards
from bridge.ledger import Ledger

logger = logging.getLogger(__name__)

NEARLY = 0.8
"""The share of its limit from which on a space counts as nearly full."""

LIMIT = 90_000
"""The limit that is assumed where no run has said its own yet: the configuration's default."""


@dataclass(frozen=True, slots=True)
class Fullness:
    """A table of which a space is nearly full or full. `rows` in all of its `spaces`, `waiting`: its keys that found no room;
    `shards` would hold both within `limit`, which is the rows that one space may hold; `fullest` is the fullest space."""

    table: str
    spaces: int
    rows: int
    waiting: int
    fullest: str
    fullest_rows: int
    limit: int
    shards: int

    @property
    def sentence(self) -> str:
        """What an operator should know."""
        places = f"{self.rows:,} rows in {self.spaces} space{'s' if self.spaces > 1 else ''}"
        if self.waiting:
            told = f"{self.waiting:,} more {'is' if self.waiting == 1 else 'are'} parked"
        else:
            told = f"{self.fullest} holds {self.fullest_rows:,} of {self.limit:,}"
        name = self.table.removeprefix("public.")
        return f"{name}: {places}; {told}; engram-bridge reshard {self.table} {self.shards} would do"


def crowded(ledger: Ledger, limit: int) -> list[Fullness]:
    """The tables of which a space is nearly full, or has no room for a key. Reads all memories."""
    by_space = _by_space(ledger)
    rows: Counter[int] = Counter()
    for (number, _shard), count in ledger.live_counts().items():
        rows[number] += count
    waiting = Counter(key[0] for key, parked in ledger.parked_keys() if parked.reason == "capacity" and not parked.dropped)
    found = []
    for record in ledger.tables():
        fullest = max(record.spaces, key=lambda space: by_space[space])
        number, waits = record.number, waiting[record.number]
        if waits or by_space[fullest] >= NEARLY * limit:
            shards = max(proposed_shards(rows[number] + waits, limit), len(record.spaces) + 1)
            found.append(
                Fullness(record.label, len(record.spaces), rows[number], waits, fullest, by_space[fullest], limit, shards)
            )
    return found


def filled(ledger: Ledger, limit: int) -> dict[str, float]:
    """How full the fullest space of each table is, as a share of the limit. Reads all memories."""
    by_space = _by_space(ledger)
    return {record.label: max(by_space[space] for space in record.spaces) / limit for record in ledger.tables()}


def _by_space(ledger: Ledger) -> Counter[str]:
    """Rows of all tables together: several can share a space."""
    by_space: Counter[str] = Counter()
    counts = ledger.live_counts()
    for record in ledger.generations():
        for shard, space in enumerate(record.spaces):
            by_space[space] += counts.get((record.number, shard), 0)
    return by_space


@dataclass(slots=True)
class Warden:
    """Tells once a space that it is nearly full, and once a table that keys of it found no room."""

    ledger: Ledger
    _near: set[str] = field(default_factory=set)
    _full: set[str] = field(default_factory=set)

    def look(self, limit: int, spaces: Iterable[tuple[str, int]]) -> None:
        """Look at spaces with the rows that they hold. Cheap as long as there is nothing to tell. Raises LedgerError."""
        near = {space for space, rows in spaces if rows >= NEARLY * limit}
        if not (near - self._near or (near - self._full and self._no_room())):
            return
        for one in crowded(self.ledger, limit):
            if one.waiting and one.fullest not in self._full:
                logger.warning("a space is full: %s", one.sentence, extra={"table": one.table, "space": one.fullest})
                self._full.add(one.fullest)
            elif one.fullest not in self._near:
                logger.warning("a space is nearly full: %s", one.sentence, extra={"table": one.table, "space": one.fullest})
            self._near.add(one.fullest)
        self._near |= near

    def _no_room(self) -> bool:
        return any(parked.reason == "capacity" for _key, parked in self.ledger.parked_keys())
