"""Who has been told once to take spaces over is not asked again, however it was ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from bridge.adoption import ADOPTED, ADOPTING, Occupants, Occupied, settle
from bridge.errors import Fatal
from bridge.ledger import Ledger
from bridge.ports import Target

NOBODY = cast(Target, None)
"""Nothing may be asked of it."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new one, in a file."""
    made = Ledger(str(tmp_path / "ledger.db"))
    yield made
    made.close()


def occupied(space: str, **more: Any) -> Occupants:
    """A space with a memory of another ledger."""
    return Occupants(space, 1, ledgers={"old"}, keys={1: ["7"]}, **more)


def test_killed_before_it_knows_its_spaces_it_goes_on_without_the_flag(ledger: Ledger) -> None:
    """The order is noted before the spaces are: a run that comes between them finds its own order there."""
    settle([occupied("notes"), occupied("marks")], Occupied.ADOPT, ledger, NOBODY)
    settle([occupied("marks")], Occupied.REFUSE, ledger, NOBODY)
    assert json.loads(ledger.facts()[ADOPTING]) == ["marks", "notes"]
    assert json.loads(ledger.facts()[ADOPTED]) == ["old"]


def test_the_order_was_for_these_spaces_and_for_what_a_bridge_wrote(ledger: Ledger) -> None:
    """Another space is refused as ever, and so is a memory that no bridge wrote."""
    settle([occupied("notes")], Occupied.ADOPT, ledger, NOBODY)
    with pytest.raises(Fatal, match="the space 'marks' holds memories of another ledger"):
        settle([occupied("notes"), occupied("marks")], Occupied.REFUSE, ledger, NOBODY)
    with pytest.raises(Fatal, match="the space 'notes' holds memories of another ledger"):
        settle([Occupants("notes", 1, ledgers={"old", "newer"}, keys={1: ["7"]})], Occupied.REFUSE, ledger, NOBODY)
    with pytest.raises(Fatal, match="the space 'notes' holds memories of something else"):
        settle([occupied("notes", strangers=["diary"])], Occupied.REFUSE, ledger, NOBODY)
    assert json.loads(ledger.facts()[ADOPTING]) == ["notes"]
