"""A ledger taken away for good: a SQLite file with what lies beside it, or our tables in another database."""

from __future__ import annotations

from pathlib import Path

from bridge.ledger.connection import translated
from bridge.ledger.ledger import Ledger
from bridge.ledger.tables import metadata


def remove(ledger: Ledger) -> None:
    """Close the ledger, and remove it. It must be held: the lock's file goes last. Raises LedgerError."""
    if ledger.engine.dialect.name != "sqlite":
        with ledger.writing() as connection:
            metadata.drop_all(connection)
        ledger.close()
        return
    path = str(ledger.engine.url.database)
    ledger.engine.dispose()
    with translated(ledger.location):
        for name in (path, f"{path}-wal", f"{path}-shm", f"{path}.lock"):
            Path(name).unlink(missing_ok=True)
    ledger.release()
