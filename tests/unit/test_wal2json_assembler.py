"""The assembler's laws with wal2json: ordinals, what is announced, what is not told, what may come when."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.changes import UNCHANGED, Event, Heartbeat, Keepalive, Relation, RelationColumn, RelationSeen, RowChange, Truncated
from bridge.errors import ProtocolError
from cdc import pgoutput, wal2json
from cdc.wal2json import Change, Form
from cdc.wal2json_assembler import Definition, Wal2JsonAssembler

COLUMNS = (RelationColumn("id", 23, -1, True), RelationColumn("price", 1700, -1, False), RelationColumn("body", 25, -1, False))
ITEM = Relation(7, "public", "item", "d", COLUMNS)
SENT = (("id", 23), ("price", 1700), ("body", 25))
KEY = (("id", 23),)
NAME = ("public", "item")
LEAF = ("public", "item_1")


def opened() -> Wal2JsonAssembler:
    """An assembler inside a transaction, which knows a table, a partition of it, and that a third is not there."""
    assembler = Wal2JsonAssembler()
    assembler.define({NAME: Definition(ITEM, "d"), LEAF: Definition(ITEM, "d", leaf=True), ("public", "gone"): None})
    assemble(assembler, pgoutput.Begin(100, 1.0, 3))
    return assembler


def assemble(assembler: Wal2JsonAssembler, *messages: wal2json.Message) -> list[Event]:
    """The events of some messages."""
    events: list[Event] = []
    for message in messages:
        assembler.assemble(message, events.append)
    return events


def rows(events: list[Event]) -> list[RowChange]:
    """The row changes."""
    return [event for event in events if isinstance(event, RowChange)]


INSERT = Form("I", "public", "item", SENT, None)
UPDATE = Form("U", "public", "item", SENT, KEY)
LEAN = Form("U", "public", "item", SENT[:2], KEY)
DELETE = Form("D", "public", "item", None, KEY)
GONE = Form("I", "public", "gone", SENT, None)
MESSAGES: st.SearchStrategy[wal2json.Message] = st.sampled_from(
    [
        Change(INSERT, ("1", "2", "a"), None),
        Change(UPDATE, ("1", "3", "a"), ("1",)),
        Change(LEAN, ("1", "3"), ("1",)),
        Change(DELETE, None, ("1",)),
        Change(GONE, ("1", "2", "a"), None),
        wal2json.Truncate("public", "item"),
        wal2json.Truncate("public", "item_1"),
        wal2json.Truncate("public", "gone"),
        pgoutput.LogicalMessage(True, 5, "theirs", b""),
        pgoutput.LogicalMessage(False, 5, "ours", b"beat"),
    ]
)


@given(st.lists(MESSAGES, max_size=20))
def test_ordinals_count_everything_that_is_sent(messages: list[wal2json.Message]) -> None:
    """Law 2: every change and truncate has its number in the transaction, those of which nothing is made too; so they repeat."""
    counted = [index for index, message in enumerate(messages) if isinstance(message, Change | wal2json.Truncate)]
    made = [
        counted.index(index) + 1
        for index in counted
        if not (isinstance(message := messages[index], Change) and message.form is GONE)
        and message not in (wal2json.Truncate("public", "item_1"), wal2json.Truncate("public", "gone"))
    ]
    first, again = (assemble(opened(), *messages) for _ in range(2))
    assert [event.ordinal for event in first if isinstance(event, RowChange | Truncated)] == made
    assert first == again


def test_the_key_tells_whether_there_is_an_old_row() -> None:
    """wal2json always sends the identity: it is an old row only when the key has changed, and completes what was not sent."""
    same, moved, lean = rows(
        assemble(
            opened(),
            Change(UPDATE, ("1", "3", "a"), ("1",)),
            Change(UPDATE, ("2", "3", "a"), ("1",)),
            Change(LEAN, ("1", "3"), ("1",)),
        )
    )
    assert (same.new, same.old) == (("1", "3", "a"), None)
    assert (moved.new, moved.old, moved.old_is_full) == (("2", "3", "a"), ("1", None, None), False)
    assert (lean.new, lean.old, lean.ambiguous) == (("1", "3", UNCHANGED), None, False)


def test_a_full_old_row_completes_the_new_one() -> None:
    """With full identity what was not sent is the old row's."""
    assembler = opened()
    full = replace(ITEM, identity="f", columns=tuple(replace(column, is_identity=True) for column in COLUMNS))
    assembler.define({NAME: Definition(full, "f")})
    (change,) = rows(assemble(assembler, Change(Form("U", "public", "item", SENT[:2], SENT), ("1", "3"), ("1", "2", "big"))))
    assert (change.new, change.old, change.old_is_full) == (("1", "3", "big"), ("1", "2", "big"), True)


