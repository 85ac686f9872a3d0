"""Looks at the catalogue now and then, for what the stream announces late or never, and stops or reads again what it concerns.

Most looks find every table as it was, from a few statements about the carried tables alone; only what has changed is loaded and
compared. What a table looked like is kept in the ledger, together with what its change asked for, so that neither a kill nor a
change while the bridge is down hides anything.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bridge.errors import ConfigError
from bridge.keeper import GONE, TableKeeper, misfit, news
from bridge.ledger import RESYNC_ASKED, RESYNC_BEHIND
from bridge.lsn import Lsn
from bridge.mapping import TablePlan
from bridge.postgres import connect
from bridge.shapes import ANOTHER, Act, Shape, faults, judge
from cdc.publication import Standing, standing
from snapshot import catalog as catalogs
from snapshot.chunks import reached
from snapshot.shapes import is_left, is_there, load_shapes

logger = logging.getLogger(__name__)

UNTOLD = "rows of it have come or gone without a message, and it has no key by which they could be found"


@dataclass(slots=True)
class Lookout:
    """Compares the carried tables with the catalogue and the publication. `epoch` is the source's."""

    keeper: TableKeeper
    epoch: int
    _seen: dict[int, Shape] = field(default_factory=dict)
    _standing: Standing | None = None

    def look(self, kept: psycopg.Connection | None = None) -> None:
        """One look, over a connection that is kept or one of its own. What it finds is durable when it ends.

        Raises SourceUnavailable and LedgerError.
        """
        keeper = self.keeper
        plans = [plan for plan in list(keeper.shop.mapping.numbered.values()) if plan.number not in keeper.shop.stopped]
        facts = keeper.ledger.facts()
        with nullcontext(kept) if kept is not None else self._connect() as connection:
            now = standing(connection, keeper.publication)
            shapes = load_shapes(connection, [plan.table.oid for plan in plans], keeper.publication)
            changed = [plan for plan in plans if self._differs(plan, shapes, now, facts)]
            if not changed:
                return
            tables = catalogs.load(connection, only=[plan.table.oid for plan in changed]).tables
            position = reached(connection)  # whatever these shapes show was committed before it
            carried = []
            harmless: dict[str, str] = {}
            for plan in changed:  # before any plan is made anew: what the configuration says of a stopped table counts no more
                shape, table = shapes.get(plan.table.oid), tables.get((plan.table.schema, plan.table.name))
                reason = self._reason(connection, plan, shape, now)
                if reason is not None or table is None or shape is None:
                    keeper.stop_table(plan, reason or GONE)
                elif (unfit := misfit(plan, table)) is not None:
                    keeper.stop_table(plan, unfit)
                elif self._act(plan, shape, position, facts, harmless):
                    carried.append((plan, table))
            if harmless:
                keeper.ledger.put_facts(harmless)
        relinked = []
        for plan, table in carried:
            if news(plan, table):
                keeper.redefine(plan)
            if table.foreign_keys != plan.table.foreign_keys:
                relinked.append(plan)
        if relinked:
            self._relink(relinked)
        self._seen.update({plan.number: shapes[plan.table.oid] for plan in changed if plan.table.oid in shapes})
        self._standing = now

    def _connect(self) -> psycopg.Connection:
        return connect(self.keeper.config.source.url, application_name="engram-bridge catalogue")

    def _relink(self, plans: Sequence[TablePlan]) -> None:
        """Have the foreign keys of these tables compiled anew, of which the others' plans know too."""
        try:
            self.keeper.relink()
        except ConfigError as error:  # the configuration speaks of something that is not there any more
            for plan in plans:
                self.keeper.stop_table(plan, f"its foreign keys are other ones, and {error}")

    def _differs(self, plan: TablePlan, shapes: Mapping[int, Shape], now: Standing | None, kept: Mapping[str, str]) -> bool:
        if f"shape:{plan.number}" not in kept:
            return True  # the table was begun anew: its shape is to be kept, even an equal one
        seen = self._seen.get(plan.number)
        return seen is None or seen != shapes.get(plan.table.oid) or now != self._standing

    def _reason(
        self, connection: psycopg.Connection[Any], plan: TablePlan, shape: Shape | None, now: Standing | None
    ) -> str | None:
        """Why a table cannot be followed any more, as far as the shapes tell."""
        publication = self.keeper.publication
        if shape is None or (shape.membership is None and not is_left(connection, shape.oid)):  # dropped while we looked
            return ANOTHER if is_there(connection, plan.table.schema, plan.table.name) else "it was dropped"
        if shape.is_partition:
            return "it was attached to another table as a partition, and its rows belong to that one now"
        if shape.label != plan.table.label:
            swapped = is_there(connection, plan.table.schema, plan.table.name)
            return f"it was renamed to {shape.label}" + (", and another table has its name now" if swapped else "")
        if now is None:
            return f"the publication {publication} was dropped"
        if shape.membership is None:
            return f"the publication {publication} does not hold it any more"
        if now.lacking:
            return f"the publication {publication} does not publish {', '.join(now.lacking)}"
        if plan.table.kind == "p" and not now.via_root:
            return f"the publication {publication} sends changes of its partitions under the partitions' names"
        return faults(shape)

    def _act(self, plan: TablePlan, shape: Shape, position: Lsn, kept: Mapping[str, str], harmless: dict[str, str]) -> bool:
        """Queue what the difference to the kept shape asks for, and keep the new one with it; False when it stops the table.

        A shape that asks for nothing goes to `harmless`, to be kept with the others like it in one step.
        """
        keeper = self.keeper
        name, fact = f"shape:{plan.number}", shape.fact(self.epoch)
        known = kept.get(name)
        if known == fact:
            return True
        if known is None:
            harmless[name] = fact
            return True
        verdict = judge(known, shape, self.epoch)
        if verdict.act is Act.STOP or (verdict.act is not Act.NOTHING and plan.keyless):
            keeper.stop_table(plan, verdict.why if verdict.act is Act.STOP else f"{verdict.why}: {UNTOLD}")
            return False
        if verdict.act is Act.NOTHING:
            harmless[name] = fact
            return True
        logger.info("a table is read again: %s", verdict.why, extra={"table": plan.table.label})
        wish = {Act.LOAD: RESYNC_ASKED, Act.LOAD_BEHIND: RESYNC_BEHIND}.get(verdict.act, f"catalogue@{position}")
        keeper.read_again(plan.number, wish, {name: fact})
        return True
