"""A real Chromium for tests of the operator's page, and the proxy as a process of its own that it looks at."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests import ready
from tests.patience import PATIENCE

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium; without one the test is skipped, and pytest's summary says so."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium is installed here: the operator's page is not looked at")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def served(file: Path, folder: Path, **environment: str) -> Iterator[str]:
    """`serve` with this configuration on a free port, until the end of the block; its address, once it answers."""
    log = folder / "serve.log"
    command = [*ready.command(), "serve", "--config", str(file), "--port", "0", "--log-format", "json"]
    with log.open("ab") as output:
        process = ready.started(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **environment}
        )
    try:
        yield _answering(process, log)
        assert process.poll() is None, "the proxy ended by itself"
    finally:
        process.terminate()
        code = process.wait(timeout=PATIENCE)
    assert code in (0, -signal.SIGTERM), log.read_text(encoding="utf-8")


def _answering(process: ready.Process, log: Path, timeout: float = PATIENCE) -> str:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.poll() is None:
        said = log.read_text(encoding="utf-8")
        address = next((json.loads(line)["address"] for line in said.splitlines() if '"address"' in line), None)
        if address is not None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/page/icon.svg", timeout=5).close()
                return str(address)
        time.sleep(0.1)
    raise AssertionError(f"the proxy did not start:\n{log.read_text(encoding='utf-8')}")
