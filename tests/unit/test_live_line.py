"""The line that `run` shows of itself: rows while it loads, parked keys when there are any."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from bridge.console import LiveView


def bridge(*, consistent: bool, parked: int) -> Any:
    """As much of a bridge as the line asks."""
    loader = SimpleNamespace(progress={1: SimpleNamespace(rows=1_000), 2: SimpleNamespace(rows=234)})
    return SimpleNamespace(
        recorder=SimpleNamespace(changes=0, confirmed=0, dropped=0),
        stream=SimpleNamespace(received=0, trouble=None),
        housekeeping=SimpleNamespace(lag=lambda: None),
        loader=loader,
        ledger=SimpleNamespace(parked_count=lambda: parked),
        watch=SimpleNamespace(reachable=True, repaired=True),
        pool=SimpleNamespace(trouble=None),
        consistent=consistent,
    )


@pytest.mark.parametrize(
    ("consistent", "parked", "line"),
    [
        (False, 0, "loading  ·  1,234 rows loaded  ·  behind 0 B  ·  0 changes (0/s)"),
        (True, 0, "consistent  ·  behind 0 B  ·  0 changes (0/s)"),
        (True, 3, "consistent  ·  behind 0 B  ·  0 changes (0/s)  ·  3 parked"),
    ],
)
def test_the_line_off_a_terminal(capsys: pytest.CaptureFixture[str], consistent: bool, parked: int, line: str) -> None:
    """What nobody watches is told by a line with what matters now."""
    LiveView(bridge(consistent=consistent, parked=parked), Console(file=io.StringIO())).update()
    assert capsys.readouterr().err.strip() == line
