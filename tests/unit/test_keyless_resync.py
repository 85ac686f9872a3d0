"""A stopped table without a key cannot be loaded again; what can be done instead is said."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.ledger import RESYNC_ASKED, Ledger
from bridge.restoring import begin_resyncs


def test_the_way_by_remove_and_add_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And the wish is dropped: it would be refused at every start."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    number = ledger.register("public.bare", ["bare"], [], 0).number
    ledger.set_table(number, state="stopped", reason="a column was dropped")
    ledger.put_facts({f"resync:{number}": RESYNC_ASKED})
    plan: Any = SimpleNamespace(mapping=SimpleNamespace(plans={"public.bare": SimpleNamespace(keyless=True)}))
    with caplog.at_level(logging.ERROR):
        begin_resyncs(ledger, plan)
    (record,) = [one for one in caplog.records if "cannot be loaded again" in one.getMessage()]
    hint = record.__dict__["hint"]
    assert hint.index("engram-bridge remove public.bare") < hint.index("engram-bridge add public.bare")
    assert f"resync:{number}" not in ledger.facts()
    assert [one.state for one in ledger.tables()] == ["stopped"]
    ledger.close()
