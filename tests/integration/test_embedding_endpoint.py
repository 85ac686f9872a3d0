"""Endpoints that embed, over HTTP, with all that they do wrong."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bridge import embedding
from bridge.embedding.breaker import FAILURES
from bridge.embedding.encoder import Encoder
from bridge.embedding.endpoint import EndpointEmbedder
from bridge.embedding.hashing import HashingEmbedder
from bridge.embedding.options import EndpointOptions, ModelOptions
from bridge.errors import BridgeError, ConfigError, EmbedderUnavailable
from tests.embedding_endpoint import EmbeddingEndpoint, Misbehave
from tests.patience import PATIENCE

TEXTS = [f"number {number}" for number in range(7)]
KEY = "k-very-secret"


def options(**endpoint: Any) -> ModelOptions:
    """The defaults but for these."""
    return ModelOptions(endpoint=EndpointOptions(**endpoint))


@pytest.fixture
def openai() -> Iterator[EmbeddingEndpoint]:
    """One of the OpenAI kind, whose answers are in reverse order."""
    with EmbeddingEndpoint() as endpoint:
        yield endpoint


@pytest.mark.parametrize("kind", ["openai", "tei"])
@pytest.mark.parametrize("path", ["", "/", "full"])
def test_either_kind_is_found_and_answers_in_order(kind: str, path: str) -> None:
    """By its base or by the whole URL; each vector is its text's own, whatever order it came in."""
    with EmbeddingEndpoint(kind) as endpoint:
        url = endpoint.url + ({"openai": "/v1/embeddings", "tei": "/embed"}[kind] if path == "full" else path)
        embedder = embedding.make(url)
        assert embedder.dimensions == 512
        assert np.allclose(embedder.embed(TEXTS), HashingEmbedder().embed(TEXTS), atol=1e-6)
        embedder.close()


def test_the_base_with_v1_is_one_too(openai: EmbeddingEndpoint) -> None:
    """As OpenAI's own clients are given it."""
    EndpointEmbedder(f"{openai.url}/v1", options()).close()


def test_tei_says_which_model_it_serves() -> None:
    """So that another model behind the same address is noticed; texts are cut there when they are to be cut."""
    with EmbeddingEndpoint("tei") as endpoint:
        embedder = EndpointEmbedder(endpoint.url, options())
        assert embedder.identity.startswith("double/model:abc123 512d")
        assert endpoint.bodies[-1]["truncate"] is True
        embedder.close()


def test_texts_go_in_batches(openai: EmbeddingEndpoint) -> None:
    """As many at once as is set, and no longer than is set."""
    embedder = EndpointEmbedder(openai.url, options(batch=3, max_characters=5, name="some-model"))
    openai.calls.clear()
    embedder.embed(TEXTS)
    assert [len(call) for call in openai.calls] == [3, 3, 1]
    assert set(openai.texts) == set()
    assert {text for call in openai.calls for text in call} == {"numbe"}
    assert openai.bodies[-1]["model"] == "some-model"
    assert len(embedder.cut(TEXTS)) == 7
    embedder.close()


def test_long_texts_are_sent_in_pieces(openai: EmbeddingEndpoint) -> None:
    """Pooled, their vector is the mean of the pieces' own, by length."""
    given = ModelOptions(long_texts="pool", endpoint=EndpointOptions(max_characters=16, batch=3))
    embedder = EndpointEmbedder(openai.url, given)
    openai.calls.clear()
    found = embedder.embed(["short one", "long one with many words in it"])
    assert [text for call in openai.calls for text in call] == ["short one", "long one with ma", "many words in it"]
    pieces = HashingEmbedder().embed(["long one with ma", "many words in it"]).astype(np.float64)
    mean = (pieces * [[16], [16]]).sum(axis=0)
    assert np.allclose(found[1], mean / np.linalg.norm(mean), atol=1e-6)
    assert np.allclose(found[0], HashingEmbedder().embed(["short one"])[0], atol=1e-6)
    assert embedder.cut(["short one", "long one with many words in it"]) == []
    embedder.close()


@pytest.mark.parametrize(
    "misbehave",
    [
        Misbehave(status=503),
        Misbehave(status=500),
        Misbehave(hang_up=True),
        Misbehave(status=429, headers={"Retry-After": "0.3"}),
    ],
    ids=["503", "500", "hang up", "429"],
)
def test_what_goes_away_is_tried_again(openai: EmbeddingEndpoint, misbehave: Misbehave) -> None:
    """One failure costs a moment and nothing else."""
    embedder = EndpointEmbedder(openai.url, options())
    openai.calls.clear()
    openai.script.append(misbehave)
    assert np.allclose(embedder.embed(TEXTS), HashingEmbedder().embed(TEXTS), atol=1e-6)
    assert len(openai.calls) == 2
    embedder.close()


def test_retry_after_is_honoured(openai: EmbeddingEndpoint) -> None:
    """A short one by waiting, as a number or as a date; a long one by leaving the endpoint alone for that time."""
    embedder = EndpointEmbedder(openai.url, options())
    openai.times.clear()
    openai.script.append(Misbehave(status=429, headers={"Retry-After": "1"}))
    embedder.embed(TEXTS)
    assert openai.times[1] - openai.times[0] >= 1.0
    openai.times.clear()
    openai.script.append(Misbehave(status=503, headers={"Retry-After": email.utils.formatdate(time.time() + 2, usegmt=True)}))
    embedder.embed(TEXTS)
    assert openai.times[1] - openai.times[0] >= 0.5
    openai.times.clear()
    openai.script.append(Misbehave(status=429, headers={"Retry-After": "60"}))
    for _ in range(3):
        with pytest.raises(EmbedderUnavailable):
            embedder.embed(TEXTS)
    assert len(openai.times) == 1, "it was asked although it had asked to be left alone"
    embedder.close()


