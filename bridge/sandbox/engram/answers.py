"""The bodies of the HTTP answers: their shapes and number formats are the server's, their wording is ours."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bridge.sandbox.engram import instants
from bridge.sandbox.engram.recall import Hit
from bridge.sandbox.engram.registry import OpenSpace
from bridge.sandbox.engram.space import Row, TierCounts

JSON_TYPE: Final = "application/json"
TEXT_TYPE: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Refused(Exception):
    """A request ends here, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def as_json(document: object, status: int = 200) -> Answer:
    """A JSON answer."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, body, JSON_TYPE)


def as_text(status: int, text: str) -> Answer:
    """What the server's framework answers before any handler is reached."""
    return Answer(status, text.encode(), TEXT_TYPE)


def error(status: int, code: str, message: str) -> Answer:
    """The JSON error of a handler."""
    document = {
        "documentation": {
            "api_guide": "/docs/api",
            "examples": "/docs/examples",
            "memory_concepts": "/docs/memory-systems",
        },
        "error": {
            "code": code,
            "cognitive_guidance": "Correct the request and send it again.",
            "educational_context": "The request was understood but could not be carried out.",
            "message": message,
        },
    }
    return as_json(document, status)


def widened(number: float) -> float:
    """A 32-bit number as get, list and search print it: 0.9 reads 0.8999999761581421."""
    return float(np.float32(number))


def shortest(number: float) -> float:
    """A 32-bit number as the other answers print it: 0.9 reads 0.9."""
    return float(str(np.float32(number)))


def memory(row: Row) -> dict[str, object]:
    """A row as a read by id shows it."""
    return {
        "confidence": widened(row.confidence),
        "content": row.content,
        "id": row.id,
        "memory_type": "episodic",
        "timestamp": instants.with_offset(row.when),
    }


def found(hit: Hit) -> dict[str, object]:
    """A row as a search shows it: its confidence is the score."""
    return memory(hit.row) | {"confidence": widened(hit.score)}


def listed(row: Row, with_vector: bool) -> dict[str, object]:
    """A row as a list page shows it."""
    entry: dict[str, object] = {"confidence": widened(row.confidence), "content": row.content}
    if with_vector:
        finite = np.isfinite(row.vector).all()  # JSON has no other numbers: the server writes null for them
        entry["embedding"] = row.vector.tolist() if finite else [n if np.isfinite(n) else None for n in row.vector.tolist()]
    return entry | {"id": row.id, "timestamp": instants.with_offset(row.when)}


def page(rows: Sequence[Row], offset: int, limit: int, counts: TierCounts, with_vectors: bool) -> Answer:
    """A list page."""
    return as_json(
        {
            "memories": [listed(row, with_vectors) for row in rows],
            "count": len(rows),
            "pagination": {"offset": offset, "limit": limit, "returned": len(rows)},
            "tier_counts": {"hot": counts.hot, "warm": counts.warm, "cold": 0, "total": counts.hot + counts.warm},
        }
    )


def confidence(value: float, reasoning: str) -> dict[str, object]:
    """A confidence with the name of its class."""
    category = "High" if value > np.float32(0.7) else "Medium" if value > np.float32(0.4) else "Low"
    return {"value": shortest(value), "category": category, "reasoning": reasoning}


def remembered(identity: str, activation: float, observed_at: int, auto_link: bool) -> Answer:
    """The answer to a write, which reads the same whether the row was kept or dropped."""
    invented = {
        "target_memory_id": "example_linked_memory",
        "similarity_score": 0.8,
        "link_reason": "Semantic similarity detected in content patterns",
    }
    return as_json(
        {
            "memory_id": identity,
            "storage_confidence": confidence(activation, "The activation that the row was given."),
            "consolidation_state": "Recent",
            "observed_at": instants.with_z(observed_at),
            "stored_at": instants.with_z(instants.now()),
            "links": {"consolidation": "/api/v1/consolidations"},
            "auto_links": [invented] if auto_link else [],
            "system_message": f"Memory {identity} was taken in.",
        },
        201,
    )


