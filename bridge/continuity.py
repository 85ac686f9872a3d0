"""A stream that has to show first that its history is the one that the ledger knows (law 4).

A copy of a data directory that is put back has the system identifier and the timeline that it had; its slot stands where it stood
when the copy was made, and new commits take positions that others had before. So the stream is asked for from where the *slot*
stands. Where the ledger knows of a later commit, PostgreSQL has to send exactly that one again, at its position, by its
transaction; what comes before it is applied and recorded, and is left out. Nothing is confirmed to the slot until it has come: it
would be the evidence that goes. Where the ledger knows of none, nothing can have been lost, and all that comes is applied. Either
way the frontier begins anew where the slot stands: what the ledger had confirmed beyond it may be of a history that has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.changes import Begin, Event, Keepalive, RelationSeen
from bridge.errors import RENEW, SourceChanged
from bridge.lsn import Lsn, format_lsn
from bridge.streaming import ChangeSource


@dataclass(frozen=True, slots=True)
class KnownCommit:
    """The last commit that the ledger has recorded something of: start of its record, and its transaction where it is known."""

    lsn: Lsn
    xid: int | None


class ContinuedStream:
    """A change source around another, silent until the known commit has been seen. `read` raises SourceChanged if it is not."""

    def __init__(self, stream: ChangeSource, known: KnownCommit | None) -> None:
        self._stream = stream
        self._known = known

    @property
    def proven(self) -> bool:
        """The known commit has been seen, or there is none."""
        return self._known is None

    def read(self, timeout: float) -> Sequence[Event]:
        """See `ChangeSource.read`."""
        events = self._stream.read(timeout)
        return events if self._known is None else self._after(events, self._known)

    def _after(self, events: Sequence[Event], known: KnownCommit) -> Sequence[Event]:
        """What comes from the known commit on; before it, the definitions of tables alone, which are announced only once."""
        passed: list[Event] = []
        for place, event in enumerate(events):
            if isinstance(event, RelationSeen):
                passed.append(event)
            elif isinstance(event, Begin) and event.commit_lsn >= known.lsn:
                if event.commit_lsn > known.lsn or known.xid not in (None, event.xid):
                    raise another_history(known.lsn)
                self._known = None
                return [*passed, *events[place:]]
            elif isinstance(event, Keepalive) and event.wal_end > known.lsn:
                raise another_history(known.lsn)
        return passed

    def confirm(self, lsn: Lsn) -> None:
        """See `ChangeSource.confirm`."""
        if self._known is None:
            self._stream.confirm(lsn)

    def tend(self) -> None:
        """See `ChangeSource.tend`."""
        self._stream.tend()

    def close(self) -> None:
        """See `ChangeSource.close`."""
        self._stream.close()

    @property
    def begins(self) -> Lsn:
        """See `ChangeSource.begins`."""
        return self._stream.begins

    @property
    def received(self) -> Lsn:
        """See `ChangeSource.received`."""
        return self._stream.received

    @property
    def silence(self) -> float:
        """See `ChangeSource.silence`."""
        return self._stream.silence


def another_history(lsn: Lsn) -> SourceChanged:
    """The refusal."""
    return SourceChanged(
        f"this server's history is not the one that the ledger knows: the commit at {format_lsn(lsn)} is not in it",
        hint=f"It was put back to an older copy, so that commits are gone which Engram has, and positions repeat. {RENEW}",
    )
