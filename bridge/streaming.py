"""The stream's loop: connect, prove that it is still our source, read, put into lanes, confirm; again after every interruption.

Redelivery starts at the confirmed position. The frontier is begun anew there; what is still in the lanes from before stays, and
the version gate and the lanes' collapsing make the second delivery harmless.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bridge.changes import Event
from bridge.errors import BridgeError, SourceUnavailable, defect
from bridge.frontier import Frontier
from bridge.intake import Intake
from bridge.lsn import Lsn, format_lsn
from bridge.recorder import Recorder

logger = logging.getLogger(__name__)

FIRST_WAIT = 0.2
LAST_WAIT = 5.0


class ChangeSource(Protocol):
    """An open stream of changes. Every method may raise SourceUnavailable, SlotLost or ProtocolError."""

    def read(self, timeout: float) -> Sequence[Event]:
        """The next events, none after `timeout` seconds."""

    def confirm(self, lsn: Lsn) -> None:
        """Everything up to there is durable: the slot may let it go."""

    def tend(self) -> None:
        """Answer the server without reading on: called while there is no room."""

    def close(self) -> None:
        """End the stream."""

    @property
    def begins(self) -> Lsn:
        """Where it begins: at the position that was asked for, or before it, where the slot stands."""

    @property
    def received(self) -> Lsn:
        """The highest position read off the wire."""

    @property
    def silence(self) -> float:
        """Seconds since the last byte came."""


@dataclass(slots=True)
class Stream:
    """Runs the loop in a thread. `connect(lsn)` verifies the source's identity (law 4) and opens the stream there."""

    connect: Callable[[Lsn], ChangeSource]
    intake: Intake
    frontier: Frontier
    recorder: Recorder
    failure: BridgeError | None = None
    trouble: str | None = None
    received: Lsn = 0
    connected: bool = False
    reconnects: int = 0
    _source: ChangeSource | None = None
    _leaving: threading.Event = field(default_factory=threading.Event)
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self.intake.tend = self._tend
        self.intake.stopping = lambda: self._ending.is_set() or self._leaving.is_set()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading, and tell the slot the last durable position."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def leave(self) -> None:
        """Give up the connection, and come back: a walsender waits for our confirmation before its server can stop."""
        self._leaving.set()

    @property
    def silence(self) -> float | None:
        """Seconds since the last byte, None while not connected."""
        source = self._source
        return source.silence if source is not None else None

    def _run(self) -> None:
        wait = FIRST_WAIT
        while not self._ending.is_set():
            try:
                self._follow()
                wait = FIRST_WAIT
            except SourceUnavailable as error:
                self.connected = False
                if self.trouble is None:
                    logger.warning("the stream waits: %s", error, extra={"hint": error.hint})
                self.trouble = str(error)
                self._ending.wait(wait)
                wait = min(wait * 2, LAST_WAIT)
            except BridgeError as error:
                self.failure = error
                return
            except BaseException as error:
                logger.exception("the stream ended")
                self.failure = defect("the stream", error)
                return
            finally:
                self._close()

    def _follow(self) -> None:
        """One connection, until it breaks or the run ends."""
        start = self.recorder.confirmed
        self._source = source = self.connect(start)
        self.recorder.restart(source.begins)
        self.intake.restart()
        self.connected = True
        self.reconnects += 1
        self.trouble = None
        logger.info("streaming", extra={"lsn": format_lsn(start)})
        while not self._ending.is_set():
            if self._leaving.is_set():
                self._leaving.clear()
                raise SourceUnavailable("PostgreSQL is shutting down: the stream is given up so that it can")
            events = source.read(0.2)
            self.received = max(self.received, source.received)
            if events and not self.intake.accept(events) and self._ending.is_set():
                return
            source.confirm(self.recorder.confirmed)

    def _tend(self) -> None:
        if self._source is not None:
            self._source.confirm(self.recorder.confirmed)
            self._source.tend()

    def _close(self) -> None:
        source, self._source = self._source, None
        self.connected = False
        if source is not None:
            try:
                source.confirm(self.recorder.confirmed)
                source.close()
            except BridgeError as error:
                logger.info("the stream was already closed: %s", error)
