"""A validation from its order to its result, table by table, while the stream runs or when nobody carries changes."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from bridge.errors import ConfigError
from bridge.lsn import format_lsn
from bridge.mapping import TablePlan
from bridge.validation.extras import ExtraCheck, name_moves
from bridge.validation.findings import CHECKS, COUNTS, KEPT, LEAVABLE, QUERIES, VECTORS, Finding, Tally
from bridge.validation.keys import compare_keys
from bridge.validation.queries import Queries, QueryCheck, queries_of
from bridge.validation.recalling import RecallCheck
from bridge.validation.rows import ParentCheck, RowCheck
from bridge.validation.sides import Sides
from bridge.validation.vectors import VectorCheck
from bridge.validation.verdict import verdict

logger = logging.getLogger(__name__)

SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be compared: no tables mean all; `sample` rows of each, None for all of them.

    `without` are checks that are left out; `queries` what has to be found, for the check of that name.
    """

    tables: tuple[str, ...] = ()
    sample: int | None = SAMPLE
    seed: int = 0
    without: tuple[str, ...] = ()
    queries: Queries | None = None

    def as_dict(self) -> dict[str, Any]:
        """For the ledger."""
        return {
            "tables": list(self.tables),
            "sample": "all" if self.sample is None else self.sample,
            "seed": self.seed,
            **({"without": list(self.without)} if self.without else {}),
            **({"queries": self.queries.as_dict()} if self.queries is not None else {}),
        }

    @property
    def checks(self) -> dict[str, str]:
        """The checks that are done, and what each says."""
        return {
            name: says
            for name, says in CHECKS.items()
            if name not in self.without and (name != QUERIES or self.queries is not None)
        }


def order_of(detail: Mapping[str, Any]) -> Order:
    """The order as somebody wrote it, with what he left out. Raises ConfigError."""
    sample, seed = detail.get("sample", SAMPLE), detail.get("seed")
    if sample != "all" and (not str(sample).isdigit() or int(sample) < 1):
        raise ConfigError(f"a sample of {sample!r} is none", hint="--sample takes a number of rows, or all.")
    without = tuple(str(name) for name in detail.get("without") or ())
    for name in without:
        if name not in LEAVABLE:
            raise ConfigError(f"the check {name!r} cannot be left out", hint=f"--without takes {', '.join(LEAVABLE)}.")
    return Order(
        tuple(str(name) for name in detail.get("tables") or ()),
        None if sample == "all" else int(sample),
        secrets.randbelow(1 << 31) if seed is None else int(seed),
        without,
        queries_of(detail["queries"]) if detail.get("queries") else None,
    )


def validate(sides: Sides, order: Order) -> dict[str, Any]:
    """Compare, and answer the result, ready for JSON.

    Raises SourceUnavailable, TargetUnavailable, EmbedderUnavailable, LedgerUnavailable, ConfigError, Fatal.
    """
    began, epoch, frontier = time.time(), _epoch(sides), sides.frontier()
    states = {record.number: record for record in sides.ledger.tables()}
    plans = [plan for label, plan in sides.mapping.plans.items() if not order.tables or label in order.tables]
    tallies = {plan.table.label: Tally(plan.table.label) for plan in plans}
    if order.queries is not None:
        order.queries.require(sides.mapping.plans)
    for plan in plans:
        record = states.get(plan.number)
        if record is None or record.state != "loaded":
            tallies[plan.table.label].skipped = record.state if record is not None else "not carried"
    carried = [plan for plan in plans if not tallies[plan.table.label].skipped]
    _Comparison(sides, order, carried, tallies).run()
    for plan in carried:
        if sides.ending():
            tallies[plan.table.label].skipped = "ended early"
        elif sides.disturbed:
            tallies[plan.table.label].skipped = "a bridge was started meanwhile"
        elif not sides.current(plan):
            tallies[plan.table.label].skipped = "its definition changed meanwhile"
    return _result(sides, order, tallies, began, epoch, frontier)


