"""What a space of Engram can hold and how long it takes to fill: each store scans the whole space, so time grows as its square.

The cost of one store was measured on a real server by the rows already there (one client, 300-byte rows): 1,640 a second into an
empty space, 280 at 10,000 rows, 29 at 40,000, 10 at 95,000. Another machine has another factor; the shape stays.
"""

from __future__ import annotations

import itertools
import math

STORES_PER_SECOND = (
    (0, 1640.0),
    (1_000, 1640.0),
    (4_000, 780.0),
    (6_000, 480.0),
    (8_000, 360.0),
    (10_000, 280.0),
    (22_500, 56.0),
    (35_000, 36.0),
    (40_000, 29.0),
    (70_000, 16.0),
    (95_000, 10.0),
)

SEARCHABLE_ROWS = 33_000
"""Rows at confidence 0.90 up to which activation stays above 0.75; below 0.7 a row turns up in every recall."""

PATIENCE_SECONDS = 3_600.0
MOST_SHARDS = 32
UNEVEN = 1.05
"""A shard's share of the rows above the mean: keys are spread by a hash."""

SPACE_FILE_BYTES = 3_100_000_000
SPACE_THREADS = 2
SPACE_BIRTH_SECONDS = 4.0


def filling_seconds(rows: int) -> float:
    """Seconds until an empty space holds `rows` rows: the measured cost per store, added up."""
    seconds = 0.0
    for (start, first), (end, last) in itertools.pairwise(STORES_PER_SECOND):
        if rows <= start:
            return seconds
        reached = min(rows, end)
        cost_at_end = 1 / first + (1 / last - 1 / first) * (reached - start) / (end - start)
        seconds += (reached - start) * (1 / first + cost_at_end) / 2
    beyond, slowest = STORES_PER_SECOND[-1]
    if rows > beyond:
        # The cost goes on growing with the rows: a line through the origin and the last point measured.
        seconds += (rows**2 - beyond**2) / (2 * beyond * slowest)
    return seconds


def loading_seconds(rows: int, shards: int) -> float:
    """Seconds of the server's work for a table over so many spaces. Lanes in parallel divide it, as far as it has cores."""
    return shards * filling_seconds(math.ceil(rows / shards))


def rows_per_space(rows: int, shards: int) -> int:
    """Rows that the fullest of a table's spaces must be expected to hold."""
    return rows if shards == 1 else math.ceil(rows / shards * UNEVEN)


def proposed_shards(rows: int, limit: int) -> int:
    """The least number of shards with which spaces stay within `limit`, search stays clean and loading takes an hour at most.

    No more than 32 for the sake of time, since each space costs the server memory and threads; the limit alone may need more.
    """
    needed = 1
    while rows_per_space(rows, needed) > limit:
        needed += 1
    while needed < MOST_SHARDS and (
        rows_per_space(rows, needed) > SEARCHABLE_ROWS or loading_seconds(rows, needed) > PATIENCE_SECONDS
    ):
        needed += 1
    return needed
