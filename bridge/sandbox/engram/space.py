"""One memory space: what the server does with a store, a forget and a read, no sockets and no files.

Theory. A row lives in up to three places, and the server's habits come from their falling apart:

* `living`: what a read by id sees. A store enters it, a forget, an eviction or a better duplicate leaves it.
* `listed`: what list pages show. A row that a better duplicate pushed out of `living` stays here.
* the tiers: what recall and search see. Nothing ever leaves them, and a restart empties them.
  Rows stored with an activation below 0.7 are in the warm tier, the others in the hot one.

A store compares its vector with every living row. From a cosine of 0.95 on it is a duplicate, whosever row that is:
dropped unless its confidence is strictly higher, in which case the other row leaves `living`. Both are answered as a
success; a drop can be told only by the activation, which is then 0.9 times what it should be.

A refused update poisons its id: the server remembers the similarity of that pair of ids, not of the vectors, and so
refuses every later update of that id too, until it is forgotten or the row it collided with is gone.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np

from bridge.sandbox.engram.vectors import DIMENSIONS, Vector, VectorIndex, unit

# The server reckons in 32 bits.
DUPLICATE: Final = float(np.float32(0.95))
IDENTICAL: Final = float(np.float32(0.999))
HOT_ACTIVATION: Final = float(np.float32(0.7))
DROPPED: Final = 0.9
# The server counts in an unsigned word and subtracts without looking.
_WORD: Final = 1 << 64


@dataclass(slots=True, eq=False)
class Row:
    """One stored version of a memory."""

    id: str
    content: str
    confidence: float
    when: int
    vector: Vector
    activation: float = 0.0


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a store."""

    activation: float
    kept: bool


@dataclass(frozen=True, slots=True)
class TierCounts:
    """The server's counters, which drift."""

    hot: int
    warm: int