def test_after_failures_in_a_row_one_caller_tries(openai: EmbeddingEndpoint) -> None:
    """The breaker opens; nobody asks meanwhile; when its time has passed one call closes it again."""
    embedder = EndpointEmbedder(openai.url, options())
    openai.calls.clear()
    openai.always = Misbehave(status=503)
    for _ in range(10):
        with pytest.raises(EmbedderUnavailable):
            embedder.embed(TEXTS)
    assert len(openai.calls) == FAILURES
    openai.always = None
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            embedder.embed(TEXTS)
            break
        except EmbedderUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert len(openai.calls) == FAILURES + 1
    embedder.close()


def _without_one(document: Any) -> Any:
    return {"data": document["data"][1:]}


def _index_twice(document: Any) -> Any:
    return {"data": [entry | {"index": 0} for entry in document["data"]]}


def _shorter(document: Any) -> Any:
    return {"data": [entry | {"embedding": entry["embedding"][:-1]} for entry in document["data"]]}


def _ragged(document: Any) -> Any:
    first, *rest = document["data"]
    return {"data": [first | {"embedding": [1.0]}, *rest]}


@pytest.mark.parametrize("change", [_without_one, _index_twice, _shorter, _ragged, lambda _document: {"other": 1}])
def test_an_answer_that_cannot_be_believed_is_not_used(openai: EmbeddingEndpoint, change: Any) -> None:
    """Too few, one twice, another size, of several sizes, something else: nothing of it becomes a vector."""
    embedder = EndpointEmbedder(openai.url, options())
    openai.always = Misbehave(change=change)
    with pytest.raises(EmbedderUnavailable):
        embedder.embed(TEXTS)
    embedder.close()


def test_no_json_is_no_answer(openai: EmbeddingEndpoint) -> None:
    """A proxy's error page with status 200."""
    embedder = EndpointEmbedder(openai.url, options())
    openai.always = Misbehave(body=b"<html>all is well</html>")
    with pytest.raises(EmbedderUnavailable):
        embedder.embed(TEXTS)
    embedder.close()


def test_a_vector_that_is_not_finite_is_refused_alone(openai: EmbeddingEndpoint) -> None:
    """NaN is no JSON, but some servers send it."""

    def spoil(document: Any) -> Any:
        spoiled = [entry | {"embedding": [float("nan")] * 512} if entry["index"] == 2 else entry for entry in document["data"]]
        return {"data": spoiled}

    embedder = EndpointEmbedder(openai.url, options())
    openai.always = Misbehave(change=spoil)
    assert Encoder(embedder).encode(TEXTS).refused.keys() == {2}
    embedder.close()


def test_a_bad_row_is_found_by_halving() -> None:
    """The batch is refused with 400; all others get their vectors, and the row's text is in no message."""
    texts = [f"row {number}" for number in range(40)]
    texts[23] = "row 23 is poisoned"
    with EmbeddingEndpoint(poison="poison") as endpoint:
        embedder = EndpointEmbedder(endpoint.url, options())
        found = Encoder(embedder).encode(texts)
        assert found.refused.keys() == {23}
        assert "poison" not in found.refused[23]
        others = [index for index in range(40) if index != 23]
        wanted = HashingEmbedder().embed([texts[index] for index in others])
        assert np.allclose(found.vectors[others], wanted, atol=1e-3)
        embedder.close()


def test_the_key_is_sent_and_never_shown() -> None:
    """Without it the endpoint refuses, which is told before the first row with the remedy."""
    with EmbeddingEndpoint(key=KEY) as endpoint:
        with pytest.raises(ConfigError, match="401") as caught:
            embedding.make(endpoint.url)
        assert "EMBEDDING_API_KEY" in caught.value.hint
        given = options(api_key=KEY)
        assert KEY not in repr(given)
        embedder = embedding.make(endpoint.url, given)
        endpoint.always = Misbehave(status=503)
        with pytest.raises(EmbedderUnavailable) as failed:
            embedder.embed(TEXTS)
        assert KEY not in str(failed.value)
        embedder.close()


def test_a_key_that_was_withdrawn_parks_nothing() -> None:
    """It concerns every row: the lanes wait."""
    with EmbeddingEndpoint(key=KEY) as endpoint:
        embedder = embedding.make(endpoint.url, options(api_key=KEY))
        endpoint.key = "another"
        with pytest.raises(EmbedderUnavailable):
            Encoder(embedder).encode(TEXTS)
        embedder.close()


def test_no_endpoint_is_told_before_the_first_row(openai: EmbeddingEndpoint) -> None:
    """Nobody listens; nobody embeds there; what it makes is too large."""
    with pytest.raises(EmbedderUnavailable):
        embedding.make("http://127.0.0.1:1/v1/embeddings")
    with pytest.raises(ConfigError, match="neither"):
        embedding.make(f"{openai.url}/elsewhere")
    openai.always = Misbehave(
        change=lambda document: {"data": [entry | {"embedding": [0.1] * 1024} for entry in document["data"]]}
    )
    with pytest.raises(ConfigError, match="1024 dimensions; the target takes at most 768"):
        embedding.make(openai.url)


def test_a_timeout_is_a_failure(openai: EmbeddingEndpoint) -> None:
    """Waiting has an end."""
    embedder = EndpointEmbedder(openai.url, options(timeout=0.2))
    openai.always = Misbehave(delay=1.0)
    with pytest.raises(BridgeError, match="ReadTimeout"):
        embedder.embed(TEXTS)
    embedder.close()
