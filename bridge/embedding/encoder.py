"""An embedder as the lanes use it: each text once, from the cache where it can be, and the one text that is bad set apart."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge.embedding.cache import VectorCache, key_of, rounded
from bridge.errors import BridgeError, EmbedderUnavailable, EmbeddingRefused
from bridge.ports import Embedder, Vectors

PROBE = "The quick brown fox jumps over the lazy dog."
"""A text that every model can embed: when it cannot either, the model is at fault and not the row."""


@dataclass(slots=True)
class Encoded:
    """One row a text, in order. `refused` says by index which texts cannot be embedded, and why; their rows are zero.

    `cut`: texts, by index, of which the model has seen a part just now; those that were in the cache are not among them.
    """

    vectors: Vectors
    refused: dict[int, str] = field(default_factory=dict)
    cut: frozenset[int] = frozenset()
    counters: dict[str, int] = field(default_factory=dict)


class Encoder:
    """An embedder and the cache in front of it. Thread-safe."""

    def __init__(self, embedder: Embedder, cache: VectorCache | None = None) -> None:
        self.embedder = embedder
        self._cache = cache if embedder.kept else None
        self._told = threading.Event()

    @property
    def identity(self) -> str:
        """What these vectors can be compared with."""
        return self.embedder.identity

    def encode(self, texts: Sequence[str], *, urgent: bool = False) -> Encoded:
        """The vectors of these texts.

        Raises EmbedderUnavailable when none can be embedded now; what was embedded before that is in the cache.
        """
        if not self.embedder.kept:
            return Encoded(self.embedder.embed(texts, urgent=urgent), cut=frozenset(self.embedder.cut(texts)))
        places: dict[str, list[int]] = {}
        for index, text in enumerate(texts):
            places.setdefault(text, []).append(index)
        keys = {text: key_of(self.identity, text) for text in places}
        known = self._cache.get(list(keys.values())) if self._cache is not None else {}
        missing = [text for text in places if keys[text] not in known]
        made, refused = self._made(missing, urgent=urgent)
        if self._cache is not None:
            self._cache.put({keys[text]: vector for text, vector in made.items()})
        result = Encoded(np.zeros((len(texts), self.embedder.dimensions), dtype=np.float32))
        for text, indexes in places.items():
            if text in refused:
                result.refused.update(dict.fromkeys(indexes, refused[text]))
            else:
                result.vectors[indexes] = known[keys[text]] if keys[text] in known else made[text]
        result.cut = frozenset(places[missing[place]][0] for place in self.embedder.cut(missing)) - result.refused.keys()
        counted = {"texts_from_model": len(missing) - len(refused), "texts_from_cache": len(texts) - len(missing)}
        result.counters = {name: number for name, number in counted.items() if number}
        return result

    def _made(self, texts: list[str], *, urgent: bool) -> tuple[dict[str, Vectors], dict[str, str]]:
        """From the model: the vectors, and why texts have none. All refused and a plain text too: the model takes nothing now."""
        made: dict[str, Vectors] = {}
        refused: dict[str, str] = {}
        self._halve(texts, urgent, made, refused)
        if refused and not made:
            try:
                self.embedder.embed([PROBE], urgent=urgent)
            except EmbeddingRefused as error:
                raise EmbedderUnavailable(
                    f"{self.embedder.name} refuses even a plain text: {error}", hint="See the model's or the endpoint's own log."
                ) from error
        return made, refused

    def _halve(self, texts: list[str], urgent: bool, made: dict[str, Vectors], refused: dict[str, str]) -> None:
        """Embed; what is refused as a whole in halves, down to the one text that it is."""
        if not texts:
            return
        try:
            vectors = rounded(self.embedder.embed(texts, urgent=urgent))
        except EmbeddingRefused as error:
            if len(texts) == 1:
                refused[texts[0]] = str(error)
                return
            middle = len(texts) // 2
            self._halve(texts[:middle], urgent, made, refused)
            self._halve(texts[middle:], urgent, made, refused)
            return
        sound = np.isfinite(vectors).all(axis=1) & (np.abs(vectors).max(axis=1) > 0)
        for index, text in enumerate(texts):
            if sound[index]:
                made[text] = vectors[index]
            else:
                refused[text] = "the model's vector is zero or not finite"


def probe(embedder: Embedder) -> None:
    """Ask for one vector before the first row: the model works, and its vectors are as long as it says.

    Raises BridgeError when it does not.
    """
    try:
        found = embedder.embed([PROBE])
    except EmbeddingRefused as error:
        raise BridgeError(f"{embedder.name} refuses a plain text: {error}", hint="Choose another model.") from error
    if found.shape != (1, embedder.dimensions) or not np.isfinite(found).all() or not found.any():
        raise BridgeError(
            f"{embedder.name} says that its vectors have {embedder.dimensions} dimensions, and answers {found.shape[1]}",
            hint="Choose another model.",
        )
