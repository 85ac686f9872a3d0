"""Keep the ledger of the present schema version: `python -m tests.ledgers.make` writes version-N.sql beside this file.

To be run once for each version, by the code that is released with it; what it has written is never made again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time
from pathlib import Path

import psycopg

from bridge.ledger.tables import SCHEMA_VERSION
from bridge.sandbox.postgres import SandboxPostgres
from tests.ledgers import story
from tests.ledgers.kept import kept
from tests.rig import Rig


def main() -> None:
    """A run with a restart of the target, ended in order; its ledger as statements, but for measurements."""
    with tempfile.TemporaryDirectory() as folder, SandboxPostgres(Path(folder) / "postgres") as postgres:
        Path(folder).chmod(0o755)
        with psycopg.connect(postgres.url(), autocommit=True) as admin:
            admin.execute("create database shop")
        rig = Rig(Path(folder), postgres.url("shop"), **story.TABLES)
        try:
            _run(rig)
            with contextlib.closing(sqlite3.connect(rig.ledger_path)) as connection:
                lines = [line for line in connection.iterdump() if not line.startswith('INSERT INTO "gauges"')]
        finally:
            rig.close()
    kept(SCHEMA_VERSION).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _run(rig: Rig) -> None:
    rig.sql(*story.BEGINNING)
    rig.start()
    rig.wait_until_proven()
    rig.sql(*story.CHANGES)
    rig.wait_until_proven()
    rig.engram.kill()
    rig.engram.start()
    rig.wait_until_proven()
    while len(epochs(rig)) < 2:
        time.sleep(0.1)
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()


def epochs(rig: Rig) -> list[tuple[str, float, float | None]]:
    """The target's starts that the ledger knows."""
    ledger = rig.ledger()
    try:
        return ledger.epochs()
    finally:
        ledger.close()


if __name__ == "__main__":
    main()
