"""The report of a migration as a page: what a manager asks first stands first."""

from __future__ import annotations

from bridge.report.document import Document, Orphans, Outcome, TableReport
from bridge.report.page import Column, Facts, Figure, Grid, Lines, Page, Section, Tone, count, moment, seconds_text
from bridge.report.validation import validation_section

VERDICTS: dict[Outcome, tuple[str, Tone]] = {
    "ok": ("Migrated, and everything that was checked is as it should be", "good"),
    "failed": ("The migration failed", "bad"),
    "investigate": ("Migrated, but something has to be looked into", "warn"),
    "rollback": ("More than 1 % differs: a rollback is advised", "bad"),
}

COUNTS = ("rows", "loaded", "unchanged", "edges", "external", "orphans", "parked")


def migration_page(document: Document, most: int | None = None) -> Page:
    """The whole of it; with `most`, no more orphans and parked keys by name than so many each."""
    verdict, tone = VERDICTS[document["outcome"]]
    source, target = document["source"], document["target"]
    subtitle = f"{source['database']} (PostgreSQL {source['server_version']}) → {target['url']} (Engram {target['version']})"
    sections = (
        _tables(document),
        orphan_section(document["orphans"], most) if document["orphans"]["count"] else None,
        _parked(document, most),
        validation_section(document["validation"], _share(document)),
        _writes(document),
        _advice(document),
        _circumstances(document),
    )
    return Page(
        f"Migration {document['migration_id']}",
        subtitle,
        verdict,
        tone,
        tuple(document["reasons"]),
        _figures(document),
        tuple(section for section in sections if section is not None),
        f"{document['tool']} · began {moment(document['began'])} · exit code {document['exit_code']}",
    )


def _figures(document: Document) -> tuple[Figure, ...]:
    tables = document["tables"]
    rows, parked = sum(table["rows"] for table in tables), sum(table["parked"] for table in tables)
    orphans = document["orphans"]["count"]
    figures = [
        Figure(f"{rows:,}", "rows read"),
        Figure(f"{len(tables):,}", "tables" if len(tables) != 1 else "table"),
        Figure(f"{document['edges']:,}", "edges"),
        Figure(seconds_text(document["seconds"]), f"{_rate(rows, document['seconds'])} rows a second"),
        Figure(f"{orphans:,}", "orphaned foreign keys", "warn" if orphans else "good"),
        Figure(f"{parked:,}", "rows not written", "bad" if parked else "good"),
    ]
    validation = document["validation"]
    if validation is not None and "failed" not in validation:
        found = sum(int(one["findings"]) for one in validation["tables"].values())
        figures.append(Figure(f"{found:,}", "validation findings", "bad" if found else "good"))
    return tuple(figures)


def _tables(document: Document) -> Section:
    names = ("table", "spaces", *COUNTS, "time", "rows/s", "note")
    columns = tuple(Column(name, number=name not in ("table", "spaces", "note")) for name in names)
    tables = document["tables"]
    if not tables:
        return Section("Tables", note="No table was read.")
    rows = tuple(_row(table) for table in tables)
    totals: tuple[str, ...] = (
        "total",
        f"{len({space for table in tables for space in table['spaces']}):,}",
        *(f"{sum(numbers):,}" for numbers in zip(*map(_counts, tables), strict=True)),
        seconds_text(document["seconds"]),
        _rate(sum(table["rows"] for table in tables), document["seconds"]),
        "",
    )
    bad = frozenset((place, 8) for place, table in enumerate(tables) if table["parked"])
    held = f"The {document['edges_held_by']} holds the edges; each memory names its references as well."
    return Section("Tables", (Grid(columns, rows, totals, bad),), f"{held} Tables are read side by side: their times overlap.")


def _row(table: TableReport) -> tuple[str, ...]:
    return (
        table["table"],
        spaces_text(table["spaces"]),
        *(f"{number:,}" for number in _counts(table)),
        seconds_text(table["seconds"]) if table["seconds"] else "–",
        f"{table['rows_per_second']:,.0f}" if table["rows_per_second"] else "–",
        table["note"],
    )