class Space:
    """The rows of one memory space and the rules they live by."""

    def __init__(self, capacity: int = 100_000) -> None:
        self._capacity = capacity
        self._count = 0
        self._living: dict[str, Row] = {}
        self._listed: dict[str, Row] = {}
        self._index = VectorIndex()
        self._hot_tier: dict[str, Row] = {}
        self._warm_tier: list[Row] = []
        self._poisoned: dict[str, tuple[str, float]] = {}
        self._queue: list[tuple[float, str, int]] = []
        self._queued: dict[str, int] = {}
        self._generations = count()
        self._page_order: list[Row] | None = None

    # Writing.

    def store(self, row: Row) -> Stored:
        """Take a row in by the rules above, or drop it. At capacity another row goes first, whatever comes of this."""
        row.activation = max(0.0, min(1.0, self.expected_activation(row.confidence)))
        if self._count >= self._capacity:
            self._evict()
        direction = unit(row.vector)
        duplicate = self._duplicate(row.id, direction)
        counted = True
        if duplicate is not None:
            other, similarity = duplicate
            same_again = other.id == row.id and similarity > IDENTICAL
            if same_again or not row.confidence > other.confidence:
                self._poisoned[row.id] = (other.id, similarity)
                return Stored(row.activation * DROPPED, kept=False)
            self._leave_living(other.id)
            counted = False
        self._enter(row, direction)
        if row.activation >= HOT_ACTIVATION:
            self._hot_tier[row.id] = row
        else:
            self._warm_tier.append(row)
        if counted:
            self._count = (self._count + 1) % _WORD
        return Stored(row.activation, kept=True)

    def replay(self, row: Row) -> None:
        """Take a row in as a restart does: the first version of an id stands, no comparison, not in the tiers."""
        if row.id in self._living:
            return
        row.activation = row.confidence
        self._enter(row, unit(row.vector))
        self._count += 1

    def forget(self, identity: str) -> int:
        """Remove a row from reads and lists, not from the tiers; how many rows that were (0 or 1)."""
        self._poisoned.pop(identity, None)
        living = self._leave_living(identity)
        listed = self._leave_listed(identity)
        self._queued.pop(identity, None)
        if not (living or listed):
            return 0
        self._count = (self._count - 1) % _WORD
        return 1

    # Reading.

    def get(self, identity: str) -> Row | None:
        """The living row of this id."""
        return self._living.get(identity)

    def is_living(self, row: Row) -> bool:
        """Whether this very version is what a read by its id sees."""
        return self._living.get(row.id) is row

    def is_known(self, identity: str) -> bool:
        """Whether a read or a list can still show the id."""
        return identity in self._living or identity in self._listed

    def page(self, tier: str, offset: int, limit: int) -> list[Row]:
        """A list page. The order means nothing and changes when rows come or go; `all` repeats rows."""
        if tier == "hot":
            rows = self._order()
        elif tier == "warm":
            rows = self._warm_tier
        elif tier == "all":
            rows = [*self._order(), *self._warm_tier]
        else:
            rows = []
        return rows[offset : offset + limit]

    def counts(self) -> TierCounts:
        """What the server says that it holds."""
        return TierCounts(hot=self._count, warm=len(self._warm_tier))

    def expected_activation(self, confidence: float) -> float:
        """What a store of this confidence would be given now: it falls to one half as the space fills."""
        return confidence * (1.0 - 0.5 * min(1.0, self._count / self._capacity))

    # What recall looks through.

    def hot_tier(self) -> Iterator[Row]:
        """The last version of every row stored at an activation of 0.7 or more, forgotten or not."""
        return iter(self._hot_tier.values())

    def warm_tier(self) -> Iterator[Row]:
        """Every version ever stored below that, forgotten or not."""
        return iter(self._warm_tier)

    def listed(self) -> Iterator[Row]:
        """Every listed row."""
        return iter(self._listed.values())

    def near(self, direction: Vector, threshold: float) -> Iterator[tuple[Row, float]]:
        """The living rows whose cosine to this unit vector reaches the threshold."""
        for identity, cosine in self._index.within(direction, threshold):
            yield self._living[identity], cosine

    # Damage, for tests of those who must notice it.

    def lose(self, identity: str) -> bool:
        """Remove the row and say nothing: no counter moves. Whether there was one."""
        living = self._leave_living(identity)
        return self._leave_listed(identity) or living

    def hide(self, identity: str) -> bool:
        """Take the row from reads but not from lists, as a better duplicate does. Whether there was one."""
        return self._leave_living(identity)

    def change(self, identity: str, how: Callable[[Row], None]) -> bool:
        """Change the row where it lies. Whether there was one."""
        rows = [rows[identity] for rows in (self._living, self._listed, self._hot_tier) if identity in rows]
        for row in rows:
            how(row)
        return bool(rows)

    def turn(self, identity: str, vector: Vector) -> bool:
        """Give the row another vector where it lies. Whether there was one."""
        if identity in self._living:
            self._index.put(identity, unit(vector) if len(vector) == DIMENSIONS else np.zeros(DIMENSIONS, dtype=np.float32))
        return self.change(identity, lambda row: setattr(row, "vector", vector))

    def resurrect(self, identity: str) -> bool:
        """Bring a forgotten row back as the tiers remember it. Whether they do, and it was gone."""
        versions = [row for row in self._warm_tier if row.id == identity]
        remembered = self._hot_tier.get(identity) or (versions[-1] if versions else None)
        if remembered is None or identity in self._living:
            return False
        self._enter(remembered, unit(remembered.vector))
        self._count = (self._count + 1) % _WORD
        return True

    # The parts of a store.

    def _duplicate(self, identity: str, direction: Vector) -> tuple[Row, float] | None:
        poison = self._poisoned.get(identity)
        if poison is not None and poison[0] in self._living:
            return self._living[poison[0]], poison[1]
        nearest = self._index.nearest(direction)
        if nearest is None or nearest[1] < DUPLICATE:
            return None
        return self._living[nearest[0]], nearest[1]

    def _enter(self, row: Row, direction: Vector) -> None:
        self._page_order = None
        self._living[row.id] = row
        self._listed[row.id] = row
        self._index.put(row.id, direction)
        generation = self._queued.get(row.id)
        if generation is None:
            generation = self._queued[row.id] = next(self._generations)
        heapq.heappush(self._queue, (row.activation, row.id, generation))

    def _evict(self) -> None:
        """Throw out the row of the lowest (activation, id); of an updated row the lowest activation it ever had."""
        while self._queue:
            _, identity, generation = heapq.heappop(self._queue)
            # Entries of rows that were forgotten or evicted meanwhile are left lying in the heap.
            if self._queued.get(identity) != generation:
                continue
            del self._queued[identity]
            self._leave_living(identity)
            self._leave_listed(identity)
            self._count = (self._count - 1) % _WORD
            return

    def _leave_living(self, identity: str) -> bool:
        self._index.discard(identity)
        return self._living.pop(identity, None) is not None

    def _leave_listed(self, identity: str) -> bool:
        if self._listed.pop(identity, None) is None:
            return False
        self._page_order = None
        return True

    def _order(self) -> list[Row]:
        # By the ids' hashes, which are salted per process: arbitrary, other in each run, and a page shifts when a
        # row before it comes or goes.
        if self._page_order is None:
            self._page_order = sorted(self._listed.values(), key=lambda row: hash(row.id))
        return self._page_order
