"""Text to vectors: the embedders, the choice of one for each table, and the part of a vector that tells one row from another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Self

from bridge.embedding.cache import VectorCache
from bridge.embedding.encoder import Encoder, probe
from bridge.embedding.endpoint import EndpointEmbedder
from bridge.embedding.hashing import HashingEmbedder
from bridge.embedding.identity import require_fit
from bridge.embedding.options import ModelOptions
from bridge.embedding.profiles import HASHING, is_endpoint, named
from bridge.errors import BridgeError, ConfigError
from bridge.mapping import TablePlan
from bridge.ports import Embedder

logger = logging.getLogger(__name__)


def make(model: str, options: ModelOptions | None = None) -> Embedder:
    """The embedder of a word of the configuration, found fit for the target.

    Raises ConfigError when there is none or its vectors do not fit, EmbedderUnavailable when an endpoint does not answer.
    """
    options = options or ModelOptions()
    if model == HASHING:
        return HashingEmbedder()
    embedder = EndpointEmbedder(model, options) if is_endpoint(model) else _transformer(named(model), options)
    try:
        require_fit(embedder.name, embedder.dimensions)
        probe(embedder)
    except BridgeError as error:
        embedder.close()
        if type(error) is BridgeError:
            raise ConfigError(f"embedding.model: {error}", hint=error.hint) from error
        raise
    return embedder


@lru_cache(maxsize=8)
def _transformer(name: str, options: ModelOptions) -> Embedder:
    """A model in this process's memory: a start that waits for PostgreSQL begins again, but loads it once."""
    from bridge.embedding.transformer import TransformerEmbedder

    return TransformerEmbedder(name, options)


class Embedders:
    """The embedders of a bridge, each loaded once, and the cache that they share. Thread-safe."""

    def __init__(self, default: str, options: ModelOptions, cache: VectorCache | None) -> None:
        self._default = default
        self._options = options
        self._cache = cache
        self._encoders: dict[str, Encoder] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, embedder: Embedder) -> Self:
        """One embedder for all tables, without a cache."""
        made = cls(HASHING, ModelOptions(), None)
        made._encoders[HASHING] = Encoder(embedder)
        return made

    def for_table(self, plan: TablePlan) -> Encoder:
        """The encoder of a table: its own model's, or that of all. See `load`."""
        return self.load(plan.options.model or self._default)

    def load(self, model: str) -> Encoder:
        """The encoder of a word of the configuration. See `make`."""
        with self._lock:
            if model not in self._encoders:
                self._encoders[model] = Encoder(make(model, self._options), self._cache)
                if model != HASHING:
                    logger.info("a model is ready", extra={"model": self._encoders[model].identity})
            return self._encoders[model]

    def load_all(self, models: Sequence[str]) -> None:
        """The default and these: before the first row, so that what is wrong with one is told before it."""
        for model in dict.fromkeys([self._default, *models]):
            self.load(model)

    def close(self) -> None:
        """Close connections and cache."""
        with self._lock:
            for encoder in self._encoders.values():
                encoder.embedder.close()
            if self._cache is not None:
                self._cache.close()


def open_cache(path: Path, megabytes: int) -> VectorCache | None:
    """The cache of so many MB at that place; None for 0."""
    return VectorCache(path, most_bytes=megabytes * 1_000_000) if megabytes else None
