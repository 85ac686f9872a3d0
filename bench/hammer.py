"""What asks: a lean client of its own process, so that its work is not taken from the server that is measured.

One thread, raw sockets, kept connections; each connection sends its next request once its answer is complete, as clients
with a pool do. `python -m bench.hammer` takes orders as JSON lines and answers each with a line: it is warm after the first,
and what is measured in turns is measured by the same process.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.figures import median

CHUNK = 262_144
PATIENCE = 30.0
MOST_OTHER = 0.5
"""Share of answers that may be others than ordered: a proxy may ask PostgreSQL when Engram is slow. They are told."""


@dataclass(frozen=True, slots=True)
class Order:
    """Ask `url` + each of `paths` in turn, over so many connections, for so long. Answers must be `status` and have `header`."""

    url: str
    paths: list[str]
    connections: int
    seconds: float
    header: str = ""
    """A line of the answer's head, in lower case, such as `x-served-by: engram`; an answer without it is `other`."""

    status: int = 200

    def of(self, seconds: float) -> Order:
        """The same for another while."""
        return replace(self, seconds=seconds)


@dataclass(frozen=True, slots=True)
class Answered:
    """What came: requests a second, times in milliseconds, and answers that were not what was ordered."""

    rate: float
    p50: float
    p99: float
    requests: int
    other: int


class _Connection:
    """One kept connection, and the request that is under way on it."""

    __slots__ = ("asked", "received", "socket", "wanted")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.wanted = 0
        self.asked = 0.0

    def ask(self, request: bytes) -> None:
        self.received, self.wanted = b"", 0
        self.asked = time.perf_counter()
        self.socket.sendall(request)

    def take(self) -> bool:
        """Take what has come; whether the answer is complete."""
        data = self.socket.recv(CHUNK)
        if not data:
            raise ConnectionError("the server closed a kept connection")
        self.received += data
        if not self.wanted:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.wanted = end + 4 + _length(self.received[:end])
        return len(self.received) >= self.wanted


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    raise ValueError("an answer without a content-length")


def ask(order: Order) -> Answered:
    """Carry an order out. Raises OSError."""
    parts = urlsplit(order.url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    requests = [f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode() for path in order.paths]
    first, header = f"HTTP/1.1 {order.status} ".encode(), order.header.encode()
    times: list[float] = []
    other = number = 0
    with selectors.DefaultSelector() as selector:
        connections = [_Connection((host, port)) for _ in range(order.connections)]
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        started = time.perf_counter()
        end = started + order.seconds
        for connection in connections:
            connection.ask(requests[number % len(requests)])
            number += 1
        under_way = len(connections)
        while under_way:
            ready = selector.select(PATIENCE)
            if not ready:
                raise TimeoutError("the server does not answer")
            for key, _events in ready:
                connection = key.data
                if not connection.take():
                    continue
                now = time.perf_counter()
                times.append(now - connection.asked)
                got = connection.received
                if not got.startswith(first) or (header and header not in got[: got.find(b"\r\n\r\n")].lower()):
                    other += 1
                if now < end:
                    connection.ask(requests[number % len(requests)])
                    number += 1
                else:
                    under_way -= 1
        seconds = time.perf_counter() - started
        for connection in connections:
            connection.socket.close()
    times.sort()
    return Answered(len(times) / seconds, 1000 * median(times), 1000 * times[int(0.99 * (len(times) - 1))], len(times), other)


class Hammer:
    """The process, from the side that gives orders."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, order: Order) -> Answered:
        """Have it carried out. Raises RuntimeError when the process ended, or an answer was not the one ordered."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that asks has ended")
        answered = Answered(**json.loads(line))
        if answered.other > MOST_OTHER * answered.requests:
            raise RuntimeError(
                f"{answered.other} of {answered.requests} answers of {order.url} were not {order.status} {order.header}"
            )
        return answered


@contextlib.contextmanager
def hammer() -> Iterator[Hammer]:
    """A process that asks, ended afterwards."""
    command = [sys.executable, "-m", "bench.hammer"]
    folder = Path(__file__).parent.parent
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            yield Hammer(process)
        finally:
            process.terminate()


def serve(lines: Iterator[str], answer: Any) -> None:
    """Take orders until there are no more."""
    for line in lines:
        print(json.dumps(asdict(ask(Order(**json.loads(line))))), file=answer, flush=True)


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