def test_what_is_not_told_is_ambiguous_and_completed_from_nothing() -> None:
    """A null of a numeric may be NaN: not the old row's value, and not one to be carried over from an earlier change."""
    assembler = opened()
    full = replace(ITEM, identity="f")
    assembler.define({NAME: Definition(full, "f")})
    (change,) = rows(assemble(assembler, Change(Form("U", "public", "item", SENT, SENT), ("1", UNCHANGED, "a"), ("1", "2", "b"))))
    assert (change.new, change.ambiguous) == (("1", UNCHANGED, "a"), True)


def test_what_is_sent_ranks_above_the_catalogue() -> None:
    """An insert lacks a column that the catalogue has already, an update has one that it does not have any more: announced as
    sent; what neither has is dropped."""
    assembler = opened()
    lacking = Form("I", "public", "item", SENT[:2], None)
    wider = Form("U", "public", "item", (*SENT, ("extra", 25)), KEY)
    other = Form("U", "public", "item", (("id", 20), *SENT[1:]), (("id", 20),))
    events = assemble(
        assembler,
        Change(lacking, ("1", "2"), None),
        Change(wider, ("1", "2", "a", "x"), ("1",)),
        Change(UPDATE, ("1", "2", "a"), ("1",)),
        Change(other, ("1", "2", "a"), ("1",)),
    )
    announced = [[(c.name, c.type_oid) for c in e.relation.columns] for e in events if isinstance(e, RelationSeen)]
    assert announced == [list(SENT[:2]), [*SENT, ("extra", 25)], list(SENT), [("id", 20), *SENT[1:]]]
    assert [change.new for change in rows(events)] == [
        ("1", "2"),
        ("1", "2", "a", "x"),
        ("1", "2", "a"),
        ("1", "2", "a"),
    ]


def test_generated_columns_and_partitions_come_as_with_pgoutput() -> None:
    """Columns in the root's order, under the root's name, without what is computed."""
    assembler = opened()
    assembler.define({LEAF: Definition(ITEM, "d", frozenset({"twice"}), leaf=True)})
    form = Form("I", "public", "item_1", (("body", 25), ("twice", 23), ("price", 1700), ("id", 23)), None)
    (seen, change) = assemble(assembler, Change(form, ("a", "2", "9", "1"), None))
    assert seen == RelationSeen(ITEM)
    assert isinstance(change, RowChange)
    assert (change.relation, change.new) == (ITEM, ("1", "9", "a"))


def test_a_table_that_is_gone_is_announced_once_and_without_an_oid() -> None:
    """So that a carried table of that name is stopped; of its changes nothing is made."""
    events = assemble(opened(), Change(GONE, ("1", "2", "a"), None), Change(GONE, ("2", "2", "a"), None))
    assert [(e.relation.oid, e.relation.label) for e in events if isinstance(e, RelationSeen)] == [(0, "public.gone")]
    assert len(events) == 1


def test_keepalives_and_messages() -> None:
    """Law 5: a keepalive inside a transaction moves nothing; a message of ours comes back anywhere."""
    assembler = opened()
    assert assembler.keepalive(150) is None
    assert assemble(assembler, pgoutput.LogicalMessage(False, 5, "p", b"c")) == [Heartbeat("p", b"c", 5)]
    assemble(assembler, pgoutput.Commit(100, 140, 1.0))
    assert assembler.keepalive(150) == Keepalive(150)


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([pgoutput.Begin(101, 1.0, 4)], "inside another"),
        ([pgoutput.Commit(101, 140, 1.0)], "not the one"),
        ([pgoutput.Commit(100, 140, 1.0), Change(INSERT, ("1", "2", "a"), None)], "outside of a transaction"),
        ([pgoutput.Commit(100, 140, 1.0), wal2json.Truncate("public", "item")], "outside of a transaction"),
    ],
)
def test_what_cannot_come_here_is_refused(messages: list[wal2json.Message], says: str) -> None:
    """A stream that breaks its own order has no versions and is refused."""
    with pytest.raises(ProtocolError, match=says):
        assemble(opened(), *messages)