def _counts(table: TableReport) -> tuple[int, ...]:
    """In the order of COUNTS."""
    first = (table["rows"], table["loaded"], table["unchanged"])
    return (*first, table["edges"], table["external"], table["orphans"], table["parked"])


def spaces_text(spaces: list[str]) -> str:
    """One space by its name, several by the first and the last."""
    if not spaces:
        return "–"
    return spaces[0] if len(spaces) == 1 else f"{spaces[0]} … {spaces[-1]}"


def _rate(rows: int, seconds: float) -> str:
    return f"{rows / seconds:,.0f}" if seconds > 0 else "–"


def orphan_section(found: Orphans, most: int | None = None) -> Section:
    """The orphans by name, the first `most` of them, and what can be done about them."""
    note = (
        f"{orphan_sentence(found['count'])}: the rows are in Engram, what they refer to is not in PostgreSQL. Correct them in "
        "PostgreSQL, or make placeholder memories under the missing ids; `engram-bridge orphans` looks again."
    )
    columns = (Column("constraint"), Column("child"), Column("missing parent"))
    rows = tuple((one["constraint"], one["child"], one["parent"]) for one in found["listed"][:most])
    parts: tuple[Grid | Lines, ...] = (Grid(columns, rows),)
    if found["count"] > len(rows):
        parts += (Lines((), found["count"] - len(rows)),)
    return Section("Orphaned foreign keys", parts, note)


def orphan_sentence(number: int) -> str:
    """As the guide words it."""
    return f"Found {number:,} orphaned foreign key{'' if number == 1 else 's'}"


def _parked(document: Document, most: int | None) -> Section | None:
    if not document["parked"]:
        return None
    total = sum(table["parked"] for table in document["tables"])
    rows = tuple((one["id"], one["reason"]) for one in document["parked"][:most])
    more = max(total - len(rows), 0)
    parts: tuple[Grid | Lines, ...] = (Grid((Column("memory"), Column("reason")), rows),)
    note = f"{count(total, 'row')} could not be written. They are not in Engram."
    return Section("Rows that were not written", parts + ((Lines((), more),) if more else ()), note)


def _writes(document: Document) -> Section:
    writes = document["writes"]
    facts = Facts(
        (
            ("writes sent", f"{writes['sent']:,}"),
            ("dropped by Engram and sent again", f"{writes['dropped_and_recovered']:,}"),
            ("restarts of Engram meanwhile", f"{writes['target_restarts']:,}"),
        )
    )
    return Section("Writes", (facts,), "Each write was proven by reading its memory back.")


def _advice(document: Document) -> Section | None:
    return Section("Advice", (Lines(tuple(document["advice"])),)) if document["advice"] else None


def _circumstances(document: Document) -> Section:
    source, target = document["source"], document["target"]
    facts = [
        ("began", moment(document["began"])),
        ("ended", moment(document["ended"])),
        ("resumed", "yes" if document["resumed"] else "no"),
        ("source", f"{source['database']}, system {source['system_identifier']}, timeline {source['timeline']}"),
        ("target", f"{target['url']}, a space holds {target['capacity']:,} rows"),
        ("target's life", target["epoch"] or "not known"),
    ]
    facts += [
        (f"snapshot {number}" if len(source["snapshots"]) > 1 else "snapshot", f"{one['lsn']}, taken {moment(one['at'])}")
        for number, one in enumerate(source["snapshots"], 1)
    ]
    facts += list(document["environment"].items())
    facts.append(("command", document["command"]))
    return Section("Circumstances", (Facts(tuple(facts)),))


def _share(document: Document) -> float | None:
    validation = document["validation"]
    if validation is None or "failed" in validation:
        return None
    if "share" in validation:
        return float(validation["share"])
    seconds = float(validation.get("seconds", validation["ended"] - validation["began"]))
    return seconds / document["seconds"] if document["seconds"] else None
