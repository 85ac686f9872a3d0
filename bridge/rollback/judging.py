"""What stands in Engram in the place of a memory: is it still what the migration wrote? Pure.

The ledger says which memories are a migration's. That is not enough: somebody may have written over one behind our back, and that
is not ours to forget. So each is read before, and judged by its stamp. An older or newer version than the ledger's, whole and of
this very migration, is its work as well: a restart of the target brings earlier versions back, and a run that was killed did not
record its last writes. Where the ledger has a tombstone, whatever this ledger ever wrote there has come back, and is to go; but
not what a migration wrote that began later: that one was killed before it could record it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.gate import Entry
from bridge.memories import Stamp, Stored, digest

NO_STAMP = "it bears no stamp of a bridge"
OTHER_LEDGER = "another ledger has written it"
OTHER_MIGRATION = "another migration has written it"
OTHER_ROW = "its row is not the one that was written"
OTHER_CONTENT = "it is not what was written under its version"


class Verdict(StrEnum):
    """What is there."""

    GONE = "gone"
    WRITTEN = "written"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Judge:
    """Knows whose memories are taken back. `later`: the ids of migrations that began when that one had ended."""

    ledger_id: str
    migration_id: str
    later: frozenset[str] = frozenset()

    def judge(self, entry: Entry | None, stored: Stored | None) -> tuple[Verdict, str]:
        """The verdict on what was found under the id of an entry, and for CHANGED the reason."""
        if stored is None:
            return Verdict.GONE, ""
        reason = self._strange(entry, stored.stamp())
        return (Verdict.WRITTEN, "") if reason is None else (Verdict.CHANGED, reason)

    def _strange(self, entry: Entry | None, stamp: Stamp | None) -> str | None:
        if stamp is None:
            return NO_STAMP
        if stamp.ledger != self.ledger_id:
            return OTHER_LEDGER
        if stamp.migration != self.migration_id and (entry is None or entry.live or stamp.migration in self.later):
            return OTHER_MIGRATION
        if not stamp.intact:
            return OTHER_ROW
        if entry is not None and entry.live and stamp.version == entry.version:
            same = (stamp.digest, digest(stamp.references)) == (entry.digest, entry.references)
            return None if same else OTHER_CONTENT
        return None
