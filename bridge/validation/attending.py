"""Validations as they are asked for: done by the running bridge, or by a command itself; their results stand in the ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bridge.config import Config
from bridge.embedding import Embedders
from bridge.errors import BridgeError, defect
from bridge.ledger import Ledger, Serving
from bridge.mapping import Mapping
from bridge.origin import Origin, Rows
from bridge.postgres import connect
from bridge.validation.run import order_of, validate
from bridge.validation.sides import Sides
from bridge.wiring import identity_of, make_plan, open_embedders, open_target
from snapshot.refresh import Refresher

logger = logging.getLogger(__name__)

NEWEST = 50
"""So many of the newest orders are looked through."""


@contextmanager
def open_sides(
    config: Config,
    ledger: Ledger,
    mapping: Mapping | None = None,
    *,
    embedders: Embedders | None = None,
    snapshot: Rows | None = None,
    earlier: Collection[str] = (),
) -> Iterator[Sides]:
    """Both sides, opened for reading; without a mapping it is made from the catalogue, and models are loaded when needed.

    `snapshot`: what PostgreSQL is read from when that is the snapshot that the rows were carried from; `earlier`: labels of
    tables of which some were carried before it. Raises SourceUnavailable, TargetUnavailable and ConfigError.
    """
    facts = ledger.facts()
    origin = snapshot or Origin(config.source.url, facts.get("system_identifier", ""), int(facts["timeline"]))
    if mapping is None:
        with connect(config.source.url, application_name="engram-bridge validate") as connection:
            mapping = make_plan(config, ledger, connection, register=False).mapping
    target = open_target(config)
    models = _Models(config, embedders)
    try:
        with Refresher(origin, size=1) as reader:
            yield Sides(
                ledger=ledger,
                target=target,
                mapping=mapping,
                origin=origin,
                reader=reader,
                ledger_id=identity_of(ledger, config).ledger,
                default_when=float(facts["created"]),
                confidence=target.confidence,
                url=config.source.url,
                embedders=models.get,
                held=snapshot is not None,
                earlier=earlier,
            )
    finally:
        models.close()
        target.close()


@dataclass(slots=True)
class _Models:
    """The models of somebody else, or our own, loaded when they are asked for first."""

    config: Config
    given: Embedders | None
    _own: Embedders | None = None

    def get(self) -> Embedders:
        if self.given is not None:
            return self.given
        if self._own is None:
            self._own = open_embedders(self.config)
        return self._own

    def close(self) -> None:
        if self._own is not None:
            self._own.close()


def carry_out(serving: Serving, number: int, sides: Sides, detail: dict[str, Any]) -> dict[str, Any]:
    """Do a validation that has begun, and keep its result; one that failed is kept with why. Raises what it failed of."""
    try:
        result = validate(sides, order_of(detail))
    except BridgeError as error:
        failed(serving, number, error)
        raise
    serving.end_validation(number, result)
    return result


def failed(serving: Serving, number: int, error: BridgeError) -> None:
    """Keep why a validation could not be done: it says nothing of any table."""
    serving.end_validation(number, {"clean": False, "failed": str(error), "tables": {}, "findings": []})


@dataclass(slots=True)
class Attendant:
    """What a running bridge does with orders, one at a time, in a thread of its own. `mapping`: what is in force now."""

    config: Config
    ledger: Ledger
    mapping: Callable[[], Mapping]
    embedders: Embedders
    ending: Callable[[], bool]
    ready: Callable[[], bool]
    _mine: set[int] = field(default_factory=set)

    def step(self) -> None:
        """Do the oldest order that nobody has begun, or that an earlier run has left. Raises LedgerUnavailable."""
        if not self.ready():
            return
        serving = Serving(self.ledger)
        for one in reversed(serving.validations(NEWEST)):
            left = one.began is None or (one.detail.get("by") == "bridge" and one.number not in self._mine)
            if one.ended is None and left:
                self._mine.add(one.number)
                self._do(serving, one.number, {**one.detail, "by": "bridge"})
                return

    def _do(self, serving: Serving, number: int, detail: dict[str, Any]) -> None:
        serving.begin_validation(number, detail)
        mapping = self.mapping()
        try:
            with open_sides(self.config, self.ledger, mapping, embedders=self.embedders) as sides:
                sides.ending = self.ending
                sides.current = lambda plan: self.mapping().plans.get(plan.table.label) is plan
                found = carry_out(serving, number, sides, detail)
        except BridgeError as error:  # what it means for the run is found out by those who write
            logger.warning("a validation failed: %s", error, extra={"number": number, "hint": error.hint})
            failed(serving, number, error)
            return
        except Exception as error:
            logger.exception("a validation ended by a defect")  # its own, and no reason to end the run
            failed(serving, number, defect("the validation", error))
            return
        level = logging.INFO if found["clean"] else logging.ERROR
        logger.log(level, "a validation has ended", extra={"number": number, "clean": found["clean"]})
