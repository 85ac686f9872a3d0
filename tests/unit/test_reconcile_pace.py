"""Budgets of reconciliation are kept: rows a second, share of the time; and waiting ends when all is to stop."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from bridge.reconcile.pace import Pace


@dataclass
class Clock:
    """Time that passes when somebody works or sleeps."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


pages = st.lists(st.tuples(st.integers(0, 5_000), st.floats(0.0, 5.0)), max_size=20)


@given(pages=pages, rate=st.floats(10, 10_000), share=st.floats(0.05, 1.0))
def test_no_more_rows_and_no_more_time_than_allowed(pages: list[tuple[int, float]], rate: float, share: float) -> None:
    """Whatever the pages cost: over all of them both budgets hold, and nothing is waited for that they do not ask for."""
    clock = Clock()
    pace = Pace(rate, share, lambda: False, clock, clock.sleep)
    for rows, seconds in pages:
        with pace.spending(lambda rows=rows: rows):  # type: ignore[misc]  # bound now
            clock.now += seconds
    rows, worked = sum(rows for rows, _seconds in pages), sum(seconds for _rows, seconds in pages)
    assert rows <= rate * clock.now * 1.000001 + 1e-6
    assert worked <= share * clock.now * 1.000001 + 1e-6
    needed = sum(max(rows / rate, seconds / share, seconds) for rows, seconds in pages)
    assert clock.now <= needed * 1.000001 + 1e-6
    assert abs(pace.worked - worked) < 1e-6 * (1 + worked)


def test_waiting_ends_when_all_is_to_stop() -> None:
    """An order, or the end of the run, does not wait for a slow budget."""
    clock = Clock()
    pace = Pace(1.0, 1.0, lambda: clock.now > 1.0, clock, clock.sleep)
    with pace.spending(lambda: 1_000_000):
        clock.now += 0.1
    assert clock.now < 2.0
