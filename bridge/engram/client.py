"""The Engram server as our `Target`: written over gRPC (HTTP cannot forget, so it cannot update), read over HTTP.

Everything here is shaped by what a running server was seen to do (docs/target-traps.md): `Forget` + `Remember` is the only update
that is always kept; the first error ends a stream and leaves what was not acknowledged unknown; a read of an unknown space
creates it, so only `open` may be the first to touch one; the space goes into header and message both.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import grpc
import httpcore
import httpx
import numpy as np

from bridge.engram import engram_pb2, policy, wire
from bridge.engram.listed import cue, listed_vector, recalled
from bridge.errors import BridgeError, TargetRejected, TargetUnavailable
from bridge.memories import Stored, Write
from bridge.ports import Hit, Kept, SpaceState, Vectors

DIMENSIONS = 768
PROBE_SPACE = "engram-bridge-probe"
MESSAGE_LIMIT = 4_194_304
MESSAGE_ROOM = 8_192
"""A gRPC message holds the vector (3,072 bytes), the id and frames beside the content."""

FIRST_TOUCH = 180.0
"""Seconds: a space's birth takes 2.5-4.7 s each on an idle server, one after another under one lock."""

CALL = 120.0
PER_STORE = 0.5
FORGET_WINDOW = 64
PAGE = 1000
READERS = 4
READ_ALONE = 16
"""Read-backs that a lane does itself: a few of the stream's never wait behind a large batch of another lane."""

