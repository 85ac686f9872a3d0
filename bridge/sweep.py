"""TRUNCATE in one lane: everything of the table below the floor is forgotten, proven gone and recorded (law 2)."""

from __future__ import annotations

from dataclasses import replace

from bridge.errors import TargetUnavailable
from bridge.ledger import Outcome
from bridge.works import Sweep
from bridge.workshop import Workshop

SWEEP_BATCH = 500


def sweep_table(shop: Workshop, space: str, sweep: Sweep) -> int:
    """Forget the table's live memories in this space below the sweep's version; answers how many. Raises Transient.

    What waits in the lane for such a key is superseded by the floor, which was set before this job was put here.
    """
    plan = sweep.plan
    shard = plan.spaces.index(space)
    doomed = [(key, entry) for key, entry in shop.ledger.scan(plan.number, shard) if entry.live and entry.version < sweep.version]
    for start in range(0, len(doomed), SWEEP_BATCH):
        page = doomed[start : start + SWEEP_BATCH]
        ids = [plan.prefix + key for key, _entry in page]
        shop.target.forget(space, ids)
        if any(stored is not None for stored in shop.target.read(space, ids)):
            raise TargetUnavailable("Engram still answers rows that it was told to forget")
        outcomes = [
            Outcome(
                (plan.number, key), entry=replace(entry, version=sweep.version, live=False, xid=None), edges=(), alternates=()
            )
            for key, entry in page
        ]
        shop.recorder.commit(outcomes)
    for token in sweep.tokens:
        token.done("written")
    shop.recorder.commit([Outcome((plan.number, ""), tokens=sweep.tokens)])
    return len(doomed)
