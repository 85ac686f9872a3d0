"""The ledger's side of `check`: whether its place can be used, and whose it is, without making or changing anything."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from bridge.choices import choices_of
from bridge.errors import BridgeError, LedgerUnavailable
from bridge.facts import LedgerFacts
from bridge.ledger.failure import translated
from bridge.ledger.file import FilePlace
from bridge.ledger.place import place_of
from bridge.ledger.server import ServerPlace
from bridge.ledger.tables import SCHEMA_VERSION
from bridge.models import made_by
from bridge.renewal import Renewal

Ask = Callable[[str], Sequence[Sequence[Any]]]
OTHER = "Choose another place for the ledger."
ROLES_SINCE = 3
"""The schema version in which tables have generations with roles."""

SERVER = """
    select current_database()::text, pg_is_in_recovery(), current_setting('fsync'), current_setting('full_page_writes'),
           current_user::text, has_database_privilege(current_database(), 'create')
"""


def ledger_facts(location: str) -> LedgerFacts:
    """What can be said of the ledger at this place. Raises nothing: what is wrong stands in `failure`."""
    try:
        place = place_of(location)
    except BridgeError as error:
        return LedgerFacts("", failure=str(error), remedy=error.hint)
    return _of_file(place) if isinstance(place, FilePlace) else _of_server(place)


def _of_file(place: FilePlace) -> LedgerFacts:
    path = place.path
    facts = LedgerFacts(str(path))
    failure, remedy = _place(path)
    if failure:
        return replace(facts, failure=failure, remedy=remedy)
    facts = replace(facts, free=shutil.disk_usage(path.parent).free)
    if not path.exists() or path.stat().st_size == 0:
        return facts
    facts = replace(facts, exists=True, holder=place.holder().held_by())
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            names = {row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")}
            return _with_contents(facts, names, lambda query: connection.execute(query).fetchall())
    except sqlite3.Error as error:
        return replace(facts, failure=f"the ledger {path} cannot be read: {error}", remedy=OTHER)


def _of_server(place: ServerPlace) -> LedgerFacts:
    facts = LedgerFacts(place.shown)
    try:
        connection = place.connect("engram-bridge check")
        with connection, translated(place.shown):
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with connection.transaction():
                return _asked(facts, place, connection)
    except BridgeError as error:
        return replace(facts, failure=str(error), remedy=error.hint, unavailable=isinstance(error, LedgerUnavailable))


def _asked(facts: LedgerFacts, place: ServerPlace, connection: psycopg.Connection) -> LedgerFacts:
    database, standby, fsync, pages, role, may_create = connection.execute(SERVER).fetchone() or ("", False, "", "", "", True)
    if standby:
        return replace(facts, failure=f"the ledger's server {place.shown} is a standby", remedy="Name its primary.")
    unsafe = [name for name, value in (("fsync", fsync), ("full_page_writes", pages)) if value == "off"]
    notes = tuple(
        (
            f"the ledger's server runs with {name} = off: a crash of its machine can leave the ledger behind the slot",
            f"Set {name} = on, or keep nothing of value there.",
        )
        for name in unsafe
    )
    facts = replace(facts, notes=notes, server=(_system_identifier(connection), database))
    names = place.names(connection)
    there = connection.execute("select from pg_namespace where nspname = %s", (place.schema,)).fetchone() is not None
    if not there and not may_create:
        return replace(
            facts,
            failure=f"the role {role} may not create the ledger's schema in the database {database}",
            remedy=f'CREATE SCHEMA "{place.schema}" AUTHORIZATION "{role}";',
        )
    facts = replace(facts, exists="facts" in names, holder=place.holder().held_by() if "writers" in names else None)
    return _with_contents(facts, names, lambda query: connection.execute(query.encode()).fetchall())


def _system_identifier(connection: psycopg.Connection) -> str:
    """The server's, empty where the role may not ask for it."""
    try:
        with connection.transaction():
            row = connection.execute("select system_identifier::text from pg_control_system()").fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return ""
    return str(row[0]) if row else ""


def _place(path: Path) -> tuple[str, str]:
    """What hinders a ledger there, and the remedy; empty when nothing does."""
    folder = path.parent
    if not folder.is_dir():
        return f"the ledger's folder {folder} does not exist", "Create it, or choose another path (ledger: PATH)."
    if path.is_dir():
        return f"the ledger {path} is a folder", "Name a file in it (ledger: PATH)."
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"the ledger's folder {folder} cannot be written", "Give this user the right to write it, or choose another path."
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return f"the ledger {path} cannot be read and written", "Give this user the right to, or choose another path."
    return "", ""


def _with_contents(facts: LedgerFacts, names: set[str], ask: Ask) -> LedgerFacts:
    found: dict[str, str] = dict(map(tuple, ask("select name, value from facts"))) if "facts" in names else {}
    if names and not found:
        return replace(facts, failure=f"{facts.location} is a database of something else", remedy=OTHER)
    version = int(found.get("schema_version", "0"))
    if version > SCHEMA_VERSION:
        return replace(
            facts,
            failure=f"the ledger {facts.location} has version {version}; "
            f"this engram-bridge knows versions up to {SCHEMA_VERSION}",
            remedy="Use the engram-bridge that wrote it, or a newer one.",
        )
    renewal = Renewal.of(found)
    serving = " where role = 'serving'" if version >= ROLES_SINCE else ""
    known = ask(f"select label, spaces, state, reason, number from tables{serving}") if "tables" in names else []
    choices = ask("select label, verb, detail from choices") if "choices" in names else []
    return replace(
        facts,
        ledger_id=found.get("ledger_id"),
        system_identifier=found.get("system_identifier"),
        timeline=int(found["timeline"]) if "timeline" in found else None,
        database=found.get("database"),
        slot=found.get("slot"),
        making=found.get("making_slot"),
        plugin=found.get("plugin", "pgoutput") if "confirmed" in found else None,
        confirmed=int(found["confirmed"]) if "confirmed" in found else None,
        renewal=(renewal.system_identifier, renewal.database) if renewal is not None else None,
        renewal_moved=renewal is not None and renewal.moved,
        spaces={label: tuple(json.loads(spaces)) for label, spaces, _state, _reason, _number in known},
        stopped={label: reason or "" for label, _spaces, state, reason, _number in known if state == "stopped"},
        models={label: made_by(found, number) for label, _spaces, state, _reason, number in known if state != "new"},
        choices=choices_of([(label, verb, detail) for label, verb, detail in choices]),
    )
