"""The ledger: what Engram must hold, proven row by row, and how far the work has come."""

from bridge.ledger.books import DEPENDENTS, Outcome
from bridge.ledger.generations import Asked, Generations
from bridge.ledger.ledger import Ledger
from bridge.ledger.records import (
    FILLING,
    RESYNC_ASKED,
    RESYNC_BEHIND,
    RESYNC_LOADING,
    RETIRED,
    SERVING,
    Batch,
    ChunkRecord,
    TableRecord,
    known_too,
    resyncing,
)

__all__ = [
    "DEPENDENTS",
    "FILLING",
    "RESYNC_ASKED",
    "RESYNC_BEHIND",
    "RESYNC_LOADING",
    "RETIRED",
    "SERVING",
    "Asked",
    "Batch",
    "ChunkRecord",
    "Generations",
    "Ledger",
    "Outcome",
    "TableRecord",
    "known_too",
    "resyncing",
]
