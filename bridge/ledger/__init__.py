"""The ledger: what Engram must hold, proven row by row, and how far the work has come."""

from bridge.ledger.books import DEPENDENTS, Outcome
from bridge.ledger.findings import Finding, Findings
from bridge.ledger.generations import Asked, Generations
from bridge.ledger.ledger import Ledger
from bridge.ledger.links import Links, TableState
from bridge.ledger.marks import Marks
from bridge.ledger.migrations import Migration, Migrations
from bridge.ledger.reconciliations import Reconciliation, Reconciliations
from bridge.ledger.records import (
    FILLING,
    MIGRATED,
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
from bridge.ledger.serving import Act, Mismatch, Serving, Validation
from bridge.ledger.standing import KeyStanding, Standing, Standings, TableStanding, standing_of

__all__ = [
    "DEPENDENTS",
    "FILLING",
    "MIGRATED",
    "RESYNC_ASKED",
    "RESYNC_BEHIND",
    "RESYNC_LOADING",
    "RETIRED",
    "SERVING",
    "Act",
    "Asked",
    "Batch",
    "ChunkRecord",
    "Finding",
    "Findings",
    "Generations",
    "KeyStanding",
    "Ledger",
    "Links",
    "Marks",
    "Migration",
    "Migrations",
    "Mismatch",
    "Outcome",
    "Reconciliation",
    "Reconciliations",
    "Serving",
    "Standing",
    "Standings",
    "TableRecord",
    "TableStanding",
    "TableState",
    "Validation",
    "known_too",
    "resyncing",
    "standing_of",
]
