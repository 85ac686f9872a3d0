"""An HTTP endpoint that embeds: OpenAI's `POST /v1/embeddings`, or text-embeddings-inference's `POST /embed`.

What it answers is not believed before it was counted: as many vectors as texts, each at its own place, of one size, all finite.
A refusal of a batch (400, 413, 422) concerns something in it; a refusal of the caller (401, 403, 404) and every failure concern
all: then the lanes wait. `Retry-After` is honoured; an endpoint that fails again and again is left alone for a while.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import numpy as np
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from bridge.embedding.breaker import Breaker
from bridge.embedding.options import ModelOptions
from bridge.embedding.packing import pooled, windows
from bridge.errors import ConfigError, EmbedderUnavailable, EmbeddingRefused
from bridge.ports import Vectors

Kind = Literal["openai", "tei"]

ATTEMPTS = 3
LONGEST_WAIT = 5.0
"""Seconds that a call waits by itself before it tries again; when more is asked for, the lanes wait instead."""

CONNECT_SECONDS = 5.0
_OF_THE_BATCH = (400, 413, 422)
_PATHS: dict[Kind, str] = {"openai": "/v1/embeddings", "tei": "/embed"}
_KEY = "Set embedding.endpoint.api_key, or the variable EMBEDDING_API_KEY."


class _Failed(Exception):
    """One call has failed; `after` are the seconds that the endpoint asked for."""

    def __init__(self, what: str, after: float = 0.0) -> None:
        super().__init__(what)
        self.after = after


class _CallerRefused(EmbedderUnavailable):
    """The endpoint refuses whoever asks, whatever is asked."""


class EndpointEmbedder:
    """Implements `bridge.ports.Embedder`."""

    kept = True

    def __init__(self, url: str, options: ModelOptions) -> None:
        """Find out of which kind it is and how long its vectors are.

        Raises ConfigError when it cannot be used, EmbedderUnavailable when it does not answer.
        """
        settings = options.endpoint
        headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        timeout = httpx.Timeout(settings.timeout, connect=CONNECT_SECONDS)
        self._client = httpx.Client(headers=headers, timeout=timeout)
        self._options = options
        self._breaker = Breaker()
        self._kind, self._url = settings.kind, url
        self.name = settings.name or _place(url)
        self.dimensions = 0
        try:
            self._look(url.rstrip("/"))
        except BaseException:
            self._client.close()
            raise

    def _look(self, base: str) -> None:
        """What kind it is, where it is asked, how long its vectors are, and which model makes them."""
        if self._kind is None:
            self._kind = next((kind for kind, path in _PATHS.items() if base.endswith(path)), None)
        if self._kind is None:
            self._kind, self._url = self._detected(base)
        elif not base.endswith(_PATHS[self._kind]):
            self._url = base.removesuffix("/v1") + _PATHS[self._kind]
        self.dimensions = self._first().shape[1]
        revision = self._revision(self._url.removesuffix(_PATHS[self._kind]))
        cut = self._options.endpoint.max_characters
        self.identity = f"{revision or self.name} {self.dimensions}d {cut}c {self._options.long_texts}"

    def embed(self, texts: Sequence[str], *, urgent: bool = False) -> Vectors:  # noqa: ARG002 - the endpoint has its own queue
        """One row a text, as the endpoint answers them. Raises EmbeddingRefused and EmbedderUnavailable."""
        size = self._options.endpoint.batch
        places = [self._places(text) for text in texts]
        sent = [text[start:stop] for text, found in zip(texts, places, strict=True) for start, stop in found]
        parts = [self._ask(sent[start : start + size]) for start in range(0, len(sent), size)]
        vectors = np.concatenate(parts) if parts else np.empty((0, self.dimensions), dtype=np.float32)
        if len(sent) == len(texts):
            return vectors
        owners = [index for index, found in enumerate(places) for _place in found]
        return pooled(vectors, owners, [stop - start for found in places for start, stop in found], len(texts))

    def cut(self, texts: Sequence[str]) -> list[int]:
        """Texts that are sent in part. What the endpoint itself cuts is not known."""
        return [place for place, text in enumerate(texts) if self._places(text)[-1][1] < len(text)]

    def _places(self, text: str) -> list[tuple[int, int]]:
        """What of a text is sent: the whole of it, its beginning, or pieces that overlap."""
        most = self._options.endpoint.max_characters or len(text)
        if self._options.long_texts == "pool":
            return windows(len(text), max(most, 1))
        return [(0, min(most, len(text)))]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # asking

    def _ask(self, texts: Sequence[str]) -> Vectors:
        waiting = self._breaker.wait()
        if waiting > 0:
            raise EmbedderUnavailable(f"the embedding endpoint {self.name} has failed: it is tried again in {waiting:.0f} s")
        retrying = Retrying(stop=stop_after_attempt(ATTEMPTS), wait=_wait, retry=retry_if_exception(self._again), reraise=True)
        try:
            answer = retrying(self._post, texts)
        except _Failed as error:
            raise EmbedderUnavailable(f"the embedding endpoint {self.name}: {error}", hint="The lanes wait for it.") from error
        self._breaker.succeeded()
        return self._vectors(answer, len(texts))

    def _again(self, error: BaseException) -> bool:
        """Whether this call itself tries once more."""
        return isinstance(error, _Failed) and error.after <= LONGEST_WAIT and not self._breaker.is_open

    def _post(self, texts: Sequence[str]) -> httpx.Response:
        """One call. Raises _Failed for what may go away, EmbeddingRefused for what concerns these texts."""
        try:
            answer = self._client.post(self._url, json=self._body(texts))
        except httpx.HTTPError as error:
            raise self._failed(f"{type(error).__name__}: {error}") from error
        if answer.status_code in _OF_THE_BATCH:
            self._breaker.succeeded()
            raise EmbeddingRefused(f"{self.name} answers {answer.status_code}")  # its message may quote the text
        if answer.status_code in (401, 403, 404, 405):
            raise _CallerRefused(f"the embedding endpoint {self.name} answers {answer.status_code}", hint=_KEY)
        if not answer.is_success:
            raise self._failed(f"it answers {answer.status_code}", _retry_after(answer))
        return answer

    def _failed(self, what: str, after: float = 0.0) -> _Failed:
        self._breaker.failed(asked_for=after)
        return _Failed(what, after)

    def _body(self, texts: Sequence[str]) -> dict[str, Any]:
        if self._kind == "tei":
            shortened = {"dimensions": self._options.dimensions} if self._options.dimensions else {}
            return {"inputs": list(texts), "normalize": True, "truncate": self._options.long_texts == "cut"} | shortened
        body: dict[str, Any] = {"model": self._options.endpoint.name or "default", "input": list(texts)}
        return (
            body | {"encoding_format": "float"} | ({"dimensions": self._options.dimensions} if self._options.dimensions else {})
        )

    def _vectors(self, answer: httpx.Response, count: int) -> Vectors:
        """The vectors of an answer, each at its own place. Raises EmbedderUnavailable for an answer that cannot be believed."""
        try:
            document = answer.json()
            rows = document if self._kind == "tei" else _in_order(document["data"], count)
            vectors = np.array(rows, dtype=np.float32)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise self._strange("something else than vectors") from error
        if vectors.ndim != 2 or len(vectors) != count:
            raise self._strange(f"vectors of the shape {vectors.shape} to {count} text(s)")
        if self.dimensions and vectors.shape[1] != self.dimensions:
            raise self._strange(f"{vectors.shape[1]} dimensions where it had {self.dimensions}")
        return vectors

    def _strange(self, what: str) -> EmbedderUnavailable:
        self._breaker.failed()
        return EmbedderUnavailable(f"the embedding endpoint {self.name} answers {what}", hint="Nothing of it was used.")

    # the first look

    def _detected(self, base: str) -> tuple[Kind, str]:
        """The kind whose path answers. Raises ConfigError when none does, EmbedderUnavailable when nobody does."""
        for kind, path in _PATHS.items():
            self._kind, self._url = kind, (base.removesuffix("/v1") if kind == "openai" else base) + path
            try:
                answer = self._client.post(self._url, json=self._body(["probe"]))
            except httpx.HTTPError as error:
                raise EmbedderUnavailable(f"the embedding endpoint {self.name} cannot be reached: {error}") from error
            if answer.status_code not in (404, 405):
                return kind, self._url
        raise ConfigError(
            f"embedding.model: {_place(base)} answers neither {' nor '.join(_PATHS.values())}",
            hint="Write the whole URL of its embedding call, and embedding.endpoint.kind.",
        )

    def _first(self) -> Vectors:
        """A vector. Raises ConfigError when the endpoint refuses to make one at all."""
        try:
            return self._ask(["probe"])
        except EmbeddingRefused as error:
            raise ConfigError(
                f"embedding.model: {error} to a plain text", hint="Check embedding.endpoint.name, kind and dimensions."
            ) from error
        except _CallerRefused as error:
            raise ConfigError(f"embedding.model: {error}", hint=_KEY) from error

    def _revision(self, base: str) -> str | None:
        """Which model a text-embeddings-inference serves, by its own account; None where it gives none."""
        if self._kind != "tei":
            return None
        try:
            answer = self._client.get(f"{base}/info")
            found = answer.json() if answer.is_success else {}
        except (httpx.HTTPError, ValueError) as error:
            raise EmbedderUnavailable(f"the embedding endpoint {self.name} does not say which model it serves") from error
        if answer.status_code == 429 or answer.is_server_error:
            raise EmbedderUnavailable(f"the embedding endpoint {self.name} answers {answer.status_code}")
        model, revision = found.get("model_id"), found.get("model_sha")
        return f"{model}:{revision}" if model else None


def _place(url: str) -> str:
    """Host and path, without what could be a secret."""
    parts = urlsplit(url)
    return f"{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path.rstrip('/')}"


def _in_order(data: list[dict[str, Any]], count: int) -> list[Any]:
    """By `index`: nothing promises that the answer has the order of the question."""
    rows: list[Any] = [None] * count
    for entry in data:
        rows[entry["index"]] = entry["embedding"]
    if len(data) != count or any(row is None for row in rows):
        raise ValueError("an index is missing or stands twice")
    return rows


def _retry_after(answer: httpx.Response) -> float:
    """Seconds of the header, which may be a number or a date; 0 without it."""
    given = answer.headers.get("Retry-After", "")
    try:
        return max(float(given), 0.0)
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(given).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return 0.0


def _wait(state: RetryCallState) -> float:
    """What the endpoint asks for, or twice as long each time; not so long that the lane had better wait itself."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.after if isinstance(error, _Failed) else 0.0
    return min(max(asked, 0.1 * 2.0**state.attempt_number), LONGEST_WAIT)
