"""What lasts is told once and then now and then, not at every attempt."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from bridge import running
from bridge.cli import following
from bridge.config import Config
from bridge.errors import SourceUnavailable


def test_waiting_to_begin_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A dozen attempts within half a minute are one line in the log."""
    ledger = tmp_path / "ledger.db"
    ledger.touch()
    settings = Config.model_validate({"source": "postgresql://h/d", "target": "http://h:1", "ledger": str(ledger)})
    ending = threading.Event()
    attempts: list[Any] = []

    def refuse(settings: Config, _occupied: object) -> Any:
        attempts.append(settings)
        if len(attempts) == 12:
            ending.set()
        raise SourceUnavailable("it is not there")

    monkeypatch.setattr(running, "prepare", refuse)
    monkeypatch.setattr(ending, "wait", lambda _seconds: ending.is_set())
    with caplog.at_level(logging.WARNING):
        assert following._prepare(settings, ending) is None
    assert len(attempts) == 12
    assert caplog.text.count("waiting to begin: it is not there") == 1
