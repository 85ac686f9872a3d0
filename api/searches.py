"""What a search is, whoever answers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.proxy import Demand
from api.ranking import Found
from api.tables import Carried
from api.tenants import Tenants
from bridge.lsn import Lsn
from bridge.reads import Reason, Served


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked: the best `limit` rows of these tables for a text."""

    text: str
    tables: Sequence[Carried]
    limit: int
    demand: Demand
    tenants: Tenants

    def sees(self, table: Carried, body: str) -> bool:
        """Whether a row is for this caller."""
        return self.tenants.sees(table.label, self.demand.tenant, body)


@dataclass(frozen=True, slots=True)
class Result:
    """What was found. `frontier` and `staleness` (seconds) where the ledger was asked."""

    found: list[Found]
    by: Served
    reason: Reason | None = None
    frontier: Lsn | None = None
    staleness: float | None = None


class Unfit(Exception):
    """Engram is not to answer a search, or cannot; `label` is the table that it is about."""

    def __init__(self, label: str, reason: Reason) -> None:
        super().__init__(reason.value)
        self.label = label
        self.reason = reason
