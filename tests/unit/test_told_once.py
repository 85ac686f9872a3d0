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
from bridge.pool import LanePool, _State
from bridge.recorder import Recorder
from bridge.workshop import Workshop


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


def test_a_trouble_of_several_lanes_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """One lane that gets through while others wait does not make the trouble a new one."""
    shop = Workshop.__new__(Workshop)
    shop.recorder = Recorder.__new__(Recorder)
    pool = LanePool(shop, threads=1)
    ends = [SourceUnavailable("away"), None, SourceUnavailable("away"), SourceUnavailable("away"), None, None]

    class Stub:
        """A lane whose steps end as they are told."""

        def __init__(self, space: str) -> None:
            self.space = space

        def step(self) -> None:
            end = ends.pop(0)
            if end is not None:
                raise end

    states = [_State(Stub(space)) for space in ("a", "b", "c", "a", "b", "c")]  # type: ignore[arg-type]
    turns = [states[0], states[1], states[2], states[0], states[0], states[2]]
    pool._states = {state.lane.space: state for state in states[:3]}
    pool._next = lambda: turns.pop(0) if turns else None  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING):
        pool._run()
    assert caplog.text.count("the lanes wait: away") == 1
    assert pool.trouble is None  # all have got through in the end
