"""How far a one-shot migration is: bars with rate and time left on a terminal, a line each ten seconds elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bridge.check_places import duration
from snapshot.loader import TableProgress

logger = logging.getLogger(__name__)

QUIET_SECONDS = 10.0
REMEMBERED_SECONDS = 30.0
"""The rate is taken over so long: what the last seconds brought says more than the mean since the beginning."""


@dataclass(slots=True)
class TableTimes:
    """One table as it was seen: seconds since the start of the process's clock, and rows then and now."""

    first: float
    rows: int
    before: int
    ended: float | None = None
    seen: list[tuple[float, int]] = field(default_factory=list)

    def note(self, now: float, rows: int) -> None:
        """So many rows are recorded now."""
        self.rows = rows
        self.seen.append((now, rows))
        while len(self.seen) > 2 and now - self.seen[0][0] > REMEMBERED_SECONDS:
            self.seen.pop(0)

    @property
    def rate(self) -> float:
        """Rows a second, lately; 0 while it is not known."""
        (start, rows), (end, more) = self.seen[0], self.seen[-1]
        return (more - rows) / (end - start) if end > start else 0.0

    @property
    def seconds(self) -> float:
        """From its first chunk to its last one, or until now."""
        return (self.ended if self.ended is not None else time.monotonic()) - self.first


class Watcher:
    """Shows `progress` of the loader, by table number. `labels` and `estimates` (rows that are expected) are by number, too."""

    def __init__(self, console: Console, labels: Mapping[int, str], estimates: Mapping[int, int]) -> None:
        self._labels = labels
        self._estimates = estimates
        self.times: dict[int, TableTimes] = {}
        self._told = time.monotonic()
        self._tasks: dict[int, TaskID] = {}
        self._bars: Progress | None = None
        if console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TextColumn("{task.fields[left]}"),
                TimeElapsedColumn(),
                console=console,
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()

    def update(self, progress: Mapping[int, TableProgress]) -> None:
        """Look again."""
        now = time.monotonic()
        for number, one in list(progress.items()):
            times = self.times.setdefault(number, TableTimes(now, one.rows, one.rows))
            times.note(now, one.rows)
            if times.ended is None and one.chunks and one.chunks_done == one.chunks:
                times.ended = now
        if self._bars is not None:
            self._draw(progress)
        elif now - self._told >= QUIET_SECONDS:
            self._told = now
            self._tell()

    def left(self, number: int) -> float | None:
        """Seconds until a table is through, at its rate of late; None while that is not known."""
        times = self.times[number]
        rows = max(self._estimates.get(number, 0), times.rows)
        if times.ended is not None:
            return 0.0
        return (rows - times.rows) / times.rate if times.rate else None

    def _tell(self) -> None:
        for number, times in self.times.items():
            if times.ended is None:
                left = self.left(number)
                figures: dict[str, object] = {
                    "table": self._labels[number],
                    "rows": times.rows,
                    "of": max(self._estimates.get(number, 0), times.rows),
                    "rows_per_second": round(times.rate, 1),
                    "eta_seconds": None if left is None else round(left, 1),
                }
                logger.info("rows are migrated", extra=figures)

    def _draw(self, progress: Mapping[int, TableProgress]) -> None:
        assert self._bars is not None
        for number in progress:
            times, left = self.times[number], self.left(number)
            if number not in self._tasks:
                self._tasks[number] = self._bars.add_task(self._labels[number], rate="", left="", total=None)
            self._bars.update(
                self._tasks[number],
                completed=times.rows,
                total=times.rows if times.ended is not None else max(self._estimates.get(number, 0), times.rows),
                rate=f"{times.rate:,.0f} rows/s" if times.ended is None else "",
                left=f"{duration(left)} left" if left else "",
            )
