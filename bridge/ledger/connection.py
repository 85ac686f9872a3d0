"""Bringing a ledger's schema to our version, or making it."""

from __future__ import annotations

import time
import uuid

from sqlalchemy import Connection, Engine, select

from bridge.errors import LedgerError
from bridge.ledger import steps, tables
from bridge.ledger.failure import translated
from bridge.ledger.place import Place


def migrate(engine: Engine, place: Place) -> bool:
    """Bring the schema to our version; answers whether the ledger is new.

    Raises LedgerError for a newer or foreign one, LedgerHeld for an earlier one that a run works with.
    """
    with translated(place.shown), place.reads(engine) as connection, connection.begin():
        known = _version(connection, place)
    if known == tables.SCHEMA_VERSION:
        return False
    if not known:
        return _upgrade(engine, place) == 0
    holder = place.holder()
    holder.acquire()  # a run of the earlier version would go on writing what it knows
    try:
        return _upgrade(engine, place) == 0
    finally:
        holder.release()


def _upgrade(engine: Engine, place: Place) -> int:
    """Take all steps in one transaction; answers the version before."""
    with translated(place.shown), engine.connect().execution_options(writes=True) as connection, connection.begin():
        place.prepare(connection)
        known = _version(connection, place)
        for version in range(known + 1, tables.SCHEMA_VERSION + 1):
            steps.take(connection, version)
        facts = {"schema_version": str(tables.SCHEMA_VERSION)}
        if known == 0:
            facts |= {"ledger_id": uuid.uuid4().hex, "created": repr(time.time())}
        if known < tables.SCHEMA_VERSION:
            connection.execute(tables.facts.delete().where(tables.facts.c.name == "schema_version"))
            connection.execute(tables.facts.insert(), [{"name": name, "value": value} for name, value in facts.items()])
    return known


def _version(connection: Connection, place: Place) -> int:
    """The version of what is there, 0 for nothing. Raises LedgerError for what cannot be a ledger of ours."""
    names, shown = place.tables(connection), place.shown
    known = 0
    if "facts" in names:
        row = connection.execute(select(tables.facts.c.value).where(tables.facts.c.name == "schema_version")).scalar()
        known = int(row or 0)
    elif names:
        raise LedgerError(f"{shown} is a database of something else", hint="Choose another place for the ledger.")
    if known > tables.SCHEMA_VERSION:
        raise LedgerError(
            f"the ledger {shown} has version {known}; this engram-bridge knows versions up to {tables.SCHEMA_VERSION}",
            hint="Use the engram-bridge that wrote it, or a newer one.",
        )
    return known
