"""A round that mends nothing, without a running bridge: whoever holds the ledger compares both sides with it.

Nothing follows the stream meanwhile, so what PostgreSQL has otherwise is no damage: it is unsettled, and the next run brings it.
"""

from __future__ import annotations

from typing import Any

from bridge.config import Config
from bridge.errors import BridgeError
from bridge.ledger import Ledger, Reconciliations
from bridge.postgres import connect
from bridge.reconcile.attending import Reconciling
from bridge.wiring import make_plan


def compare_only(config: Config, ledger: Ledger, number: int) -> dict[str, Any]:
    """Compare what the order of this number names; answers its result. Raises SourceUnavailable, ConfigError, BridgeError."""
    with connect(config.source.url, application_name="engram-bridge reconcile") as connection:
        mapping = make_plan(config, ledger, connection, register=False).mapping
    reconciling = Reconciling(
        config, ledger, lambda: mapping, ending=lambda: False, ready=lambda: True, count=lambda _counters: None, followed=False
    )
    one = Reconciliations(ledger).find(number)
    assert one is not None, "it was just asked for"
    reconciling.do(one)
    done = Reconciliations(ledger).find(number)
    if done is None or done.result is None:
        raise BridgeError("the round was stopped")
    return done.result
