"""`engram-bridge validate`: PostgreSQL, ledger and Engram compared, while the stream runs or when nobody carries changes."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge import logs
from bridge.cli.options import (
    TABLES,
    AsJson,
    ConfigFile,
    LedgerPlace,
    SourceUrl,
    TargetUrl,
    Verbose,
    carried,
    existing_ledger,
    load,
)
from bridge.config import Config
from bridge.console import console as make_console
from bridge.cutover import me
from bridge.errors import BridgeError, ConfigError
from bridge.ledger import Ledger, Serving
from bridge.report import report_form, validation_page, write_page
from bridge.validation import order_of
from bridge.validation.findings import LEAVABLE
from bridge.validation.queries import read_queries
from bridge.validation.verdict import INVESTIGATE, OK, ROLLBACK

POLL_SECONDS = 0.5
PRINTED = 50
"""Findings that are printed: what they come to stands behind them, and is to be seen."""

HEADINGS = {
    "table": "",
    "rows": "rows",
    "ledger": "ledger",
    "memories": "memories",
    "compared": "sampled",
    "edges": "edges",
    "orphans": "orphans",
    "vectors": "vectors",
    "parked": "parked",
    "lag": "lag",
    "unsettled": "unsettled",
    "found": "findings",
}
"""What the table shows, by its name in a result."""

VERDICTS = {OK: "clean", INVESTIGATE: "not clean: investigate", ROLLBACK: "not clean: a rollback is advised"}


def validate(
    tables: Annotated[list[str] | None, typer.Option("--tables", help=f"Only these, by commas or repeated. {TABLES}")] = None,
    space: Annotated[str | None, typer.Option("--space", help="Only the tables that live in this space, or its shards.")] = None,
    sample: Annotated[
        str, typer.Option("--sample", help="Rows of each table that are compared field by field, or all.")
    ] = "1000",
    seed: Annotated[int | None, typer.Option("--seed", help="Draws the same sample of the same keys again.")] = None,
    queries: Annotated[
        Path | None, typer.Option("--queries", help="Questions and the ids that each must find, as YAML or JSON.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", help=f"Leave a check out; can be: {', '.join(LEAVABLE)}.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the whole result to this file: .json, .html or .txt.")
    ] = None,
    by_bridge: Annotated[
        bool, typer.Option("--by-bridge", help="Let the running bridge do it, and wait for its result.")
    ] = False,
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    who: Annotated[str | None, typer.Option("--who", help="Who asks; by default user@host.")] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Compare PostgreSQL, ledger and Engram. Ends with 0 when all is right, 3 when something has to be looked into, 4 when more
    than one row in a hundred of a table is damaged, 1 when it could not be done.
    """
    if report is not None:
        report_form(report)
    asked = read_queries(queries) if queries is not None else None
    console = make_console()
    logs.set_up(logs.LogFormat.TEXT, verbose=verbose, console=make_console(stderr=True))
    settings = load(config, source, target, ledger)
    book = existing_ledger(settings)
    try:
        names = [name for given in tables or [] for name in given.split(",") if name]
        names += tables_of(book, space) if space is not None else []
        detail = {"sample": sample, "seed": seed, "without": without, "queries": asked.as_dict() if asked else None}
        order = order_of(detail | {"tables": [carried(book, name) for name in names]})
        if by_bridge:
            number, result = _asked(book, who or me(), order.as_dict())
        else:
            number, result = _done(settings, book, who or me(), order.as_dict())
    finally:
        book.close()
    document = {"number": number, **result}
    if report is not None:
        write_page(document, validation_page(document), report)
    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        show(console, document)
    return 1 if "failed" in result else int(result["exit_code"])


def tables_of(book: Ledger, space: str) -> list[str]:
    """The labels of the tables that live in a space, or in the shards of this name. Raises ConfigError when there is none."""
    spaces = {record.label: record.spaces for record in book.tables()}
    shards = re.compile(re.escape(space) + r"(-\d+)?")
    found = [label for label, names in spaces.items() if any(shards.fullmatch(name) for name in names)]
    if not found:
        known = dict.fromkeys(name for names in spaces.values() for name in names)
        raise ConfigError(f"no table of this ledger lives in the space {space!r}", hint=f"There is: {', '.join(known)}.")
    return found


def _done(settings: Config, book: Ledger, who: str, detail: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Do it here. Raises what a validation can fail of."""
    from bridge.validation.attending import carry_out, failed, open_sides

    serving = Serving(book)
    number = serving.ask_validation(who, detail | {"by": who}, begun=True)
    try:
        with open_sides(settings, book) as sides:
            return number, carry_out(serving, number, sides, detail)
    except BridgeError as error:
        failed(serving, number, error)
        raise
    except KeyboardInterrupt:
        failed(serving, number, BridgeError("it was interrupted"))
        raise


def _asked(book: Ledger, who: str, detail: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Ask the running bridge, and wait. Raises ConfigError when none runs, or it has ended meanwhile."""
    serving = Serving(book)
    if book.held_by() is None:
        raise ConfigError("no bridge runs that could do it", hint="Leave --by-bridge away, or start `engram-bridge run`.")
    number = serving.ask_validation(who, detail)
    while True:
        one = next(found for found in serving.validations(200) if found.number == number)
        if one.ended is not None and one.result is not None:
            return number, one.result
        if book.held_by() is None:
            raise ConfigError(f"the bridge has ended; validation {number} is done by its next run", hint="engram-bridge run")
        time.sleep(POLL_SECONDS)


def show(console: Console, result: dict[str, Any]) -> None:
    """A result for people."""
    if "failed" in result:
        console.print(Text(f"validation {result['number']} could not be done: {result['failed']}", style="bold red"))
        return
    console.print(_numbers(result))
    for found in result["findings"][:PRINTED]:
        columns = f" ({', '.join(found['columns'])})" if found.get("columns") else ""
        detail = f" {found['detail']}" if found.get("detail") else ""
        console.print(Text(f"{found['check']}: {found['id'] or found['table']}: {found['kind']}{columns}{detail}", style="red"))
    more = max(len(result["findings"]) - PRINTED, 0)
    if more + result["not_named"]:
        where = "; --report names more of them" if more else ""
        console.print(Text(f"and {more + result['not_named']:,} more{where}", style="red"))
    for reason in result["reasons"]:
        console.print(Text(reason, style="yellow"))
    for label, one in result["tables"].items():
        chances = ", ".join(
            f"{bad} damaged row(s): {100 * chance:.4g} %" for bad, chance in one["chance_to_miss"].items() if chance
        )
        if chances:
            console.print(f"{label}: probability that the sample missed {chances}", markup=False, soft_wrap=True)
    left_out = [name for name in LEAVABLE if name not in result["checks"]]
    verdict = VERDICTS[result["outcome"]] + (f" (without {', '.join(left_out)})" if left_out else "")
    when = f"frontier {' to '.join(result['frontier'])}" if result["carried_by"] == "a bridge" else "nobody carries changes"
    console.print(Text(f"validation {result['number']}: {verdict}; {when}", style="bold"))


def _numbers(result: dict[str, Any]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for label, one in result["tables"].items():
        numbers = (one[name] for name in HEADINGS.values() if name)
        table.add_row(label + (f" ({one['skipped']})" if "skipped" in one else ""), *(f"{number:,}" for number in numbers))
    return table
