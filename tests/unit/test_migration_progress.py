"""How far a migration is: rate and time left, a line now and then where nobody watches."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from bridge.migration import progress as progresses
from bridge.migration.progress import Watcher
from snapshot.loader import TableProgress


class Time:
    """A clock that is set by hand."""

    now = 100.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Instead of the module's."""
    made = Time()
    monkeypatch.setattr(progresses, "time", made)
    return made


def test_rate_and_time_left(clock: Time) -> None:
    """100 rows a second, 700 of 1,000 left: 7 seconds. What is estimated too low counts as what is there."""
    watcher = Watcher(Console(file=io.StringIO()), {1: "public.orders"}, {1: 1_000})
    progress = {1: TableProgress(chunks=10, chunks_done=0, rows=0)}
    watcher.update(progress)
    assert watcher.left(1) is None, "nothing is known of its speed yet"
    clock.now += 3
    progress[1] = TableProgress(chunks=10, chunks_done=3, rows=300)
    watcher.update(progress)
    assert watcher.times[1].rate == pytest.approx(100)
    assert watcher.left(1) == pytest.approx(7)
    clock.now += 1
    progress[1] = TableProgress(chunks=10, chunks_done=10, rows=1_200)
    watcher.update(progress)
    assert (watcher.left(1), watcher.times[1].seconds) == (0.0, 4.0)


def test_the_rate_is_that_of_late(clock: Time) -> None:
    """A table that has become slow is not said to end soon."""
    watcher = Watcher(Console(file=io.StringIO()), {1: "public.orders"}, {1: 10_000})
    rows = 0
    for seconds in range(120):
        rows += 100 if seconds < 60 else 1
        watcher.update({1: TableProgress(chunks=100, chunks_done=1, rows=rows)})
        clock.now += 1
    assert watcher.times[1].rate == pytest.approx(1, rel=0.2)


def test_without_a_terminal_a_line_each_ten_seconds(clock: Time, caplog: pytest.LogCaptureFixture) -> None:
    """With figures for machines; on a terminal none, there are bars."""
    caplog.set_level(logging.INFO)
    watcher = Watcher(Console(file=io.StringIO()), {1: "public.orders"}, {1: 1_000})
    with watcher:
        for second in range(25):
            watcher.update({1: TableProgress(chunks=100, chunks_done=second, rows=second * 10)})
            clock.now += 1
    lines = [record for record in caplog.records if record.getMessage() == "rows are migrated"]
    assert len(lines) == 2
    assert lines[-1].__dict__["table"] == "public.orders"
    assert lines[-1].__dict__["rows_per_second"] == pytest.approx(10)
    assert lines[-1].__dict__["eta_seconds"] == pytest.approx(80)


def test_a_terminal_shows_bars(clock: Time, caplog: pytest.LogCaptureFixture) -> None:
    """With rate and time left; no lines between them."""
    caplog.set_level(logging.INFO)
    screen = io.StringIO()
    watcher = Watcher(Console(file=screen, force_terminal=True, width=140), {1: "public.orders"}, {1: 1_000})
    with watcher:
        for second in range(25):
            watcher.update({1: TableProgress(chunks=100, chunks_done=second, rows=second * 10)})
            clock.now += 1
    assert "public.orders" in screen.getvalue()
    assert "10 rows/s" in screen.getvalue()
    assert not caplog.records
