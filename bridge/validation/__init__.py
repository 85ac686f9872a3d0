"""Validation: PostgreSQL, ledger and Engram compared while the stream runs, with what was found told exactly."""

from bridge.validation.findings import CHECKS, Finding, Tally, chance_to_miss
from bridge.validation.run import Order, order_of, validate
from bridge.validation.sides import Sides

__all__ = ["CHECKS", "Finding", "Order", "Sides", "Tally", "chance_to_miss", "order_of", "validate"]
