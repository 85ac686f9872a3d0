"""The stream shows that its history is the ledger's before anything of it is applied or confirmed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bridge.changes import Begin, Commit, Event, Keepalive, Relation, RelationSeen
from bridge.continuity import ContinuedStream, KnownCommit
from bridge.errors import SourceChanged
from bridge.lsn import Lsn


class Scripted:
    """A change source that gives what it is told to, and keeps what was confirmed."""

    begins: Lsn = 0
    received: Lsn = 0
    silence = 0.0

    def __init__(self, *batches: Sequence[Event]) -> None:
        self._batches = list(batches)
        self.confirmed: list[Lsn] = []

    def read(self, timeout: float) -> Sequence[Event]:
        """The next batch."""
        return self._batches.pop(0) if self._batches else []

    def confirm(self, lsn: Lsn) -> None:
        """Keep it."""
        self.confirmed.append(lsn)

    def tend(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def transaction(lsn: Lsn, xid: int) -> list[Event]:
    """A transaction with nothing in it."""
    return [Begin(lsn, 0.0, xid), Commit(lsn, lsn + 8, 0.0)]


SEEN = RelationSeen(Relation(1, "public", "notes", "d", ()))


def test_what_comes_before_the_known_commit_is_left_out() -> None:
    """It is recorded already. Definitions of tables are announced once, so they pass; from the known commit on all does."""
    source = Scripted([Keepalive(90), *transaction(100, 5), SEEN], transaction(200, 7), transaction(300, 6))
    stream = ContinuedStream(source, KnownCommit(200, 7))
    assert stream.read(0) == [SEEN]
    stream.confirm(250)
    assert source.confirmed == []
    assert stream.read(0) == transaction(200, 7)
    stream.confirm(250)
    assert source.confirmed == [250]
    assert stream.read(0) == transaction(300, 6)


@pytest.mark.parametrize(
    "events",
    [transaction(204, 7), transaction(200, 8), [Keepalive(201)], [*transaction(100, 5), *transaction(300, 7)]],
    ids=["passed over", "another transaction", "nothing there", "later"],
)
def test_a_history_without_the_known_commit_is_refused(events: list[Event]) -> None:
    """At its position there is nothing, or another transaction: positions repeat, and nothing may be applied or confirmed."""
    source = Scripted(events)
    stream = ContinuedStream(source, KnownCommit(200, 7))
    with pytest.raises(SourceChanged, match="0/C8 is not in it") as refused:
        stream.read(0)
    assert "engram-bridge resync --new-slot" in refused.value.hint
    stream.confirm(250)
    assert source.confirmed == []


def test_without_a_known_commit_everything_passes() -> None:
    """Where the ledger has nothing after the slot, nothing can have been lost. An unknown transaction id is no hindrance."""
    assert ContinuedStream(Scripted(transaction(100, 5)), None).read(0) == transaction(100, 5)
    assert ContinuedStream(Scripted(transaction(200, 5)), KnownCommit(200, None)).read(0) == transaction(200, 5)
