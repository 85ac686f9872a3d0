"""Waiting for a ledger's server that is away for a while, in the one place where all of a run's threads come by.

A run that has begun is not ended by a restart of the server that its ledger is on: whoever asks the ledger then waits, nothing is
confirmed meanwhile, and lanes, snapshot and stream stand still behind it. Every question of `Ledger` is a unit that may be asked
again. The one that must not be done twice, a durable step, finds out whether it was done (`bridge.ledger.locking`).
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar, cast

from bridge.errors import LedgerUnavailable

logger = logging.getLogger(__name__)

TELL_AGAIN = 30.0
FIRST_WAIT = 0.1
LAST_WAIT = 2.0
SLICE = 0.2
HURRY_SECONDS = 5.0
"""How long a run that is to end still waits for its ledger."""


class Patience:
    """How long is waited: not at all at first, for as long as it takes once a run has begun, a little when it is to end."""

    def __init__(self) -> None:
        self._until = 0.0
        self._told: float | None = None
        self._lock = threading.Lock()

    def begin(self) -> None:
        """From now on, wait."""
        self._until = float("inf")

    def hurry(self) -> None:
        """From now on, wait only a little. Takes no lock: it is called by signal handlers."""
        self._until = min(self._until, time.monotonic() + HURRY_SECONDS)

    def wait(self, error: LedgerUnavailable, attempt: int) -> None:
        """Wait after a failure, the longer the more there were. Raises the error when patience has ended."""
        with self._lock:
            if self._until > time.monotonic() and (self._told is None or time.monotonic() - self._told >= TELL_AGAIN):
                self._told = time.monotonic()
                logger.warning("waiting for the ledger: %s", error, extra={"hint": error.hint})
        end = time.monotonic() + min(FIRST_WAIT * 2 ** min(attempt, 10), LAST_WAIT)
        while True:
            now = time.monotonic()
            if now >= self._until:
                raise error
            if now >= end:
                return
            time.sleep(SLICE if end - now > SLICE else end - now)

    @property
    def waiting(self) -> bool:
        """Somebody waits now."""
        return self._told is not None

    def ended(self) -> None:
        """It answers again."""
        with self._lock:
            if self._told is not None:
                self._told = None
                logger.info("the ledger answers again")


class Patient(Protocol):
    """Has a patience."""

    patience: Patience


Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def waits(ask: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """Ask again, as long as patience lasts, while the ledger is not available. For methods that may be called twice."""

    @functools.wraps(ask)
    def asking(*arguments: Given.args, **named: Given.kwargs) -> Answer:
        patience = cast(Patient, arguments[0]).patience
        attempt = 0
        while True:
            try:
                answer = ask(*arguments, **named)
            except LedgerUnavailable as error:
                patience.wait(error, attempt)
                attempt += 1
            else:
                if attempt:
                    patience.ended()
                return answer

    return asking
