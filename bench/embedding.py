"""Texts per second through the bridge's own path to a model, against the bare model, and from the cache against the model.

The bare model is sentence-transformers' `encode` of all texts in one call, which sorts them by length itself. Ours is what a lane
does: each text once, tokens counted, batches under a budget of tokens, vectors rounded as they are kept; without a cache.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.figures import Figure, Say, Scale, median_ratio
from bench.paraphrases import TEXTS
from bridge import embedding
from bridge.embedding import files
from bridge.embedding.cache import VectorCache
from bridge.embedding.encoder import Encoder

GOAL = 0.95
CACHE_GOAL = 50
ROWS = 300
SEED = 7


def texts_of(count: int, round_: int) -> list[str]:
    """Texts of one to ten sentences, none like another and none of an earlier round."""
    chance = random.Random(SEED + round_)
    lengths = (1, 1, 1, 2, 2, 3, 5, 10)
    return [f"{round_}.{number}: {' '.join(chance.sample(TEXTS, chance.choice(lengths)))}" for number in range(count)]


def run(scale: Scale, say: Say) -> list[Figure]:
    """all-MiniLM-L6-v2 on this machine's processors."""
    import sentence_transformers

    count = scale.of(ROWS)
    bare = sentence_transformers.SentenceTransformer(files.find("all-MiniLM-L6-v2").place)
    embedder = embedding.make("minilm")
    plain: list[float] = []
    through: list[float] = []
    cached: list[float] = []
    with tempfile.TemporaryDirectory(prefix="engram-bridge-bench-") as folder:
        cache = VectorCache(Path(folder) / "vectors", most_bytes=100_000_000)
        for round_ in range(scale.times(5)):
            say(f"embedding {count} texts, repetition {round_ + 1}")
            texts = texts_of(count, round_)
            ours: tuple[list[float], Callable[[], Any]] = (through, lambda texts=texts: Encoder(embedder).encode(texts))
            theirs: tuple[list[float], Callable[[], Any]] = (
                plain,
                lambda texts=texts: bare.encode(texts, show_progress_bar=False, normalize_embeddings=True),
            )
            for samples, work in (ours, theirs) if round_ % 2 else (theirs, ours):
                samples.append(count / _seconds(work))
            encoder = Encoder(embedder, cache)
            encoder.encode(texts)
            cached.append(count / _seconds(lambda encoder=encoder, texts=texts: encoder.encode(texts)))
        cache.close()
    return [
        _figure("embed-minilm", "texts through the bridge's path against the bare model", through, plain, GOAL, count),
        _figure("embed-cache", "texts from the cache on disk against the model", cached, through, CACHE_GOAL, count),
    ]


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _figure(name: str, what: str, ours: list[float], bare: list[float], goal: float, count: int) -> Figure:
    ratio = median_ratio(ours, bare)
    return Figure(name, what, "texts/s", ours, bare, f">= {goal}", ratio >= goal, notes={"texts": count})
