"""The ledgers that are kept, one for each schema version that there was."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

FOLDER = Path(__file__).parent


def kept(version: int) -> Path:
    """The statements of that version's ledger."""
    return FOLDER / f"version-{version}.sql"


def versions() -> list[int]:
    """All that are kept."""
    return sorted(int(path.stem.removeprefix("version-")) for path in FOLDER.glob("version-*.sql"))


def restore(version: int, path: Path) -> None:
    """Make the ledger of that version there."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(kept(version).read_text(encoding="utf-8"))
