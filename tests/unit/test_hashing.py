"""The built-in embedder: like texts close, unlike ones apart, and the same vector everywhere."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from bridge import embedding
from bridge.embedding.hashing import LONGEST_TEXT, WORDS_KEPT, HashingEmbedder
from bridge.errors import ConfigError

# text, one that is like it, one that is not
LABELLED = [
    ("red running shoes for women", "women's running shoe in red", "stainless steel kitchen knife"),
    ("wireless noise cancelling headphones", "wireles noise canceling headphone", "organic green tea leaves"),
    ("The delivery arrived late and damaged", "delivery was damaged and came late", "Great colour, fits perfectly"),
    ("invoice for consulting services", "consulting services invoice", "children's winter jacket"),
    ("Bohrmaschine mit Akku", "Akkubohrmaschine", "Tischlampe aus Messing"),
    ("Crème brûlée au café", "CRÈME BRÛLÉE", "jambon persillé"),
    ("東京都の天気予報", "天気予報 東京", "自転車の修理"),
    ("name: Ann Miller | city: Oslo", "ann miller", "name: Bob Stone | city: Rome"),
    ("keyboards", "keyboard", "monitors"),
    ("recieve payment", "receive payments", "cancel order"),
]


@pytest.mark.parametrize(("text", "like", "unlike"), LABELLED)
def test_like_texts_are_closer_than_unlike_ones(text: str, like: str, unlike: str) -> None:
    """Words in another order, plurals, typing mistakes and compounds stay nearer than a text about something else."""
    anchor, near, far = HashingEmbedder().embed([text, like, unlike])
    assert anchor @ near > anchor @ far + 0.1


def test_every_row_is_unit_and_finite() -> None:
    """Whatever the text, empty or without a word among them, its row has length 1."""
    texts = ["", " ", "!!! ---", "\0", "a", "x" * 100_000, "word " * 50_000, "123", "𝔘𝔫𝔦", "\u0301"]
    vectors = HashingEmbedder().embed(texts)
    assert vectors.shape == (len(texts), 512)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-6)
    assert (vectors[0] == vectors[2]).all()


def test_no_texts_give_no_rows() -> None:
    """An empty batch is a batch."""
    assert HashingEmbedder().embed([]).shape == (0, 512)


def test_the_vector_depends_on_the_text_alone() -> None:
    """Neither the batch around it, nor what was embedded before, nor case changes a text's row by a bit."""
    texts = [f"item {n} of the spring catalogue" for n in range(150)]
    warm = HashingEmbedder()
    together = warm.embed(texts)
    assert (together == warm.embed([text.upper() for text in texts])).all()
    for index in (0, 63, 64, 149):
        assert (HashingEmbedder().embed([texts[index]])[0] == together[index]).all()


def test_vectors_are_the_same_in_every_process_and_version() -> None:
    """A golden digest, computed in a process with another hash seed: a change of it makes every stored vector stale."""
    program = (
        "import hashlib; from bridge.embedding.hashing import HashingEmbedder as E;"
        "print(hashlib.sha256(E().embed(['Ann Miller, Oslo', '', 'née 42']).tobytes()).hexdigest())"
    )
    seen = {
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True).stdout
        for seed in ("1", "2")
    }
    here = hashlib.sha256(HashingEmbedder().embed(["Ann Miller, Oslo", "", "née 42"]).tobytes()).hexdigest()
    assert seen == {here + "\n"}
    assert here == "8890364153dcbc3b17e9b43d24c10215bba1d79798df7f6d129cb7b94d2ae099"


def test_memory_is_bounded() -> None:
    """However many different words come by, only so many are remembered; and huge texts are cut."""
    embedder = HashingEmbedder()
    for start in range(0, 2 * WORDS_KEPT, 10_000):
        embedder.embed([f"w{number}" for number in range(start, start + 10_000)])
    assert len(embedder._words) <= WORDS_KEPT
    first, second = embedder.embed(["a" * LONGEST_TEXT + "b", "a" * LONGEST_TEXT + "c"])
    assert (first == second).all()


def test_threads_share_an_embedder() -> None:
    """Several threads at once get what one alone gets, while the memory of words is filled and emptied under them."""
    embedder = HashingEmbedder()
    texts = [f"word{number} other{number * 7}" for number in range(2_000)]
    expected = HashingEmbedder().embed(texts)
    wrong: list[int] = []

    def work() -> None:
        for _ in range(3):
            embedder._words.clear()
            if not (embedder.embed(texts) == expected).all():
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_unknown_model_is_told() -> None:
    """A model that is nowhere is a ConfigError that names the word that was meant."""
    assert embedding.make("hashing").name == "hashing-512"
    with pytest.raises(ConfigError, match=r"embedding\.model: hashng ") as caught:
        embedding.make("hashng")
    assert "Did you mean 'hashing'?" in caught.value.hint
