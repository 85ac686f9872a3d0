"""What is left of a rollback for people and machines: its report as a document and as text, and the map of its ids.

No row values; ids and keys are names.
"""

from __future__ import annotations

import csv
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bridge.ending import prefixes
from bridge.ledger import FILLING, RETIRED, SERVING, Ledger, Migration, Migrations
from bridge.rollback.taking_back import Rollback
from bridge.rollback.tallies import Tally

SCHEMA = 1
LISTED = 20
"""Memories that are left, in the text; the document has all of them."""

OK, FAILED, INVESTIGATE = 0, 1, 3
OUTCOMES = {OK: "ok", FAILED: "failed", INVESTIGATE: "investigate"}

CANNOT = (
    "A restart of Engram brings forgotten memories back. The ledger keeps a tombstone of each.",
    "`engram-bridge run` forgets them again as soon as it sees the restart; without a bridge, run the same rollback again.",
    "Until then recall by embedding may still show them, and so may list pages; a reading by id does not.",
    "What the migration wrote over is not brought back: a memory of another one that it had rewritten is gone with it.",
    "Where Engram linked memories by itself, its links between those that stay are not ours to undo.",
)
NEXT = (
    "The tables are not carried any more, and PostgreSQL answers their reads.",
    "To migrate them again: the same `migrate-postgresql` command, or one with another --migration-id.",
    "To carry them by a running bridge: `engram-bridge add TABLE`.",
)


@dataclass(frozen=True, slots=True)
class Made:
    """When a report's rollback began and ended (seconds since 1970), and whether it changed anything."""

    began: float
    ended: float
    acted: bool
    looked: bool = True


def exit_code(tallies: Sequence[Tally]) -> int:
    """0: what was to go is proven gone. 3: memories that somebody has changed were left. 1: some are answered still."""
    if any(tally.unproven for tally in tallies):
        return FAILED
    return INVESTIGATE if any(tally.left for tally in tallies) else OK


def document(rollback: Rollback, made: Made, target: dict[str, Any]) -> dict[str, Any]:
    """The report as JSON: `schema` 1."""
    tallies = list(rollback.tallies.values())
    code = exit_code(tallies)
    return {
        "schema": SCHEMA,
        "kind": "rollback" if made.acted else "rehearsal",
        "tool": f"engram-bridge {metadata.version('engram-bridge')}",
        "migration_id": rollback.migration.id,
        "outcome": OUTCOMES[code],
        "exit_code": code,
        "reasons": list(_reasons(rollback.migration, tallies)),
        "target": target,
        "began": _time(made.began),
        "ended": _time(made.ended),
        "seconds": round(made.ended - made.began, 3),
        "seconds_expected": None if made.acted or not made.looked else round(3 * (made.ended - made.began), 1),
        "routes": [{"table": label, "was": route.mode.value, "share": route.share} for label, route in rollback.routes.items()],
        "tables": [asdict(tally) for tally in tallies],
        "cannot_be_undone": list(CANNOT),
        "next": list(NEXT),
        "environment": {"python": platform.python_version(), "platform": platform.platform()},
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _reasons(migration: Migration, tallies: Sequence[Tally]) -> Iterator[str]:
    left, unproven = sum(len(one.left) for one in tallies), sum(len(one.unproven) for one in tallies)
    if unproven:
        yield f"{unproven} memories are answered still after Engram was told to forget them: run the same command again"
    if left:
        yield f"{left} memories were changed since the migration wrote them, not by it, and stay: look at them"
    if migration.ended is None:
        yield "the migration had not ended: what it had written by now is meant"


def text(report: dict[str, Any]) -> str:
    """The report for people."""
    acted = report["kind"] == "rollback"
    lines = [
        f"{'Rollback' if acted else 'Rehearsal of a rollback'} of the migration {report['migration_id']}: {report['outcome']}",
        f"{report['began']}, {report['seconds']} s",
    ]
    lines += [f"  {reason}" for reason in report["reasons"]]
    for route in report["routes"]:
        verb = "went" if acted else "would go"
        lines.append(f"  reads of {route['table']} {verb} back to PostgreSQL (they were {route['was']} {route['share']} %)")
    for table in report["tables"]:
        lines.append(_line(table, acted=acted))
    left = [one for table in report["tables"] for one in [*table["left"], *table["unproven"]]]
    lines += [f"  stays: {one['memory_id']} in {one['space']}: {one['reason']}" for one in left[:LISTED]]
    if len(left) > LISTED:
        lines.append(f"  and {len(left) - LISTED} more: the report as JSON has them all")
    if report["seconds_expected"] is not None:
        lines.append(
            f"Reading took {report['seconds']} s; the rollback reads twice and forgets: about {report['seconds_expected']} s"
        )
    lines += ["What cannot be undone:", *(f"  {one}" for one in report["cannot_be_undone"])]
    lines += ["What comes next:", *(f"  {one}" for one in report["next"])]
    return "\n".join(lines) + "\n"


def _line(table: dict[str, Any], *, acted: bool) -> str:
    parts = [f"{table['forgotten']:,} forgotten and proven gone" if acted else f"{table['forgotten']:,} would be forgotten"]
    if table["missing"]:
        parts.append(f"{table['missing']:,} that Engram had not any more")
    if table["returned"]:
        parts.append(f"{table['returned']:,} that had come back")
    if table["unrecorded"]:
        parts.append(f"{table['unrecorded']:,} that were not recorded")
    if table["left"]:
        parts.append(f"{len(table['left']):,} changed since, which stay")
    if table["unproven"]:
        parts.append(f"{len(table['unproven']):,} still answered")
    if table["others"]:
        parts.append(f"{table['others']:,} of other migrations, which stay")
    return f"  {table['table']} ({', '.join(table['spaces'])}): {', '.join(parts)}"


# the map of ids

HEADINGS = ("migration_id", "table", "key", "memory_id", "space", "state", "row_digest")
"""`state`: live (Engram holds it), gone (taken back, and proven gone), deleted (its row was deleted at the source before)."""


def write_id_map(ledger: Ledger, migration: Migration, path: Path, tables: Sequence[str] | None = None) -> int:
    """Every memory of a migration, a line of CSV each; answers how many. From the ledger, so it is whole after a kill, too."""
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(HEADINGS)
        for record in ledger.generations(SERVING, FILLING, RETIRED):
            if tables is not None and record.label not in tables:
                continue
            prefix, after = prefixes(record.label)[0], None
            while page := Migrations(ledger).page(migration.number, record.number, after):
                for key, entry in page:
                    state = "live" if entry.live else "gone" if entry.digest else "deleted"
                    space = record.spaces[entry.shard]
                    lines.writerow([migration.id, record.label, key, prefix + key, space, state, entry.digest])
                count += len(page)
                after = page[-1][0]
    return count