class _Comparison:
    """The checks, one after the other, over the loaded tables `plans`. `tallies` are of the tables of the order."""

    def __init__(self, sides: Sides, order: Order, plans: Sequence[TablePlan], tallies: dict[str, Tally]) -> None:
        self._sides, self._order, self._plans, self._ordered = sides, order, plans, tallies
        everywhere = sides.mapping.plans.values()
        self._tallies = {plan.table.label: Tally(plan.table.label) for plan in everywhere} | tallies
        self._parked = {plan.number: sides.ledger.parked_of(plan.number) for plan in sides.mapping.numbered.values()}
        self._sampled: set[str] = set()
        self._keys: dict[int, list[str]] = {plan.number: [] for plan in plans}

    def run(self) -> None:
        """All of them; what was found of tables beside those of the order is added to `tallies`."""
        for space in dict.fromkeys(space for plan in self._sides.mapping.plans.values() for space in plan.spaces):
            self._sides.target.open(space)
        for step in (self._rows, self._extras, self._vectors, self._queries):
            if self._sides.ending():
                return
            step()
        self._ordered |= {label: tally for label, tally in self._tallies.items() if tally.findings}

    def _reported(self) -> set[str]:
        """Memories of which something was found: nobody else complains of them."""
        return {found.memory_id for tally in self._tallies.values() for found in tally.findings}

    def _rows(self) -> None:
        """`counts`, `rows`, `references` and `forms`."""
        parents: dict[tuple[int, str], str] = {}
        for plan in self._plans:
            tally = self._tallies[plan.table.label]
            parked = self._parked[plan.number]
            keys = compare_keys(self._sides, plan, parked, tally) - parked
            missed = {found.memory_id for found in tally.findings} | set(tally.since)
            candidates = sorted(key for key in keys if plan.prefix + key not in missed)
            size = len(candidates) if self._order.sample is None else min(self._order.sample, len(candidates))
            sample = _chance(self._order, plan.table.label).sample(candidates, size)
            rows = RowCheck(self._sides, plan, tally)
            rows.run(sample)
            parents |= rows.parents
            self._keys[plan.number] = sample
            self._sampled.update(plan.prefix + key for key in sample)
            logger.info("validated", extra={"table": plan.table.label, "rows": tally.rows, "findings": len(tally.findings)})
            if self._sides.ending():
                return
        loaded = {record.number for record in self._sides.ledger.tables() if record.state == "loaded"}
        everywhere = {plan.origin: plan for plan in self._sides.mapping.plans.values() if plan.number in loaded}
        ParentCheck(self._sides, everywhere, self._parked, self._reported()).run(parents, self._tallies)

    def _extras(self) -> None:
        numbered = list(self._sides.mapping.numbered.values())
        chance = _chance(self._order, "extra")
        lost = {one.memory_id for tally in self._tallies.values() for one in tally.findings if one.check == COUNTS}
        since = {memory_id for tally in self._tallies.values() for memory_id in tally.since}
        sample, lost, told = self._order.sample, lost | since, self._reported() | since
        extra = ExtraCheck(self._sides, numbered, self._tallies, self._parked, chance, sample, lost, told)
        self._each_space(extra.run)
        name_moves(self._tallies.values())

    def _vectors(self) -> None:
        if VECTORS not in self._order.checks:
            return
        since = {memory_id for tally in self._tallies.values() for memory_id in tally.since}
        judged = self._sampled - self._reported() - since
        self._each_space(VectorCheck(self._sides, self._plans, self._tallies, judged).run)
        right = judged - self._reported()
        recall = RecallCheck(self._sides, self._tallies, _chance(self._order, "recall"))
        for plan in self._plans:
            if not (self._sides.ending() or VECTORS in self._tallies[plan.table.label].undone):
                recall.run(plan, [key for key in self._keys[plan.number] if plan.prefix + key in right])

    def _queries(self) -> None:
        if self._order.queries is not None:
            QueryCheck(self._sides, self._tallies).run(self._order.queries)

    def _each_space(self, check: Callable[[str], None]) -> None:
        for space in dict.fromkeys(space for plan in self._plans for space in plan.spaces):
            if self._sides.ending():
                return
            check(space)


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
    since = [memory_id for tally in tallies.values() for memory_id in tally.since]
    result = {
        "clean": all(tally.clean for tally in tallies.values()),
        "order": order.as_dict(),
        "began": began,
        "ended": time.time(),
        "version": metadata.version("engram-bridge"),
        "epoch": epoch if epoch == _epoch(sides) else None,
        "frontier": [format_lsn(frontier), format_lsn(sides.frontier())],
        "carried_by": "a snapshot" if sides.held else "nobody" if sides.alone else "a bridge",
        "checks": order.checks,
        "tables": {label: tally.as_dict() for label, tally in tallies.items()},
        "findings": [found.as_dict() for found in findings[:KEPT]],
        "not_named": max(len(findings) - KEPT, 0),
        "changed_since": since[:KEPT],
    }
    return result | verdict(result)
