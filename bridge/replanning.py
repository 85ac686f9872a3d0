"""The plans in force, made anew while the bridge runs: tables have come or gone, and with them what the others refer to."""

from __future__ import annotations

import logging

import psycopg

from bridge.keeper import TableKeeper
from bridge.ledger import Generations
from bridge.mapping import Mapping, TablePlan
from bridge.wiring import links_fact, make_plan
from snapshot.chunks import reached
from snapshot.shapes import load_shapes

logger = logging.getLogger(__name__)


def replan(keeper: TableKeeper, connection: psycopg.Connection) -> None:
    """Put in force what the ledger says is carried now; tables whose references are other ones are read again.

    A plan whose table is as it was stays the same object. One whose columns have changed is left to the keeper, who is told of
    that by the stream or by the catalogue. Raises SourceUnavailable and ConfigError.
    """
    fresh = make_plan(keeper.config, keeper.ledger, connection, register=False).mapping
    removed = Generations(keeper.ledger).choices().removed
    records = [record for record in keeper.ledger.generations() if record.label not in removed]
    serving = {record.number: record.label for record in keeper.ledger.tables()}
    changed: list[TablePlan] = []
    _note_shapes(keeper, connection, [fresh.numbered[n] for n in fresh.numbered.keys() - keeper.shop.mapping.numbered.keys()])
    with keeper.lock:
        before = keeper.shop.mapping.numbered
        numbered: dict[int, TablePlan] = {}
        for record in records:
            plan = _chosen(before.get(record.number), fresh.numbered.get(record.number))
            if plan is None:
                continue
            numbered[record.number] = plan
            if record.number in before and links_fact(plan) != links_fact(before[record.number]):
                changed.append(plan)
        plans = {serving[number]: plan for number, plan in numbered.items() if number in serving}
        keeper.shop.mapping = Mapping(plans, numbered)
    position = reached(connection)  # after it everything is taken in by the new plans
    for number in numbered.keys() - before.keys():
        keeper.ledger.put_facts({f"links:{number}": links_fact(numbered[number])})
    for plan in changed:
        if plan.keyless:
            continue
        logger.info("foreign keys are other ones", extra={"table": plan.table.label})
        keeper.read_again(plan.number, f"column@{position}", {f"links:{plan.number}": links_fact(plan)})


def _note_shapes(keeper: TableKeeper, connection: psycopg.Connection, plans: list[TablePlan]) -> None:
    """Keep what these tables look like before their changes are taken in and their rows read.

    What comes or goes without a message from here on, a partition with its rows, is a difference for the next look.
    """
    facts = keeper.ledger.facts()
    lacking = [plan for plan in plans if f"shape:{plan.number}" not in facts]
    if lacking:
        epoch = int(facts.get("source_epoch", "1"))
        shapes = load_shapes(connection, [plan.table.oid for plan in lacking], keeper.publication)
        there = {plan.number: shapes[plan.table.oid] for plan in lacking if plan.table.oid in shapes}
        keeper.ledger.put_facts({f"shape:{number}": shape.fact(epoch) for number, shape in there.items()})


def _chosen(before: TablePlan | None, fresh: TablePlan | None) -> TablePlan | None:
    """The plan to go on with: the one in force, unless the table refers to others now."""
    if before is None or fresh is None:
        return before or fresh
    if fresh.table.columns != before.table.columns or fresh.left_out != before.left_out:
        return before
    same = links_fact(fresh) == links_fact(before) and fresh.table.foreign_keys == before.table.foreign_keys
    return before if same else fresh
