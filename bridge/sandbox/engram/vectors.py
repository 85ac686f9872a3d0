"""The vectors of the living rows of one space, as one matrix, so that a store costs one matrix-vector product.

The real server compares a new vector with every living row under a lock; so does this, only in fewer steps.
"""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

DIMENSIONS = 768

Vector: TypeAlias = npt.NDArray[np.float32]


def unit(vector: Vector) -> Vector:
    """The vector at length one; zeros for a vector without a direction (all zero, or not finite).

    The server's cosine with such a vector is 0 or NaN, and neither reaches any threshold.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.sqrt(np.dot(vector, vector))
    if not np.isfinite(length) or length == 0:
        return np.zeros(DIMENSIONS, dtype=np.float32)
    direction: Vector = (vector / length).astype(np.float32, copy=False)
    return direction


class VectorIndex:
    """Unit vectors by id, in slots that are used again."""

    def __init__(self) -> None:
        self._rows: npt.NDArray[np.float32] = np.zeros((0, DIMENSIONS), dtype=np.float32)
        self._ids: list[str | None] = []
        self._slots: dict[str, int] = {}
        self._free: list[int] = []

    def put(self, identity: str, direction: Vector) -> None:
        """Set the unit vector of this id."""
        slot = self._slots.get(identity)
        if slot is None:
            slot = self._take_slot(identity)
        self._rows[slot] = direction

    def discard(self, identity: str) -> None:
        """Forget the id, if it is here."""
        slot = self._slots.pop(identity, None)
        if slot is not None:
            self._rows[slot] = 0
            self._ids[slot] = None
            self._free.append(slot)

    def nearest(self, direction: Vector) -> tuple[str, float] | None:
        """The id with the highest cosine, and that cosine; None when nothing points the same way at all."""
        if not self._slots:
            return None
        cosines = self._cosines(direction)
        slot = int(cosines.argmax())
        identity = self._ids[slot]
        return None if identity is None else (identity, float(cosines[slot]))

    def within(self, direction: Vector, threshold: float) -> Iterator[tuple[str, float]]:
        """Every id whose cosine reaches the threshold."""
        cosines = self._cosines(direction)
        for slot in np.flatnonzero(cosines >= np.float32(threshold)):
            identity = self._ids[slot]
            if identity is not None:
                yield identity, float(cosines[slot])

    def _cosines(self, direction: Vector) -> Vector:
        # Rounding can take the cosine of a vector with itself beyond one.
        cosines: Vector = np.minimum(self._rows[: len(self._ids)] @ direction, np.float32(1))
        return cosines

    def _take_slot(self, identity: str) -> int:
        if self._free:
            slot = self._free.pop()
            self._ids[slot] = identity
        else:
            slot = len(self._ids)
            self._ids.append(identity)
            if slot == len(self._rows):
                self._grow()
        self._slots[identity] = slot
        return slot

    def _grow(self) -> None:
        rows = np.zeros((max(64, 2 * len(self._rows)), DIMENSIONS), dtype=np.float32)
        rows[: len(self._rows)] = self._rows
        self._rows = rows
