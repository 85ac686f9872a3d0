"""When the events of two plugins tell the same."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from bridge.changes import UNCHANGED, Begin, Commit, Event, Relation, Row, RowChange, Truncated

UNTOLD = {700, 701, 1700}


def facts(event: Event) -> tuple[Any, ...]:
    """What must be alike of an event, whoever sent it. Ordinals are compared as an order: truncates are split otherwise."""
    if isinstance(event, Begin):
        return ("begin", event.commit_lsn, event.commit_time, event.xid)
    if isinstance(event, Commit):
        return ("commit", event.commit_lsn, event.end_lsn, event.commit_time)
    if isinstance(event, RowChange):
        relation = event.relation
        identity = [column.name for column in relation.columns if column.is_identity]
        return ("row", event.kind, relation.oid, relation.label, relation.identity, identity, relation.columns)
    assert isinstance(event, Truncated)
    return ("truncate", *sorted(relation.label for relation in event.relations))


def relevant(events: Sequence[Event], labels: Container[str]) -> list[Event]:
    """Without announcements, keepalives, heartbeats, tables that are not carried, and transactions in which nothing is left."""
    kept: list[Event] = []
    for event in events:
        if isinstance(event, RowChange) and event.relation.label not in labels:
            continue
        if isinstance(event, Commit):
            if isinstance(kept[-1], Begin):
                kept.pop()
            else:
                kept.append(event)
        elif isinstance(event, Begin | RowChange):
            kept.append(event)
        elif isinstance(event, Truncated):
            kept += [Truncated((relation,), event.ordinal) for relation in event.relations]
    return kept


def in_order(events: Sequence[Event]) -> list[Event]:
    """Truncates of neighbouring ordinals by name: tables that were truncated together come in any order."""
    result: list[Event] = []
    run: list[Truncated] = []
    for event in events:
        if isinstance(event, Truncated):
            run.append(event)
            continue
        result += sorted(run, key=lambda one: one.relations[0].label)
        run = []
        result.append(event)
    return result + sorted(run, key=lambda one: one.relations[0].label)


def alike(ours: RowChange, other: RowChange) -> None:
    """wal2json's row (`ours`) against pgoutput's: texts equal, but for what wal2json cannot tell.

    - A null of float4, float8 and numeric may be NaN or an infinity: UNCHANGED, and the change says that it is ambiguous.
    - An old row that names the row that the new one names too is not there; where it is full it always is.
    - A partition with full identity below a root without: pgoutput's flag is the root's, ours the partition's.
    """
    assert (ours.new is None) == (other.new is None)
    ambiguous = False
    if ours.new is not None and other.new is not None:
        for value, wanted, column in zip(ours.new, other.new, ours.relation.columns, strict=True):
            untold = wanted is None or wanted in ("NaN", "Infinity", "-Infinity")
            if column.type_oid in UNTOLD and untold:
                assert value is UNCHANGED, column.name
                ambiguous = True
            elif wanted is UNCHANGED and value is not UNCHANGED:
                assert ours.old_is_full, column.name
            else:
                assert value == wanted, column.name
    assert ours.ambiguous is ambiguous
    if ours.old is None:
        assert other.old is None or (
            not other.old_is_full and _identity(other.old, other.relation) == _identity(other.new, other.relation)
        )
        return
    assert other.old is not None
    for value, wanted, column in zip(ours.old, other.old, ours.relation.columns, strict=True):
        if column.type_oid in UNTOLD and value is UNCHANGED:
            assert wanted is None or wanted in ("NaN", "Infinity", "-Infinity")
        else:
            assert value == wanted, column.name
    assert ours.old_is_full == other.old_is_full or ours.relation.name == "parted"


def _identity(row: Row | None, relation: Relation) -> list[Any]:
    assert row is not None
    return [value for value, column in zip(row, relation.columns, strict=True) if column.is_identity]


def compare(events: dict[str, list[Event]], labels: Container[str]) -> int:
    """Everything; answers the number of row changes."""
    ours, other = (in_order(relevant(events[plugin], labels)) for plugin in ("wal2json", "pgoutput"))
    assert list(map(facts, ours)) == list(map(facts, other))
    changes = 0
    for one, two in zip(ours, other, strict=True):
        if isinstance(one, RowChange) and isinstance(two, RowChange):
            alike(one, two)
            changes += 1
    ordinals: list[int] = []
    for event in events["wal2json"]:
        if isinstance(event, Begin):
            ordinals = [0]
        elif isinstance(event, RowChange | Truncated):
            assert event.ordinal > ordinals[-1], "an ordinal does not grow"
            ordinals.append(event.ordinal)
    return changes
