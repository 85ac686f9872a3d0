"""The ledger's side of `check`: whether its place can be used, and whose it is, without making or changing anything."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from bridge.choices import choices_of
from bridge.errors import BridgeError
from bridge.facts import LedgerFacts
from bridge.ledger.connection import holder_of, ledger_url
from bridge.ledger.tables import SCHEMA_VERSION
from bridge.renewal import Renewal


def ledger_facts(location: str) -> LedgerFacts:
    """What can be said of the ledger at this place. Raises nothing: what is wrong stands in `failure`."""
    try:
        url = ledger_url(location)
    except BridgeError as error:
        return LedgerFacts("", failure=str(error), remedy=error.hint)
    if url.get_backend_name() != "sqlite":
        return LedgerFacts(
            url.render_as_string(hide_password=True),
            failure=f"ledger: {url.get_backend_name()} is not supported",
            remedy="Use a path: ledger: engram-bridge.db (SQLite).",
        )
    path = Path(url.database or "")
    facts = LedgerFacts(str(path))
    failure, remedy = _place(path)
    if failure:
        return replace(facts, failure=failure, remedy=remedy)
    facts = replace(facts, free=shutil.disk_usage(path.parent).free)
    if not path.exists() or path.stat().st_size == 0:
        return facts
    facts = replace(facts, exists=True, holder=holder_of(path.with_name(path.name + ".lock")))
    return _with_contents(facts, path)


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


def _with_contents(facts: LedgerFacts, path: Path) -> LedgerFacts:
    other = "Choose another path for the ledger."
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            names = {row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")}
            found = dict(connection.execute("select name, value from facts")) if "facts" in names else {}
            known = _tables(connection) if "tables" in names else []
            choices = list(connection.execute("select label, verb, detail from choices")) if "choices" in names else []
    except sqlite3.Error as error:
        return replace(facts, failure=f"the ledger {path} cannot be read: {error}", remedy=other)
    if names and not found:
        return replace(facts, failure=f"{path} is a database of something else", remedy=other)
    version = int(found.get("schema_version", "0"))
    if version > SCHEMA_VERSION:
        return replace(
            facts,
            failure=f"the ledger {path} has version {version}; this engram-bridge knows versions up to {SCHEMA_VERSION}",
            remedy="Use the engram-bridge that wrote it, or a newer one.",
        )
    renewal = Renewal.of(found)
    return replace(
        facts,
        ledger_id=found.get("ledger_id"),
        system_identifier=found.get("system_identifier"),
        timeline=int(found["timeline"]) if "timeline" in found else None,
        database=found.get("database"),
        slot=found.get("slot"),
        making=found.get("making_slot"),
        confirmed=int(found["confirmed"]) if "confirmed" in found else None,
        renewal=(renewal.system_identifier, renewal.database) if renewal is not None else None,
        renewal_moved=renewal is not None and renewal.moved,
        spaces={label: tuple(json.loads(spaces)) for label, spaces, _state, _reason in known},
        stopped={label: reason or "" for label, _spaces, state, reason in known if state == "stopped"},
        choices=choices_of(choices),
    )


def _tables(connection: sqlite3.Connection) -> list[tuple[str, str, str, str | None]]:
    """Label, spaces, state and reason of what is carried; a ledger of version 1 knows of no roles."""
    columns = {row[1] for row in connection.execute("pragma table_info(tables)")}
    serving = " where role = 'serving'" if "role" in columns else ""
    return list(connection.execute(f"select label, spaces, state, reason from tables{serving}"))
