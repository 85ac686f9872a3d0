"""What a migration will take: sums that add up, and spans that are spans."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge import capacity
from bridge.migration.estimate import VECTOR_BYTES, Estimate, TableEstimate


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    """Some tables, which may share spaces."""
    tables = []
    for number in range(draw(st.integers(0, 5))):
        spaces = tuple(draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)))
        rows, size = draw(st.integers(0, 200_000)), draw(st.floats(0, 10_000))
        model = draw(st.floats(0, 5_000))
        tables.append(TableEstimate(f"t{number}", spaces, rows, False, 1, size, 10, embed_seconds=model))
    return Estimate(tuple(tables), draw(st.sampled_from([0, 10**9])))


@given(estimates())
def test_the_least_is_never_more_than_the_most(estimate: Estimate) -> None:
    """And nothing that cannot be avoided is left out of the least: the fullest space, the model."""
    least, most = estimate.seconds
    assert 0 <= least <= most
    assert all(least >= capacity.filling_seconds(rows) for rows in estimate.spaces.values())
    assert least >= sum(table.embed_seconds for table in estimate.tables)
    low, high = estimate.validation_seconds
    assert 0.0999 * (low + least) <= low <= 0.1001 * (low + least)
    assert 0.1499 * (high + most) <= high <= 0.1501 * (high + most)


@given(estimates())
def test_room_is_the_sum_of_all_tables(estimate: Estimate) -> None:
    """Rows times contents and vectors; every row is in some space; kept vectors stay within what they may take."""
    wanted = sum(table.rows * (table.content_bytes + VECTOR_BYTES) for table in estimate.tables)
    assert abs(estimate.engram_bytes - wanted) <= 1e-6 * max(wanted, 1)
    assert sum(estimate.spaces.values()) >= estimate.rows
    assert estimate.cache_bytes <= estimate.cache_most
