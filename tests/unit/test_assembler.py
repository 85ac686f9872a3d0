"""The assembler's laws: ordinals, completed rows, and what may come when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.changes import (
    UNCHANGED,
    Begin,
    Commit,
    Event,
    Heartbeat,
    Keepalive,
    Relation,
    RelationColumn,
    RelationSeen,
    Row,
    RowChange,
    Truncated,
)
from bridge.errors import ProtocolError
from cdc import pgoutput
from cdc.assembler import Assembler
from tests.pgoutput_messages import recorded

ITEM = Relation(
    7, "public", "item", "d", tuple(RelationColumn(name, 25, -1, is_identity=name == "id") for name in ("id", "name", "body"))
)
OTHER = Relation(8, "public", "other", "d", ITEM.columns)
VALUES = st.one_of(st.text(max_size=3), st.none(), st.just(UNCHANGED))
ROWS: st.SearchStrategy[Row] = st.tuples(VALUES, VALUES, VALUES)
CHANGES: st.SearchStrategy[pgoutput.Message] = st.one_of(
    st.builds(pgoutput.Insert, st.just(7), ROWS),
    st.builds(pgoutput.Update, st.sampled_from([7, 8]), ROWS, st.none() | ROWS, st.booleans()),
    st.builds(pgoutput.Delete, st.sampled_from([7, 8]), ROWS, st.booleans()),
    st.builds(pgoutput.Truncate, st.just((7, 8)), st.booleans(), st.booleans()),
)
SILENT: st.SearchStrategy[pgoutput.Message] = st.one_of(
    st.just(pgoutput.Type(9, "public", "mood")),
    st.just(pgoutput.Origin(1, "elsewhere")),
    st.just(pgoutput.LogicalMessage(True, 5, "theirs", b"")),
)
ANNOUNCED: st.SearchStrategy[pgoutput.Message] = st.one_of(
    st.sampled_from([ITEM, OTHER]), st.just(pgoutput.LogicalMessage(False, 5, "ours", b"beat"))
)


def opened() -> Assembler:
    """An assembler that knows both relations, inside a transaction."""
    assembler = Assembler()
    assembler.assemble(ITEM)
    assembler.assemble(OTHER)
    assembler.assemble(pgoutput.Begin(100, 1.0, 3))
    return assembler


def assemble(assembler: Assembler, *messages: pgoutput.Message) -> list[Event]:
    """The events of some messages."""
    return [event for event in map(assembler.assemble, messages) if event is not None]


@given(st.lists(st.one_of(CHANGES, SILENT, ANNOUNCED), max_size=20))
def test_ordinals_count_changes_from_one_and_nothing_else(messages: list[pgoutput.Message]) -> None:
    """Law 2: whatever is announced in between, row changes and truncates are numbered 1, 2, 3, ...; again at redelivery."""
    events = assemble(opened(), *messages)
    ordinals = [event.ordinal for event in events if isinstance(event, RowChange | Truncated)]
    assert ordinals == list(range(1, len(ordinals) + 1))
    quieter = [message for message in messages if not isinstance(message, Relation | pgoutput.Type | pgoutput.LogicalMessage)]
    changes = [event for event in events if isinstance(event, RowChange | Truncated)]
    assert assemble(opened(), *quieter) == changes


def test_every_transaction_counts_anew_and_keeps_its_positions() -> None:
    """The version is made of the start of the commit record; the end position comes with the commit."""
    assembler = opened()
    first = assemble(assembler, pgoutput.Insert(7, ("1", "a", "b")), pgoutput.Commit(100, 140, 1.0))
    second = assemble(assembler, pgoutput.Begin(200, 2.0, 4), pgoutput.Insert(7, ("2", "a", "b")))
    assert first == [RowChange("insert", ITEM, ("1", "a", "b"), None, False, 1), Commit(100, 140, 1.0)]
    assert second == [Begin(200, 2.0, 4), RowChange("insert", ITEM, ("2", "a", "b"), None, False, 1)]


@given(ROWS, ROWS)
def test_a_full_old_row_completes_the_new_one(new: Row, old: Row) -> None:
    """An unchanged value is the old one's when the old row is full, and sent values are never replaced. It is never NULL: that is
    what a key-only row of a partition has there, which is called full when its root's identity is."""
    (event,) = assemble(opened(), pgoutput.Update(7, new, old, True))
    assert isinstance(event, RowChange)
    assert event.new == tuple(
        before if value is UNCHANGED and before is not None else value for value, before in zip(new, old, strict=True)
    )
    assert (event.old, event.old_is_full) == (old, True)


