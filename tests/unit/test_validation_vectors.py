"""The pure parts of the checks of vectors and queries: what is near, what is first, what a file may say, what a result means."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.embedding.identity import SERVER_DIMENSIONS, with_identity
from bridge.errors import ConfigError
from bridge.figures import _found_damage
from bridge.memories import Stored
from bridge.ports import Hit
from bridge.validation import order_of
from bridge.validation.findings import COUNTS, JUDGED, NOT_FOUND, QUERIES, ROWS, VECTORS, Finding, Tally
from bridge.validation.queries import percentile, queries_of
from bridge.validation.recalling import OWN, RecallCheck, among_first
from bridge.validation.remaking import SAME
from bridge.validation.spool import BLOCK, Spool
from bridge.validation.vectors import NEAR, VectorCheck
from bridge.validation.verdict import verdict
from tests.unit.test_mapping import USERS, mapping


def unit(count: int, seed: int = 0) -> np.ndarray:
    """Random directions."""
    vectors = np.random.default_rng(seed).standard_normal((count, SERVER_DIMENSIONS)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def test_a_spool_finds_every_two_that_are_near_wherever_they_lie() -> None:
    """In one block, in two, scaled: by the cosine; and never a vector with itself."""
    vectors = unit(BLOCK + 10)
    vectors[BLOCK + 3] = 3 * (0.98 * vectors[5] + 0.02 * vectors[6])
    ids = [f"m{number}" for number in range(len(vectors))]
    with Spool(SERVER_DIMENSIONS) as spool:
        for start in range(0, len(ids), 500):
            spool.add(ids[start : start + 500], vectors[start : start + 500])
        assert len(spool) == len(ids)
        found = list(spool.near(["m5", "m7"], vectors[[5, 7]], NEAR))
        assert [(one, other) for one, other, _cosine in found] == [("m5", f"m{BLOCK + 3}")]
        ((names, rows),) = list(spool.of({"m5", "m9"}))
        assert names == ["m5", "m9"]
        np.testing.assert_allclose(rows, vectors[[5, 9]], atol=1e-6)


@pytest.mark.parametrize("size", [384, 512, 768])
def test_another_text_or_row_is_never_taken_for_the_same(size: int) -> None:
    """Identical clean vectors: the fingerprint alone is further than a model's arithmetic ever goes."""
    clean = np.repeat(np.random.default_rng(1).standard_normal((1, size)).astype(np.float32), 200, axis=0)
    ids, texts = [f"t_{number}" for number in range(200)], ["one"] * 100 + ["two"] * 100
    stored = with_identity(clean, ids, texts)
    gaps = np.linalg.norm(stored[:, None, :] - stored[None, :, :], axis=2) + np.eye(200)
    assert gaps.min() > 3 * SAME
    shaken = clean + np.random.default_rng(2).standard_normal(clean.shape).astype(np.float32) * 2e-3
    assert np.linalg.norm(with_identity(shaken, ids, texts) - stored, axis=1).max() < SAME


@pytest.mark.parametrize(
    ("scores", "own", "expected"),
    [
        ([0.9, 0.8], 0, True),
        ([0.99] * 9 + [0.9, 0.8], 9, True),
        ([0.99] * 12 + [0.5], 12, False),
        ([0.5] * 40, 39, True),  # as near as the tenth
        ([0.5] * 12, None, False),
        ([], None, False),
        ([OWN] * 100, None, None),  # rows of the same text
        ([OWN] * 99 + [0.5], None, False),
    ],
)
def test_among_the_first_hits(scores: list[float], own: int | None, expected: bool | None) -> None:
    """By score, not by place; where equal texts crowd a row out, nothing is said."""
    hits = [Hit("own" if place == own else f"other{place}", score) for place, score in enumerate(scores)]
    assert among_first(hits, "own") is expected


