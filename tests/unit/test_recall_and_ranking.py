"""What a recall's answer is worth, and the order of what was found."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import ranking, recall
from api.ranking import Found
from bridge.errors import TargetUnavailable


def answer(*hits: tuple[Any, Any]) -> bytes:
    memories = [{"id": name, "content": "x", "similarity_score": score} for name, score in hits]
    return json.dumps({"memories": {"vivid": memories, "associated": [], "reconstructed": []}}).encode()


def test_hits_come_best_first_and_each_memory_once() -> None:
    found = recall.recalled(200, answer(("a", 0.3), ("b", 0.9), ("a", 0.5), ("c", 0.9)))
    assert [(hit.memory_id, hit.score) for hit in found.hits] == [("b", 0.9), ("c", 0.9), ("a", 0.5)]
    assert found.count == 4, "asked for four, there may be a fifth"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"memories":[]}', answer((1, 0.5)), answer(("a", "x")), answer(("a", None)), b"[" * 5000]
)
def test_an_answer_of_another_form_is_an_error_and_not_an_empty_one(body: bytes) -> None:
    with pytest.raises(TargetUnavailable):
        recall.recalled(200, body)
    with pytest.raises(TargetUnavailable):
        recall.warm(200, body)
    with pytest.raises(TargetUnavailable):
        recall.epoch(200, body)


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_another_status_is_an_error(status: int) -> None:
    with pytest.raises(TargetUnavailable):
        recall.recalled(status, answer())
    with pytest.raises(TargetUnavailable):
        recall.warm(status, b'{"tier_counts":{"warm":0}}')
    with pytest.raises(TargetUnavailable):
        recall.epoch(status, b'{"spaces":[{"id":"default","created_at":"then"}]}')


def test_the_epoch_is_the_birth_of_the_default_space() -> None:
    other = b'{"id":"orders","created_at":"later"}'
    assert recall.epoch(200, b'{"spaces":[%b,{"id":"default","created_at":"then"}]}' % other) == "then"
    with pytest.raises(TargetUnavailable):
        recall.epoch(200, b'{"spaces":[%b]}' % other)


def test_a_cue_is_read_back_as_it_was() -> None:
    vector = np.random.default_rng(1).standard_normal(768).astype(np.float32)
    vector[500:] = 0
    assert np.allclose(json.loads(recall.cue(vector)), vector, atol=1e-6)
    assert len(recall.cue(vector)) < 12_000, "it must fit into a URL"


def test_scores_are_cosines() -> None:
    query = np.array([3.0, 0.0], dtype=np.float32)
    rows = np.array([[1, 0], [1, 1], [0, 5], [-2, 0], [0, 0]], dtype=np.float32)
    assert ranking.scores(query, rows) == pytest.approx([1, 2**-0.5, 0, -1, 0])


def found(score: float, key: str, scale: str = "a") -> Found:
    return Found("public.t", key, f"t_{key}", "{}", score, scale)


@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 99)), unique_by=lambda pair: pair[1]), st.integers(1, 20))
def test_on_one_scale_the_best_come_first(given_: list[tuple[float, int]], limit: int) -> None:
    best = ranking.ranked([found(score, str(key)) for score, key in given_], limit)
    assert [one.score for one in best] == sorted((score for score, _key in given_), reverse=True)[:limit]


def test_scales_that_cannot_be_compared_take_turns() -> None:
    best = ranking.ranked([found(0.9, "1"), found(0.8, "2"), found(0.2, "3", "b"), found(0.1, "4", "b"), found(0.7, "5")], 4)
    assert [one.key for one in best] == ["1", "3", "2", "4"]


@pytest.mark.parametrize(
    ("kept", "limit", "next_most", "expected"),
    [([], 3, None, True), ([], 3, 0.1, False), ([0.9, 0.5], 2, 0.5, True), ([0.9, 0.5], 2, 0.6, False), ([0.9], 2, 0.1, False)],
)
def test_it_is_known_when_no_more_hits_can_matter(kept: list[float], limit: int, next_most: float | None, expected: bool) -> None:
    assert ranking.settled(kept, limit, next_most) is expected
