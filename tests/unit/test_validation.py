"""What a validation may say: lag is no damage, damage is no lag, and a sample's chance to miss is what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ConfigError
from bridge.lsn import Lsn
from bridge.validation import chance_to_miss, order_of
from bridge.validation.settling import FENCES, Look, settle


@given(st.integers(0, 60), st.data())
def test_the_chance_to_miss_is_the_hypergeometric_one(rows: int, data: st.DataObject) -> None:
    """None of k damaged rows among n of m sampled ones."""
    sampled, damaged = data.draw(st.integers(0, rows)), data.draw(st.integers(0, rows))
    exact = comb(rows - damaged, sampled) / comb(rows, sampled)
    told = chance_to_miss(rows, sampled, damaged)
    assert exact - 1e-12 <= told <= exact + 2e-6 or told == pytest.approx(exact, abs=2e-6)


@pytest.mark.parametrize("sample", ["none", "0", "-3", "1.5", ""])
def test_a_sample_that_is_none_is_refused(sample: str) -> None:
    """Before anything is asked."""
    with pytest.raises(ConfigError):
        order_of({"sample": sample})


class World:
    """A row in PostgreSQL with its whole history, and a replica that is behind it. Positions are places in the history."""

    def __init__(self, changes: list[int], steps: list[tuple[int, int]], stuck: bool) -> None:
        self.history = changes
        self.steps = iter(steps)
        self.written = self.applied = 0
        self.stuck = stuck

    def pass_time(self) -> None:
        """PostgreSQL and the replica go on, each as far as drawn."""
        write, apply = next(self.steps, (0, 0))
        self.written = min(self.written + write, len(self.history) - 1)
        self.applied = min(self.applied + apply, self.written)

    def look(self, keys: Sequence[str]) -> tuple[Mapping[str, Look[str]], Lsn]:
        """Both sides, with time passing between them; then a position."""
        replica = (0, self.history[0]) if self.stuck else (self.applied, self.history[self.applied])
        self.pass_time()
        row = self.history[self.written]
        self.pass_time()
        return {"k": Look((row, replica), () if row == replica[1] else ("differs",))}, self.written

    def passed(self, fence: Lsn) -> bool:
        """The replica catches up, and perhaps further."""
        self.pass_time()
        self.applied = max(self.applied, fence)
        return True


steps = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=60)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), steps)
def test_a_replica_that_is_only_behind_is_never_called_wrong(changes: list[int], steps: list[tuple[int, int]]) -> None:
    """Whatever is changed, to and fro, between any two readings."""
    world = World(changes, steps, stuck=False)
    assert settle(["k"], world.look, world.passed).true == {}


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), steps)
def test_a_replica_that_stands_still_at_a_wrong_row_is_found(changes: list[int], steps: list[tuple[int, int]]) -> None:
    """The row changes a few times at most, and is never again what the replica has."""
    world = World([0, *changes], [(3, 0), *steps], stuck=True)
    assert list(settle(["k"], world.look, world.passed).true) == ["k"]


def test_without_a_frontier_that_moves_nothing_is_said() -> None:
    """Nobody passes the fence: unsettled, neither lag nor damage."""
    asked: list[Lsn] = []

    def never(fence: Lsn) -> bool:
        asked.append(fence)
        return False

    world = World([0, 1], [(1, 0)], stuck=True)
    settled = settle(["k"], world.look, never)
    assert (settled.true, settled.unsettled, asked) == ({}, ["k"], [1])
    assert FENCES == 2
