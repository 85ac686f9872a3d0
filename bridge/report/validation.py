"""The result of a validation as a section of a report, and as a report of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.report.page import Column, Figure, Grid, Lines, Page, Section, Tone, count, moment, seconds_text

NUMBERS = ("rows", "ledger", "sampled", "edges", "orphans", "parked", "lag", "unsettled", "findings")
HEADINGS = ("rows", "ledger", "compared", "edges", "orphans", "parked", "lag", "unsettled", "found")


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
    chances = _chances(result)
    if chances:
        parts.append(Lines(chances))
    return Section("Validation", tuple(parts), verdict + took)


def validation_page(result: Mapping[str, Any]) -> Page:
    """The whole report of a validation that was made alone."""
    clean = bool(result["clean"])
    tone: Tone = "good" if clean else "bad"
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
    verdict = "PostgreSQL and Engram agree" if clean else "PostgreSQL and Engram do not agree"
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
    rows, bad = [], set()
    for place, (label, one) in enumerate(result["tables"].items()):
        name = label + (f" ({one['skipped']})" if one.get("skipped") else "")
        rows.append((name, *(f"{int(one[number]):,}" for number in NUMBERS)))
        bad |= {(place, 1 + NUMBERS.index(number)) for number in ("unsettled", "findings") if one[number]}
    columns = (Column("table"), *(Column(heading, number=True) for heading in HEADINGS))
    totals = tuple(f"{sum(int(one[number]) for one in result['tables'].values()):,}" for number in NUMBERS)
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
