"""The checks behind a one-shot migration: PostgreSQL at the migration's own snapshot against ledger and Engram."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.ledger import Serving
from bridge.lsn import Lsn
from bridge.migration.carrying import Carrying
from bridge.validation import order_of
from bridge.validation.attending import carry_out
from bridge.validation.sides import Sides
from bridge.wiring import open_target
from snapshot.refresh import Refresher

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Still(Sides):
    """Sides that nobody changes: PostgreSQL stands still at the snapshot, and nobody writes to Engram."""

    def passed(self, fence: Lsn) -> bool:
        """There is nothing to wait for."""
        return fence >= 0 and not self.ending()


def validate(carrying: Carrying, labels: tuple[str, ...], who: str, ending: Callable[[], bool]) -> Mapping[str, Any]:
    """Compare these tables, and answer what was found, kept in the ledger too. Raises what a validation can fail of."""
    began = time.monotonic()
    target = open_target(carrying.config)
    detail = order_of({"tables": list(labels)}).as_dict() | {"by": who}
    serving = Serving(carrying.ledger)
    number = serving.ask_validation(who, detail, begun=True)
    try:
        with Refresher(carrying.held, size=1) as reader:
            sides = _Still(
                ledger=carrying.ledger,
                target=target,
                mapping=carrying.plan.mapping,
                origin=carrying.held,
                reader=reader,
                ledger_id=carrying.plan.identity.ledger,
                default_when=carrying.shop.default_when,
                confidence=target.confidence,
                url=carrying.config.source.url,
                ending=ending,
            )
            found = carry_out(serving, number, sides, detail)
    finally:
        target.close()
    return {**found, "number": number, "seconds": round(time.monotonic() - began, 3)}
