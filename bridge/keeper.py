"""Keeps the tables' definitions: carries on what was added, and stops, alone and durably, a table that cannot go on (law 8).

What the stream announces is seen with the first change after it. What nobody announces is found by `bridge.lookout`.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

import psycopg

from bridge.check import key_findings
from bridge.config import Config
from bridge.errors import ConfigError
from bridge.facts import TableFacts
from bridge.ledger import RESYNC_ASKED, RESYNC_BEHIND, RESYNC_LOADING, Ledger
from bridge.mapping import Mapping, TablePlan
from bridge.postgres import connect
from bridge.schema import Table
from bridge.wiring import column_facts, links_fact, make_plan
from bridge.workshop import Workshop
from snapshot.chunks import reached

logger = logging.getLogger(__name__)

GONE = "it was dropped or renamed"
LOADS = (RESYNC_ASKED, RESYNC_BEHIND)
NO_KEY = "it has no key, so a row that is gone cannot be told from one that has changed"
NO_KEY_REMEDY = "`engram-bridge remove {label}`, and when its memories are forgotten, `engram-bridge add {label}`."
KEYLESS = "its columns are other ones now, and with them its rows, which have no key"


@dataclass(slots=True)
class TableKeeper:
    """Stops and redefines tables for the intake, the loader and the housekeeping. `resyncs`: tables to be read again."""

    config: Config
    ledger: Ledger
    shop: Workshop
    publication: str
    resyncs: set[int]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stop_table(self, plan: TablePlan, reason: str) -> None:
        """Durably park a whole table; its keys go on waiting for nothing."""
        with self.lock:
            if plan.number in self.shop.stopped:
                return
            self.ledger.set_table(plan.number, state="stopped", reason=reason)
            self.shop.stopped[plan.number] = reason
        logger.error("a table is stopped: %s: %s; the others go on", plan.table.label, reason, extra={"table": plan.table.label})

    def redefine(self, plan: TablePlan) -> TablePlan | None:
        """The plan that fits the catalogue now; None when none does: the table is stopped, or retired. Raises SourceUnavailable.

        An added column is carried from here on, and the rows that have its default without a message are read again.
        """
        label = plan.table.label
        try:
            with connect(self.config.source.url, application_name="engram-bridge catalogue") as connection:
                changed = self._planned(connection, label).numbered.get(plan.number)
                position = reached(connection)  # changes by the old definition end before it: they held off the ALTER
        except ConfigError as error:  # the configuration speaks of something that is not there any more
            self.stop_table(plan, str(error))
            return None
        reason = GONE if changed is None else misfit(plan, changed.table)
        if changed is None or reason is not None:
            self.stop_table(plan, reason or GONE)
            return None
        with self.lock:
            current = self.shop.mapping.numbered.get(plan.number, plan)
            added = news(current, changed.table)
            if not added:
                return current
        if plan.keyless:
            self.stop_table(plan, KEYLESS)
            return None
        with self.lock:
            if plan.number not in self.shop.mapping.numbered:
                return None  # it was retired meanwhile
            logger.info("a column was added", extra={"table": label, "columns": sorted(added)})
            self.shop.mapping = self.shop.mapping.changed([changed])
        self.read_again(plan.number, f"column@{position}")  # by the new plan, and before the ledger takes the column for known
        self.ledger.set_table(plan.number, columns=column_facts(changed.table))
        return changed

    def _planned(self, connection: psycopg.Connection, label: str) -> Mapping:
        """All plans anew. When the configuration does not fit some other table any more, that one's plan is not to be used."""
        try:
            return make_plan(self.config, self.ledger, connection, register=False).mapping
        except ConfigError:
            return make_plan(self.config, self.ledger, connection, register=False, strictly=label).mapping

    def relink(self) -> None:
        """Foreign keys were added or dropped: their tables, and those that are found by other values now, are read again.

        Raises SourceUnavailable and ConfigError.
        """
        with connect(self.config.source.url, application_name="engram-bridge catalogue") as connection:
            fresh = make_plan(self.config, self.ledger, connection, register=False).mapping.numbered
            with self.lock:
                mapping = self.shop.mapping
                changed = [
                    fresh[number]
                    for number, plan in mapping.numbered.items()
                    if number in fresh
                    and fresh[number].table.columns == plan.table.columns
                    and (
                        links_fact(fresh[number]) != links_fact(plan)
                        or fresh[number].table.foreign_keys != plan.table.foreign_keys
                    )
                ]
                before = {plan.number: links_fact(mapping.numbered[plan.number]) for plan in changed}
                self.shop.mapping = mapping.changed(changed)
            position = reached(connection)  # after it everything is taken in by the new plans
        for plan in changed:
            if plan.keyless or links_fact(plan) == before[plan.number]:
                continue
            logger.info("foreign keys are other ones", extra={"table": plan.table.label})
            self.read_again(plan.number, f"column@{position}", {f"links:{plan.number}": links_fact(plan)})

    def read_again(self, number: int, wish: str, facts: dict[str, str] | None = None) -> None:
        """Durably queue a table to be read again, and put `facts` in the same step.

        `wish` is the value of the fact `resync:<table>`. A loading that is wished or under way covers a wish to read by
        key; one that is under way also needs the new position behind which it is complete.
        """
        with self.lock:
            name = f"resync:{number}"
            known = self.ledger.facts().get(name, "")
            if known in LOADS and wish != RESYNC_BEHIND:
                wish = known
            elif known.startswith(RESYNC_LOADING) and wish not in LOADS:
                wish = f"{RESYNC_LOADING}@{wish.partition('@')[2]}"
            self.ledger.put_facts({name: wish} | (facts or {}))
            if wish not in LOADS:
                self.resyncs.add(number)


def news(plan: TablePlan, table: Table) -> list[str]:
    """The columns of a table that the plan does not know, whether it would carry them or not.

    A column that was dropped and added again has another number: its values are other ones.
    """
    known = {column.name: column.number for column in plan.table.columns}
    return [
        column.name for column in table.columns if column.name not in plan.left_out and known.get(column.name) != column.number
    ]


def misfit(plan: TablePlan, table: Table) -> str | None:
    """Why a table, as the catalogue has it now, cannot be carried by this plan; None when it can, added columns aside."""
    now = {column.name: column for column in table.columns}
    for column in plan.table.columns:
        if column.name not in now:
            return f"its column {column.name!r} was dropped or renamed"
        if now[column.name].type.oid != column.type.oid:
            return f"its column {column.name!r} has another type"
        if column.name in plan.table.key and now[column.name].number != column.number:
            return f"its key column {column.name!r} is another one now"
    unfit = next((found.what for found in key_findings(TableFacts(table, plan.options)) if found.level == "error"), None)
    if unfit is None and table.key != plan.table.key:
        return "its primary key has other columns"
    return unfit
