"""The advice of the migration guide, at its borders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.check import Finding
from bridge.check_places import place_findings
from bridge.facts import Facts, TableFacts
from bridge.migration.admitting import with_flag
from bridge.migration.advice import advice, advise_batch, advise_workers, batch_range, worker_range
from bridge.schema import Table


@pytest.mark.parametrize(
    ("rows", "range_"),
    [
        (0, (1_000, 1_000)),
        (99_999, (1_000, 1_000)),
        (100_000, (5_000, 10_000)),
        (10_000_000, (5_000, 10_000)),
        (10_000_001, (10_000, 20_000)),
    ],
)
def test_batches_grow_with_the_table(rows: int, range_: tuple[int, int]) -> None:
    """Under 100,000 rows 1,000; up to 10 million 5,000 to 10,000; beyond 10,000 to 20,000."""
    assert batch_range(rows) == range_
    assert advise_batch(rows) == range_[0]


@pytest.mark.parametrize(
    ("tables", "range_"),
    [
        ([2_000_000], (1, 2)),
        ([2_000_000, 100_000], (1, 2)),
        ([10, 99_999, 5_000], (4, 8)),
        ([10, 2_000_000, 5_000], (4, 6)),
        ([2_000_000] * 9, (4, 6)),
        ([], (4, 8)),
    ],
)
def test_workers_follow_the_mix_of_tables(tables: list[int], range_: tuple[int, int]) -> None:
    """Few large tables 1 to 2, small ones 4 to 8, anything else 4 to 6."""
    assert worker_range(tables) == range_


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 10**9), min_size=1, max_size=20))
def test_who_does_what_is_advised_is_told_nothing(tables: dict[str, int]) -> None:
    """The advised numbers are inside of what is advised."""
    batch = advise_batch(max(tables.values()))
    assert advice(tables, batch, advise_workers(list(tables.values()))) == []


def test_what_is_outside_is_told_with_the_flag() -> None:
    """A sentence for each setting, with the table that it is about and what to write instead."""
    told = advice({"public.events": 3_000_000, "public.users": 50}, batch=100, workers=1)
    assert len(told) == 2
    assert "--batch-size is 100" in told[0]
    assert "public.events" in told[0]
    assert "--batch-size 5000" in told[0]
    assert "--parallel-workers 4" in told[1]


@pytest.mark.parametrize(
    ("label", "flag"), [("public.order_items", "--shards order_items:2"), ("sales.order_items", "--shards sales.order_items:2")]
)
def test_a_number_of_spaces_is_advised_as_the_flag_says_it(label: str, flag: str) -> None:
    """`check` names the key of the configuration; a migration has a flag for it. Other remedies stay."""
    schema, name = label.split(".")
    table = TableFacts(Table(1, schema, name, ()), rows=54_000, spaces=(name,))
    found = [with_flag(one) for one in place_findings(Facts("", "", tables=(table,)))]
    (search,) = (one for one in found if one.code == "space.search")
    assert search.remedy.startswith(flag)
    assert "loading:" in search.remedy
    other = Finding("warning", "table.duplicates", label, "what", "Add a primary key.")
    assert with_flag(other) is other
