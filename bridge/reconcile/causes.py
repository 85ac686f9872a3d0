"""Why something differs, as far as it can be told. A cause is named only where there is evidence of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.mapping import TablePlan
from bridge.reconcile.tallies import BACK, CHANGED, FOREIGN, MISSING, REVERTED, UNSTAMPED

RESTARTED = "the server was restarted"
FULL = "the space is at its capacity"
WRITER = "another writer in our spaces"
NEAR = "a memory with nearly the same vector"
UNKNOWN = "unknown"

CAUSES = {
    RESTARTED: "Engram was started again since this space was compared last: it brings old states back and loses others.",
    FULL: "The space holds as many memories as the server keeps: each new one throws another out. Spread the table: reshard.",
    WRITER: "Somebody else writes into a space of this ledger. Give the bridge spaces of its own (target.space_prefix).",
    NEAR: "Engram keeps one of two memories whose vectors are within cosine 0.95: somebody has stored one like ours.",
    UNKNOWN: "The ledger was changed by hand, a change went past the stream, or the server lost it by itself.",
}
"""What each means, and what to do about it."""

ASKED = 20
"""Missing memories of a space that are asked for by their vectors in a round."""


@dataclass(slots=True)
class Evidence:
    """What is known of one space. `restarted`: the target was, since it was compared last; `counted`: its memories of
    `capacity`; `strangers`: memories of others in it. `near`: which of these keys have a neighbour that is not themselves."""

    restarted: bool
    counted: int
    capacity: int
    strangers: int
    near: Callable[[TablePlan, list[str]], set[str]] = lambda _plan, _keys: set()

    def cause(self, kind: str) -> str | None:
        """The cause of one of this kind; None where there is no evidence of any."""
        if kind in (FOREIGN, CHANGED, UNSTAMPED):
            return WRITER
        if kind in (BACK, REVERTED, MISSING) and self.restarted:
            return RESTARTED
        if kind == MISSING and self.counted >= self.capacity:
            return FULL
        return WRITER if kind == MISSING and self.strangers else None

    def crowded_out(self, plan: TablePlan, missing: list[str]) -> set[str]:
        """Which of these keys have lost their place to a neighbour, where nothing else explains it."""
        looked = missing[:ASKED] if not self.restarted and self.counted < self.capacity else []
        return self.near(plan, looked) if looked else set()
