"""How a table is cut into chunks: by key order, with the first and the last chunk open-ended (law 2).

Never by ctid: a row that moves (VACUUM FULL, an UPDATE) would be in two chunks or in none. A row with a new key is in exactly one
chunk, whenever it comes: the chunks of a plan cover every key there can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

KeyText: TypeAlias = "tuple[str, ...]"
"""The text of the key columns, in key order, as PostgreSQL prints it."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows with `after` < key <= `upto`; None is no bound. Numbers count from 0."""

    number: int
    after: KeyText | None
    upto: KeyText | None


@dataclass(frozen=True, slots=True)
class Restriction:
    """Which rows of a table are read, where that is not all of them.

    `since` and `until` are times of `column` as PostgreSQL reads them: later than the one, not later than the other. A row whose
    column is null counts as old: `until` reads it, `since` does not. `limit`: only so many rows, the first by key.
    """

    column: str | None = None
    since: str | None = None
    until: str | None = None
    limit: int | None = None


EVERYTHING = Restriction()


def chunks_between(boundaries: Iterable[KeyText]) -> Iterator[Chunk]:
    """The chunks that ascending boundaries make: one more than there are boundaries."""
    number = 0
    after: KeyText | None = None
    for boundary in boundaries:
        yield Chunk(number, after, boundary)
        number, after = number + 1, boundary
    yield Chunk(number, after, None)
