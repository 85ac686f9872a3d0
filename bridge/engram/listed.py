"""What lists and recalls say of vectors: the only places where the server shows them, or what they are good for. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.ports import Hit, Vectors


def listed_vector(memory: dict[str, Any]) -> Vectors | None:
    """The vector of a memory on a list page, of whatever length; None where the page has none.

    JSON has no numbers that are not finite: the server writes null for them.
    """
    numbers = memory.get("embedding")
    if numbers is None:
        return None
    if not isinstance(numbers, list):
        raise TypeError("an embedding that is no list")
    return np.array(numbers, dtype=np.float32)  # None becomes NaN


def cue(vector: Vectors) -> str:
    """A query's vector as the server reads it."""
    return "[" + ",".join([f"{number:.7g}" for number in vector.tolist()]) + "]"


def recalled(answer: dict[str, Any]) -> list[Hit]:
    """What was recalled, each memory once, the highest score first."""
    best: dict[str, float] = {}
    for group in ("vivid", "associated"):
        for memory in answer["memories"][group]:
            name, score = memory["id"], float(memory["similarity_score"])
            if type(name) is not str:
                raise TypeError("an id that is no text")
            best[name] = max(score, best.get(name, score))
    return sorted((Hit(name, score) for name, score in best.items()), key=lambda hit: (-hit.score, hit.memory_id))
