"""The ledger: what Engram must hold, proven row by row, and how far the work has come."""

from bridge.ledger.books import Outcome
from bridge.ledger.ledger import Ledger
from bridge.ledger.records import Batch, ChunkRecord, TableRecord

__all__ = ["Batch", "ChunkRecord", "Ledger", "Outcome", "TableRecord"]
