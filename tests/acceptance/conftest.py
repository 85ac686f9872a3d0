"""Fixtures of the acceptance tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.rig import Rig, drop_ledger_database, ledger_database

LEDGER = os.environ.get("ENGRAM_BRIDGE_TEST_LEDGER", "sqlite")


class MakeRig(Protocol):
    """Makes rigs that are closed at the end of the test."""

    def __call__(self, source: str | None = None, **overrides: Any) -> Rig: ...


@pytest.fixture
def make_rig(tmp_path: Path, database: str) -> Iterator[MakeRig]:
    """A bridge, an Engram and a fresh database; ENGRAM_BRIDGE_TEST_LEDGER=postgresql gives each ledger a database, too."""
    made: list[Rig] = []
    ledgers: list[str] = []

    def make(source: str | None = None, **overrides: Any) -> Rig:
        folder = tmp_path / f"rig-{len(made)}"
        folder.mkdir()
        if LEDGER == "postgresql" and "ledger" not in overrides:
            ledgers.append(ledger_database(database))
            overrides["ledger"] = ledgers[-1]
        rig = Rig(folder, source or database, **overrides)
        made.append(rig)
        return rig

    yield make
    for rig in made:
        rig.close()
    for location in ledgers:
        drop_ledger_database(database, location)
