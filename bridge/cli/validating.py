"""`engram-bridge validate`: PostgreSQL, ledger and Engram compared, while the stream runs."""

from __future__ import annotations

import json
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
from bridge.validation import order_of

POLL_SECONDS = 0.5


def validate(
    tables: Annotated[list[str] | None, typer.Option("--tables", help=f"Only these, by commas or repeated. {TABLES}")] = None,
    sample: Annotated[
        str, typer.Option("--sample", help="Rows of each table that are compared field by field, or all.")
    ] = "1000",
    seed: Annotated[int | None, typer.Option("--seed", help="Draws the same sample of the same keys again.")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write the whole result to this file, as JSON.")] = None,
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
    """Compare PostgreSQL, ledger and Engram while the stream runs; ends with 1 when something is found."""
    console = make_console()
    logs.set_up(logs.LogFormat.TEXT, verbose=verbose, console=make_console(stderr=True))
    settings = load(config, source, target, ledger)
    book = existing_ledger(settings)
    try:
        names = [name for given in tables or [] for name in given.split(",") if name]
        order = order_of({"tables": [carried(book, name) for name in names], "sample": sample, "seed": seed})
        if by_bridge:
            number, result = _asked(book, who or me(), order.as_dict())
        else:
            number, result = _done(settings, book, who or me(), order.as_dict())
    finally:
        book.close()
    document = {"number": number, **result}
    if report is not None:
        report.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        show(console, document)
    return 0 if result["clean"] else 1


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
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("table", "rows", "ledger", "compared", "edges", "orphans", "parked", "lag", "unsettled", "found"):
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for label, one in result["tables"].items():
        numbers = (
            one[name] for name in ("rows", "ledger", "sampled", "edges", "orphans", "parked", "lag", "unsettled", "findings")
        )
        table.add_row(label + (f" ({one['skipped']})" if "skipped" in one else ""), *(f"{number:,}" for number in numbers))
    console.print(table)
    for found in result["findings"]:
        columns = f" ({', '.join(found['columns'])})" if found.get("columns") else ""
        detail = f" {found['detail']}" if found.get("detail") else ""
        console.print(Text(f"{found['check']}: {found['id'] or found['table']}: {found['kind']}{columns}{detail}", style="red"))
    if result["not_named"]:
        console.print(Text(f"and {result['not_named']:,} more", style="red"))
    for label, one in result["tables"].items():
        chances = ", ".join(
            f"{bad} damaged row(s): {100 * chance:.4g} %" for bad, chance in one["chance_to_miss"].items() if chance
        )
        if chances:
            console.print(f"{label}: probability that the sample missed {chances}", markup=False)
    verdict = "clean" if result["clean"] else "not clean"
    console.print(Text(f"validation {result['number']}: {verdict}, frontier {' to '.join(result['frontier'])}", style="bold"))
