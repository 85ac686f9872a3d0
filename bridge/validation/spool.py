"""The vectors of one space, in a temporary file: 3 kB each, and a space can have 100,000 of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import numpy as np

from bridge.ports import Vectors

BLOCK = 2000
"""Vectors that are in memory at once, beside those that are sought."""


class Spool:
    """Vectors by memory id, kept at length 1, to be compared with others once all of them are there."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._file = tempfile.TemporaryFile(prefix="engram-bridge-vectors-")  # noqa: SIM115 - closed by __exit__
        self._ids: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], vectors: Vectors) -> None:
        """Keep these: finite, not zero, a row each."""
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        self._file.write((vectors / lengths[:, None]).astype(np.float32).tobytes())
        self._ids.extend(ids)

    def of(self, wanted: set[str]) -> Iterator[tuple[list[str], Vectors]]:
        """The vectors of some of them, in blocks."""
        for ids, block in self._blocks():
            places = [place for place, memory_id in enumerate(ids) if memory_id in wanted]
            if places:
                yield [ids[place] for place in places], block[places]

    def near(self, ids: Sequence[str], vectors: Vectors, least: float) -> Iterator[tuple[str, str, float]]:
        """Every two whose cosine is `least` or more, one of these (of length 1) and one that is kept under another id."""
        for others, block in self._blocks():
            cosines = vectors @ block.T
            for row, column in np.argwhere(cosines >= least).tolist():
                if ids[row] != others[column]:
                    yield ids[row], others[column], float(cosines[row, column])

    def _blocks(self) -> Iterator[tuple[list[str], Vectors]]:
        for start in range(0, len(self._ids), BLOCK):
            ids = self._ids[start : start + BLOCK]
            self._file.seek(start * self._dimensions * 4)
            yield ids, np.frombuffer(self._file.read(len(ids) * self._dimensions * 4), np.float32).reshape(len(ids), -1)
