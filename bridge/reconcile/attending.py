"""Reconciliation as part of a run: rounds that come by themselves, and those that somebody has asked for, one at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from bridge.config import Config
from bridge.embedding import Embedders
from bridge.errors import BridgeError, Transient, defect
from bridge.ledger import Ledger, Reconciliation, Reconciliations, resyncing
from bridge.ledger.reconciliations import OWN
from bridge.mapping import Mapping, TablePlan
from bridge.reconcile.causes import Evidence
from bridge.reconcile.mending import Mender
from bridge.reconcile.neighbours import crowded_out
from bridge.reconcile.orders import Order, order_of
from bridge.reconcile.pace import Pace
from bridge.reconcile.round import Round, Stopped
from bridge.reconcile.tallies import Tallies
from bridge.reconcile.target_side import TargetSide
from bridge.validation.attending import open_sides
from bridge.validation.sides import Sides

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often it is looked whether a round has to make way."""

CHANGED_MEANWHILE = "its definition changed meanwhile"


@dataclass(slots=True)
class Reconciling:
    """Does rounds, in a thread of its own. `config` may be replaced while it runs.

    `mapping`: what is in force now; `ready`: whether it may compare now; `ending`: all is to end; `count` adds to the ledger's
    counters; `embedders` are the run's models. Without a `mender` nothing is mended, and without `followed` no stream moves the
    frontier.
    """

    config: Config
    ledger: Ledger
    mapping: Callable[[], Mapping]
    ending: Callable[[], bool]
    ready: Callable[[], bool]
    count: Callable[[dict[str, int]], None]
    mender: Mender | None = None
    followed: bool = True
    adopted: frozenset[str] = frozenset()
    embedders: Embedders | None = None
    began: float = field(default_factory=time.time)
    _looked: float = 0.0
    _stopping: bool = False

    def step(self) -> None:
        """Go on with the round that is next, if there is one. Raises Transient for what passes."""
        if not self.ready():
            return
        book = Reconciliations(self.ledger)
        waiting = book.waiting()
        if not waiting and self._due(book):
            book.ask(OWN, Order(own=True).as_dict())
            waiting = book.waiting()
        for one in waiting:
            if not one.own or self.config.reconcile.enabled:
                self.do(one)
                return

    def _due(self, book: Reconciliations) -> bool:
        if not self.config.reconcile.enabled:
            return False
        last = next((one.ended for one in book.newest() if one.own), None)
        return time.time() - max(last or 0.0, self.began if last is None else 0.0) >= self.config.reconcile.rest

    def do(self, one: Reconciliation) -> None:
        """One round, to its end or until it has to make way. Raises Transient."""
        book, order = Reconciliations(self.ledger), order_of(one.detail)
        began = one.began or time.time()
        if one.began is None:
            book.begin(one.number)
        try:
            result = self._round(one, order, began)
        except Stopped:
            return
        except Transient:
            raise
        except BridgeError as error:  # what it means for the run is found out by those who write
            logger.warning("a round of reconciliation failed: %s", error, extra={"number": one.number, "hint": error.hint})
            result = {"clean": False, "failed": str(error)}
        except Exception as error:
            logger.exception("a round of reconciliation ended by a defect")  # its own, and no reason to end the run
            result = {"clean": False, "failed": str(defect("reconciliation", error))}
        book.end(one.number, result)
        if "failed" not in result:
            self._tell(one, result)

    def _tell(self, one: Reconciliation, result: dict[str, Any]) -> None:
        counted = {f"reconciled_{name}": result[name] for name in ("rows", "memories", "found", "mended")}
        self.count({"reconciled_rounds": 1} | {name: number for name, number in counted.items() if number})
        facts = {name: result[name] for name in ("clean", "rows", "memories", "found", "mended")}
        level = logging.WARNING if result["found"] else logging.INFO
        logger.log(level, "a round of reconciliation has ended", extra={"number": one.number, **facts})

    def _round(self, one: Reconciliation, order: Order, began: float) -> dict[str, Any]:
        mapping = self.mapping()
        fit = mapping.numbered.keys() - self._unfit(mapping.numbered.values())
        wanted = [plan for label, plan in mapping.plans.items() if not order.tables or label in order.tables]
        plans = [plan for plan in wanted if plan.number in fit]

        def stop() -> bool:
            return self._must_stop(one, plans)

        budget, epoch = self.config.reconcile, self._epoch()
        with open_sides(self.config, self.ledger, mapping, embedders=self.embedders) as sides:
            sides.ending = stop
            round_ = Round(
                sides,
                order,
                plans,
                compared=fit,
                at_source=Pace(budget.rows_per_second, 1.0, stop),
                at_target=Pace(budget.memories_per_second, budget.target_share, stop),
                stop=stop,
                save=lambda position: Reconciliations(self.ledger).at(one.number, position),
                evidence=lambda side: self._evidence(sides, side),
                mender=self.mender,
                followed=self.followed,
                learn=self.mender is not None,
                ours=self.adopted | {sides.ledger_id},
            )
            round_.go_on(one.position)
            round_.run()
        return self._result(round_.tallies, order, wanted, fit, began, epoch)

    def _result(
        self, tallies: Tallies, order: Order, wanted: list[TablePlan], fit: set[int], began: float, epoch: str | None
    ) -> dict[str, Any]:
        why = self._unfit(wanted)
        for plan in wanted:
            if plan.number not in fit:
                tallies.of(plan.table.label).skipped = why.get(plan.number, CHANGED_MEANWHILE)
        now = epoch if epoch == self._epoch() else None
        return tallies.result(repair=order.repair and self.mender is not None, began=began, ended=time.time(), epoch=now)

    def _must_stop(self, one: Reconciliation, plans: list[TablePlan]) -> bool:
        """It is to end, may not compare now, is asked for something else first, or a table has become another one."""
        if self.ending():
            return True
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            asked = one.own and any(not other.own for other in Reconciliations(self.ledger).waiting())
            self._stopping = asked or not self.ready() or bool(self._unfit(plans))
        return self._stopping

    def _unfit(self, plans: Iterable[TablePlan]) -> dict[int, str]:
        """Those of the tables that cannot be compared now, by number, with why."""
        records = {record.number: record.state for record in self.ledger.generations()}
        read_again, now = resyncing(self.ledger.facts()), self.mapping().numbered
        why = {}
        for plan in plans:
            state = records.get(plan.number, "not carried")
            if state != "loaded":
                why[plan.number] = state
            elif plan.number in read_again:
                why[plan.number] = "being read again"
            elif now.get(plan.number) is not plan:
                why[plan.number] = CHANGED_MEANWHILE
        return why

    def _epoch(self) -> str | None:
        epochs = self.ledger.epochs()
        return epochs[-1][0] if epochs else None

    def _evidence(self, sides: Sides, side: TargetSide) -> Evidence:
        epochs, last = self.ledger.epochs(), Reconciliations(self.ledger).last_ended()
        since = last.began if last is not None and last.began is not None else 0.0
        return Evidence(
            restarted=len(epochs) > 1 and epochs[-1][1] > since,
            counted=side.counted,
            capacity=self.config.target.capacity,
            strangers=side.strangers,
            near=lambda plan, keys: crowded_out(sides, side.space, plan, keys, side.strange),
        )
