"""An embedder as the lanes use it: each text once, the one bad text apart, and the same bits from the cache as from the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.embedding.cache import VectorCache
from bridge.embedding.encoder import PROBE, Encoder, probe
from bridge.embedding.identity import with_identity
from bridge.errors import BridgeError, EmbedderUnavailable, EmbeddingRefused

DIMENSIONS = 12


class ScriptedEmbedder:
    """Vectors from the text's bytes. `bad` texts make it refuse their batch, `broken` ones get no finite vector."""

    name = "scripted"
    dimensions = DIMENSIONS
    identity = "scripted@1"
    kept = True

    def __init__(self, bad: Sequence[str] = (), broken: Sequence[str] = (), *, most: int = 10_000) -> None:
        self.bad, self.broken, self.most = set(bad), set(broken), most
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str], *, urgent: bool = False) -> np.ndarray:
        self.asked += texts
        if self.bad & set(texts) or len(texts) > self.most:
            raise EmbeddingRefused("no")
        rows = [np.random.default_rng([7, *text.encode()]).standard_normal(DIMENSIONS) for text in texts]
        vectors = np.array(rows, dtype=np.float32).reshape(len(texts), DIMENSIONS)
        vectors[[text in self.broken for text in texts]] = np.nan
        return vectors

    def cut(self, texts: Sequence[str]) -> list[int]:
        return [place for place, text in enumerate(texts) if len(text) > 10]

    def close(self) -> None:
        pass


words = st.text(st.characters(codec="utf-8"), max_size=4)


@settings(deadline=None)
@given(st.lists(words, max_size=40), st.sets(words, max_size=3), st.sets(words, max_size=3))
def test_only_the_bad_texts_are_refused(texts: list[str], bad: set[str], broken: set[str]) -> None:
    """Whatever batch they are in, all others have the vectors that they have alone."""
    encoder = Encoder(ScriptedEmbedder(list(bad - {PROBE}), list(broken)))
    found = encoder.encode(texts)
    alone = ScriptedEmbedder()
    assert set(found.refused) == {index for index, text in enumerate(texts) if text in bad | broken}
    for index, text in enumerate(texts):
        if index not in found.refused:
            assert found.vectors[index].tobytes() == alone.embed([text]).astype(np.float16).astype(np.float32)[0].tobytes()


def test_a_text_is_embedded_once(tmp_path: Path) -> None:
    """Within a batch, across batches, and across processes that share the cache's file."""
    first = ScriptedEmbedder()
    encoder = Encoder(first, VectorCache(tmp_path / "v", most_bytes=10_000_000))
    found = encoder.encode(["a", "b", "a", "c", "a"])
    assert sorted(first.asked) == ["a", "b", "c"]
    assert found.counters == {"texts_from_model": 3, "texts_from_cache": 2}
    encoder.encode(["c", "d"])
    assert sorted(first.asked) == ["a", "b", "c", "d"]
    second = ScriptedEmbedder()
    again = Encoder(second, VectorCache(tmp_path / "v", most_bytes=10_000_000)).encode(["a", "b", "a", "c", "a"])
    assert second.asked == []
    assert again.vectors.tobytes() == found.vectors.tobytes()
    assert again.counters == {"texts_from_cache": 5}


def test_what_engram_is_sent_is_the_same_from_model_and_cache(tmp_path: Path) -> None:
    """Bit for bit, with the row's identity mixed in; also without any cache."""
    texts = [f"text {number}" for number in range(50)]
    ids = [f"rows_{number}" for number in range(50)]
    cache = VectorCache(tmp_path / "v", most_bytes=10_000_000)
    sent = [
        with_identity(Encoder(ScriptedEmbedder(), given).encode(texts).vectors, ids, texts).tobytes()
        for given in (cache, cache, None)
    ]
    assert sent[0] == sent[1] == sent[2]


def test_cut_texts_are_counted_where_they_are_embedded(tmp_path: Path) -> None:
    """Not again when they come from the cache."""
    encoder = Encoder(ScriptedEmbedder(), VectorCache(tmp_path / "v", most_bytes=10_000_000))
    assert encoder.encode(["short", "quite a long text", "quite a long text"]).cut == {1}
    assert not encoder.encode(["short", "quite a long text"]).cut


def test_a_refused_text_is_not_kept(tmp_path: Path) -> None:
    """It is tried again when its key is."""
    cache = VectorCache(tmp_path / "v", most_bytes=10_000_000)
    assert Encoder(ScriptedEmbedder(["bad"]), cache).encode(["good", "bad"]).refused.keys() == {1}
    assert Encoder(ScriptedEmbedder(), cache).encode(["good", "bad"]).refused == {}


def test_a_model_that_refuses_everything_parks_nothing() -> None:
    """Law 8: a plain text is tried too, and then the lanes wait."""
    with pytest.raises(EmbedderUnavailable, match="refuses even a plain text"):
        Encoder(ScriptedEmbedder(["one", "two", PROBE])).encode(["one", "two"])
    assert Encoder(ScriptedEmbedder(["one", "two"])).encode(["one", "two"]).refused.keys() == {0, 1}


def test_a_limit_on_the_batch_is_found_by_halving() -> None:
    """An endpoint that takes few texts at once refuses more; none of them is bad."""
    assert Encoder(ScriptedEmbedder(most=3)).encode([str(number) for number in range(20)]).refused == {}


def test_the_probe_finds_what_a_model_says_of_itself_untrue() -> None:
    """Before the first row."""
    probe(ScriptedEmbedder())
    wrong = ScriptedEmbedder()
    wrong.dimensions = 384
    with pytest.raises(BridgeError, match="says that its vectors have 384 dimensions, and answers 12"):
        probe(wrong)
    with pytest.raises(BridgeError):
        probe(ScriptedEmbedder(broken=[PROBE]))
