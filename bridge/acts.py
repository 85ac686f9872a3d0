"""What acts on whole tables are done with: spaces with their lanes, the barrier, what is left of acts that are decided."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.adoption import Occupied, settle, survey
from bridge.config import Config
from bridge.keeper import TableKeeper
from bridge.lane import Lane
from bridge.ledger import Generations, Ledger, TableRecord
from bridge.pool import LanePool
from bridge.postgres import connect
from bridge.workshop import Workshop
from cdc.slot import barrier
from snapshot.loader import Loader

logger = logging.getLogger(__name__)

TELL_AGAIN = 30.0


class Ended(Exception):
    """The run ends while something waits."""


@dataclass(slots=True)
class Acts:
    """The parts of the bridge that acts work with. `rest`: what is left of decided ones, by table: the verb and the doing."""

    config: Config
    ledger: Ledger
    shop: Workshop
    pool: LanePool
    loader: Loader
    keeper: TableKeeper
    rest: dict[str, tuple[str, Callable[[], None]]] = field(default_factory=dict)
    ending: threading.Event = field(default_factory=threading.Event)
    _told: dict[str, float] = field(default_factory=dict)

    @property
    def generations(self) -> Generations:
        """The ledger's side of it."""
        return Generations(self.ledger)

    def begun(self, label: str, *roles: str) -> list[TableRecord]:
        """The generations of a table that are decided on, and not being read yet."""
        return [one for one in self.ledger.generations(*roles) if one.label == label and one.state == "new"]

    def tell(self, about: str, sentence: str, *words: object) -> None:
        """Say something that lasts once in a while."""
        if time.monotonic() - self._told.get(about, -TELL_AGAIN) >= TELL_AGAIN:
            self._told[about] = time.monotonic()
            logger.info(sentence, *words)

    def serving(self, label: str) -> TableRecord | None:
        """The generation that a table is served from; None when it is not carried."""
        return next((record for record in self.ledger.tables() if record.label == label), None)

    def pass_barrier(self) -> None:
        """Wait until all transactions have ended that run now (law 2). Raises Ended and SourceUnavailable."""
        with connect(self.config.source.url, application_name="engram-bridge barrier") as connection:
            barrier(connection, on_wait=self._waits, patience=0.5)
        self.go_on()

    def _waits(self, who: object) -> None:
        self.go_on()
        self.tell("barrier", "waiting for transactions that began before: %s", who)

    def go_on(self) -> None:
        """Raises Ended when the run is to end."""
        if self.ending.is_set():
            raise Ended

    def open(self, spaces: tuple[str, ...]) -> None:
        """Open spaces, with a lane each; those of others are refused. Raises Fatal and TargetUnavailable."""
        unknown = [space for space in spaces if self.ledger.space(space) is None]
        found = [survey(self.shop.target, self.shop.mapping, self.shop.ledger_id, space) for space in unknown]
        settle(found, Occupied.REFUSE, self.ledger, self.shop.target)
        epoch = self.shop.target.epoch() if found else ""
        for one in found:  # nothing of ours is in them yet, so there is nothing to compare since that start either
            self.ledger.put_space(one.space, pristine=one.counted == 0, repaired=epoch)
        for space in spaces:
            self.lane(space)

    def lane(self, space: str) -> Lane:
        """The lane of a space, made when there is none yet."""
        if space not in {lane.space for lane in self.pool.lanes}:
            self.shop.target.open(space)
            known = self.ledger.space(space)
            self.pool.add(Lane(space, self.shop, pristine=known is not None and known[0]))
        return self.pool.lane(space)
