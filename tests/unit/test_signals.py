"""A signal is heard at whatever instruction it comes."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.patience import PATIENCE

PROGRAM = """
    import os, signal, sys, threading
    from bridge.signals import ENDING, on_signals

    ending, again = threading.Event(), threading.Event()
    on_signals(ending.set, *ENDING)
    on_signals(again.set, signal.SIGHUP)
    number = signal.Signals(int(sys.argv[1]))
    event = again if number == signal.SIGHUP else ending
    with event._cond:  # as `event.wait()` holds it for some instructions
        os.kill(os.getpid(), number)
        sum(range(1000))
    assert event.wait(60)
    assert not (ending if event is again else again).is_set()
    event.clear()
    os.kill(os.getpid(), number)
    assert event.wait(60), "once more"
    print("heard")
"""


@pytest.mark.parametrize("number", [1, 2, 15])
def test_a_signal_that_comes_while_its_event_is_locked(number: int) -> None:
    """The main thread holds the event's own lock, as it does at each turn of its loop; nothing waits for itself."""
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(number)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
