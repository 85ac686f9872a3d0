"""`engram-bridge orphans`: what became of the foreign keys, looked at again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import TABLES, AsJson, ConfigFile, LedgerPlace, SourceUrl, TargetUrl, carried, existing_ledger, load
from bridge.console import console as make_console


def orphans(
    tables: Annotated[list[str] | None, typer.Option("--tables", help=f"Only these, by commas or repeated. {TABLES}")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write the whole to this file: .json, .html or .txt.")] = None,
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> int:
    """List foreign keys that lead to rows which PostgreSQL does not have. Placeholders made by hand in Engram are found."""
    from bridge.migration.orphans import find_references
    from bridge.report import report_form, write_page
    from bridge.report.text import show
    from bridge.validation.attending import open_sides

    if report is not None:
        report_form(report)
    settings = load(config, source, target, ledger)
    book = existing_ledger(settings)
    try:
        names = [name for given in tables or [] for name in given.split(",") if name]
        labels = [carried(book, name) for name in names] or None
        with open_sides(settings, book) as sides:
            found = find_references(book, sides.mapping, sides.origin, sides.target, labels=labels)
    finally:
        book.close()
    if report is not None:
        write_page(found.as_dict(), found.page(), report)
    if as_json:
        print(json.dumps(found.as_dict(), ensure_ascii=False, indent=2))
    else:
        show(found.page(), make_console())
    return 0
