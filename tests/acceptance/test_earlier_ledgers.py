"""A ledger that an earlier engram-bridge has written is brought up to date and gone on with: nothing is loaded again."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from bridge.postgres import connect
from cdc.slot import create_slot, ensure_publication
from tests.acceptance.conftest import MakeRig
from tests.acceptance.traces import configure
from tests.ledgers import story
from tests.ledgers.kept import restore, versions
from tests.rig import Rig

TABLES = [("public", name) for name in ("customers", "lines", "notes", "orders")]


@pytest.mark.parametrize("version", versions())
def test_an_earlier_ledger_goes_on(make_rig: MakeRig, version: int) -> None:
    """On a source with the same rows: the target, which is another one, is compared and mended by refreshes, tables stay loaded,
    the parked key stays parked until it fits, and what comes by the stream is applied."""
    rig = make_rig(**story.TABLES)
    configure(rig, source={"plugin": "pgoutput"})  # the one that the kept ledgers were begun with
    restore(version, rig.ledger_path)
    while rig.flush() <= int(facts(rig)["confirmed"]):
        rig.sql("select pg_logical_emit_message(true, '', '')", "select pg_switch_wal()")
    rig.sql(*story.BEGINNING, *story.CHANGES)
    adopt(rig)
    rig.sql("insert into notes values (2000, 1001, 'new')", "update orders set note = 'changed' where id = 61")
    rig.catch_up()
    assert parked(rig) == {"31": "too_large"}
    ledger = rig.ledger()
    assert all(record.state == "loaded" for record in ledger.tables())
    ledger.close()
    assert "a table is loaded again" not in rig.tail()
    rig.sql("update customers set name = 'fits' where id = 31")
    rig.command("parked", "retry", "all")
    rig.start()
    rig.until(lambda: not parked(rig), what="the parked key was not tried again")
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    evidence = {one.table: one for one in rig.prove()}
    assert (evidence["public.customers"].rows, evidence["public.orders"].edges) == (31, 50)


def parked(rig: Rig) -> dict[str, str]:
    """Why which keys wait."""
    ledger = rig.ledger()
    try:
        return {key[1]: waiting.reason for key, waiting in ledger.parked_keys()}
    finally:
        ledger.close()


def facts(rig: Rig) -> dict[str, str]:
    """What the ledger says."""
    ledger = rig.ledger()
    try:
        return ledger.facts()
    finally:
        ledger.close()


def adopt(rig: Rig) -> None:
    """Make the rig's source the ledger's: the same rows, a slot that begins behind them, and the identity that law 4 compares."""
    with connect(rig.source) as connection:
        ensure_publication(connection, rig.slot, TABLES, server_version=connection.info.server_version)
        with connect(rig.source, replication=True) as walsender:
            point = create_slot(walsender, rig.slot)
        system, timeline, database = connection.execute(
            "select system_identifier::text, timeline_id::text, current_database()::text "
            "from pg_control_system(), pg_control_checkpoint()"
        ).fetchone() or ("", "", "")
    news = {name: str(point) for name in ("consistent_point", "confirmed", "proven", "written")}
    news |= {"slot": rig.slot, "publication": rig.slot, "making_slot": rig.slot}
    news |= {"system_identifier": system, "timeline": timeline, "database": database}
    with contextlib.closing(sqlite3.connect(rig.ledger_path)) as connection, connection:
        connection.execute("delete from facts where name like 'shape:%'")  # those of tables of another server say nothing here
        connection.executemany("update facts set value = ? where name = ?", [(value, name) for name, value in news.items()])