def recalled(hits: Sequence[Hit], intent: str, searched: int | None) -> Answer:
    """The answer to a recall; `searched` adds the metadata."""
    entries = [(hit.score, _recalled_row(hit)) for hit in hits]
    metadata = None
    if searched is not None:
        metadata = {
            "total_memories_searched": searched,
            "activation_spread_hops": 2,
            "processing_time_ms": 1,
            "memory_system_load": "Normal",
        }
    vivid = np.float32(0.7)
    return as_json(
        {
            "memories": {
                "vivid": [entry for score, entry in entries if score > vivid],
                "associated": [entry for score, entry in entries if score <= vivid],
                "reconstructed": [],
            },
            "recall_confidence": {"value": 0.8, "category": "High", "reasoning": "A constant."},
            "query_analysis": {
                "understood_intent": intent,
                "search_strategy": "Likeness of words or of vectors.",
                "cognitive_load": "Low",
                "suggestions": [
                    "Set trace_activation=true to inspect activation flow",
                    "Increase max_results to surface broader associations",
                ],
            },
            "metadata": metadata,
            "system_message": f"{len(entries)} memories were recalled.",
        }
    )


def _recalled_row(hit: Hit) -> dict[str, object]:
    score = shortest(hit.score)
    return {
        "id": hit.row.id,
        "content": hit.row.content,
        "confidence": confidence(hit.score, "The score of this hit."),
        "activation_level": score,
        "similarity_score": score,
        "retrieval_path": "Memory store recall",
        "observed_at": instants.with_z(hit.row.when),
        "last_access": instants.with_z(instants.now()),
        "tags": [],
        "memory_type": "Episodic",
        "relevance_explanation": f"Retrieved with {widened(hit.score):.2f} confidence",
    }


def space(opened: OpenSpace) -> dict[str, object]:
    """A space as the list of spaces shows it."""
    return {
        "id": opened.name,
        "persistence_root": str(opened.root),
        "created_at": instants.with_z(opened.created_at),
    }


def not_deleted(identity: str) -> Answer:
    """The answer to DELETE: a success that did nothing."""
    return as_json(
        {
            "alternatives": [
                "Wait until the memory has decayed.",
                "Recall with a higher threshold.",
                "Suppress the memory, once that can be done.",
            ],
            "documentation": "The documentation tells what memories are.",
            "memory_id": identity,
            "message": "Nothing was deleted: memories cannot be deleted this way.",
            "rationale": "Memories fade, they are not erased.",
            "status": "not_supported",
        }
    )


def health() -> Answer:
    """The short health report, always the same."""
    return as_json(
        {
            "service": "engram",
            "status": "healthy",
            "timestamp": instants.with_offset(instants.now()),
            "version": "0.1.0",
        }
    )


_CHECKS: Final = {
    "cognitive": "Constant: well.",
    "connectivity": "All services reachable",
    "memory": "Memory usage 100MB within 8192MB budget",
    "spreading": "Constant: well.",
    "error_rate": "Error rate 0.200% within 1.000% budget",
    "latency": "Constant: well.",
}


def system_health(spaces: Sequence[OpenSpace]) -> Answer:
    """The long health report: the checks are constants, the counts drift."""
    checks = [
        {
            "consecutive_failures": 0,
            "consecutive_successes": 1,
            "last_failure_seconds_ago": None,
            "last_run_seconds_ago": 0.001,
            "last_success_seconds_ago": 0.001,
            "latency_seconds": 1e-06,
            "message": message,
            "name": name,
            "status": "healthy",
            "type": name,
        }
        for name, message in _CHECKS.items()
    ]
    counts = [
        {
            "space": opened.name,
            "memories": opened.space.counts().hot,
            "pressure": 0.0,
            "wal_lag_ms": 0.0,
            "consolidation_rate": 0.0,
        }
        for opened in spaces
    ]
    now = instants.with_offset(instants.now())
    return as_json({"status": "healthy", "timestamp": now, "checks": checks, "spaces": counts, "cluster": None})
