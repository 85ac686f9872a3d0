"""The gRPC interface.

Requests are taken as bytes, so that a message over the limit is refused with the real server's status, which
differs from the one of Python's gRPC.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NoReturn, Protocol, TypeVar

import grpc
import numpy as np

from bridge.engram import engram_pb2 as pb
from bridge.sandbox.engram import instants, recall
from bridge.sandbox.engram.faults import Schedule
from bridge.sandbox.engram.registry import DEFAULT, BadSpaceName, OpenSpace, Registry
from bridge.sandbox.engram.space import Row
from bridge.sandbox.engram.vectors import DIMENSIONS, Vector

SERVICE: Final = "engram.v1.EngramService"
MESSAGE_LIMIT: Final = 4_194_304
# How long a stream that met a bad message waits for one more, which it stores and does not acknowledge.
_STRAGGLER_SECONDS: Final = 0.05
_RECALLED: Final = 10


class Rejected(Exception):
    """A call ends with this status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class _Message(Protocol):
    def ParseFromString(self, serialized: bytes) -> int: ...  # noqa: N802 (protobuf's name)


_M = TypeVar("_M", bound=_Message)


def _invalid(details: str) -> Rejected:
    return Rejected(grpc.StatusCode.INVALID_ARGUMENT, details)


class Service:
    """The calls over the spaces of one server."""

    def __init__(self, registry: Registry, schedule: Schedule) -> None:
        self._registry = registry
        self._schedule = schedule

    def handlers(self) -> grpc.GenericRpcHandler:
        """The calls by the names they have on the wire."""
        unary = {
            "Remember": self._remember,
            "Forget": self._forget,
            "Recall": self._recall,
            "Associate": self._associate,
            "Introspect": self._introspect,
        }
        methods = {
            name: grpc.unary_unary_rpc_method_handler(self._guarded(name, deed), response_serializer=_serialise)
            for name, deed in unary.items()
        }
        methods["StreamingRemember"] = grpc.stream_stream_rpc_method_handler(
            self._streaming_remember, response_serializer=_serialise
        )
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _guarded(self, call: str, deed: Callable[[bytes, bool], Any]) -> Callable[[bytes, Any], Awaitable[Any]]:
        async def answer(request: bytes, context: Any) -> Any:
            try:
                return await self._faulted(call, deed, request)
            except Rejected as rejected:
                await context.abort(rejected.code, rejected.details)

        return answer

    async def _faulted(self, call: str, deed: Callable[[bytes, bool], Any], request: bytes) -> Any:
        """Do the deed with the faults that are due; its second argument says whether to leave the write undone."""
        fault = self._schedule.next(call, request)
        if fault.do is None and not fault.seconds:
            return deed(request, False)
        if fault.seconds:
            await asyncio.sleep(fault.seconds)
        match fault.do:
            case "refuse":
                raise Rejected(grpc.StatusCode.UNAVAILABLE, "The sandbox refuses this call on schedule.")
            case "5xx":
                raise Rejected(grpc.StatusCode.INTERNAL, "The sandbox fails this call on schedule.")
            case "die":
                os._exit(137)
            case _:
                pass
        answer = deed(request, fault.do == "drop")
        if fault.do == "lose_reply":
            raise Rejected(grpc.StatusCode.UNAVAILABLE, "The sandbox lost this reply on schedule.")
        return answer

    def _remember(self, data: bytes, dropped: bool) -> pb.RememberResponse:
        request = _parsed(pb.RememberRequest(), data)
        opened = self._open(request.memory_space_id)
        row = _row(request)
        stored = opened.pretend(row) if dropped else opened.store(row)
        return pb.RememberResponse(
            memory_id=row.id,
            storage_confidence=_confidence(stored.activation, "The activation that the row was given."),
            initial_state=pb.CONSOLIDATION_STATE_RECENT,
        )

    async def _streaming_remember(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[pb.RememberResponse]:
        """Strictly one after the other. The first error ends the stream, but one message behind it may be stored."""
        while True:
            try:
                request = await anext(requests)
            except StopAsyncIteration:
                return
            try:
                answer = await self._faulted("Remember", self._remember, request)
            except Rejected as rejected:
                await self._store_straggler(requests)
                await context.abort(rejected.code, rejected.details)
            yield answer

    async def _store_straggler(self, requests: AsyncIterator[bytes]) -> None:
        try:
            request = await asyncio.wait_for(anext(requests), _STRAGGLER_SECONDS)
        except (StopAsyncIteration, TimeoutError):
            return
        try:
            self._remember(request, False)
        except Rejected:
            # Nobody hears of it: the stream has ended for its client.
            return

    def _forget(self, data: bytes, dropped: bool) -> pb.ForgetResponse:
        request = _parsed(pb.ForgetRequest(), data)
        space = self._open(request.memory_space_id).space
        if request.mode not in (pb.FORGET_MODE_SUPPRESS, pb.FORGET_MODE_DELETE, pb.FORGET_MODE_OVERWRITE):
            raise _invalid("A mode of forgetting must be given.")
        target = request.WhichOneof("target")
        if target is None:
            raise _invalid("What to forget must be given by its memory_id.")
        if target == "pattern":
            raise Rejected(grpc.StatusCode.UNIMPLEMENTED, "Memories cannot be forgotten by a pattern.")
        affected = int(space.is_known(request.memory_id)) if dropped else space.forget(request.memory_id)
        return pb.ForgetResponse(
            memories_affected=affected,
            forget_confidence=_confidence(0.9, "A constant."),
            # Not true: nothing can be brought back.
            reversible=request.mode == pb.FORGET_MODE_SUPPRESS,
        )

    def _recall(self, data: bytes, _: bool) -> pb.RecallResponse:
        request = _parsed(pb.RecallRequest(), data)
        space = self._open(request.memory_space_id).space
        if not request.HasField("cue"):
            raise _invalid("A recall needs a cue.")
        threshold = request.cue.threshold.value if request.cue.HasField("threshold") else 0.7
        match request.cue.WhichOneof("cue_type"):
            case "semantic":
                hits = recall.by_text(space, request.cue.semantic.query, threshold)
            case "embedding":
                hits = recall.by_vector(space, _vector(request.cue.embedding.vector), threshold)
            case _:
                raise _invalid("A cue needs a text or an embedding.")
        shown = hits[: request.max_results if request.max_results > 0 else _RECALLED]
        average = sum(hit.score for hit in shown) / len(shown) if shown else 0.0
        return pb.RecallResponse(
            memories=[_recalled(hit) for hit in shown],
            recall_confidence=_confidence(average, "The mean of the scores."),
            metadata=pb.RecallMetadata(
                total_activated=len(hits), above_threshold=len(shown), avg_activation=average, recall_time_ms=10
            ),
        )

    def _associate(self, data: bytes, _: bool) -> pb.AssociateResponse:
        """Says yes to any two ids, and keeps nothing."""
        request = _parsed(pb.AssociateRequest(), data)
        self._open(request.memory_space_id)
        if not request.source_memory or not request.target_memory:
            raise _invalid("An association needs two memories.")
        return pb.AssociateResponse(created=True, final_strength=max(0.0, min(1.0, request.strength)))

    def _introspect(self, data: bytes, _: bool) -> pb.IntrospectResponse:
        """All is well and nothing is stored, always."""
        request = _parsed(pb.IntrospectRequest(), data)
        self._open(request.memory_space_id)
        return pb.IntrospectResponse(
            metrics={"streaming_updates_exported": 0.0, "streaming_updates_dropped": 0.0, "streaming_queue_depth": 0.0},
            health=pb.HealthStatus(healthy=True, summary="All memory systems operational"),
            statistics=pb.MemoryStatistics(),
            active_processes=["consolidation", "decay"],
            metrics_snapshot_json='{"export":{"dropped":0,"exported":0,"queue_depth":0},"snapshot":{}}',
        )

    def _open(self, name: str) -> OpenSpace:
        try:
            return self._registry.open(name or DEFAULT)
        except BadSpaceName as error:
            raise _invalid(f"Invalid memory_space_id: {error}") from error


def _serialise(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _parsed(message: _M, data: bytes) -> _M:
    if len(data) > MESSAGE_LIMIT:
        raise Rejected(
            grpc.StatusCode.OUT_OF_RANGE,
            f"Error, decoded message length too large: found {len(data)} bytes, the limit is: {MESSAGE_LIMIT} bytes",
        )
    message.ParseFromString(data)
    return message


def _row(request: pb.RememberRequest) -> Row:
    """The row in a request: of a Memory without its time, of an Episode without its place and people."""
    kind = request.WhichOneof("memory_type")
    if kind == "episode":
        episode = request.episode
        when = instants.of_protobuf(episode.when.seconds, episode.when.nanos) if episode.HasField("when") else None
        return Row(
            id=episode.id,
            content=episode.what,
            confidence=_given(episode.encoding_confidence) if episode.HasField("encoding_confidence") else 0.7,
            when=instants.now() if when is None else when,
            vector=_vector(episode.embedding),
        )
    if kind == "memory":
        memory = request.memory
        return Row(
            id=memory.id,
            content=memory.content,
            confidence=_given(memory.confidence) if memory.HasField("confidence") else 0.7,
            when=instants.now(),
            vector=_vector(memory.embedding),
        )
    raise _invalid("There is neither a memory nor an episode in the request.")


def _given(confidence: pb.Confidence) -> float:
    return max(0.0, min(1.0, confidence.value))


def _vector(numbers: Any) -> Vector:
    if len(numbers) != DIMENSIONS:
        _wrong_length(len(numbers))
    return np.fromiter(numbers, dtype=np.float32, count=DIMENSIONS)


def _wrong_length(length: int) -> NoReturn:
    raise _invalid(f"Embedding must be exactly {DIMENSIONS} dimensions; this one has {length}.")


def _confidence(value: float, reasoning: str) -> pb.Confidence:
    return pb.Confidence(value=value, category=_category(value), reasoning=reasoning)


def _category(value: float) -> pb.ConfidenceCategory:
    if value <= 0:
        return pb.CONFIDENCE_CATEGORY_NONE
    if value < np.float32(0.3):
        return pb.CONFIDENCE_CATEGORY_LOW
    if value < np.float32(0.7):
        return pb.CONFIDENCE_CATEGORY_MEDIUM
    return pb.CONFIDENCE_CATEGORY_HIGH if value < 1 else pb.CONFIDENCE_CATEGORY_CERTAIN


def _recalled(hit: recall.Hit) -> pb.Memory:
    """A hit: only id, content and score are real, the vector is zeros and the times are the present."""
    memory = pb.Memory(
        id=hit.row.id,
        embedding=[0.0] * DIMENSIONS,
        confidence=_confidence(hit.score, "The score of this hit."),
        decay_rate=0.1,
        content=hit.row.content,
    )
    memory.last_access.GetCurrentTime()
    memory.created_at.GetCurrentTime()
    return memory
