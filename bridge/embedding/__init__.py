"""Text to vectors: the embedders, and the part of a vector that tells one row from another."""

from __future__ import annotations

import difflib

from bridge.embedding.hashing import HashingEmbedder
from bridge.errors import ConfigError
from bridge.ports import Embedder

MODELS = {"hashing": HashingEmbedder}


def make(name: str) -> Embedder:
    """The embedder of that name. Raises ConfigError, saying which there are."""
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1)
        suggestion = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"embedding.model: there is no model {name!r}", hint=f"There is: {', '.join(sorted(MODELS))}.{suggestion}"
        )
    return MODELS[name]()
