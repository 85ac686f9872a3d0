"""Threads that work in rounds until they are to end: what passes waits, an error of ours ends the run, a defect is said."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from bridge.errors import BridgeError, Transient, defect

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Rounds:
    """One such thread. `about` names it in a sentence, `pause` answers the seconds before the next round.

    `waits` is told of what passes, and may raise it when it is not its to wait for. Whatever else is raised is the `failure`, and
    the last round; an unexpected error after `ending` is set is not: that thread was left behind, and what it needs is closed.
    """

    name: str
    about: str
    work: Callable[[], None]
    ending: threading.Event
    pause: Callable[[], float]
    waits: Callable[[Transient], None]
    failure: BridgeError | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; its first round begins after a pause."""
        self._thread = threading.Thread(target=self.run, name=self.name, daemon=True)
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, which somebody has asked for by `ending`."""
        if self._thread is not None:
            self._thread.join(timeout)

    def run(self) -> None:
        """All rounds."""
        while not self.ending.wait(self.pause()) and self._round():
            pass

    def _round(self) -> bool:
        """Whether there may be another one."""
        try:
            try:
                self.work()
            except Transient as error:
                self.waits(error)
        except BridgeError as error:
            self.failure = error
        except Exception as error:
            if self.ending.is_set():
                logger.debug("%s was left behind, and ended", self.about, exc_info=True)
                return False
            logger.exception("%s ended", self.about)
            self.failure = defect(self.about, error)
        return self.failure is None
