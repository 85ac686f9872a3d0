"""What the slot keeps, measured on a real server; and a slot that is given up, as chosen beforehand."""

from __future__ import annotations

import time
import uuid

import psycopg
import pytest

from bridge.errors import SlotLost
from bridge.postgres import connect
from bridge.slot_watch import SlotWatch
from cdc.slot import create_slot, inspect_slot
from cdc.walsender import WalReader

MB = 1 << 20


@pytest.fixture
def slot(database: str) -> str:
    """A slot and a publication of the same name."""
    name = f"watched_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table notes (id int)")
        connection.execute(f"create publication {name} for table notes")  # type: ignore[call-overload]
    with connect(database, replication=True) as walsender:
        create_slot(walsender, name)
    return name


def write(database: str) -> None:
    """About 4 MB of WAL."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("select pg_logical_emit_message(false, 'padding', repeat('x', 4000000))")


def test_a_slot_that_keeps_too_much_is_dropped_when_that_was_chosen(database: str, slot: str) -> None:
    """The stream is ended first, so that the slot is free; the run ends with what happened and with the remedy."""
    reader = WalReader(database, slot, slot)
    watch = SlotWatch(database, slot, limit=MB, drop=True, leave=reader.abandon, every=0.0, patience=0.1)
    write(database)
    watch.look()
    time.sleep(0.2)
    with pytest.raises(SlotLost, match=r"was dropped: it kept \d+\.\d MB of WAL, source.max_retained_wal is 1.0 MB") as dropped:
        watch.look()
    assert "engram-bridge resync --new-slot" in dropped.value.hint
    with connect(database) as connection:
        assert inspect_slot(connection, slot) is None


def test_the_slot_of_a_paused_bridge_is_dropped_for_its_pause(database: str, slot: str) -> None:
    """What was chosen holds, and the message names the pause instead of a lag."""
    watch = SlotWatch(database, slot, limit=MB, drop=True, paused=lambda: True, every=0.0, patience=0.1)
    write(database)
    watch.look()
    time.sleep(0.2)
    with pytest.raises(SlotLost, match=r"was dropped: .* and the bridge is paused \(engram-bridge pause\)") as dropped:
        watch.look()
    assert "engram-bridge resume" in dropped.value.hint
    assert "engram-bridge resync --new-slot" in dropped.value.hint


def test_a_slot_that_keeps_too_much_is_kept_when_that_was_chosen(database: str, slot: str) -> None:
    """It is said, with its figures, and the slot stays."""
    watch = SlotWatch(database, slot, limit=MB, every=0.0, patience=0.1)
    write(database)
    watch.look()
    time.sleep(0.2)
    write(database)
    watch.look()
    assert watch.figures["warning"].startswith("the slot keeps more WAL than it may")
    assert watch.figures["bytes_per_second"] > 0
    assert watch.figures["seconds_to_loss"] is None, "without max_slot_wal_keep_size it is never lost"
    with connect(database) as connection:
        assert inspect_slot(connection, slot) is not None


def test_a_long_transaction_is_not_the_bridges_lag(database: str, slot: str) -> None:
    """It keeps WAL for the slot, however far that has been confirmed: nothing is dropped for it."""
    watch = SlotWatch(database, slot, limit=MB, drop=True, every=0.0, patience=0.1)
    with psycopg.connect(database) as other:
        other.execute("insert into notes values (1)")
        write(database)
        with connect(database) as connection:
            connection.execute("create table public.flushed ()")
            connection.execute("select pg_replication_slot_advance(%s, pg_current_wal_flush_lsn())", (slot,))
        watch.look()
        time.sleep(0.2)
        watch.look()
        assert watch.figures["retained"] > MB
