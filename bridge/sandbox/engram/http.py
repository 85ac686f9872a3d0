"""The HTTP interface, as a bare ASGI application.

The paths under /sandbox are this double's own; the real server has no such thing.
"""

import asyncio
import json
import os
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, unquote

import numpy as np
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bridge.sandbox.engram import answers, instants, recall
from bridge.sandbox.engram.answers import Answer, Refused
from bridge.sandbox.engram.damage import BadDamage, damage
from bridge.sandbox.engram.faults import BadSchedule, Schedule, read_rules
from bridge.sandbox.engram.registry import BadSpaceName, OpenSpace, Registry
from bridge.sandbox.engram.requests import Document, Request, checked_vector, invalid
from bridge.sandbox.engram.space import Row
from bridge.sandbox.engram.vectors import DIMENSIONS, Vector

BODY_LIMIT: Final = 2 * 1024 * 1024
CONTENT_LIMIT: Final = 100_000
PAGE_LIMIT: Final = 1000
_MEMORIES: Final = "/api/v1/memories"
_TIERS: Final = ("hot", "warm", "cold", "all")
_TRANSPORT: Final = "sandbox.transport"

Handler: TypeAlias = Callable[[Request], Answer]
# A handler, and the call that the schedule of faults knows it as.
Route: TypeAlias = tuple[str | None, Handler]
Scope: TypeAlias = dict[str, Any]


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with the connection in the scope so that a fault can cut it."""

    def on_message_begin(self) -> None:
        """Note the connection of the request that begins."""
        super().on_message_begin()
        self.scope[_TRANSPORT] = self.transport  # type: ignore[typeddict-unknown-key]


class Application:
    """Routes and handlers over the spaces of one server."""

    def __init__(self, registry: Registry, schedule: Schedule) -> None:
        self._registry = registry
        self._schedule = schedule
        self._routes: dict[str, dict[str, Route]] = {
            "/health": {"GET": ("health", lambda _: answers.health())},
            "/health/alive": {"GET": ("health", lambda _: Answer(200))},
            "/api/v1/system/health": {"GET": ("health", self._system_health)},
            "/api/v1/spaces": {"GET": ("spaces", self._list_spaces), "POST": ("spaces", self._create_space)},
            _MEMORIES: {"GET": ("list", self._list), "POST": ("Remember", self._create)},
            f"{_MEMORIES}/remember": {"POST": ("Remember", self._remember)},
            "/api/v1/episodes/remember": {"POST": ("Remember", self._remember_episode)},
            f"{_MEMORIES}/search": {"GET": ("search", self._search)},
            f"{_MEMORIES}/recall": {"GET": ("recall", self._recall)},
            f"{_MEMORIES}/recognize": {"POST": ("recall", self._recognize)},
            "/sandbox/faults": {"GET": (None, self._show_faults), "POST": (None, self._set_faults)},
            "/sandbox/damage": {"POST": (None, self._damage)},
        }
        self._of_one: dict[str, Route] = {
            "GET": ("GET", self._get),
            "DELETE": (None, lambda request: answers.not_deleted(request.identity)),
        }

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer one request."""
        body, whole = await _body(receive)
        answer: Answer | None
        try:
            answer = await self._answer(scope, body, whole)
        except Refused as refusal:
            answer = refusal.answer
        if answer is None:
            scope[_TRANSPORT].abort()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
        if answer.content_type is not None:
            headers.append((b"content-type", answer.content_type.encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, body: bytes, whole: bool) -> Answer | None:
        """The answer, or None when it is to be lost with its connection."""
        methods, identity = self._find(scope["raw_path"])
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if method not in methods:
            allowed = ",".join(methods).encode()
            return Answer(405, headers=((b"allow", allowed),)) if methods else Answer(404)
        if not whole:
            return answers.as_text(413, "The body is longer than this server reads.")
        call, handler = methods[method]
        request = _request(scope, method, identity, body)
        fault = self._schedule.next(call, scope["raw_path"]) if call is not None else None
        if fault is None or (fault.do is None and not fault.seconds):
            return handler(request)
        if fault.seconds:
            await asyncio.sleep(fault.seconds)
        match fault.do:
            case "refuse":
                return answers.error(503, "MEMORY_CLUSTER_UNAVAILABLE", "The sandbox refuses this call on schedule.")
            case "5xx":
                return answers.error(500, "MEMORY_SYSTEM_ERROR", "The sandbox fails this call on schedule.")
            case "die":
                os._exit(137)
            case "drop":
                request.dropped = True
            case _:
                pass
        answer = handler(request)
        return None if fault.do == "lose_reply" else answer

    def _find(self, raw_path: bytes) -> tuple[Mapping[str, Route], str]:
        """What can be done at a path, and the id in it. A static route wins over an id of the same name."""
        path = raw_path.partition(b"?")[0].decode("ascii", "replace")
        routes = self._routes.get(path)
        if routes is not None:
            return routes, ""
        head, _, last = path.rpartition("/")
        if head != _MEMORIES or not last:
            return {}, ""
        try:
            return self._of_one, unquote(last, errors="strict")
        except UnicodeDecodeError as error:
            raise Refused(answers.as_text(400, "The id in the path is not UTF-8.")) from error

    def _open(self, request: Request, in_body: str | None = None) -> OpenSpace:
        try:
            return self._registry.open(request.space_name(in_body))
        except BadSpaceName as error:
            raise Refused(invalid(str(error))) from error

    # Writing.

    def _remember(self, request: Request) -> Answer:
        document = request.document()
        content = document.needed_text("content")
        identity, observed = document.text("id"), document.instant("timestamp")
        document.texts("tags")
        document.text("memory_type")
        document.text("confidence_reasoning")
        document.number("link_threshold")
        auto_link, in_body = document.flag("auto_link"), document.text("memory_space_id")
        confidence = document.number("confidence")
        if not content.strip():
            raise Refused(invalid("The content is blank."))
        if len(content.encode()) > CONTENT_LIMIT:
            raise Refused(invalid(f"The content has more than {CONTENT_LIMIT} bytes."))
        row = Row(
            id=f"mem_{uuid.uuid4().hex[:8]}" if identity is None else identity,
            content=content,
            confidence=0.7 if confidence is None else _clamped(confidence),
            when=instants.now() if observed is None else observed,
            vector=_vector_or(document, 0.5),
        )
        return self._store(request, row, in_body, auto_link)

    def _remember_episode(self, request: Request) -> Answer:
        document = request.document()
        content, when = document.needed_text("what"), document.instant("when")
        if when is None:
            raise Refused(answers.as_text(422, "The body does not fit: missing field `when`."))
        identity, importance = document.text("id"), document.number("importance")
        auto_link, in_body = document.flag("auto_link"), document.text("memory_space_id")
        if not content.strip():
            raise Refused(invalid("What happened is blank."))
        row = Row(
            id=f"ep_{uuid.uuid4().hex[:8]}" if identity is None else identity,
            content=content,
            confidence=0.5 if importance is None else _clamped(importance),
            when=when,
            vector=_vector_or(document, 0.6),
        )
        return self._store(request, row, in_body, auto_link)

    def _create(self, request: Request) -> Answer:
        """The short form, which reads content and confidence and nothing else, the id and the vector included."""
        document = request.document()
        content = document.text("content")
        if content is None or not content.strip():
            raise Refused(invalid("There is no content."))
        confidence = document.number("confidence")
        row = Row(
            id=f"mem_{uuid.uuid4().hex[:8]}",
            content=content,
            confidence=0.7 if confidence is None else _clamped(confidence),
            when=instants.now(),
            vector=np.full(DIMENSIONS, 0.5, dtype=np.float32),
        )
        return self._store(request, row, None, False)

    def _store(self, request: Request, row: Row, in_body: str | None, auto_link: bool) -> Answer:
        opened = self._open(request, in_body)
        stored = opened.pretend(row) if request.dropped else opened.store(row)
        return answers.remembered(row.id, stored.activation, row.when, auto_link)

    # Reading.

    def _get(self, request: Request) -> Answer:
        row = self._open(request).space.get(request.identity)
        if row is None:
            return answers.error(404, "MEMORY_NOT_FOUND", f"There is no memory '{request.identity}'.")
        return answers.as_json(answers.memory(row))

    def _list(self, request: Request) -> Answer:
        offset, limit = request.number("offset", 0), min(request.number("limit", 100), PAGE_LIMIT)
        with_vectors = request.flag("include_embeddings")
        space = self._open(request).space
        given = request.query.get("tier", "hot")
        if given.lower() not in _TIERS:
            return answers.error(400, "BAD_REQUEST", f"Invalid tier value: '{given}'")
        rows = space.page(given.lower(), offset, limit)
        return answers.page(rows, offset, limit, space.counts(), with_vectors)

    def _search(self, request: Request) -> Answer:
        query = request.query.get("query")
        if query is None:
            raise Refused(invalid("A search needs a query."))
        limit = request.query.get("limit", "10")
        hits = recall.by_text(self._open(request).space, query, 0.7)[: int(limit) if limit.isdecimal() else 10]
        return answers.as_json({"memories": [answers.found(hit) for hit in hits], "total": len(hits)})

    def _recall(self, request: Request) -> Answer:
        limit, threshold = request.number("max_results", 10), request.fraction("threshold", 0.5)
        with_metadata = request.flag("include_metadata")
        space = self._open(request).space
        text, vector = request.query.get("query"), request.query.get("embedding")
        if text is not None:
            hits = recall.by_text(space, text, threshold)
        elif vector is not None:
            hits = recall.by_vector(space, _vector_of(vector), threshold)
        else:
            raise Refused(invalid("A recall needs a query or an embedding."))
        mode = request.query.get("mode", "similarity").strip().lower()
        if mode != "similarity":
            raise Refused(invalid(f"Recall by '{mode}' cannot be done here; similarity can."))
        intent = "Embedding-based recall request" if text is None else text
        return answers.recalled(hits[:limit], intent, space.counts().hot if with_metadata else None)

    def _recognize(self, request: Request) -> Answer:
        """Recognises whatever is longer than ten characters, stored or not."""
        recognised = len(request.document().needed_text("input")) > 10
        return answers.as_json({"recognized": recognised})

    def _list_spaces(self, _: Request) -> Answer:
        return answers.as_json({"spaces": [answers.space(opened) for opened in self._registry.loaded()]})

    def _create_space(self, request: Request) -> Answer:
        name = request.document().needed_text("id")
        try:
            return answers.as_json(answers.space(self._registry.open(name)), 201)
        except BadSpaceName as error:
            raise Refused(invalid(str(error))) from error

    def _system_health(self, _: Request) -> Answer:
        return answers.system_health(self._registry.loaded())

    # The sandbox's own.

    def _show_faults(self, _: Request) -> Answer:
        return answers.as_json(self._schedule.shown())

    def _set_faults(self, request: Request) -> Answer:
        try:
            self._schedule.replace(read_rules(json.loads(request.body)))
        except (BadSchedule, ValueError) as error:
            return answers.error(400, "BAD_REQUEST", str(error))
        return answers.as_json(self._schedule.shown())

    def _damage(self, request: Request) -> Answer:
        try:
            done = damage(self._registry, request.document())
        except (BadDamage, BadSpaceName) as error:
            return answers.error(400, "BAD_REQUEST", str(error))
        return answers.as_json({"damaged": done}) if done else answers.error(404, "MEMORY_NOT_FOUND", "No such row.")


async def _body(receive: Any) -> tuple[bytes, bool]:
    """The body, and whether it was short enough to be kept; a longer one is read to its end and let go."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= BODY_LIMIT:
            parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts), size <= BODY_LIMIT


def _request(scope: Scope, method: str, identity: str, body: bytes) -> Request:
    space: str | None = None
    content_type = ""
    for name, value in scope["headers"]:
        if name == b"x-memory-space":
            space = value.decode("latin-1")
        elif name == b"content-type":
            content_type = value.decode("latin-1")
    raw_query = scope["query_string"]
    query = dict(parse_qsl(raw_query.decode("latin-1"), keep_blank_values=True)) if raw_query else {}
    return Request(method, identity, query, space, content_type, body)


def _clamped(confidence: float) -> float:
    return answers.widened(max(0.0, min(1.0, confidence)))


def _vector_or(document: Document, constant: float) -> Vector:
    vector = document.vector("embedding")
    return np.full(DIMENSIONS, constant, dtype=np.float32) if vector is None else vector


def _vector_of(text: str) -> Vector:
    try:
        numbers = json.loads(text)
    except ValueError:
        numbers = None
    if not isinstance(numbers, list) or not all(type(number) in (int, float) for number in numbers):
        raise Refused(invalid("The embedding is not a JSON list of numbers."))
    return checked_vector(numbers)
