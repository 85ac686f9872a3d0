"""TRUNCATE in one lane: everything of the table below the floor is forgotten, proven gone and recorded (law 2)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from bridge.forgetting import forget_all
from bridge.gate import Parked
from bridge.items import TOLD_KEYS
from bridge.ledger import Outcome
from bridge.works import Sweep
from bridge.workshop import Workshop

logger = logging.getLogger(__name__)

SWEEP_BATCH = 500
UNPROVEN = "unproven"


def sweep_table(shop: Workshop, space: str, sweep: Sweep, swept: Callable[[int], None]) -> None:
    """Forget the table's live memories in this space below the sweep's version. Raises Transient.

    `swept` is told how many were recorded, page by page. What waits in the lane for such a key is superseded by the floor, which
    was set before this job was put here. What Engram goes on answering is parked: it must not hold up the others.
    """
    plan = sweep.plan
    shard = plan.spaces.index(space)
    doomed = [(key, entry) for key, entry in shop.ledger.scan(plan.number, shard) if entry.live and entry.version < sweep.version]
    for start in range(0, len(doomed), SWEEP_BATCH):
        page = doomed[start : start + SWEEP_BATCH]
        left = forget_all(shop, space, [plan.prefix + key for key, _entry in page])
        gone = [(key, entry) for key, entry in page if plan.prefix + key not in left]
        outcomes = [
            Outcome(
                (plan.number, key),
                entry=replace(entry, version=sweep.version, digest="", references="", live=False, xid=None),
                edges=(),
                alternates=(),
            )
            for key, entry in gone
        ]
        outcomes += [_parked(shop, sweep, key) for key, _entry in page if plan.prefix + key in left]
        shop.recorder.commit(outcomes)
        for memory_id in sorted(left)[:TOLD_KEYS]:
            key = memory_id.removeprefix(plan.prefix)
            logger.warning("a key is parked", extra={"table": plan.table.label, "key": key, "reason": UNPROVEN})
        swept(len(gone))
    for token in sweep.tokens:
        token.done("written")
    shop.recorder.commit([Outcome((plan.number, ""), tokens=sweep.tokens)])


def _parked(shop: Workshop, sweep: Sweep, key: str) -> Outcome:
    now = shop.wall()
    reason = "Engram still answers the row after it was told to forget it"
    parked = Parked(UNPROVEN, reason, sweep.version, None, now, retry_at=now + shop.retry_delay(0))
    return Outcome((sweep.plan.number, key), park=parked)
