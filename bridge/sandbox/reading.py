"""An application that reads through the proxy all the time, and notes what it was answered and when."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

from bridge.lsn import Lsn, format_lsn, parse_lsn
from bridge.sandbox.promises import Read

TIMEOUT = 30.0
"""Seconds until a request counts as unanswered."""


PAUSE = 0.25
"""Seconds until a proxy that did not answer at all is asked again."""


@dataclass(frozen=True, slots=True)
class Question:
    """Rows of a table to ask for: one by its own path, several in one request. `granted` in seconds, None: the proxy's own.

    `known`: the ETag of an answer that the reader still has, and the value that it stands for; `again`: whichever it has.
    """

    label: str
    keys: Sequence[str]
    min_lsn: Lsn = 0
    granted: float | None = None
    known: tuple[str, str] | None = None
    again: bool = False

    @property
    def path(self) -> str:
        """Where it is asked."""
        table = quote(self.label.removeprefix("public."), safe="")
        if len(self.keys) == 1:
            return f"/v1/{table}/{quote(self.keys[0], safe='')}"
        return f"/v1/{table}?" + "&".join(f"key={quote(key, safe='')}" for key in self.keys)

    @property
    def headers(self) -> dict[str, str]:
        """What it demands."""
        headers = {}
        if self.min_lsn:
            headers["X-Min-Lsn"] = format_lsn(self.min_lsn)
        if self.granted is not None:
            headers["X-Max-Staleness-Ms"] = str(int(self.granted * 1000))
        if self.known is not None:
            headers["If-None-Match"] = self.known[0]
        return headers


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `status` None: nothing; `note` says why, or what was wrong with it."""

    asked: float
    answered: float
    status: int | None
    headers: Any
    body: bytes
    note: str = ""


class Client:
    """One kept connection to a proxy. `clock` tells the moments of replies."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self._address = urlsplit(url).netloc
        self._clock = clock
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, headers: dict[str, str]) -> Reply:
        """Ask. A kept connection that the proxy has closed meanwhile is no refusal: it is asked again over a new one."""
        asked = self._clock()
        for kept in (self._connection is not None, False):
            try:
                return self._get(path, headers, asked)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if not kept or not isinstance(error, ConnectionError | http.client.RemoteDisconnected):
                    return Reply(asked, self._clock(), None, {}, b"", f"{type(error).__name__}: {error}")
        raise AssertionError("unreachable")

    def _get(self, path: str, headers: dict[str, str], asked: float) -> Reply:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT)
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        body = response.read()
        note = "" if response.status in (200, 304, 404) else f"{response.status}: {body.decode(errors='replace')[:300]}"
        return Reply(asked, self._clock(), response.status, response.headers, body, note)

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Reader:
    """Asks what `choose` chooses, `rate` times a second, in a thread of its own, until it is told to stop.

    `value` makes of a body what a history has of it; `granted` is the staleness that the proxy allows itself, seconds. Rows that
    were read are in `reads`, the time of each request that was answered, milliseconds, in `took`.
    """

    def __init__(
        self,
        url: str,
        choose: Callable[[random.Random], Question | None],
        value: Callable[[str], str],
        *,
        granted: float,
        seed: int = 0,
        rate: float = 50.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.reads: list[Read] = []
        self.took: list[float] = []
        self._etags: dict[tuple[str, str], tuple[str, str]] = {}
        self._client = Client(url, clock)
        self._choose = choose
        self._value = value
        self._granted = granted
        self._random = random.Random(seed)
        self._rate = rate
        self._end = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the request under way and end. Raises what the thread failed with, if it did."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        """End, whatever it has failed with."""
        with contextlib.suppress(Exception):
            self.stop()

    def _run(self) -> None:
        due = time.monotonic()
        try:
            with contextlib.closing(self._client):
                while not self._end.is_set():
                    question = self._choose(self._random)
                    if question is not None and self.ask(question).status is None:
                        self._end.wait(PAUSE)
                    due = max(due + 1 / self._rate, time.monotonic() - 1.0)
                    self._end.wait(max(0.0, due - time.monotonic()))
        except BaseException as failure:  # noqa: BLE001  (raised again by stop)
            self._failure = failure

    def ask(self, question: Question) -> Reply:
        """One request, and what it says of each of its rows."""
        if question.again and len(question.keys) == 1:
            question = replace(question, known=self._etags.get((question.label, question.keys[0])))
        reply = self._client.get(question.path, question.headers)
        if reply.status is not None:
            self.took.append((reply.answered - reply.asked) * 1000)
        self.reads += self._noted(question, reply)
        return reply

    def _noted(self, question: Question, reply: Reply) -> list[Read]:
        if reply.status == 200 and len(question.keys) > 1:
            return self._several(question, reply)
        if reply.status == 200:
            value = self._value(reply.body.decode())
            self._etags[question.label, question.keys[0]] = reply.headers.get("ETag", ""), value
        else:
            value = question.known[1] if reply.status == 304 and question.known is not None else ""
        return [self._read(question, reply, key, reply.status, value) for key in question.keys]

    def _several(self, question: Question, reply: Reply) -> list[Read]:
        """Of rows that several answered, it is not said who answered which: each has what Engram may be granted."""
        by = "engram" if "," in reply.headers.get("X-Served-By", "") else None
        bodies = rows_in(reply.body.decode())
        return [
            self._read(question, reply, key, 404, "", by)
            if key not in bodies
            else self._read(question, reply, key, 200, self._value(bodies[key]), by)
            for key in question.keys
        ]

    def _read(self, question: Question, reply: Reply, key: str, status: int | None, value: str, by: str | None = None) -> Read:
        stated = reply.headers.get("X-Staleness-Ms")
        frontier = reply.headers.get("X-Frontier-Lsn")
        return Read(
            key=(question.label, key),
            asked=reply.asked,
            answered=reply.answered,
            status=status,
            value=value if status in (200, 304) else None,
            by=by if by is not None else reply.headers.get("X-Served-By", ""),
            granted=self._granted if question.granted is None else min(question.granted, self._granted),
            min_lsn=question.min_lsn,
            stated=None if stated is None else (float(stated) + 1) / 1000,
            frontier=0 if frontier is None else parse_lsn(frontier),
            note=reply.note,
        )


def rows_in(body: str) -> dict[str, str]:
    """The rows of an answer to several keys, by key, each as the very text that stands there.

    Raises ValueError when it is of another form.
    """
    value = json.JSONDecoder().raw_decode
    found: dict[str, str] = {}
    place = _behind(body, 0, '{"rows":[')
    while not body.startswith("]", place):
        place = _behind(body, place, ',{"key":' if found else '{"key":')
        key, place = value(body, place)
        place = _behind(body, place, ',"digest":')
        _digest, place = value(body, place)
        start = _behind(body, place, ',"row":')
        _row, end = value(body, start)
        found[key] = body[start:end]
        place = _behind(body, end, "}")
    missing, place = value(body, _behind(body, place, '],"missing":'))
    if body[place:] != "}" or set(missing) & set(found):
        raise ValueError("not an answer to several keys")
    return found


def _behind(text: str, place: int, expected: str) -> int:
    if not text.startswith(expected, place):
        raise ValueError(f"not an answer to several keys: {expected!r} is not at {place}")
    return place + len(expected)
