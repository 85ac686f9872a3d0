"""The result of a validation as a section of a report, and as a report of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.report.page import Column, Figure, Grid, Lines, Page, Section, Tone, count, moment, seconds_text

NUMBERS = {
    "rows": "rows",
    "ledger": "ledger",
    "sampled": "compared",
    "edges": "edges",
    "vectors": "vectors",
    "recomputed": "made anew",
    "orphans": "orphans met",
    "parked": "parked",
    "lag": "lag",
    "changed_since": "changed since",
    "unsettled": "unsettled",
    "findings": "found",
}
"""What a result says of a table, with its heading here; what an older result does not say is left out."""

WRONG = ("changed_since", "unsettled", "findings")
VERDICTS: dict[str, tuple[str, Tone]] = {
    "ok": ("PostgreSQL and Engram agree", "good"),
    "investigate": ("Something has to be looked into", "warn"),
    "rollback": ("More than 1 % differs: a rollback is advised", "bad"),
    "failed": ("The validation could not be done", "bad"),
}


def validation_section(result: Mapping[str, Any] | None, share: float | None = None) -> Section:
    """What was compared and found. `share`: the part of the whole time that it took."""
    if result is None:
        return Section("Validation", note="None was made: nothing is said of what Engram holds beyond the proof of each write.")
    if "failed" in result:
        return Section("Validation", note=f"It could not be done: {result['failed']}")
    verdict = "Nothing was found." if result["clean"] else "It is not clean."
    seconds = result.get("seconds", result["ended"] - result["began"])
    took = f" It took {seconds_text(seconds)}" + (
        f", {share:.0%} of the whole time; 10 to 15 % are to be planned for." if share is not None else "."
    )
    parts: list[Grid | Lines] = [_checks(result), _tables(result)]
    if result["findings"]:
        parts.append(Lines(tuple(finding_line(found) for found in result["findings"]), int(result.get("not_named", 0))))
    since = [str(memory_id) for memory_id in result.get("changed_since", ())]
    if since:
        total = sum(int(one.get("changed_since", 0)) for one in result["tables"].values())
        parts.append(Lines(tuple(f"changed in PostgreSQL since it was carried: {one}" for one in since), total - len(since)))
    silent = {label: one["not_recalled"] for label, one in result["tables"].items() if one.get("not_recalled")}
    if silent:
        parts.append(Lines(tuple(f"{label}: no row was asked for by its own text: {why}" for label, why in silent.items())))
    chances = _chances(result)
    if chances:
        parts.append(Lines(chances))
    return Section("Validation", tuple(parts), verdict + took)


def validation_page(result: Mapping[str, Any]) -> Page:
    """The whole report of a validation that was made alone."""
    given = "failed" if "failed" in result else str(result.get("outcome") or ("ok" if result["clean"] else "investigate"))
    verdict, tone = VERDICTS[given]
    found = sum(int(one["findings"]) for one in result.get("tables", {}).values())
    figures: tuple[Figure, ...] = ()
    if "failed" not in result:
        compared = sum(int(one["sampled"]) for one in result["tables"].values())
        figures = (
            Figure(f"{len(result['tables']):,}", "tables"),
            Figure(f"{sum(int(one['rows']) for one in result['tables'].values()):,}", "rows in PostgreSQL"),
            Figure(f"{compared:,}", "compared field by field"),
            Figure(f"{found:,}", "findings", "bad" if found else "good"),
        )
    subtitle = moment(result["began"]) if "began" in result else ""
    reasons = tuple(str(reason) for reason in result.get("reasons", ()))
    foot = f"engram-bridge {result['version']}" if "version" in result else ""
    return Page("Validation", subtitle, verdict, tone, reasons, figures, (validation_section(result),), foot)


def finding_line(found: Mapping[str, Any]) -> str:
    """One finding: check, memory, what is wrong, columns by name."""
    columns = f" ({', '.join(found['columns'])})" if found.get("columns") else ""
    detail = f" {found['detail']}" if found.get("detail") else ""
    return f"{found['check']}: {found['id'] or found['table']}: {found['kind']}{columns}{detail}"


def _checks(result: Mapping[str, Any]) -> Grid:
    """Each check by what it says when nothing was found."""
    totals = {name: sum(int(one["checks"].get(name, 0)) for one in result["tables"].values()) for name in result["checks"]}
    rows = tuple((name, sentence, f"{totals[name]:,}") for name, sentence in result["checks"].items())
    bad = frozenset((place, 2) for place, name in enumerate(result["checks"]) if totals[name])
    return Grid((Column("check"), Column("what it says"), Column("found", number=True)), rows, bad=bad)


def _tables(result: Mapping[str, Any]) -> Grid:
    tables: Mapping[str, Mapping[str, Any]] = result["tables"]
    told = [name for name in NUMBERS if any(name in one for one in tables.values())]
    rows, bad = [], set()
    for place, (label, one) in enumerate(tables.items()):
        name = label + (f" ({one['skipped']})" if one.get("skipped") else "")
        rows.append((name, *(f"{int(one.get(number, 0)):,}" for number in told)))
        bad |= {(place, 1 + told.index(number)) for number in WRONG if one.get(number)}
    columns = (Column("table"), *(Column(NUMBERS[number], number=True) for number in told))
    totals = tuple(f"{sum(int(one.get(number, 0)) for one in tables.values()):,}" for number in told)
    return Grid(columns, tuple(rows), ("total", *totals), frozenset(bad))


def _chances(result: Mapping[str, Any]) -> tuple[str, ...]:
    """What a sample cannot say, for the tables that were not compared as a whole."""
    told = []
    for label, one in result["tables"].items():
        chances = ", ".join(
            f"{count(int(bad), 'damaged row')}: {100 * chance:.4g} %" for bad, chance in one["chance_to_miss"].items() if chance
        )
        if chances:
            told.append(f"{label}: {int(one['sampled']):,} of {int(one['rows']):,} rows; probability to have missed {chances}")
    return tuple(told)