GOOD: dict[str, Any] = {"query": "kettle", "table": "products", "expect": ["products_1"]}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (None, "no list `queries`"),
        ({"queries": []}, "no list `queries`"),
        ({"queries": [GOOD], "limits": 3}, "'limits'"),
        ({"queries": ["kettle"]}, "query 1 is no object"),
        ({"queries": [GOOD, {**GOOD, "table": ""}]}, "query 2 has no text `table`"),
        ({"queries": [{**GOOD, "expect": "products_1"}]}, "query 1 has no list `expect`"),
        ({"queries": [{**GOOD, "expect": [1]}]}, "query 1 has no list `expect`"),
        ({"queries": [{**GOOD, "limit": 0}]}, "query 1: `limit`"),
        ({"queries": [{**GOOD, "limit": 2.5}]}, "query 1: `limit`"),
        ({"queries": [{**GOOD, "limit": 101}]}, "at most 100"),
        ({"queries": [GOOD], "recall": 1.5}, "the file: `recall`"),
        ({"queries": [GOOD], "p95_ms": True}, "the file: `p95_ms`"),
        ({"queries": [{**GOOD, "tenant": "x"}]}, "'tenant'"),
    ],
)
def test_a_file_of_queries_that_cannot_be_meant_is_refused(document: object, told: str) -> None:
    """With the place of what is wrong."""
    with pytest.raises(ConfigError) as refused:
        queries_of(document)
    assert told in str(refused.value)


def test_queries_come_back_from_the_ledger_as_they_were() -> None:
    """What a file leaves out is taken from its top, and stays so when a running bridge is asked."""
    queries = queries_of({"queries": [GOOD, {**GOOD, "limit": 3}], "limit": 7, "recall": 0.5, "p95_ms": 200})
    assert [one.limit for one in queries.queries] == [7, 3]
    assert queries_of(queries.as_dict()) == queries
    assert order_of({"queries": queries.as_dict(), "without": ["vectors"]}).as_dict()["without"] == ["vectors"]
    with pytest.raises(ConfigError):
        order_of({"without": ["rows"]})


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_the_percentile_is_one_that_95_of_100_do_not_exceed(values: list[float]) -> None:
    """And no smaller one would do."""
    found = percentile(values)
    assert sum(value <= found for value in values) >= 0.95 * len(values)
    assert sum(value < found for value in values) < 0.95 * len(values)


@given(st.integers(1, 2000), st.data())
def test_the_verdict_is_by_the_share_that_was_looked_at(rows: int, data: st.DataObject) -> None:
    """Exact to pass; one in a hundred to look into it; more to take it back. Failed queries never take anything back."""
    bad = data.draw(st.integers(0, min(rows, 40)))
    check = data.draw(st.sampled_from([COUNTS, ROWS, VECTORS, QUERIES]))
    tally = Tally("t", rows=rows, live=rows, sampled=rows, vectors=rows)
    tally.findings = [Finding(check, "wrong", "t", f"t_{number}") for number in range(bad)]
    found = verdict({"clean": tally.clean, "tables": {"t": tally.as_dict()}})
    expected = 0 if not bad else 4 if check != QUERIES and bad > 0.01 * rows else 3
    # The share is told with six digits, so it is judged by them.
    assert found["exit_code"] == expected or abs(bad / rows - 0.01) < 1e-6
    assert bool(found["reasons"]) == bool(bad)


@given(st.integers(1, 100_000), st.integers(1, 1000), st.sampled_from([*JUDGED, "zero"]), st.data())
def test_wrong_vectors_are_a_share_of_those_that_were_judged(
    listed: int, recomputed: int, kind: str, data: st.DataObject
) -> None:
    """The sample's vectors are made anew, all are looked at: 20 of 1,000 are as many in a table of a million."""
    bad = data.draw(st.integers(1, recomputed))
    tally = Tally("t", sampled=recomputed, vectors=max(listed, recomputed), recomputed=recomputed)
    tally.findings = [Finding(VECTORS, kind, "t", f"t_{number}") for number in range(bad)]
    assert tally.damaged == bad / (tally.vectors if kind == "zero" else recomputed)


