"""How the server recalls: through the tiers, which keep what was forgotten, and then around them.

The hot tier is searched in earnest. Of the warm tier every row whose confidence reaches the threshold is returned,
whatever was asked. Only when the tiers have nothing at all does the server look at what it really holds; a vector
that is near nothing then finds rows that have nothing to do with it, at a score of 1.0.
"""

from dataclasses import dataclass

import numpy as np

from bridge.sandbox.engram.space import Row, Space
from bridge.sandbox.engram.vectors import Vector, unit

TEXT_LIMIT = 75
VECTOR_LIMIT = 100
_WARM = float(np.float32(0.95))


@dataclass(frozen=True, slots=True)
class Hit:
    """A recalled row and its score."""

    row: Row
    score: float


def by_text(space: Space, text: str, threshold: float) -> list[Hit]:
    """What a text recalls, best first."""
    sought = text.lower()
    words = set(sought.split())
    scored = ((row, _relevance(row.content.lower(), sought, words)) for row in space.hot_tier())
    hot = [Hit(row, score) for row, score in scored if score >= threshold]
    return _with_warm(space, hot, threshold, TEXT_LIMIT) or _around_the_tiers(space, text, threshold)


def by_vector(space: Space, vector: Vector, threshold: float) -> list[Hit]:
    """What a vector recalls, best first."""
    direction = unit(vector)
    tier = {row.id: row for row in space.hot_tier()}
    hot = [Hit(row, cosine) for row, cosine in space.near(direction, threshold) if tier.get(row.id) is row]
    dead = [row for row in tier.values() if not space.is_living(row)]
    if dead:
        cosines = np.minimum(np.stack([unit(row.vector) for row in dead]) @ direction, np.float32(1))
        hot += [Hit(row, float(cosine)) for row, cosine in zip(dead, cosines, strict=True) if cosine >= np.float32(threshold)]
    return _with_warm(space, hot, threshold, VECTOR_LIMIT) or _unrelated(space)


def _relevance(content: str, sought: str, words: set[str]) -> float:
    if sought in content:
        return 1.0
    if content in sought:
        return 0.8
    own = set(content.split())
    union = len(words | own)
    return len(words & own) / union if union else 0.0


def _with_warm(space: Space, hot: list[Hit], threshold: float, limit: int) -> list[Hit]:
    hits = hot
    if len(hits) < limit:
        # The server compares 32-bit numbers: 0.7 reaches 0.7 whichever way it was written.
        least = np.float32(threshold)
        hits = hits + [Hit(row, row.confidence * _WARM) for row in space.warm_tier() if np.float32(row.confidence) >= least]
    return sorted(hits, key=lambda hit: -hit.score)[:limit]


def _around_the_tiers(space: Space, text: str, threshold: float) -> list[Hit]:
    sought = text.lower()
    words = text.split()
    hits = []
    for row in space.listed():
        score = 1.0 if row.id == text else _likeness(row.content, sought, words)
        if score > 0 and score >= threshold:
            hits.append(Hit(row, score))
    return sorted(hits, key=lambda hit: -hit.score)[:TEXT_LIMIT]


def _likeness(content: str, sought: str, words: list[str]) -> float:
    lowered = content.lower()
    if sought in lowered:
        return 1.0
    if lowered in sought:
        return 0.7
    own = set(content.split())
    return 0.5 * sum(word in own for word in words) / max(1, len(words))


def _unrelated(space: Space) -> list[Hit]:
    """Rows of this run (the index behind it is empty after a restart), however far away."""
    met = {row.id for row in space.hot_tier()} | {row.id for row in space.warm_tier()}
    return [Hit(row, 1.0) for row in space.listed() if row.id in met][:VECTOR_LIMIT]
