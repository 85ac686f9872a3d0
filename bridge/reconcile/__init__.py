"""Reconciliation: PostgreSQL, ledger and Engram compared round and round within a budget; what differs is mended, and noted."""

from bridge.reconcile.orders import Order, order_of
from bridge.reconcile.tallies import Tally

__all__ = ["Order", "Tally", "order_of"]
