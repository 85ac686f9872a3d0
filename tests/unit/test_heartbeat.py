"""The heartbeat: what is covered is told by our own clock, what is held covers nothing, lag is that of the durable position."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.errors import Fatal, SourceUnavailable
from bridge.frontier import Frontier
from bridge.heartbeat import Heartbeat
from bridge.ledger import Ledger
from bridge.recorder import Recorder


class Wal:
    """A source of which only the WAL's position and the clock are asked."""

    def __init__(self) -> None:
        self.position, self.now, self.messages = 1_000, 500.0, 0
        self.refuses: type[Exception] | None = None
        self.info = SimpleNamespace(server_version=150000)
        self.away = False
        self.closed = False

    def connect(self, _name: str) -> Any:
        if self.away:
            raise SourceUnavailable("PostgreSQL is not available")
        return self

    def execute(self, statement: str) -> Any:
        if "emit" in statement:
            if self.refuses is not None:
                raise self.refuses("permission denied for function pg_logical_emit_message (SQLSTATE 42501)")
            self.messages += 1
            self.position += 100
        return self

    def fetchone(self) -> tuple[int, float]:
        return self.position, self.now

    def close(self) -> None:
        pass


class Rig:
    """A heartbeat over a real ledger; time and WAL are the test's."""

    def __init__(self, folder: Path, seconds: float = 1.0) -> None:
        self.now, self.held, self.wal = 100.0, False, Wal()
        self.ledger = Ledger(str(folder / "ledger.db"))
        self.frontier = Frontier(900)
        self.recorder = Recorder(self.ledger, self.frontier)
        self.beat = Heartbeat(
            self.wal,  # type: ignore[arg-type]
            self.frontier,
            self.recorder,
            seconds,
            held=lambda: self.held,
            clock=lambda: self.now,
            wall=lambda: self.now,
        )

    def stream(self) -> None:
        """The stream has sent everything, and it is proven."""
        self.frontier.keepalive(self.wal.position)
        self.recorder.commit([])
        self.beat.passed()

    @property
    def covered(self) -> float:
        return float(self.ledger.facts().get("covered", "0"))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """With a beat each second."""
    return Rig(tmp_path)


def test_a_beat_covers_the_moment_before_it_was_sent(rig: Rig) -> None:
    """By our own clock: that the source's is hours ahead makes nothing fresher."""
    rig.wal.now = 90_000.0
    rig.beat.look()
    assert rig.covered == 0.0
    rig.now += 0.4
    rig.stream()
    assert rig.covered == 100.0
    figures = rig.beat.figures()
    assert figures["last_ms"] == 400.0
    assert figures["p99_ms"] == 400.0
    assert figures["clock_offset_seconds"] == pytest.approx(89_900.0)
    assert rig.recorder.clock_offset == pytest.approx(89_900.0), "commit times are the source's clock: lag is corrected by it"


def test_a_beat_that_the_stream_has_not_reached_waits(rig: Rig) -> None:
    """Behind: what is covered stands still, and the beat under way grows old."""
    rig.beat.look()
    rig.frontier.keepalive(rig.wal.position - 1)
    rig.recorder.commit([])
    rig.now += 30.0
    rig.beat.passed()
    assert rig.covered == 0.0
    assert rig.beat.figures()["waiting_seconds"] == 30.0
    assert rig.beat.figures()["last_ms"] is None


def test_while_the_bridge_is_held_nothing_is_covered(rig: Rig) -> None:
    """Paused, cut off, or refused by the target: the stream may go on, but no newer moment counts."""
    rig.beat.look()
    rig.stream()
    rig.held = True
    for _ in range(5):
        rig.now += 1.0
        rig.beat.look()
        rig.frontier.keepalive(rig.wal.position)
        rig.recorder.commit([])
    assert rig.covered == 100.0
    rig.held = False
    rig.now += 1.0
    rig.beat.look()
    rig.stream()
    assert rig.covered == 106.0


def test_a_source_that_is_away_covers_nothing(rig: Rig) -> None:
    """No answer, no mark; the next answer counts from its own moment."""
    rig.wal.away = True
    rig.beat.look()
    assert rig.beat.figures()["trouble"] == "PostgreSQL is not available"
    rig.stream()
    assert rig.covered == 0.0
    rig.wal.away = False
    rig.now += 7.0
    rig.beat.look()
    rig.stream()
    assert rig.covered == 107.0
    assert rig.beat.figures()["trouble"] is None


def test_a_wal_that_goes_back_covers_nothing(rig: Rig) -> None:
    """A copy of the server that was put back: its positions are below what is proven, and say nothing about it."""
    rig.beat.look()
    rig.stream()
    rig.wal.position, rig.now = 500, 105.0
    rig.beat.look()
    rig.recorder.commit([])
    assert rig.covered == 100.0
    assert "another history" in rig.beat.figures()["trouble"]


def test_a_refusal_is_said_once_and_positions_are_asked_for_instead(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Where EXECUTE was revoked nothing is measured, but a quiet source stays covered."""
    rig.wal.refuses = Fatal
    for second in range(3):
        rig.now = 100.0 + second
        rig.beat.look()
        rig.stream()
        assert rig.covered == rig.now
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "FUNCTION pg_logical_emit_message(boolean, text, text) TO" in caplog.records[0].hint  # type: ignore[attr-defined]
    assert "SQLSTATE 42501" in rig.beat.figures()["refused"]
    assert rig.beat.figures()["count"] == 0


def test_without_a_heartbeat_no_message_is_written(tmp_path: Path) -> None:
    """`seconds: 0`: the source's WAL does not grow by us, and what is covered still moves."""
    rig = Rig(tmp_path, seconds=0)
    rig.beat.look()
    rig.stream()
    assert rig.wal.messages == 0
    assert rig.covered == 100.0


def test_a_quiet_source_costs_one_durable_step_a_beat(rig: Rig) -> None:
    """What changes between two beats, by less than a second, is not written by itself."""
    rig.beat.look()
    rig.stream()
    rig.frontier.mark(rig.wal.position, rig.now + 0.5)
    steps = []
    record = rig.ledger.record
    rig.ledger.record = lambda batch: steps.append(batch) or record(batch)  # type: ignore[method-assign,func-returns-value]
    rig.recorder.commit([])
    assert steps == []


def test_the_history_has_a_point_for_five_seconds(rig: Rig) -> None:
    """Median and most of each; older than the window does not count in the percentiles."""
    for _ in range(12):
        rig.beat.look()
        rig.now += 0.25
        rig.stream()
        rig.now += 0.75
    assert [point[0] for point in rig.beat.history] == [100.0, 105.0, 110.0]
    assert {tuple(point[1:]) for point in rig.beat.history} == {(250.0, 250.0)}
    rig.now += 1_000.0
    rig.beat.passed()
    assert rig.beat.figures()["p50_ms"] is None