def test_a_key_only_old_row_completes_the_identity_only() -> None:
    """Nulls outside the identity of a key-only old row are not values: unchanged columns stay unchanged, never NULL."""
    (event,) = assemble(opened(), pgoutput.Update(7, (UNCHANGED, "n", UNCHANGED), ("1", None, None), False))
    assert isinstance(event, RowChange)
    assert event.new == ("1", "n", UNCHANGED)


def test_without_an_old_row_unchanged_values_stay() -> None:
    """What was not sent and cannot be known is UNCHANGED."""
    (event,) = assemble(opened(), pgoutput.Update(7, ("1", "n", UNCHANGED), None, False))
    assert isinstance(event, RowChange)
    assert event.new == ("1", "n", UNCHANGED)


def test_keepalives_inside_a_transaction_are_swallowed() -> None:
    """Law 5: inside an open transaction a keepalive carries that transaction's final position, and moves nothing."""
    assembler = opened()
    assert assembler.in_transaction
    assert assembler.keepalive(150) is None
    assembler.assemble(pgoutput.Commit(100, 140, 1.0))
    assert assembler.keepalive(150) == Keepalive(150)


def test_announcements_are_passed_on() -> None:
    """A relation replaces the one before; our own messages come back; another's transactional ones do not."""
    assembler = Assembler()
    assert assembler.assemble(ITEM) == RelationSeen(ITEM)
    wider = Relation(7, "public", "item", "d", (*ITEM.columns, RelationColumn("more", 23, -1, False)))
    assert assembler.assemble(wider) == RelationSeen(wider)
    assert assembler.relations[7] is wider
    assert assembler.assemble(pgoutput.LogicalMessage(False, 5, "p", b"c")) == Heartbeat("p", b"c", 5)
    assert assembler.assemble(pgoutput.LogicalMessage(True, 5, "p", b"c")) is None


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([pgoutput.Begin(101, 1.0, 4)], "inside another"),
        ([pgoutput.Commit(101, 140, 1.0)], "not the one"),
        ([pgoutput.Commit(100, 140, 1.0), pgoutput.Commit(100, 140, 1.0)], "not the one"),
        ([pgoutput.Commit(100, 140, 1.0), pgoutput.Insert(7, ("1", "a", "b"))], "outside of a transaction"),
        ([pgoutput.Commit(100, 140, 1.0), pgoutput.Truncate((7,), False, False)], "outside of a transaction"),
        ([pgoutput.Insert(9, ())], "not announced"),
        ([pgoutput.Truncate((9,), False, False)], "not announced"),
        ([pgoutput.Insert(7, ("1",))], "1 values for 3 columns"),
        ([pgoutput.Update(7, ("1", "a", "b"), ("1",), True)], "1 values for 3 columns"),
        ([pgoutput.Delete(7, ("1",), True)], "1 values for 3 columns"),
    ],
)
def test_what_cannot_come_here_is_refused(messages: list[pgoutput.Message], says: str) -> None:
    """A stream that breaks its own order has no versions and is refused."""
    with pytest.raises(ProtocolError, match=says):
        assemble(opened(), *messages)


def test_a_recorded_stream_assembles() -> None:
    """What PostgreSQL 18 sent makes whole transactions: each begin has its commit and its ordinals without a gap."""
    events = assemble(Assembler(), *map(pgoutput.decode, recorded()))
    begins = [event.commit_lsn for event in events if isinstance(event, Begin)]
    assert begins
    assert begins == [event.commit_lsn for event in events if isinstance(event, Commit)]
    toasted = [
        event for event in events if isinstance(event, RowChange) and event.relation.name == "f" and event.kind == "update"
    ]
    assert [event.old_is_full for event in toasted] == [True]
    assert all(UNCHANGED not in (event.new or ()) for event in toasted)
