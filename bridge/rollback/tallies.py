"""What a rollback, or the rehearsal of one, has counted, table by table."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Left:
    """A memory that was not forgotten, and why. Ids are names, not contents."""

    table: str
    key: str
    memory_id: str
    space: str
    reason: str


@dataclass(slots=True)
class Tally:
    """One table. `written`: memories of the migration that the ledger expected at the beginning; `others`: those of other
    migrations in the same table, which stay.

    Of the memories of the migration: `forgotten` and proven gone; `missing`, which Engram did not have any more; `returned`,
    which had been forgotten before and had come back; `unrecorded`, of which the ledger did not know. `left` were changed behind
    our back and stay; `unproven` are answered still. In a rehearsal `forgotten` are those that would be.
    """

    table: str
    spaces: tuple[str, ...]
    written: int = 0
    others: int = 0
    forgotten: int = 0
    missing: int = 0
    returned: int = 0
    unrecorded: int = 0
    left: list[Left] = field(default_factory=list)
    unproven: list[Left] = field(default_factory=list)

    def again(self) -> None:
        """Everything is looked at once more: what is left is counted anew."""
        self.left, self.unproven = [], []
