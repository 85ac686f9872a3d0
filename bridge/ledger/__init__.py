"""The ledger: what Engram must hold, proven row by row, and how far the work has come."""

from bridge.ledger.books import Outcome
from bridge.ledger.ledger import Ledger
from bridge.ledger.records import RESYNC_ASKED, RESYNC_LOADING, Batch, ChunkRecord, TableRecord

__all__ = ["RESYNC_ASKED", "RESYNC_LOADING", "Batch", "ChunkRecord", "Ledger", "Outcome", "TableRecord"]
