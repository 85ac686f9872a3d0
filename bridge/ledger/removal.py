"""A ledger taken away for good: a SQLite file with what lies beside it, or our tables in another database."""

from __future__ import annotations

from bridge.errors import LedgerError
from bridge.ledger.file import FilePlace
from bridge.ledger.ledger import Ledger
from bridge.ledger.tables import metadata


def remove(ledger: Ledger) -> None:
    """Close the ledger, and remove it. It must be held: the lock's file goes last. Raises LedgerError."""
    place = ledger.place
    if not isinstance(place, FilePlace):
        with ledger.writing() as connection:
            metadata.drop_all(connection)
        ledger.close()
        return
    ledger.engine.dispose()
    path = place.path
    try:
        for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm"), place.lock_path):
            name.unlink(missing_ok=True)
    except OSError as error:
        raise LedgerError(f"the ledger {path} cannot be removed: {error.strerror}", hint="Delete it by hand.") from error
    ledger.release()
