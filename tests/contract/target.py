"""What the contract tests talk to: a real Engram server where the environment names one, otherwise the double."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import grpc
import httpx
import numpy as np

from bridge.engram import engram_pb2 as pb
from bridge.engram.engram_pb2_grpc import EngramServiceStub
from bridge.sandbox.engram.process import SandboxEngram

EXTERNAL_HTTP = os.environ.get("ENGRAM_HTTP")
EXTERNAL_GRPC = os.environ.get("ENGRAM_GRPC")
RESTART = os.environ.get("ENGRAM_RESTART")
# A real server needs seconds to make a space.
PATIENCE = 120.0
WHEN = 1_700_000_000
PRINTED_WHEN = "2023-11-14T22:13:20+00:00"


def direction() -> np.ndarray:
    """A random unit vector: next to orthogonal to every other one."""
    vector = np.random.default_rng().standard_normal(768)
    return vector / np.linalg.norm(vector)


def at_cosine(vector: np.ndarray, cosine: float, aside: np.ndarray | None = None) -> np.ndarray:
    """A unit vector at this cosine to the given one."""
    other = direction() if aside is None else aside
    other = other - (other @ vector) * vector
    return cosine * vector + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)


def fresh(stem: str) -> str:
    """A name that nobody has used before."""
    return f"{stem}-{uuid.uuid4().hex[:8]}"


def request(
    space: str, identity: str, content: str, vector: Iterable[float], confidence: float = 0.9, when: int = WHEN
) -> pb.RememberRequest:
    """A write over gRPC."""
    episode = pb.Episode(id=identity, what=content, embedding=vector, encoding_confidence=pb.Confidence(value=confidence))
    episode.when.seconds = when
    return pb.RememberRequest(memory_space_id=space, episode=episode)


class Target:
    """A server under test."""

    def __init__(self, data: Path, capacity: int = 100_000) -> None:
        self.sandbox = None if EXTERNAL_HTTP else SandboxEngram(data, capacity=capacity).start()
        self.client: httpx.Client
        self.stub: EngramServiceStub
        self._connect()

    def _connect(self) -> None:
        http = self.sandbox.http if self.sandbox else EXTERNAL_HTTP
        address = self.sandbox.grpc if self.sandbox else EXTERNAL_GRPC
        assert http is not None
        assert address is not None, "ENGRAM_HTTP and ENGRAM_GRPC belong together."
        self.client = httpx.Client(base_url=http, timeout=PATIENCE)
        self._channel = grpc.insecure_channel(
            address, [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        )
        self.stub = EngramServiceStub(self._channel)

    def _disconnect(self) -> None:
        self.client.close()
        self._channel.close()

    def close(self) -> None:
        """Let go of it, and end it if it is ours."""
        self._disconnect()
        if self.sandbox:
            self.sandbox.stop()

    def restart(self) -> None:
        """Stop and start the server on the same data."""
        # What a log has not written yet would be lost, and that is another law.
        time.sleep(0.2)
        self._disconnect()
        if self.sandbox:
            assert self.sandbox.terminate() == 0, "a server asked to end ends with 0"
            self.sandbox.start()
        else:
            assert RESTART is not None
            subprocess.run(RESTART, shell=True, check=True)
        self._connect()
        self._await()

    def _await(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if self.client.get("/health/alive").status_code == 200:
                    return
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the server did not come back"
            time.sleep(0.1)

    # Short forms of what the tests do all the time.

    def remember(self, space: str, identity: str, content: str, vector: Iterable[float], confidence: float = 0.9) -> float:
        """Write over gRPC; the activation in the answer."""
        answer = self.stub.Remember(request(space, identity, content, vector, confidence), timeout=PATIENCE)
        assert answer.memory_id == identity
        return answer.storage_confidence.value

    def post(self, space: str | None, body: dict[str, object], path: str = "/api/v1/memories/remember") -> httpx.Response:
        """Write over HTTP."""
        return self.client.post(path, json=body, headers={"X-Memory-Space": space} if space else {})

    def forget(self, space: str, identity: str, mode: int = pb.FORGET_MODE_DELETE) -> int:
        """Forget; how many rows that were."""
        asked = pb.ForgetRequest(memory_space_id=space, memory_id=identity, mode=mode)
        return self.stub.Forget(asked, timeout=PATIENCE).memories_affected

    def read(self, space: str, identity: str) -> httpx.Response:
        """Read one row."""
        return self.client.get(f"/api/v1/memories/{quote(identity, safe='')}", headers={"X-Memory-Space": space})

    def content(self, space: str, identity: str) -> str | None:
        """The content of a row; None when there is none."""
        answer = self.read(space, identity)
        assert answer.status_code in (200, 404)
        return answer.json()["content"] if answer.status_code == 200 else None

    def page(self, space: str, **parameters: object) -> dict:
        """A list page."""
        answer = self.client.get("/api/v1/memories", params=parameters, headers={"X-Memory-Space": space})
        assert answer.status_code == 200
        return answer.json()

    def listed(self, space: str, **parameters: object) -> list[str]:
        """The ids of a list page."""
        return [memory["id"] for memory in self.page(space, limit=1000, **parameters)["memories"]]

    def search(self, space: str, text: str, limit: int = 75) -> dict[str, float]:
        """Ids and scores of a text search."""
        answer = self.client.get(
            "/api/v1/memories/search", params={"query": text, "limit": limit}, headers={"X-Memory-Space": space}
        )
        assert answer.status_code == 200
        return {memory["id"]: memory["confidence"] for memory in answer.json()["memories"]}

    def recall(self, space: str, vector: Iterable[float], threshold: float = 0.5, limit: int = 50) -> dict[str, float]:
        """Ids and scores of a recall by vector."""
        cue = pb.Cue(embedding=pb.EmbeddingCue(vector=vector), threshold=pb.Confidence(value=threshold))
        answer = self.stub.Recall(pb.RecallRequest(memory_space_id=space, cue=cue, max_results=limit), timeout=PATIENCE)
        return {memory.id: memory.confidence.value for memory in answer.memories}
