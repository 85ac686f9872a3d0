"""Counts and routes of the read side: names, quantiles, and which keys a share takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.reads import BOUNDS_MS, Mode, Route, Served, bucket, group, quantile, took, total

ids = st.text(min_size=1, max_size=30)


@given(ids, st.integers(0, 100), st.integers(0, 100))
def test_a_larger_share_keeps_the_keys_of_a_smaller_one(memory_id: str, one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert not Route(Mode.ENGRAM, small).takes(memory_id) or Route(Mode.ENGRAM, large).takes(memory_id)


@given(ids)
def test_no_key_is_among_nothing_and_each_is_among_all(memory_id: str) -> None:
    assert not Route(Mode.ENGRAM, 0).takes(memory_id)
    assert Route(Mode.ENGRAM, 100).takes(memory_id)


def test_a_share_takes_about_that_many_keys() -> None:
    taken = sum(bucket(f"orders_{number}") < 10 for number in range(10_000))
    assert 800 < taken < 1200


@given(st.lists(st.floats(0, 20_000, allow_nan=False), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_a_bound_that_so_many_times_stay_within(times: list[float], share: float) -> None:
    counts = total({took(Served.ENGRAM, one): 1} for one in times)
    bound = quantile(counts, "engram", share)
    assert bound is not None
    assert sum(one <= bound for one in times) >= share * len(times) - 1e-9
    lower = [one for one in BOUNDS_MS if one < bound]
    if lower:
        assert sum(one <= lower[-1] for one in times) < share * len(times)


def test_nobody_is_counted_as_somebody_else() -> None:
    counts = {"served:engram": 3, "served:postgres": 2, "reason:stale": 2, "ms:engram:5": 3}
    assert group(counts, "served") == {"engram": 3, "postgres": 2}
    assert quantile(counts, "postgres", 0.99) is None
