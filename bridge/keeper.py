"""Keeps the tables' definitions: carries on what was added, and stops, alone and durably, a table that cannot go on (law 8).

What the stream announces is seen with the first change after it. What nobody announces (a table dropped, or taken out of the
publication; a column retyped or added with a default, and no change after it) is found by looking at the catalogue now and then.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from bridge.check import key_findings
from bridge.config import Config
from bridge.errors import ConfigError
from bridge.facts import TableFacts
from bridge.ledger import Ledger
from bridge.mapping import TablePlan
from bridge.postgres import connect, translated
from bridge.schema import Table
from bridge.wiring import column_facts, links_fact, make_plan
from bridge.workshop import Workshop
from cdc.publication import published
from snapshot import catalog as catalogs
from snapshot.chunks import reached

logger = logging.getLogger(__name__)

GONE = "it was dropped or renamed"
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
        """The plan that fits the catalogue now; None, and the table is stopped, when none does. Raises SourceUnavailable.

        An added column is carried from here on, and the rows that have its default without a message are read again.
        """
        label = plan.table.label
        try:
            with connect(self.config.source.url, application_name="engram-bridge catalogue") as connection:
                changed = make_plan(self.config, self.ledger, connection, register=False).mapping.numbered.get(plan.number)
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
            added = {column.name for column in changed.table.columns} - {column.name for column in current.table.columns}
            if not added:
                return current
        if plan.keyless:
            self.stop_table(plan, KEYLESS)
            return None
        with self.lock:
            logger.info("a column was added", extra={"table": label, "columns": sorted(added)})
            self.ledger.put_facts({f"resync:{plan.number}": f"column@{position}"})  # first: a kill between must not forget it
            self.ledger.set_table(plan.number, columns=column_facts(changed.table))
            self.shop.mapping = self.shop.mapping.changed([changed])
            self.resyncs.add(plan.number)
        return changed

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
                self.shop.mapping = mapping.changed(changed)
            position = reached(connection)  # after it everything is taken in by the new plans
        for plan in changed:
            if plan.keyless:
                continue
            logger.info("foreign keys are other ones", extra={"table": plan.table.label})
            self.ledger.put_facts({f"resync:{plan.number}": f"column@{position}", f"links:{plan.number}": links_fact(plan)})
            self.resyncs.add(plan.number)

    def look(self) -> None:
        """Compare the plans with the catalogue and the publication. Raises SourceUnavailable."""
        with connect(self.config.source.url, application_name="engram-bridge catalogue") as connection, translated():
            members = published(connection, self.publication)
            catalog = catalogs.load(connection)
        relink = False
        for plan in list(self.shop.mapping.numbered.values()):
            if plan.number in self.shop.stopped:
                continue
            name = (plan.table.schema, plan.table.name)
            table = catalog.tables.get(name)
            reason = GONE if table is None else misfit(plan, table)
            if table is None or reason is not None:
                self.stop_table(plan, reason or GONE)
            elif name not in members:
                self.stop_table(plan, f"the publication {self.publication} does not hold it any more")
            elif any(column.name not in names_known(plan) for column in table.columns):
                self.redefine(plan)
            relink = relink or (table is not None and table.foreign_keys != plan.table.foreign_keys)
        if relink:
            self.relink()


def names_known(plan: TablePlan) -> set[str]:
    """The columns that a plan carries or leaves out on purpose."""
    return {column.name for column in plan.table.columns} | set(plan.table.generated) | set(plan.left_out)


def misfit(plan: TablePlan, table: Table) -> str | None:
    """Why a table, as the catalogue has it now, cannot be carried by this plan; None when it can, added columns aside."""
    now = {column.name: column.type.oid for column in table.columns}
    for column in plan.table.columns:
        if column.name not in now:
            return f"its column {column.name!r} was dropped or renamed"
        if now[column.name] != column.type.oid:
            return f"its column {column.name!r} has another type"
    unfit = next((found.what for found in key_findings(TableFacts(table, plan.options)) if found.level == "error"), None)
    if unfit is None and table.key != plan.table.key:
        return "its primary key has other columns"
    return unfit
