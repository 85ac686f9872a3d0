"""Which row is parked when a target goes on failing, and when none is (law 8)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bridge.blame import PATIENCE, ROUNDS, Blame, company
from bridge.works import ALONE, Work
from tests.unit.test_gate import PLAN


def shop(*, healthy: bool = True) -> Any:
    return SimpleNamespace(target=SimpleNamespace(healthy=lambda: healthy))


def works(*keys: str, **more: Any) -> list[Work]:
    return [Work(PLAN, key, **more) for key in keys]


def fail(blame: Blame, batch: list[Work], times: int, *, healthy: bool = True) -> list[Work | None]:
    return [blame.failed(shop(healthy=healthy), batch) for _ in range(times)]


def test_the_company_of_a_row_that_fails_shrinks_until_it_is_alone() -> None:
    """In a few steps, whatever the size of the batch."""
    sizes = [company(failed, 500) for failed in range(1, ALONE + 2)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[ALONE - 1 :] == [1, 1]
    assert company(1, 4) == 1


def test_an_outage_blames_nobody() -> None:
    """However long it lasts: the probe fails as well, and no row counts a failure."""
    batch = works("1", "2")
    assert fail(Blame(), batch, 100, healthy=False) == [None] * 100
    assert [work.failed for work in batch] == [0, 0]


def test_a_passing_trouble_blames_nobody() -> None:
    """A few failures, and then it works."""
    blame, batch = Blame(), works("1")
    for _ in range(10):
        assert fail(blame, batch, PATIENCE - 1) == [None] * (PATIENCE - 1)
        blame.succeeded(wrote=True)
    assert batch[0].failed == 0


def test_a_row_that_fails_alone_is_parked_after_some_rounds() -> None:
    """Not before, and never while it has company."""
    blame = Blame()
    assert fail(blame, works("1", "2"), 50) == [None] * 50
    (bad,) = batch = works("3")
    rounds = fail(Blame(), batch, PATIENCE - 1 + ALONE + ROUNDS)
    assert rounds == [None] * (len(rounds) - 1) + [bad]


@pytest.mark.parametrize("others", [True, False])
def test_a_second_row_needs_one_that_succeeded_meanwhile(others: bool) -> None:
    """Where no row of the space goes through, it is the space."""
    blame = Blame()
    assert any(fail(blame, works("1"), 50))
    (second,) = batch = works("2")
    fail(blame, batch, 3)
    if others:
        blame.succeeded(wrote=True)
    assert (second in fail(blame, batch, ALONE + ROUNDS)) is others


def test_a_parked_row_that_fails_again_stays_parked_at_once() -> None:
    """Its next turn costs the others nothing, with or without their success."""
    blame = Blame()
    fail(blame, works("1"), 50)
    (again,) = batch = works("1", retry=True, failed=ALONE)
    assert fail(blame, batch, 1) == [again]
