"""The checks behind a one-shot migration: PostgreSQL at the migration's own snapshot against ledger and Engram."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bridge.errors import BridgeError
from bridge.ledger import Serving
from bridge.migration.carrying import Carrying
from bridge.validation import order_of
from bridge.validation.attending import carry_out, failed, open_sides


def validate(
    carrying: Carrying, labels: Collection[str], who: str, *, earlier: Collection[str], ending: Callable[[], bool]
) -> Mapping[str, Any]:
    """Compare these tables, and answer what was found, kept in the ledger too. `earlier`: those read at several snapshots.

    Raises what a validation can fail of.
    """
    began = time.monotonic()
    detail = order_of({"tables": list(labels)}).as_dict() | {"by": who}
    serving = Serving(carrying.ledger)
    number = serving.ask_validation(who, detail, begun=True)
    mapping, models = carrying.plan.mapping, carrying.shop.embedders
    try:
        with open_sides(
            carrying.config, carrying.ledger, mapping, embedders=models, snapshot=carrying.held, earlier=earlier
        ) as sides:
            sides.ending = ending
            plans = mapping.plans.items()
            sides.only = {label: carrying.loader.only[one.number] for label, one in plans if one.number in carrying.loader.only}
            found = carry_out(serving, number, sides, detail)
    except BridgeError as error:
        failed(serving, number, error)
        raise
    return {**found, "number": number, "seconds": round(time.monotonic() - began, 3)}
