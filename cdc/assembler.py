"""pgoutput's messages become events: relations are looked up, ordinals counted, rows completed; no I/O.

One assembler serves one connection: the server announces each relation anew on each. Its theory:

- A transaction is Begin, changes, Commit; nothing else comes between them but announcements, and the server never interleaves
  transactions. Anything else is a ProtocolError: a change outside of a transaction would have no version.
- An ordinal is the index, from 1, among the row changes and truncates of the transaction as the server sends it, before any
  filter of ours, so that it is the same at every delivery (law 2). Logical messages and announcements do not count.
- A keepalive inside an open transaction carries that transaction's final position and must not move anything (law 5).
"""

from __future__ import annotations

from bridge.changes import (
    UNCHANGED,
    Begin,
    Commit,
    Event,
    Heartbeat,
    Keepalive,
    Relation,
    RelationSeen,
    Row,
    RowChange,
    Truncated,
)
from bridge.errors import ProtocolError
from bridge.lsn import Lsn
from cdc import pgoutput


class Assembler:
    """The state between messages: known relations, the open transaction, its count of changes."""

    def __init__(self) -> None:
        self.relations: dict[int, Relation] = {}
        self._begun: Lsn | None = None
        self._ordinal = 0

    @property
    def in_transaction(self) -> bool:
        """Whether a Begin has come and its Commit has not."""
        return self._begun is not None

    def assemble(self, message: pgoutput.Message) -> Event | None:
        """The event that this message makes, or None. Raises ProtocolError when the message cannot come here."""
        match message:
            case pgoutput.Insert():
                relation, ordinal = self._count(message.relation)
                return RowChange("insert", relation, _fitting(relation, message.new), None, False, ordinal)
            case pgoutput.Update():
                return self._update(message)
            case pgoutput.Delete():
                relation, ordinal = self._count(message.relation)
                return RowChange("delete", relation, None, _fitting(relation, message.old), message.old_is_full, ordinal)
            case pgoutput.Begin():
                return self._begin(message)
            case pgoutput.Commit():
                return self._commit(message)
            case Relation():
                self.relations[message.oid] = message
                return RelationSeen(message)
            case pgoutput.Truncate():
                return self._truncate(message)
            case pgoutput.LogicalMessage(transactional=False):
                return Heartbeat(message.prefix, message.content, message.lsn)
            case pgoutput.LogicalMessage() | pgoutput.Origin() | pgoutput.Type():
                return None

    def keepalive(self, wal_end: Lsn) -> Keepalive | None:
        """The event of the walsender's keepalive: None inside a transaction."""
        return None if self.in_transaction else Keepalive(wal_end)

    def _begin(self, message: pgoutput.Begin) -> Begin:
        if self._begun is not None:
            raise ProtocolError("a transaction begins inside another")
        self._begun = message.final_lsn
        self._ordinal = 0
        return Begin(message.final_lsn, message.commit_time, message.xid)

    def _commit(self, message: pgoutput.Commit) -> Commit:
        if self._begun != message.commit_lsn:
            raise ProtocolError("a commit is not the one of the transaction that began")
        self._begun = None
        return Commit(message.commit_lsn, message.end_lsn, message.commit_time)

    def _update(self, message: pgoutput.Update) -> RowChange:
        relation, ordinal = self._count(message.relation)
        new, old = _fitting(relation, message.new), message.old
        if old is not None:
            _fitting(relation, old)
            if UNCHANGED in new:
                new = _completed(relation, new, old, full=message.old_is_full)
        return RowChange("update", relation, new, old, message.old_is_full, ordinal)

    def _truncate(self, message: pgoutput.Truncate) -> Truncated:
        ordinal = self._next_ordinal()
        return Truncated(tuple(self._relation(oid) for oid in message.relations), ordinal)

    def _count(self, oid: int) -> tuple[Relation, int]:
        return self._relation(oid), self._next_ordinal()

    def _relation(self, oid: int) -> Relation:
        try:
            return self.relations[oid]
        except KeyError:
            raise ProtocolError(f"a change of a relation that was not announced (oid {oid})") from None

    def _next_ordinal(self) -> int:
        if self._begun is None:
            raise ProtocolError("a change outside of a transaction")
        self._ordinal += 1
        return self._ordinal


def _fitting(relation: Relation, row: Row) -> Row:
    if len(row) != len(relation.columns):
        raise ProtocolError(f"a row of {relation.label} has {len(row)} values for {len(relation.columns)} columns")
    return row


def _completed(relation: Relation, new: Row, old: Row, *, full: bool) -> Row:
    """`new` with unchanged values taken from `old`: from all of it when it is full, otherwise from its identity only.

    A value that was left out is large, and so never NULL. NULL stands there in a key-only row that is called full: its partition
    has another identity than the root, whose kind the message tells.
    """
    return tuple(
        before if value is UNCHANGED and before is not None and (full or column.is_identity) else value
        for value, before, column in zip(new, old, relation.columns, strict=True)
    )
