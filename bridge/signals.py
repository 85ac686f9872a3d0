"""Signals that end a run, or have it read its configuration again.

A handler runs between two instructions of the main thread, which may just then hold the lock inside the very Event that it waits
for: `Event.set` in the handler would wait for that lock, and so for itself, for ever, and nothing but kill -9 would end it. Where
threads compete for the interpreter the lock is held long enough for that to be met. So a handler only puts a word into a
SimpleQueue, whose `put` may interrupt itself (https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put), and a thread
does the rest.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue

ENDING = (signal.SIGTERM, signal.SIGINT)
"""What asks a process to end in order."""


def on_signals(act: Callable[[], None], *numbers: signal.Signals) -> None:
    """Have `act` called, in a thread, each time one of these signals comes. To be called from the main thread."""
    came: SimpleQueue[int] = SimpleQueue()

    def work() -> None:
        while True:
            came.get()
            act()

    threading.Thread(target=work, name="signals", daemon=True).start()
    for number in numbers:
        signal.signal(number, lambda which, _frame: came.put(which))
