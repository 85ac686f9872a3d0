"""What a command that refuses must leave as it was, and how a refusal is looked at."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import yaml

from tests import ready
from tests.patience import PATIENCE
from tests.rig import Rig


@dataclass(frozen=True, slots=True)
class Traces:
    """All that could have been written: the ledger's contents (None without one), spaces, slots and publications."""

    ledger: str | None
    spaces: frozenset[str]
    slots: frozenset[str]
    publications: frozenset[str]


def traces(rig: Rig, source: str | None = None) -> Traces:
    """What is there now; `source` is a URL that may look, when the rig's own may not."""
    with psycopg.connect(source or rig.source) as connection:
        slots = connection.execute("select slot_name from pg_replication_slots where database = current_database()").fetchall()
        publications = connection.execute("select pubname from pg_publication").fetchall()
    return Traces(
        ledger_contents(rig.ledger_path),
        spaces(rig),
        frozenset(row[0] for row in slots),
        frozenset(row[0] for row in publications),
    )


def spaces(rig: Rig) -> frozenset[str]:
    """The spaces of the target, but for those that a server has by itself and the one that is probed."""
    answer = httpx.get(f"{rig.engram.http}/api/v1/spaces").json()
    return frozenset(space["id"] for space in answer["spaces"]) - {"default", "engram-bridge-probe"}


def ledger_contents(path: Path) -> str | None:
    """Everything that stands in a ledger, but for measurements; None when there is no file."""
    if not path.exists():
        return None
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return "\n".join(line for line in connection.iterdump() if not line.startswith('INSERT INTO "gauges"'))


def refused(rig: Rig, code: int, *says: str, command: tuple[str, ...] = ("run", "--until-caught-up")) -> str:
    """Run a command that must be refused: its exit code, an error and a remedy in one sentence each, all of `says` in them."""
    done = subprocess.run(
        [*ready.command(), *command, "--config", str(rig.file)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    said = done.stderr + done.stdout
    assert done.returncode == code, said
    assert "Traceback" not in said, said
    if "check" not in command:
        assert re.search(r"^error: (?s:.+?)\n  → .+", done.stderr, re.MULTILINE), said
    for part in says:
        assert part in said, f"{part!r} is not in: {said}"
    return said


def ended_with(rig: Rig, code: int, *says: str, timeout: float = PATIENCE) -> None:
    """The running bridge ends by itself, with this code and this said."""
    assert rig.process is not None
    assert rig.process.wait(timeout) == code, rig.tail()
    said = rig.tail()
    for part in says:
        assert part in said, f"{part!r} is not in: {said}"


def configure(rig: Rig, **changes: object) -> None:
    """Change keys of the rig's configuration; a mapping goes into the one that is there."""
    document = yaml.safe_load(rig.file.read_text(encoding="utf-8"))
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(document.get(name), dict):
            document[name].update(value)
        else:
            document[name] = value
    rig.file.write_text(yaml.safe_dump(document), encoding="utf-8")
