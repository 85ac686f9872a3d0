"""An HTTP endpoint that embeds, on a real port, with misbehaviour by script."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from bridge.embedding.hashing import HashingEmbedder

_EMBEDDER = HashingEmbedder()


@dataclass(frozen=True, slots=True)
class Misbehave:
    """What is done instead of a proper answer to one call. `change` gets the proper answer's document and answers another."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    change: Callable[[Any], Any] | None = None
    body: bytes | None = None
    delay: float = 0.0
    hang_up: bool = False


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that has gone away is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class EmbeddingEndpoint:
    """Serves `/v1/embeddings` or `/embed`. Calls are answered by `script`, then, when that is used up, by `always` or properly.

    A call with a text that holds `poison` is refused with 400, one with more than `most` texts with 413.
    """

    def __init__(self, kind: str = "openai", *, key: str | None = None, poison: str | None = None, most: int = 10_000) -> None:
        self.kind, self.key, self.poison, self.most = kind, key, poison, most
        self.script: deque[Misbehave] = deque()
        self.always: Misbehave | None = None
        self.calls: list[list[str]] = []
        self.times: list[float] = []
        self.bodies: list[dict[str, Any]] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.endpoint = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Its base."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def texts(self) -> list[str]:
        """Every text that was asked for, probes left out."""
        return [text for call in self.calls for text in call if ": " in text]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def endpoint(self) -> EmbeddingEndpoint:
        server: Any = self.server
        endpoint: EmbeddingEndpoint = server.endpoint
        return endpoint

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        if self.endpoint.kind == "tei" and self.path == "/info":
            self._send(200, json.dumps({"model_id": "double/model", "model_sha": "abc123"}).encode())
        else:
            self._send(404, b"")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != ("/embed" if self.endpoint.kind == "tei" else "/v1/embeddings"):
            self._send(404, b"{}")
            return
        if self.endpoint.key is not None and self.headers.get("Authorization") != f"Bearer {self.endpoint.key}":
            self._send(401, b"{}")
            return
        texts = body["inputs" if self.endpoint.kind == "tei" else "input"]
        self.endpoint.calls.append(texts)
        self.endpoint.times.append(time.monotonic())
        self.endpoint.bodies.append(body)
        self._answer(texts, self.endpoint.script.popleft() if self.endpoint.script else self.endpoint.always)

    def _answer(self, texts: list[str], misbehave: Misbehave | None) -> None:
        told = misbehave or Misbehave()
        time.sleep(told.delay)
        if told.hang_up:
            self.connection.close()
            self.close_connection = True
        elif told.status != 200:
            self._send(told.status, b'{"error": "as scripted"}', told.headers)
        elif told.body is not None:
            self._send(200, told.body)
        elif self.endpoint.poison is not None and any(self.endpoint.poison in text for text in texts):
            self._send(400, json.dumps({"error": texts}).encode())
        elif len(texts) > self.endpoint.most:
            self._send(413, b"{}")
        else:
            document = _document(self.endpoint.kind, texts)
            self._send(200, json.dumps(told.change(document) if told.change else document).encode())

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _document(kind: str, texts: list[str]) -> Any:
    rows = [[float(number) for number in row] for row in _EMBEDDER.embed(texts)]
    if kind == "tei":
        return rows
    entries = [{"index": index, "embedding": row, "object": "embedding"} for index, row in enumerate(rows)]
    return {"object": "list", "data": entries[::-1]}  # nothing promises an order
