"""Generations that are retired: their memories are forgotten and proven gone, a turn at a time; then their records go."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from bridge.acts import Acts
from bridge.ledger import TableRecord
from bridge.works import Vacation

logger = logging.getLogger(__name__)

TURN_SECONDS = 5.0
"""How long one table's memories are forgotten before something else has its turn."""


@dataclass(slots=True)
class Retired:
    """Empties what a retired generation has left."""

    acts: Acts

    def forget(self, record: TableRecord) -> None:
        """Forget what a retired generation has left, for some seconds; what Engram goes on answering is told, and tried again."""
        self.acts.shop.stopped.setdefault(record.number, "it is retired")
        if self.acts.loader.busy(record.number):
            return
        schema, _dot, name = record.label.partition(".")
        prefix = f"{name}_" if schema == "public" else f"{schema}_{name}_"
        deadline = time.monotonic() + TURN_SECONDS
        for shard, space in enumerate(record.spaces):
            while True:
                job = self._page(space, Vacation(record.number, record.label, prefix, shard))
                if job.left:
                    sentence = "%s cannot be forgotten: Engram still answers %d of its memories in %s"
                    self.acts.tell(f"vacate {record.number}", sentence, record.label, job.left, space)
                if not job.found:
                    break
                if job.left or time.monotonic() > deadline:
                    return
            self.acts.ledger.put_space(space, pristine=False)
        self.acts.generations.discard(record.number)  # it stays stopped: whatever still waits for this number is not to be done
        logger.info("a table's memories are forgotten", extra={"table": record.label, "spaces": list(record.spaces)})

    def _page(self, space: str, job: Vacation) -> Vacation:
        lane = self.acts.lane(space)
        lane.put_job(job)
        self.acts.pool.wake()
        while not job.ended.wait(0.2):
            self.acts.go_on()
        return job
