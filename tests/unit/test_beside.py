"""The proxy of `run --serve` ends with its run, whenever that ends."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import Any

import pytest

from bridge.cli import serving
from tests.patience import PATIENCE


def test_a_run_that_ends_while_its_proxy_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knew the process yet when it was to be told: it is told by who has started it."""
    beside = serving.Beside([])
    beside._command = ["cat"]  # which ends with its standard input, too
    real = subprocess.Popen

    begun = threading.Event()

    def late(*words: Any, **options: Any) -> subprocess.Popen[bytes]:
        begun.set()
        assert beside._ending.wait(PATIENCE)
        time.sleep(0.1)  # the run looks for a process now, and finds none
        return real(*words, **options)

    monkeypatch.setattr(serving.subprocess, "Popen", late)

    def run() -> None:
        with beside:
            begun.wait(PATIENCE)

    ended = threading.Thread(target=run, daemon=True)
    ended.start()
    ended.join(PATIENCE / 10)
    process = beside._process
    assert process is not None
    process.kill()
    assert not ended.is_alive(), "it waits for a proxy that nobody has told"
