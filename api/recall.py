"""How Engram is asked by a vector, and what its answer is worth. Pure.

It is worth little: rows that were forgotten, older versions of rows, and, when nothing is near at all, rows that have nothing to
do with the question at a score of 1.0. So a hit is a name and a hint how near it may be, no more; its content is not looked at.
A space with rows that were stored at a low activation answers all of them to everything, and is not asked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from bridge.embedding.identity import IDENTITY_SHARE
from bridge.errors import TargetUnavailable
from bridge.ports import Vectors

MOST = 100
"""Hits that the server gives of one space, whatever it is asked."""

CLEAN = (1 - IDENTITY_SHARE) ** 0.5
"""What the score of a row's stored vector is of that of its clean one, where the fingerprint has dimensions of its own."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that came up, and the score that the server gave it."""

    memory_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Recalled:
    """What came up in one space, each memory once, the highest score first. `count`: how many hits that were at the server, who
    may name a memory twice: as many as it was asked for means that there may be more."""

    hits: list[Hit]
    count: int


def cue(vector: Vectors) -> str:
    """A query's vector as the server reads it."""
    return "[" + ",".join([f"{number:.7g}" for number in vector.tolist()]) + "]"


def recalled(status: int, body: bytes) -> Recalled:
    """The answer to a recall. Raises TargetUnavailable for any other one."""
    if status != 200:
        raise TargetUnavailable(f"Engram answered {status} to a recall")
    best: dict[str, float] = {}
    count = 0
    try:
        groups = json.loads(body)["memories"]
        for group in ("vivid", "associated"):
            for memory in groups[group]:
                name, score = memory["id"], float(memory["similarity_score"])
                if type(name) is not str:
                    raise TypeError
                best[name] = max(score, best.get(name, score))
                count += 1
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TargetUnavailable("Engram answered a recall in a form that is not its own") from error
    hits = sorted((Hit(name, score) for name, score in best.items()), key=lambda hit: (-hit.score, hit.memory_id))
    return Recalled(hits, count)


def warm(status: int, body: bytes) -> int:
    """How many rows of a space were ever stored at a low activation, of a list page. Raises TargetUnavailable."""
    if status != 200:
        raise TargetUnavailable(f"Engram answered {status} to a list")
    try:
        return int(json.loads(body)["tier_counts"]["warm"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TargetUnavailable("Engram answered a list in a form that is not its own") from error


def epoch(status: int, body: bytes) -> str:
    """The birth of the server's default space, of the list of its spaces. Raises TargetUnavailable."""
    if status != 200:
        raise TargetUnavailable(f"Engram answered {status} to a list of its spaces")
    try:
        return next(str(space["created_at"]) for space in json.loads(body)["spaces"] if space["id"] == "default")
    except (ValueError, KeyError, TypeError, RecursionError, StopIteration) as error:
        raise TargetUnavailable("Engram answered a list of its spaces in a form that is not its own") from error
