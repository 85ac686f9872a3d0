"""A space written through again: the second step after a restart of the target.

Recall by embedding knows only what was stored since the server's last start; what came back by its log is read by id and found by
text, but by no vector, and storing it again unchanged is dropped as a duplicate. `Forget` + `Remember` brings it back. So every
live memory that was last written before the restart is written again as it stands: its content is read back, compared with the
ledger, and stored once more. That asks nothing of the source, and proves as much as the first write did.

It yields. Its works are taken only when nothing else waits in the lane, a few at a time, and after each few it rests so long that
it takes no more than its share of the lane's time. There is no cursor to be kept: every memory knows the epoch it was written in
(`memories.epoch`), so whoever begins anew finds what is left.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from bridge.works import Work
from bridge.workshop import Workshop

logger = logging.getLogger(__name__)

FIRST_BATCH = 16
LAST_BATCH = 250
STEP_GOAL = 0.1
"""Seconds that a few rows may take: so long does a change of the stream wait for them at most."""

REST_SECONDS = 5.0
"""Until what a pass has left (rows that were written at that moment, or could not be) is looked for again."""


@dataclass(slots=True)
class Rewriting:
    """One space in one epoch. `share` of the lane's time, more than 0 and at most 1; `done`: nothing is left behind."""

    space: str
    epoch: int
    share: float
    done: bool = False
    _batch: int = FIRST_BATCH
    _place: tuple[int, str] = (0, "")
    _not_before: float = 0.0

    def due(self, now: float) -> bool:
        """It has rested long enough."""
        return not self.done and now >= self._not_before

    def next_works(self, shop: Workshop) -> list[Work]:
        """The next few rows. None at the end of a pass; then it is `done`, or rests and begins anew."""
        plans = [plan for plan in shop.mapping.numbered.values() if self.space in plan.spaces]
        number, after = self._place
        while number < len(plans):
            plan = plans[number]
            shard = plan.spaces.index(self.space)
            keys = [] if plan.number in shop.stopped else shop.ledger.behind(plan.number, shard, self.epoch, after, self._batch)
            if keys:
                self._place = (number, keys[-1])
                return [Work(plan, key, rewrite=self.epoch, background=True) for key in keys]
            number, after = number + 1, ""
        self._place = (0, "")
        self._end_pass(shop, [(plan.number, plan.spaces.index(self.space)) for plan in plans])
        return []

    def _end_pass(self, shop: Workshop, places: list[tuple[int, int]]) -> None:
        if any(shop.ledger.left_behind(table, shard, self.epoch) for table, shard in places):
            self._not_before = shop.clock() + REST_SECONDS
            return
        shop.ledger.put_space(self.space, rewritten=self.epoch)
        self.done = True
        logger.debug("a space is written through", extra={"space": self.space, "epoch": self.epoch})

    def took(self, seconds: float, works: int, now: float) -> None:
        """So many works have taken so long: rest in proportion, and take more or fewer the next time."""
        self._not_before = now + seconds * (1 - self.share) / self.share
        if seconds > STEP_GOAL:
            self._batch = max(self._batch // 2, 1)
        elif seconds < STEP_GOAL / 2 and works >= self._batch:
            self._batch = min(self._batch * 2, LAST_BATCH)
