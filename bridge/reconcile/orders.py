"""What is to be compared, and whether what differs is to be mended. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Order:
    """One round: no tables mean all. `own`: one of those that come by themselves, over everything."""

    tables: tuple[str, ...] = ()
    repair: bool = True
    own: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For the ledger."""
        return {"tables": list(self.tables), "repair": self.repair} | ({"round": True} if self.own else {})


def order_of(detail: Mapping[str, Any]) -> Order:
    """The order as it stands in the ledger."""
    tables = tuple(str(name) for name in detail.get("tables") or ())
    return Order(tables, bool(detail.get("repair", True)), bool(detail.get("round")))
