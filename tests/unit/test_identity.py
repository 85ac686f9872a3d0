"""The identity part of a vector: rows of equal text stay below the cosine at which Engram drops, and ranking stays."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.embedding.hashing import HashingEmbedder
from bridge.embedding.identity import clean_query, fingerprints, is_apart, require_fit, with_identity
from bridge.errors import ConfigError, Fatal

SIZES = [384, 512, 600, 768]
DROPPED = 0.95


def _vectors(count: int, size: int, seed: int = 7) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _same_text(count: int, size: int) -> np.ndarray:
    vectors = np.repeat(_vectors(1, size), count, axis=0)
    return with_identity(vectors, [f"notes_{number}" for number in range(count)], ["same"] * count)


@pytest.mark.parametrize("size", SIZES)
def test_identical_texts_stay_apart(size: int) -> None:
    """Two million pairs of rows with identical text: about 0.90 each, and none near the 0.95 at which Engram drops."""
    stored = _same_text(2_000, size)
    cosines = (stored @ stored.T)[np.triu_indices(2_000, k=1)]
    assert abs(float(cosines.mean()) - 0.90) < 0.001
    assert float(cosines.max()) < DROPPED - 0.01


@pytest.mark.parametrize("size", SIZES)
def test_rows_are_unit_and_finite(size: int) -> None:
    """Engram stores NaN if it is sent NaN: nothing but unit rows leaves here, also when a model forgets to normalise."""
    stored = with_identity(_vectors(50, size) * 3, [str(number) for number in range(50)], ["text"] * 50)
    assert stored.shape == (50, 768)
    assert stored.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("size", [384, 512])
def test_ranking_is_untouched_when_there_is_room(size: int) -> None:
    """A query's cosine with a stored row is sqrt(0.9) times its cosine with the clean vector, for every row."""
    clean = _vectors(300, size)
    stored = with_identity(clean, [str(number) for number in range(300)], ["text"] * 300)
    query = _vectors(1, size, seed=9)[0]
    np.testing.assert_allclose(stored @ clean_query(query), 0.9**0.5 * (clean @ query), atol=1e-6)


@pytest.mark.parametrize("size", [600, 768])
def test_a_full_vector_keeps_its_own_direction(size: int) -> None:
    """When the model fills the server's dimensions, a row's clean vector still stands at sqrt(0.9) from the stored one."""
    clean = _vectors(200, size)
    stored = with_identity(clean, [str(number) for number in range(200)], ["text"] * 200)
    own = np.einsum("ij,ij->i", stored[:, :size], clean)
    np.testing.assert_allclose(own, 0.9**0.5, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_the_same_row_gets_the_same_vector(size: int) -> None:
    """A repeated write is a harmless no-op: same id, text and model give the same bits, alone or in a batch."""
    clean = _vectors(20, size)
    ids = [f"a_{number}" for number in range(20)]
    texts = [f"text {number}" for number in range(20)]
    together = with_identity(clean, ids, texts)
    assert (together == with_identity(clean, ids, texts)).all()
    np.testing.assert_allclose(with_identity(clean[4:5], ids[4:5], texts[4:5])[0], together[4], atol=1e-7)


def test_a_new_text_moves_the_vector_even_if_the_model_does_not_see_it() -> None:
    """An update whose text differs in case only would give the same clean vector; the stored one differs all the same."""
    clean = HashingEmbedder().embed(["Ann", "ANN"])
    stored = with_identity(clean, ["u_1", "u_1"], ["Ann", "ANN"])
    assert (clean[0] == clean[1]).all()
    assert float(stored[0] @ stored[1]) < DROPPED - 0.01


def test_id_and_text_do_not_run_together() -> None:
    """(`a`, `bc`) and (`ab`, `c`) have fingerprints of their own."""
    first, second = fingerprints(["a", "ab"], ["bc", "c"], 256)
    assert abs(float(first @ second)) < 0.5


def test_fingerprints_are_signs_of_one_size() -> None:
    """Every component is ±1/sqrt(dimensions), also when that is no multiple of eight, and both signs are as frequent."""
    drawn = fingerprints([str(number) for number in range(500)], ["t"] * 500, 300)
    np.testing.assert_allclose(np.abs(drawn), 300**-0.5, rtol=1e-6)
    assert abs(float(np.sign(drawn).mean())) < 0.02


def test_room_is_used_only_when_it_is_enough() -> None:
    """Few free dimensions cannot tell 90,000 equal texts apart; the fingerprint then spreads over all."""
    assert [is_apart(size) for size in (384, 512, 513, 768)] == [True, True, False, False]


def test_a_model_larger_than_the_server_is_refused() -> None:
    """More dimensions than the server takes is a ConfigError, before the first row."""
    with pytest.raises(ConfigError, match="1024 dimensions; the target takes at most 768"):
        require_fit("big", 1024)
    with pytest.raises(ConfigError):
        with_identity(_vectors(1, 1024), ["a"], ["b"])


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_broken_vector_is_refused(bad: float) -> None:
    """Zero, NaN and infinity never reach the server, which would store them."""
    vectors = np.full((2, 384), bad, dtype=np.float32)
    with pytest.raises(Fatal, match="zero or not finite"):
        with_identity(vectors, ["a", "b"], ["", ""])


def test_no_rows() -> None:
    """An empty batch is a batch."""
    assert with_identity(np.empty((0, 512), dtype=np.float32), [], []).shape == (0, 768)
