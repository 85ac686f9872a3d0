"""How texts are put into batches, and long ones into pieces. Pure; lengths are in tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from bridge.ports import Vectors

OVERLAP = 8
"""An eighth of a piece is also in the next one, so that no sentence is torn for both."""

MOST_PIECES = 64
"""Pieces of one text that are looked at; the rest of it is cut. One row must not keep all others waiting for minutes."""


def packed(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Batches of indexes, the longest texts first, each at most `budget` tokens when all are padded to its longest.

    A text that is longer than the budget has a batch of its own.
    """
    batch: list[int] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch and (len(batch) + 1) * longest > budget:
            yield batch
            batch = []
        if not batch:
            longest = max(lengths[index], 1)
        batch.append(index)
    if batch:
        yield batch


def windows(tokens: int, room: int) -> list[tuple[int, int]]:
    """The pieces of a text of so many tokens, as half-open ranges of at most `room`, each overlapping the one before."""
    if tokens <= room:
        return [(0, tokens)]
    step = max(room - room // OVERLAP, 1)
    starts = range(0, max(tokens - (room - step), 1), step)
    return [(start, min(start + room, tokens)) for start in starts[:MOST_PIECES]]


def pooled(vectors: Vectors, owners: Sequence[int], weights: Sequence[int], count: int) -> Vectors:
    """One row for each of `count` texts: the mean of its pieces, each weighing as many tokens as it has; brought to length 1."""
    weighted = vectors.astype(np.float64) * np.asarray(weights, dtype=np.float64)[:, None]
    sums: npt.NDArray[np.float64] = np.zeros((count, vectors.shape[1]), dtype=np.float64)
    np.add.at(sums, np.asarray(owners, dtype=np.int64), weighted)
    lengths = np.sqrt(np.einsum("ij,ij->i", sums, sums))
    lengths[lengths == 0] = 1.0
    return np.asarray(sums / lengths[:, None], dtype=np.float32)
