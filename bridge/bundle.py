"""The support bundle: what somebody needs who looks for a fault from afar, in one file, without secrets and row values.

Keys are values of rows, and reasons can quote them; so of parked keys it holds the table, the reason's code and the counts.
"""

from __future__ import annotations

import json
import platform
import zipfile
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

import psycopg
import yaml

from bridge.config import Config, shown
from bridge.errors import BridgeError
from bridge.ledger import FILLING, RETIRED, SERVING, Ledger
from bridge.postgres import connect, translated
from bridge.status import collect
from bridge.wiring import slot_figures
from snapshot import catalog as catalogs

SETTINGS = (
    "server_version", "wal_level", "max_replication_slots", "max_wal_senders", "max_slot_wal_keep_size", "wal_sender_timeout",
    "synchronous_standby_names", "logical_decoding_work_mem", "server_encoding",
)  # fmt: skip
"""Settings of PostgreSQL that decide how a bridge fares."""


def write(file: Path, config: Config, ledger: Ledger | None) -> dict[str, str]:
    """Write the bundle. Answers what could not be had, by the name of its part: a source that is away does not hinder it."""
    lacking: dict[str, str] = {}
    parts: dict[str, Any] = {"versions.json": _versions()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("configuration.yaml", yaml.safe_dump(shown(config), sort_keys=False, allow_unicode=True))
        if ledger is None:
            lacking["status.json"] = "there is no ledger yet"
        else:
            parts |= _of_ledger(ledger, config, lacking)
        try:
            parts["postgresql.json"] = _of_source(config)
        except BridgeError as error:
            lacking["postgresql.json"] = str(error)
        parts["lacking.json"] = lacking
        for name, content in parts.items():
            bundle.writestr(name, json.dumps(content, indent=2, ensure_ascii=False, default=str))
    return lacking


def _versions() -> dict[str, Any]:
    packages = sorted({name for name in (d.metadata["Name"] for d in metadata.distributions()) if name})
    return {
        "engram-bridge": metadata.version("engram-bridge"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "libpq": psycopg.pq.version(),
        "packages": {name: metadata.version(name) for name in packages},
    }


def _of_ledger(ledger: Ledger, config: Config, lacking: dict[str, str]) -> dict[str, Any]:
    slot = None
    try:
        slot = slot_figures(config, ledger.facts().get("slot", config.source.slot))
    except BridgeError as error:
        lacking["status.json: slot"] = str(error)
    figures = collect(ledger, slot).as_dict()
    figures["ledger"] = shown(config)["ledger"]
    labels = {record.number: record.label for record in ledger.generations(SERVING, FILLING, RETIRED)}
    parked = Counter((labels[key[0]], waiting.reason, waiting.dropped) for key, waiting in ledger.parked_keys())
    return {
        "status.json": figures,
        "epochs.json": [{"epoch": epoch, "seen": seen, "repaired": repaired} for epoch, seen, repaired in ledger.epochs()],
        "parked.json": [{"table": t, "reason": r, "dropped": d, "count": count} for (t, r, d), count in sorted(parked.items())],
        "log.json": [
            {name: value for name, value in line.items() if name != "key"}
            for line in ledger.gauges().get("recent_log", ([], 0.0))[0]
        ],
    }


def _of_source(config: Config) -> dict[str, Any]:
    """Definitions, sizes and settings. Raises SourceUnavailable, ConfigError."""
    with connect(config.source.url, application_name="engram-bridge bundle") as connection, translated():
        catalog = catalogs.load(connection)
        settings = connection.execute("select name, setting from pg_settings where name = any(%s)", (list(SETTINGS),)).fetchall()
    tables = [
        {
            "table": table.label,
            "rows": table.rows,
            "key": list(table.key),
            "columns": [{"name": c.name, "type": c.declared} for c in table.columns],
            "foreign_keys": [{"constraint": fk.name, "columns": list(fk.columns)} for fk in table.foreign_keys],
        }
        for table in catalog.tables.values()
    ]
    return {"settings": dict(settings), "tables": tables}
