"""A validation from its order to its result, table by table, while the stream runs.

Left for later, as checks of their own beside these: vectors (none zero, their identity recomputed), and queries from a file.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from bridge.errors import ConfigError
from bridge.lsn import format_lsn
from bridge.mapping import TablePlan
from bridge.validation.extras import ExtraCheck
from bridge.validation.findings import CHECKS, KEPT, Finding, Tally
from bridge.validation.keys import compare_keys
from bridge.validation.rows import ParentCheck, RowCheck
from bridge.validation.sides import Sides

logger = logging.getLogger(__name__)

SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be compared: no tables mean all; `sample` rows of each, None for all of them."""

    tables: tuple[str, ...] = ()
    sample: int | None = SAMPLE
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For the ledger."""
        return {"tables": list(self.tables), "sample": "all" if self.sample is None else self.sample, "seed": self.seed}


def order_of(detail: Mapping[str, Any]) -> Order:
    """The order as somebody wrote it, with what he left out. Raises ConfigError."""
    sample, seed = detail.get("sample", SAMPLE), detail.get("seed")
    if sample != "all" and (not str(sample).isdigit() or int(sample) < 1):
        raise ConfigError(f"a sample of {sample!r} is none", hint="--sample takes a number of rows, or all.")
    return Order(
        tuple(str(name) for name in detail.get("tables") or ()),
        None if sample == "all" else int(sample),
        secrets.randbelow(1 << 31) if seed is None else int(seed),
    )


def validate(sides: Sides, order: Order) -> dict[str, Any]:
    """Compare, and answer the result, ready for JSON. Raises SourceUnavailable, TargetUnavailable, LedgerUnavailable, Fatal."""
    began, epoch, frontier = time.time(), _epoch(sides), sides.frontier()
    states = {record.number: record for record in sides.ledger.tables()}
    plans = [plan for label, plan in sides.mapping.plans.items() if not order.tables or label in order.tables]
    tallies = {plan.table.label: Tally(plan.table.label) for plan in plans}
    for plan in plans:
        record = states.get(plan.number)
        if record is None or record.state != "loaded":
            tallies[plan.table.label].skipped = record.state if record is not None else "not carried"
    carried = [plan for plan in plans if not tallies[plan.table.label].skipped]
    _compare(sides, order, carried, tallies)
    for plan in carried:
        if sides.ending():
            tallies[plan.table.label].skipped = "ended early"
        elif not sides.current(plan):
            tallies[plan.table.label].skipped = "its definition changed meanwhile"
    return _result(sides, order, tallies, began, epoch, frontier)


def _compare(sides: Sides, order: Order, plans: Sequence[TablePlan], tallies: dict[str, Tally]) -> None:
    parked = {plan.number: sides.ledger.parked_of(plan.number) for plan in sides.mapping.numbered.values()}
    for space in dict.fromkeys(space for plan in sides.mapping.plans.values() for space in plan.spaces):
        sides.target.open(space)
    parents: dict[tuple[int, str], str] = {}
    for plan in plans:
        tally = tallies[plan.table.label]
        keys = compare_keys(sides, plan, parked[plan.number], tally) - parked[plan.number]
        missed = {found.memory_id for found in tally.findings}
        candidates = sorted(key for key in keys if plan.prefix + key not in missed)
        chance = _chance(order, plan.table.label)
        size = len(candidates) if order.sample is None else min(order.sample, len(candidates))
        rows = RowCheck(sides, plan, tally)
        rows.run(chance.sample(candidates, size))
        parents |= rows.parents
        logger.info("validated", extra={"table": plan.table.label, "rows": tally.rows, "findings": len(tally.findings)})
        if sides.ending():
            return
    reported = {found.memory_id for tally in tallies.values() for found in tally.findings}
    loaded = {record.number for record in sides.ledger.tables() if record.state == "loaded"}
    everywhere = {plan.origin: plan for plan in sides.mapping.plans.values() if plan.number in loaded}
    side_tallies = {plan.table.label: Tally(plan.table.label) for plan in sides.mapping.plans.values()} | tallies
    ParentCheck(sides, everywhere, parked, reported).run(parents, side_tallies)
    chance = _chance(order, "extra")
    extra = ExtraCheck(sides, list(sides.mapping.numbered.values()), side_tallies, parked, chance, order.sample)
    for space in dict.fromkeys(space for plan in plans for space in plan.spaces):
        if sides.ending():
            return
        extra.run(space)
    tallies |= {label: tally for label, tally in side_tallies.items() if tally.findings}


def _chance(order: Order, what: str) -> random.Random:
    """The same order draws the same sample of the same keys."""
    return random.Random(f"{order.seed}/{what}")  # noqa: S311 - a sample, not a secret


def _epoch(sides: Sides) -> str | None:
    epochs = sides.ledger.epochs()
    return epochs[-1][0] if epochs else None


def _result(
    sides: Sides, order: Order, tallies: Mapping[str, Tally], began: float, epoch: str | None, frontier: int
) -> dict[str, Any]:
    findings: list[Finding] = [found for tally in tallies.values() for found in tally.findings]
    return {
        "clean": all(tally.clean for tally in tallies.values()),
        "order": order.as_dict(),
        "began": began,
        "ended": time.time(),
        "version": metadata.version("engram-bridge"),
        "epoch": epoch if epoch == _epoch(sides) else None,
        "frontier": [format_lsn(frontier), format_lsn(sides.frontier())],
        "checks": CHECKS,
        "tables": {label: tally.as_dict() for label, tally in tallies.items()},
        "findings": [found.as_dict() for found in findings[:KEPT]],
        "not_named": max(len(findings) - KEPT, 0),
    }
