"""The time until the slot is lost, and when a slot that keeps too much may be given up."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from bridge.config import Source
from bridge.ledger import Ledger
from bridge.slot_watch import Sample, SlotWatch

MB = 1_000_000


def watched(*samples: tuple[float, int, int], limit: int | None = None) -> SlotWatch:
    """After these measurements: seconds, where the WAL stood, and what was confirmed."""
    watch = SlotWatch("", "slot", limit=limit)
    for at, flushed, confirmed in samples:
        watch.add(Sample(at, flushed, confirmed))
    return watch


def test_the_rate_is_taken_over_the_last_minutes() -> None:
    """Nothing is said of a few seconds; what is older than the window does not count; a WAL that begins anew is measured anew."""
    assert watched((0, 0, 0), (20, 100 * MB, 0)).rate() is None
    assert watched((0, 0, 0), (100, 100 * MB, 0)).rate() == MB
    assert watched((0, 0, 0), (100, 100 * MB, 0), (600, 150 * MB, 0), (700, 160 * MB, 0)).rate() == pytest.approx(0.1 * MB)
    assert watched((0, 900 * MB, 0), (100, MB, 0)).rate() is None


def test_a_slot_is_given_up_only_when_this_bridge_does_not_catch_up() -> None:
    """A long transaction on the source keeps WAL too, but then the bridge does not lag; one that catches up needs its slot."""
    limit = 100 * MB
    assert watched((0, 200 * MB, 0), (40, 200 * MB, 0), limit=limit).hopeless(limit)
    assert watched((0, 200 * MB, 0), (40, 300 * MB, 50 * MB), limit=limit).hopeless(limit)
    assert not watched((0, 200 * MB, 0), (10, 300 * MB, 0), limit=limit).hopeless(limit), "not for long"
    assert not watched((0, 200 * MB, 0), (40, 300 * MB, 150 * MB), limit=limit).hopeless(limit), "catching up"
    assert not watched((0, 500 * MB, 490 * MB), (40, 900 * MB, 880 * MB), limit=limit).hopeless(limit), "not the bridge's lag"


def test_what_is_said_grows_with_the_danger() -> None:
    """Half of what may be kept, all of it, and little time left: each is said, the last before the others."""
    watch = watched((0, 0, 0), (100, 100 * MB, 0), limit=100 * MB)
    said = {}
    for retained, safe in ((40 * MB, None), (60 * MB, None), (110 * MB, None), (110 * MB, 600 * MB), (10 * MB, 10**12)):
        watch._judge(retained, safe)
        said[(retained, safe)] = watch.figures["warning"]
    assert said[(40 * MB, None)] is None
    assert "half" in said[(60 * MB, None)]
    assert "more WAL than it may: 110.0 MB" in said[(110 * MB, None)]
    assert "about to be lost: at the rate of the last minutes in 10 min" in said[(110 * MB, 600 * MB)]
    assert said[(10 * MB, 10**12)] is None
    assert watch.figures["seconds_to_loss"] == 10**6


def test_a_deliberate_pause_is_named() -> None:
    """Whoever has paused the bridge is told that the slot pays for it, and by what it will be dropped."""
    said = {}
    for paused in (False, True):
        for drop in (False, True):
            watch = watched((0, 0, 0), (1, 100 * MB, 0), limit=100 * MB)
            watch.paused, watch.drop = (lambda paused=paused: paused), drop
            for retained in (60 * MB, 110 * MB):
                watch._judge(retained, None)
                said[paused, drop, retained] = watch.figures["warning"]
    assert not any("paused" in text for (paused, _drop, _retained), text in said.items() if not paused)
    for retained in (60 * MB, 110 * MB):
        assert "the bridge is paused, and source.on_max_retained: drop" in said[True, True, retained]
        assert "the bridge is paused: engram-bridge resume" in said[True, False, retained]


def test_pause_says_that_the_slot_will_be_dropped(tmp_path: Path) -> None:
    """At once, when that was chosen, with how much it may keep; otherwise nothing of it."""
    Ledger(str(tmp_path / "ledger.db")).close()
    said = {}
    for chosen in ("keep", "drop"):
        file = tmp_path / f"{chosen}.yaml"
        file.write_text(
            f"source: {{url: 'host=h', max_retained_wal: 20GB, on_max_retained: {chosen}}}\n"
            f"target: http://h:7432\nledger: {tmp_path}/ledger.db\n"
        )
        done = CliRunner().invoke(app, ["pause", "--config", str(file)])
        assert done.exit_code == 0, done.output
        said[chosen] = " ".join(done.output.split())
    assert "on_max_retained is drop: once the slot keeps 20GB" in said["drop"]
    assert "on_max_retained" not in said["keep"]


@pytest.mark.parametrize(("text", "size"), [("20GB", 20 << 30), ("512 MB", 512 << 20), ("1TB", 1 << 40), ("64kB", 64 << 10)])
def test_sizes_are_read_as_postgresql_reads_them(text: str, size: int) -> None:
    """Powers of 1024, the unit written as PostgreSQL writes it."""
    assert Source(url="host=h", max_retained_wal=text).max_retained_bytes == size


@pytest.mark.parametrize("text", ["20", "20gb", "-1GB", "1.5GB", "GB"])
def test_other_sizes_are_refused(text: str) -> None:
    """A size without a unit would be bytes to one and megabytes to another."""
    with pytest.raises(ValueError, match="max_retained_wal"):
        Source(url="host=h", max_retained_wal=text)