def test_rows_that_recall_does_not_bring_are_looked_into_and_no_damage() -> None:
    """Three of twenty in a crowded space say nothing of the rows."""
    tally = Tally("t", rows=100, live=100, sampled=100, vectors=100, recomputed=100, recalled=20)
    tally.findings = [Finding(VECTORS, NOT_FOUND, "t", f"t_{number}") for number in range(3)]
    found = verdict({"clean": tally.clean, "tables": {"t": tally.as_dict()}})
    assert (tally.damaged, found["exit_code"]) == (0.0, 3)


@pytest.mark.parametrize(
    ("result", "critical"),
    [
        (None, False),
        ({"clean": True, "findings": []}, False),
        ({"clean": False, "findings": [], "changed_since": ["t_1"]}, False),
        ({"clean": False, "findings": [{"check": "rows"}]}, True),
        ({"clean": False, "failed": "it was interrupted", "findings": []}, True),
    ],
)
def test_only_damage_is_trouble(result: dict[str, Any] | None, critical: bool) -> None:
    """Rows that changed while no bridge ran are no reason to be called at night."""
    assert _found_damage(result) is critical


@pytest.mark.parametrize(("parked", "told"), [(set(), "a start of Engram"), ({"1"}, "1 of its keys are parked")])
def test_it_is_said_why_no_row_was_asked_for_by_its_text(parked: set[str], told: str) -> None:
    """Not silently left out; and no reason to call the table unclean."""
    plan = mapping(USERS).plans["public.users"]
    ledger = SimpleNamespace(parked_of=lambda _number: parked)
    sides = SimpleNamespace(searchable=lambda _plan: False, ledger=ledger)
    tally = Tally(plan.table.label)
    RecallCheck(cast(Any, sides), {tally.label: tally}, random.Random(1)).run(plan, ["2"])
    assert told in tally.as_dict()["not_recalled"]
    assert tally.clean


class Shy:
    """A space whose pages do not show a memory at first. It has a vector like any other when it is shown."""

    def __init__(self, vectors: dict[str, np.ndarray], hidden: str, readings: int) -> None:
        self.vectors_, self.hidden, self.readings = vectors, hidden, readings

    def vectors(self, _space: str) -> Any:
        """A page shows others."""
        self.readings -= 1
        for name, vector in self.vectors_.items():
            if name != self.hidden or self.readings < 0:
                yield Stored(name, "text", 0.0, 0.9), vector

    def read(self, _space: str, ids: list[str]) -> list[Stored | None]:
        """By id everything is there."""
        return [Stored(name, "text", 0.0, 0.9) if name in self.vectors_ else None for name in ids]


@pytest.mark.parametrize(("readings", "found", "unsettled"), [(1, ["zero"], 0), (9, [], 1)])
def test_a_vector_that_the_first_reading_did_not_show_is_doubted(
    monkeypatch: pytest.MonkeyPatch, readings: int, found: list[str], unsettled: int
) -> None:
    """Also of a memory that is not of the sample: nothing is said of what was never seen."""
    plan = mapping(USERS).plans["public.users"]
    first, second = unit(2)
    shy = Shy({plan.prefix + "1": first, plan.prefix + "2": second, plan.prefix + "3": 0 * first}, plan.prefix + "3", readings)
    tally = Tally(plan.table.label)
    sides = SimpleNamespace(target=shy, ending=lambda: False)
    check = VectorCheck(cast(Any, sides), [plan], {tally.label: tally}, set())
    monkeypatch.setattr(VectorCheck, "_begin", lambda *_given: None)  # no ledger, no model
    check._live = {plan.prefix + key: (plan, key) for key in "123"}
    check.run(plan.spaces[0])
    assert ([one.kind for one in tally.findings], tally.unsettled) == (found, unsettled)
