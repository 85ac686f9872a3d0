"""Staleness by two clocks, one of which can be set."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.freshness import AHEAD, Freshness, Passed


class Clocks:
    """The true time, and a wall clock that is off by something."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.off = 0.0

    def freshness(self) -> Freshness:
        return Freshness(wall=lambda: self.now + self.off, steady=lambda: self.now - 999_000.0)


def test_with_clocks_that_go_alike_it_is_their_difference() -> None:
    clocks = Clocks()
    fresh = clocks.freshness()
    for covered, passed in ((0.25, 0), (0.25, 3), (1.0, 0), (-AHEAD / 2, 0)):
        clocks.now += passed
        assert fresh.now(clocks.now - covered) == pytest.approx(max(clocks.now, clocks.now - covered))
        assert fresh.age(clocks.now - covered) == pytest.approx(max(covered, 0.0))


def test_a_clock_that_is_set_back_makes_nothing_look_younger() -> None:
    """The bridge is dead: nothing moves the moment that was covered."""
    clocks = Clocks()
    fresh = clocks.freshness()
    covered = clocks.now - 0.5
    assert fresh.now(covered) == clocks.now
    clocks.now += 10
    clocks.off = -10.2  # by a little: it looks as if it were of now
    assert fresh.now(covered) - covered >= 10
    assert (fresh.age(covered) or 0) >= 10
    clocks.off = -3600
    assert fresh.now(covered) == math.inf
    assert fresh.age(covered) is None


def test_a_moment_in_the_future_says_nothing() -> None:
    clocks = Clocks()
    assert clocks.freshness().now(clocks.now + AHEAD + 0.01) == math.inf


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans(), st.floats(-30, 30)), max_size=20))
def test_it_is_never_younger_than_what_was_seen_first(steps: list[tuple[float, bool, float]]) -> None:
    """However the wall clock is set: a moment is at least as old as the time since it was seen for the first time."""
    clocks = Clocks()
    fresh = clocks.freshness()
    covered = clocks.now
    first = clocks.now
    fresh.now(covered)
    for passed, moved, off in steps:
        clocks.now += passed
        clocks.off = off
        if moved:
            covered += 0.5
            first = clocks.now
        assert fresh.now(covered) - covered >= clocks.now - first - 1e-6


def test_a_position_is_settled_a_second_after_it_was_seen_passed() -> None:
    clock = [100.0]
    passed = Passed(lambda: clock[0])
    assert passed.settled(50, 0), "nothing is asked for"
    assert not passed.settled(50, 50)
    clock[0] += 0.6
    assert not passed.settled(70, 50)
    clock[0] += 0.5
    assert passed.settled(80, 50)
    assert not passed.settled(80, 51)
    clock[0] += 5
    assert passed.settled(80, 80)
    assert not passed.settled(10, 10), "a frontier that goes back is another source's"
    clock[0] += 1
    assert passed.settled(10, 10)
