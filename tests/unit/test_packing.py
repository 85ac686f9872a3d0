"""Batches under a budget of tokens, and long texts in pieces."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.embedding.packing import MOST_PIECES, packed, pooled, windows

lengths = st.lists(st.integers(0, 600), max_size=200)


@settings(deadline=None)
@given(lengths, st.integers(1, 4096))
def test_every_text_is_in_one_batch_within_the_budget(given_lengths: list[int], budget: int) -> None:
    """Nothing is lost or doubled; padded to its longest text no batch exceeds the budget, but for one text that does alone."""
    batches = list(packed(given_lengths, budget))
    assert sorted(index for batch in batches for index in batch) == list(range(len(given_lengths)))
    for batch in batches:
        longest = max(given_lengths[index] for index in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget
    order = [given_lengths[index] for batch in batches for index in batch]
    assert order == sorted(order, reverse=True)


@settings(deadline=None)
@given(lengths, st.integers(1, 4096))
def test_batches_are_as_full_as_they_can_be(given_lengths: list[int], budget: int) -> None:
    """One more text would not have fitted."""
    batches = list(packed(given_lengths, budget))
    for batch in batches[:-1]:
        longest = max(given_lengths[batch[0]], 1)
        assert (len(batch) + 1) * longest > budget


@settings(deadline=None)
@given(st.integers(0, 50_000), st.integers(1, 512))
def test_pieces_cover_a_text_without_a_gap(tokens: int, room: int) -> None:
    """From the first token on, each piece full but the last, overlapping the one before; to the end unless there are too many."""
    found = windows(tokens, room)
    assert found[0][0] == 0
    assert all(stop - start <= room for start, stop in found)
    assert all(stop - start == room for start, stop in found[:-1])
    assert all(before[0] < after[0] <= before[1] for before, after in itertools.pairwise(found))
    assert found[-1][1] == tokens or len(found) == MOST_PIECES
    assert len({stop for _start, stop in found}) == len(found), "a piece that adds nothing"


def test_the_mean_weighs_pieces_by_their_tokens() -> None:
    """Three quarters of the tokens, three quarters of the weight; the result has length 1."""
    vectors = np.array([[1, 0], [0, 1], [0, 1]], dtype=np.float32)
    found = pooled(vectors, [0, 0, 1], [300, 100, 5], 2)
    assert np.allclose(found, [[0.9486833, 0.31622776], [0, 1]])
