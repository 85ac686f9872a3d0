"""Which chunk is read next: everybody's turn comes, and nothing is read twice or left out."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from snapshot.loader import _Queue


@given(st.lists(st.integers(1, 8), min_size=1, max_size=6), st.integers(1, 10))
def test_the_table_of_which_the_least_is_under_way_comes_next(chunks: list[int], workers: int) -> None:
    """Chunks of a table come in their order; while a table has chunks left, no other is more than one ahead of it."""
    queue = _Queue()
    for table, number in enumerate(chunks):
        for chunk in range(number):
            task: Any = (SimpleNamespace(number=table), chunk)
            queue.add(task)
    under_way: Counter[int] = Counter()
    taken: list[tuple[int, Any]] = []
    while queue:
        if under_way.total() == workers:
            under_way[max(under_way, key=lambda table: under_way[table])] -= 1
        left = {table for table in range(len(chunks)) if sum(one == table for one, _chunk in taken) < chunks[table]}
        plan, chunk = queue.take(under_way)
        assert under_way[plan.number] == min(under_way[table] for table in left)
        under_way[plan.number] += 1
        taken.append((plan.number, chunk))
    assert sorted(taken) == sorted((table, chunk) for table, number in enumerate(chunks) for chunk in range(number))
    for table in range(len(chunks)):
        assert [chunk for one, chunk in taken if one == table] == sorted(chunk for one, chunk in taken if one == table)


def test_what_failed_is_tried_again_first() -> None:
    """A chunk that could not be read comes before the later ones of its table."""
    queue = _Queue()
    plan: Any = SimpleNamespace(number=1)
    for chunk in range(3):
        task: Any = (plan, chunk)
        queue.add(task)
    first = queue.take({})
    queue.add(first, first=True)
    assert [queue.take({})[1] for _ in range(3)] == [0, 1, 2]
    assert not queue
