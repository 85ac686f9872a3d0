"""One model, many lanes: whose turn it is. What comes by the stream goes before what is loaded in the background."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

URGENT_IN_A_ROW = 3
"""Turns that the stream may take while something of the background waits: it, too, must get on."""


class Turns:
    """A lock with two classes of waiters. A turn is one small batch, so that nobody waits for all the texts of another."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._busy = False
        self._urgent = 0
        self._others = 0
        self._in_a_row = 0

    @contextmanager
    def turn(self, *, urgent: bool) -> Iterator[None]:
        """Wait for a turn and have it."""
        self._enter(urgent)
        try:
            yield
        finally:
            with self._condition:
                self._busy = False
                self._condition.notify_all()

    def _enter(self, urgent: bool) -> None:
        with self._condition:
            self._wait(urgent, 1)
            try:
                while self._busy or not self._may(urgent):
                    self._condition.wait()
            finally:
                self._wait(urgent, -1)
            self._busy = True
            self._in_a_row = self._in_a_row + 1 if urgent else 0

    def _wait(self, urgent: bool, change: int) -> None:
        if urgent:
            self._urgent += change
        else:
            self._others += change

    def _may(self, urgent: bool) -> bool:
        if urgent:
            return self._others == 0 or self._in_a_row < URGENT_IN_A_ROW
        return self._urgent == 0 or self._in_a_row >= URGENT_IN_A_ROW
