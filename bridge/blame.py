"""Which row it is that a target fails at, when it fails at one row and not at others (law 8).

A server that restarts or is overloaded answers errors that say nothing about the row, so a batch that failed is sent again. But
some row may be answered like that for ever, and must not hold up its lane. So when a batch goes on failing while the target takes
ordinary writes, its rows are sent in ever smaller company; most of them succeed, and in the end one fails alone. After some
rounds of that it is parked. A target that refuses everything fails at its probe too, and nothing is parked. One that refuses
everything in one space alone costs one key: any other is parked only if the space has taken a row since it began to fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.works import ALONE, Work
from bridge.workshop import Workshop

PATIENCE = 3
"""Batches in a row that may fail before the target is asked whether it is sound."""

ROUNDS = 5
"""How often a row fails alone before it is parked; one that is parked already and was tried again is left so at once."""

SMALLER = 3
"""By how many powers of two the company shrinks with each failure."""


def company(failed: int, batch: int) -> int:
    """With how many others at most, itself counted, a row that has failed so often is sent."""
    return 1 if failed >= ALONE else max(batch >> (SMALLER * failed), 1)


@dataclass(slots=True)
class Blame:
    """What one lane knows of its failures."""

    _failures: int = 0
    _proven: int = 0
    _parked: bool = False

    def succeeded(self, *, wrote: bool) -> None:
        """A batch went through; `wrote`: a row of it was proven, so the space takes rows."""
        self._failures = 0
        self._proven += wrote

    def failed(self, shop: Workshop, works: Sequence[Work]) -> Work | None:
        """A batch failed, and nobody said that a row is at fault. Answers the work that is to be parked, if known."""
        self._failures += 1
        if self._failures < PATIENCE and not any(work.failed for work in works):
            return None
        if not shop.target.healthy():
            return None
        for work in works:
            work.failed_since = work.failed_since if work.failed else self._proven
            work.failed += 1
        alone = works[0] if len(works) == 1 else None
        if alone is None or (alone.failed < ALONE + ROUNDS and not alone.retry):
            return None
        if self._parked and not alone.retry and self._proven == alone.failed_since:
            return None
        self._parked = True
        return alone
