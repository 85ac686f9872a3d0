"""Fixtures of the acceptance tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.rig import Rig


class MakeRig(Protocol):
    """Makes rigs that are closed at the end of the test."""

    def __call__(self, source: str | None = None, **overrides: Any) -> Rig: ...


@pytest.fixture
def make_rig(tmp_path: Path, database: str) -> Iterator[MakeRig]:
    """A bridge, an Engram and a fresh database."""
    made: list[Rig] = []

    def make(source: str | None = None, **overrides: Any) -> Rig:
        folder = tmp_path / f"rig-{len(made)}"
        folder.mkdir()
        rig = Rig(folder, source or database, **overrides)
        made.append(rig)
        return rig

    yield make
    for rig in made:
        rig.close()
