"""What the same work costs without a bridge: writes that were captured are sent again, as bare requests, and read back.

No embedding, no ledger, no order of keys: messages are made before the clock starts, `StreamingRemember` takes them in batches,
and each memory is fetched by a GET whose answer is only looked at for its status. One thread a space, as many as the bridge has
lanes at work, and as many readers in all as the bridge reads back with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias
from urllib.parse import quote

import grpc
import httpx

from bridge.assembling import LANE_THREADS
from bridge.engram import engram_pb2, wire
from bridge.engram.client import FORGET_WINDOW, READERS, Address, EngramTarget
from bridge.lane import LAST_BATCH
from bridge.memories import Stored, Write
from bridge.ports import Kept

_SERVICE = "/engram.v1.EngramService"
_NONE: frozenset[str] = frozenset()
_Prepared: TypeAlias = "tuple[bytes, str, Any]"
"""The message of one write, the path of its GET, and the message that forgets it before, or None."""


class Recording:
    """A target that passes everything on and keeps what is written, in order, by space."""

    def __init__(self, target: EngramTarget) -> None:
        self._target = target
        self.written: dict[str, list[Write]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def remember(self, space: str, writes: Sequence[Write]) -> list[Kept | Exception]:
        """See `Target.remember`."""
        self.written.setdefault(space, []).extend(writes)
        return self._target.remember(space, writes)

    def read(self, space: str, memory_ids: Sequence[str]) -> list[Stored | None]:
        """See `Target.read`."""
        return self._target.read(space, memory_ids)

    def take(self) -> dict[str, list[Write]]:
        """What was written since the last call."""
        taken, self.written = self.written, {}
        return taken


class BareLoop:
    """Bare requests to one server."""

    def __init__(self, address: Address) -> None:
        self._address = address
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(address.grpc, options=unlimited)
        parse = engram_pb2.RememberResponse.FromString
        self._stream = self._channel.stream_stream(f"{_SERVICE}/StreamingRemember", bytes, parse)
        self._remember = self._channel.unary_unary(f"{_SERVICE}/Remember", bytes, parse)
        self._forget = self._channel.unary_unary(
            f"{_SERVICE}/Forget", engram_pb2.ForgetRequest.SerializeToString, engram_pb2.ForgetResponse.FromString
        )
        self._readers = ThreadPoolExecutor(READERS)
        self._local = threading.local()

    def close(self) -> None:
        """Close the connections."""
        self._readers.shutdown()
        self._channel.close()

    def run(
        self, writes: dict[str, list[Write]], names: dict[str, str], *, batch: int = LAST_BATCH, forget: frozenset[str] = _NONE
    ) -> float:
        """Send the writes of each space to the space that `names` says, and read them back; answers the seconds.

        A write whose id is in `forget` is an update: it is forgotten before.
        """
        work = {names[space]: [_prepared(names[space], write, forget) for write in given] for space, given in writes.items()}
        with ThreadPoolExecutor(min(LANE_THREADS, len(work))) as lanes:
            started = time.perf_counter()
            for done in [lanes.submit(self._space, space, pairs, batch) for space, pairs in work.items()]:
                done.result()
            return time.perf_counter() - started

    def once(self, space: str, write: Write, *, update: bool) -> None:
        """One write and its proof, alone; an update is a Forget before."""
        if update:
            self._forget(_forget_request(space, write))
        self._remember(wire.remember_request(space, write))
        self._get(space, [_path_of(write)])

    def _space(self, space: str, prepared: list[_Prepared], batch: int) -> None:
        for part in _parts(prepared, batch):
            for some in _parts([forget for _message, _path, forget in part if forget is not None], FORGET_WINDOW):
                for call in [self._forget.future(request) for request in some]:
                    call.result()
            answers = sum(1 for _answer in self._stream(iter([message for message, _path, _forget in part])))
            assert answers == len(part), "the server did not answer every write"
            paths = [path for _message, path, _forget in part]
            for done in [self._readers.submit(self._get, space, some) for some in _parts(paths, -(-len(paths) // READERS))]:
                done.result()

    def _get(self, space: str, paths: list[str]) -> None:
        client: httpx.Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = httpx.Client(base_url=self._address.http, timeout=60.0)
        for path in paths:
            answer = client.get(path, headers={"X-Memory-Space": space})
            assert answer.status_code == 200, f"a memory is not there: {answer.status_code}"


def _prepared(space: str, write: Write, forget: frozenset[str]) -> _Prepared:
    before = _forget_request(space, write) if write.memory_id in forget else None
    return wire.remember_request(space, write), _path_of(write), before


def _path_of(write: Write) -> str:
    return f"/api/v1/memories/{quote(write.memory_id, safe='')}"


def _forget_request(space: str, write: Write) -> Any:
    return engram_pb2.ForgetRequest(memory_space_id=space, memory_id=write.memory_id, mode=engram_pb2.FORGET_MODE_DELETE)


def _parts(things: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(things), size):
        yield things[start : start + size]
