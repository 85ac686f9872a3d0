"""The order of what was found: by the clean vectors of query and rows, without the part that tells one row from another. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bridge.ports import Vectors

ALIKE = 0.002
"""Scores that differ by less are the same: one was reckoned by the server, the other here, from rounded vectors."""

LEAST = 0.0
"""A row whose vector is at a right angle to the query's, or beyond, has nothing to do with it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A row that was found. `body` is its JSON text; scores are comparable within one `scale` (a model, or PostgreSQL) only."""

    label: str
    key: str
    memory_id: str
    body: str
    score: float
    scale: str


def scores(query: Vectors, rows: Vectors) -> list[float]:
    """The cosines of a query with rows, -1…1; 0 with a row that is zero."""
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
    products = rows @ query
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return [float(score) for score in np.clip(cosines, -1.0, 1.0)]


def ranked(found: Iterable[Found], limit: int) -> list[Found]:
    """The best ones. What stands on several scales is taken in turns, the first of each before the second of any."""
    scales: dict[str, list[Found]] = {}
    for one in found:
        scales.setdefault(one.scale, []).append(one)
    places = [(place, one) for some in scales.values() for place, one in enumerate(sorted(some, key=_best))]
    if len(scales) == 1:
        return [one for _place, one in places[:limit]]
    return [one for _place, one in sorted(places, key=lambda pair: (pair[0], pair[1].scale))][:limit]


def settled(kept: Sequence[float], limit: int, next_most: float | None) -> bool:
    """Whether no hit that is left can be among the first `limit`: `next_most` is the highest score that one can have."""
    if next_most is None:
        return True
    return len(kept) >= limit and sorted(kept, reverse=True)[limit - 1] >= next_most - ALIKE


def _best(one: Found) -> tuple[float, str, str]:
    return -one.score, one.label, one.key
