"""What `status` shows a person is not more than is known."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bridge import figures
from bridge.cli import app
from bridge.console import render_figures
from bridge.ledger import Generations, Ledger, Serving
from bridge.reads import Mode, Route
from bridge.status import SlotFigures, collect

SLOT = SlotFigures(exists=True, flush_lsn=200)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """One loaded table, a target that was seen and compared, everything proven up to 100."""
    book = Ledger(str(tmp_path / "ledger.db"))
    record = book.register("public.users", ["users"], [], 1234)
    book.set_table(record.number, state="loaded")
    book.put_facts({"proven": "100", "covered": "1700000000.0", "slot": "s"})
    book.put_epoch("first", seen=1.0)
    book.put_epoch("first", repaired=2.0)
    yield book
    book.close()


def shown(ledger: Ledger, slot: SlotFigures | None = SLOT) -> list[str]:
    """The lines on the screen, from the phase on: what is wrong stands before it."""
    console = Console(file=io.StringIO(), width=140)
    console.print(render_figures(figures.collect(ledger, slot)))
    lines: list[str] = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return lines[next(place for place, line in enumerate(lines) if line.startswith("phase ")) :]


def test_consistent_is_said_of_a_target_that_is_known(ledger: Ledger) -> None:
    """With a target that is there and compared, and nothing before the first line; the rows are marked as an estimate."""
    ledger.acquire()
    ledger.put_gauges({"target_reachable": True})
    lines = shown(ledger)
    assert lines[0].startswith("phase      consistent  ·  running: process")
    assert any("seen starting 1 time(s), repaired" in line for line in lines)
    assert any("rows ~" in line for line in lines)


def test_an_unreachable_target_is_consistent_as_of_the_last_proof(ledger: Ledger) -> None:
    """What was proven is said with its time, and that it cannot be asked now."""
    ledger.acquire()
    ledger.put_gauges({"target_reachable": False})
    (line,) = (line for line in shown(ledger) if line.startswith("phase"))
    assert line.startswith("phase      target unreachable, consistent as of 2023-11-1")
    assert collect(ledger, SLOT).phase == "target unreachable"


def test_a_target_that_is_being_compared(ledger: Ledger) -> None:
    """After a restart of the target the phase says so, with and without a run."""
    ledger.put_epoch("second", seen=3.0)
    assert shown(ledger)[0].startswith("phase      target to be compared, consistent as of")
    assert "not running" in shown(ledger)[0]
    ledger.acquire()
    ledger.put_gauges({"target_reachable": True})
    assert shown(ledger)[0].startswith("phase      target being compared, consistent as of")
    assert collect(ledger, SLOT).phase == "target being compared"


def test_a_comparison_without_a_restart_is_told_as_well(ledger: Ledger) -> None:
    """After a run that did not end in order the target's epoch is the same, and yet it is being compared."""
    ledger.acquire()
    ledger.put_gauges({"target_reachable": True, "comparing": True})
    assert collect(ledger, SLOT).as_dict()["phase"] == "target being compared"
    ledger.put_gauges({"comparing": False})
    assert collect(ledger, SLOT).as_dict()["phase"] == "consistent"


@pytest.mark.parametrize(
    ("slot", "running", "seconds"),
    [(None, False, False), (SLOT, False, True), (None, True, True), (SlotFigures(exists=True, flush_lsn=100), False, False)],
)
def test_lag_in_seconds_needs_somebody_who_knows(ledger: Ledger, slot: SlotFigures | None, running: bool, seconds: bool) -> None:
    """Without a run, seconds are told only when the slot says that bytes are behind."""
    if running:
        ledger.acquire()
    assert bool(collect(ledger, slot).lag["seconds"]) is seconds


def test_a_source_that_cannot_be_asked_is_a_warning(ledger: Ledger, tmp_path: Path) -> None:
    """The figures of the ledger are shown all the same."""
    options = ["--source", "postgresql://nobody@127.0.0.1:1/none", "--target", "http://127.0.0.1:1", "--ledger", ledger.location]
    done = CliRunner().invoke(app, ["status", *options])
    assert "warning: PostgreSQL cannot be asked for the slot" in done.stderr
    assert "\nphase " in done.stdout


def test_the_command_line_says_what_it_is() -> None:
    """`--version`, an argument that is called what it is, and no twins of options that only switch on."""
    assert CliRunner().invoke(app, ["--version"]).output.startswith("engram-bridge 0.")
    assert "TABLE/KEY" in CliRunner().invoke(app, ["parked", "retry", "--help"]).output.upper()
    assert "--no-" not in "".join(CliRunner().invoke(app, [name, "--help"]).output for name in ("run", "status", "check"))


def test_a_removed_table_is_told_apart_from_one_that_was_stopped(ledger: Ledger) -> None:
    """`resync` refuses a table that was removed with its memories kept, so the remedy is the command that carries it again."""
    Generations(ledger).remove("public.users", keep=True, reason="it was removed, and its memories are kept")
    (table,) = collect(ledger, SLOT).tables
    assert (table.state, table.remedy) == ("stopped", "engram-bridge add public.users carries it again")


def test_what_is_wrong_stands_first_and_reads_last(ledger: Ledger) -> None:
    """With what to do about it; who answers reads, and why PostgreSQL does."""
    serving = Serving(ledger)
    serving.route("public.users", Route(Mode.ENGRAM, 25), who="me", verb="advance", detail={})
    serving.count(
        {("public.users", "served:engram"): 7, ("public.users", "served:postgres"): 3, ("public.users", "reason:stale"): 3}
    )
    serving.mismatch("public.users", "9", ["name"])
    ledger.acquire()
    told = time.time()
    ledger.put_gauges(
        {"target_reachable": True, "heartbeat": {"every_seconds": 1.0, "p50_ms": 40.0, "p95_ms": 60.0, "p99_ms": 80.0}}
    )
    console = Console(file=io.StringIO(), width=140)
    console.print(render_figures(figures.collect(ledger, SLOT)))
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(told))
    assert lines[0].startswith("critical  nobody reads the slot") or "1 row differs between Engram and PostgreSQL" in lines[0]
    assert any("1 row differs" in line and f"since {since}" in line for line in lines)
    assert any(line.startswith("          →") for line in lines)
    assert any(line.startswith("heartbeat  p50 40 ms, p95 60 ms, p99 80 ms") for line in lines)
    assert lines[-1].split() == ["public.users", "engram", "25", "%", "7", "3", "0", "–", "–", "stale", "3", "1"]