READ_TIMEOUTS = {"connect": 5.0, "read": 60.0, "write": 60.0, "pool": 60.0}
_SERVICE = "/engram.v1.EngramService"
_DROPPED = (0.88, 0.92)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is: HTTP base URL, gRPC `host:port`, and the key when it wants one."""

    http: str
    grpc: str
    api_key: str | None = None


class EngramTarget:
    """One Engram server. Thread-safe; one caller at a time per space."""

    def __init__(self, address: Address, *, confidence: float = 0.90, capacity: int = 100_000, readers: int = READERS) -> None:
        self.address = address
        self.confidence = confidence
        self._capacity = capacity
        self._values: dict[str, float] = {}
        self._opened: set[str] = set()
        headers = {"Authorization": f"Bearer {address.api_key}"} if address.api_key else {}
        self._metadata = [("authorization", f"Bearer {address.api_key}")] if address.api_key else None
        self._headers = headers
        self._base = httpcore.URL(address.http)
        self._base_path = self._base.target.decode().rstrip("/")
        host = self._base.host + (b":%d" % self._base.port if self._base.port else b"")
        self._raw_headers = [(b"Host", host), *((name.encode(), value.encode()) for name, value in headers.items())]
        self._local = threading.local()
        self._clients: list[httpx.Client | httpcore.ConnectionPool] = []
        self._pool = ThreadPoolExecutor(readers, thread_name_prefix="read-back")
        self._readers = readers
        self._channel = grpc.insecure_channel(
            address.grpc,
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_reconnect_backoff_ms", 1000),
                ("grpc.keepalive_time_ms", 60_000),
            ],
        )
        parse = engram_pb2.RememberResponse.FromString
        self._remember = self._channel.unary_unary(f"{_SERVICE}/Remember", _as_is, parse)
        self._stream = self._channel.stream_stream(f"{_SERVICE}/StreamingRemember", _as_is, parse)
        self._forget: Any = self._channel.unary_unary(
            f"{_SERVICE}/Forget", engram_pb2.ForgetRequest.SerializeToString, engram_pb2.ForgetResponse.FromString
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._channel.close()
        for client in self._clients:
            client.close()

    # spaces and epochs

    def open(self, space: str) -> SpaceState:
        """See `Target.open`."""
        with policy.translated():
            answer = self._http().post("/api/v1/spaces", json={"id": space}, timeout=FIRST_TOUCH)
            if answer.status_code != 201:
                raise policy.unexpected(answer.status_code, f"opening the space {space}")
            page = self._http().get(
                "/api/v1/memories", params={"limit": 1}, headers={"X-Memory-Space": space}, timeout=FIRST_TOUCH
            )
            if page.status_code != 200:
                raise policy.unexpected(page.status_code, f"listing the space {space}")
        with policy.in_its_form(f"the space {space}"):
            counted, created = int(page.json()["tier_counts"]["hot"]), str(answer.json()["created_at"])
        self._values[space] = self.confidence * (1 - 0.5 * min(counted, self._capacity) / self._capacity)
        self._opened.add(space)
        return SpaceState(space, counted, created)

    def epoch(self) -> str:
        """See `Target.epoch`: the birth of the default space is the start of the server's process."""
        with policy.translated():
            answer = self._http().get("/api/v1/spaces", timeout=10.0)
            if answer.status_code != 200:
                raise policy.unexpected(answer.status_code, "listing its spaces")
        with policy.in_its_form("its spaces"):
            for space in answer.json()["spaces"]:
                if space["id"] == "default":
                    return str(space["created_at"])
        raise TargetUnavailable("Engram lists no default space, so its restarts cannot be told")

    # writing

    def remember(self, space: str, writes: Sequence[Write]) -> list[Kept | Exception]:
        """See `Target.remember`."""
        assert space in self._opened, "a space is opened before it is written"
        answers: list[Kept | Exception | None] = [self._too_large(write) for write in writes]
        small = [index for index, answer in enumerate(answers) if answer is None]
        kept = self._send(space, [writes[index] for index in small])
        for index, answer in zip(small, kept, strict=True):
            answers[index] = answer
        return [answer for answer in answers if answer is not None]

    def _too_large(self, write: Write) -> TargetRejected | None:
        size = len(write.content.encode()) + len(write.memory_id.encode())
        if size <= MESSAGE_LIMIT - MESSAGE_ROOM:
            return None
        return TargetRejected(
            f"the row has {size} bytes; one message to Engram holds {MESSAGE_LIMIT - MESSAGE_ROOM}", reason="too_large"
        )

    def _send(self, space: str, writes: Sequence[Write]) -> list[Kept | Exception]:
        if len(writes) < 2:
            return [self._send_one(space, write) for write in writes]
        answers: list[Kept | Exception] = []
        requests = (wire.remember_request(space, write) for write in writes)
        try:
            timeout = CALL + PER_STORE * len(writes)
            for response in self._stream(requests, timeout=timeout, metadata=self._metadata):
                answers.append(self._kept(space, writes[len(answers)].memory_id, response))
        except grpc.RpcError as error:
            known = policy.translate(error)
            if not isinstance(known, TargetRejected):
                raise known from error
            # One of the rest is refused, and any of the rest may have been stored all the same: one by one, from scratch.
            answers += [self._send_again(space, write) for write in writes[len(answers) :]]
        if len(answers) < len(writes):
            raise TargetUnavailable("Engram ended a stream before it had answered all of it")
        return answers

    def _send_one(self, space: str, write: Write) -> Kept | Exception:
        try:
            with policy.translated():
                response = self._remember(wire.remember_request(space, write), timeout=CALL, metadata=self._metadata)
        except TargetRejected as rejected:
            return rejected
        return self._kept(space, write.memory_id, response)

    def _send_again(self, space: str, write: Write) -> Kept | Exception:
        self.forget(space, [write.memory_id])
        return self._send_one(space, write)

    def _kept(self, space: str, memory_id: str, response: Any) -> Kept:
        """Believe the hint: a store whose answer is 0.9 of what was to be expected was dropped."""
        value = response.storage_confidence.value
        expected = self._values.get(space) or value
        suspect = _DROPPED[0] < value / expected < _DROPPED[1] if expected else False
        if not suspect:
            self._values[space] = value
        return Kept(memory_id, suspect or response.memory_id != memory_id)

    def forget(self, space: str, memory_ids: Sequence[str]) -> None:
        """See `Target.forget`."""
        assert space in self._opened, "a space is opened before it is written"
        with policy.translated():
            for start in range(0, len(memory_ids), FORGET_WINDOW):
                calls = [
                    self._forget.future(
                        engram_pb2.ForgetRequest(memory_space_id=space, memory_id=memory_id, mode=engram_pb2.FORGET_MODE_DELETE),
                        timeout=CALL,
                        metadata=self._metadata,
                    )
                    for memory_id in memory_ids[start : start + FORGET_WINDOW]
                ]
                failed = [error for error in (call.exception() for call in calls) if error is not None]
                if failed:  # only now: a forget that is still under way must not arrive after what is written next
                    raise failed[0]

    # reading

    def read(self, space: str, memory_ids: Sequence[str]) -> list[Stored | None]:
        """See `Target.read`."""
        assert space in self._opened, "a space is opened before it is read: a read would create it"
        if len(memory_ids) <= READ_ALONE:
            return self._read_some(space, memory_ids)
        size = -(-len(memory_ids) // self._readers)
        parts = [memory_ids[start : start + size] for start in range(0, len(memory_ids), size)]
        jobs = [self._pool.submit(self._read_some, space, part) for part in parts]
        return [stored for job in jobs for stored in job.result()]

    def _read_some(self, space: str, memory_ids: Sequence[str]) -> list[Stored | None]:
        """The path that every proof takes: through httpx's own engine, which costs less than half of a request of httpx."""
        pool = self._engine()
        headers = [*self._raw_headers, (b"X-Memory-Space", space.encode())]
        found: list[Stored | None] = []
        with policy.translated():
            for memory_id in memory_ids:
                target = f"{self._base_path}/api/v1/memories/{quote(memory_id, safe='')}".encode()
                url = httpcore.URL(scheme=self._base.scheme, host=self._base.host, port=self._base.port, target=target)
                answer = pool.request(b"GET", url, headers=headers, extensions={"timeout": READ_TIMEOUTS})
                if answer.status == 200:
                    found.append(_stored(answer.content))
                elif answer.status == 404:
                    found.append(None)
                else:
                    raise policy.unexpected(answer.status, "reading a memory")
        return found

    def peek(self, space: str) -> list[Stored]:
        """The first list page of a space that is there, without opening it. Of one that is not, this would make it."""
        return [stored for stored, _vector in self._page(space, 0, {})]

    def scan(self, space: str) -> Iterator[Stored]:
        """See `Target.scan`. The next page is on its way while one is looked at."""
        return (stored for stored, _vector in self._pages(space, {}))

    def vectors(self, space: str) -> Iterator[tuple[Stored, Vectors | None]]:
        """See `Searched.vectors`: list pages are the only answers of the server that hold them."""
        return self._pages(space, {"include_embeddings": "true"})

    def _pages(self, space: str, more: dict[str, str]) -> Iterator[tuple[Stored, Vectors | None]]:
        assert space in self._opened, "a space is opened before it is read: a read would create it"
        offset = 0
        ahead = self._pool.submit(self._page, space, offset, more)
        while True:
            memories = ahead.result()
            offset += PAGE
            if len(memories) == PAGE:
                ahead = self._pool.submit(self._page, space, offset, more)
            yield from memories
            if len(memories) < PAGE:
                return

    def _page(self, space: str, offset: int, more: dict[str, str]) -> list[tuple[Stored, Vectors | None]]:
        asked = {"limit": str(PAGE), "offset": str(offset), **more}
        with policy.translated():
            answer = self._http().get("/api/v1/memories", params=asked, headers={"X-Memory-Space": space}, timeout=CALL)
            if answer.status_code != 200:
                raise policy.unexpected(answer.status_code, f"listing the space {space}")
        with policy.in_its_form(f"the space {space}"):
            found = answer.json()["memories"]
            return [(Stored(memory["id"], memory["content"]), listed_vector(memory)) for memory in found]

    def recall(self, space: str, vector: Vectors, most: int) -> list[Hit]:
        """See `Searched.recall`."""
        assert space in self._opened, "a space is opened before it is read: a read would create it"
        asked = {"embedding": cue(vector), "max_results": str(most), "threshold": "0", "mode": "similarity"}
        with policy.translated():
            answer = self._http().get("/api/v1/memories/recall", params=asked, headers={"X-Memory-Space": space})
            if answer.status_code != 200:
                raise policy.unexpected(answer.status_code, f"a recall in the space {space}")
        with policy.in_its_form("a recall"):
            return recalled(answer.json())

    # probing

    def healthy(self) -> bool:
        """See `Target.healthy`."""
        try:
            return all(self.probe().values())
        except BridgeError:
            return False

    def probe(self) -> dict[str, bool]:
        """What the server really does with an ordinary write, a drop, an update and a forget, in the probe space.

        Raises TargetUnavailable. Every value should be true for the bridge to work; the ids are new each time and forgotten.
        """
        self.open(PROBE_SPACE)
        name = f"probe_{uuid.uuid4().hex}"
        generator = np.random.default_rng()
        first, second = (_unit(generator.standard_normal(DIMENSIONS)) for _ in range(2))
        now = time.time()

        def content() -> str | None:
            stored = self.read(PROBE_SPACE, [name])[0]
            return stored.content if stored else None

        found: dict[str, bool] = {}
        try:
            self.remember(PROBE_SPACE, [Write(name, '{"n":1}', now, self.confidence, first)])
            found["a write is kept"] = content() == '{"n":1}'
            self.forget(PROBE_SPACE, [name])
            found["a forget is kept"] = content() is None
            self.remember(PROBE_SPACE, [Write(name, '{"n":2}', now, self.confidence, second)])
            found["a row forgotten and written again is kept"] = content() == '{"n":2}'
        finally:
            self.forget(PROBE_SPACE, [name])
        return found

    def version(self) -> str:
        """What the server says of itself. It is the same for all builds seen so far: behaviour is probed instead."""
        with policy.translated():
            answer = self._http().get("/health", timeout=10.0)
            if answer.status_code != 200:
                raise policy.unexpected(answer.status_code, "/health")
        return str(answer.json().get("version", "unknown"))

    def _http(self) -> httpx.Client:
        """One client a thread: a pool shared by threads rescans all its connections for each request."""
        client: httpx.Client | None = getattr(self._local, "client", None)
        if client is None:
            client = httpx.Client(base_url=self.address.http, headers=self._headers, timeout=httpx.Timeout(60.0, connect=5.0))
            self._local.client = client
            self._clients.append(client)
        return client

    def _engine(self) -> httpcore.ConnectionPool:
        """One connection a thread, opened anew when the server has closed it."""
        pool: httpcore.ConnectionPool | None = getattr(self._local, "pool", None)
        if pool is None:
            pool = httpcore.ConnectionPool(max_connections=1, keepalive_expiry=30.0)
            self._local.pool = pool
            self._clients.append(pool)
        return pool


def _stored(body: bytes) -> Stored:
    """The memory of an answer. Raises TargetUnavailable for what no Engram would say."""
    with policy.in_its_form("a memory"):
        memory = json.loads(body)
        return Stored(memory["id"], memory["content"], memory.get("confidence"), memory.get("timestamp"))


def _unit(vector: Any) -> Any:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


_as_is: Callable[[bytes], bytes] = bytes
