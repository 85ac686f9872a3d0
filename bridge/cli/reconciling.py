"""`engram-bridge reconcile`: one round now, by the running bridge or by this command."""

from __future__ import annotations

import json
import threading
import time
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
from bridge.ledger import Ledger, Reconciliations
from bridge.reconcile import Order
from bridge.signals import ENDING, on_signals

POLL_SECONDS = 0.3
FOUND = 3
UNSETTLED = "unsettled: PostgreSQL has what is not carried yet; the running bridge brings it, or else the next run"


def reconcile(
    tables: Annotated[list[str] | None, typer.Option("--table", help=f"Only these, by commas or repeated. {TABLES}")] = None,
    repair: Annotated[
        bool, typer.Option("--repair/--dry-run", help="Mend what differs, or only tell it and leave all as it is.")
    ] = True,
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    who: Annotated[str | None, typer.Option("--who", help="Who asks; by default user@host.")] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> int:
    """Compare PostgreSQL, ledger and Engram once through, and mend what differs; ends with 3 when something was found.

    A running bridge does it, beside its work and within its budget (section `reconcile`). Without one, the command starts one for
    as long as it takes; with --dry-run it only reads, and what PostgreSQL has changed since the bridge stopped stays unsettled.
    """
    console = make_console()
    logs.set_up(logs.LogFormat.TEXT, verbose=verbose, console=make_console(stderr=True))
    settings = load(config, source, target, ledger)
    book = existing_ledger(settings)
    try:
        names = [name for given in tables or [] for name in given.split(",") if name]
        order = Order(tuple(carried(book, name) for name in names), repair)
        running = book.held_by() is not None
        if "paused" in book.facts() and (repair or running):
            raise ConfigError("the bridge is paused: it compares and mends nothing", hint="engram-bridge resume")
        if running:
            number = Reconciliations(book).ask(who or me(), order.as_dict())
            result = _awaited(book, number)
        elif repair:
            number, result = _with_a_bridge(settings, book, who or me(), order)
        else:
            number, result = _read_only(settings, book, who or me(), order)
    finally:
        book.close()
    document = {"number": number, **result}
    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        show(console, document)
    if "failed" in result:
        return 1
    return 0 if result["clean"] else FOUND


def _awaited(book: Ledger, number: int) -> dict[str, Any]:
    """The result, once the running bridge has done it. Raises ConfigError when it has ended meanwhile."""
    while True:
        one = Reconciliations(book).find(number)
        if one is not None and one.ended is not None and one.result is not None:
            return one.result
        if book.held_by() is None:
            raise ConfigError(f"the bridge has ended; round {number} is done by its next run", hint="engram-bridge run")
        time.sleep(POLL_SECONDS)


def _with_a_bridge(settings: Config, book: Ledger, who: str, order: Order) -> tuple[int, dict[str, Any]]:
    """Run a bridge for as long as it takes: what is mended goes through its lanes. Raises what a run can fail of."""
    from bridge import running

    if "slot" not in book.facts():
        raise ConfigError(
            "this ledger follows no stream, so nothing may be mended beside it",
            hint="engram-bridge reconcile --dry-run compares; engram-bridge run follows the source, and mends.",
        )
    ending = threading.Event()
    on_signals(ending.set, *ENDING)
    bridge = running.prepare(settings)
    try:
        bridge.start()
        number = Reconciliations(book).ask(who, order.as_dict())
        while bridge.failure is None and not ending.is_set():
            one = Reconciliations(book).find(number)
            if one is not None and one.ended is not None and one.result is not None:
                return number, one.result
            ending.wait(POLL_SECONDS)
    finally:
        bridge.stop()
    raise bridge.failure or ConfigError(f"interrupted; round {number} is gone on with by the next run", hint="engram-bridge run")


def _read_only(settings: Config, book: Ledger, who: str, order: Order) -> tuple[int, dict[str, Any]]:
    """Compare and mend nothing, while nobody else writes. Raises LedgerHeld, and what a comparison can fail of."""
    from bridge.reconcile.reading import compare_only

    number = Reconciliations(book).ask(who, order.as_dict(), begun=True)
    try:
        book.acquire()
        result = compare_only(settings, book, number)
    except BridgeError as error:
        Reconciliations(book).end(number, {"clean": False, "failed": str(error)})
        raise
    except KeyboardInterrupt:
        Reconciliations(book).end(number, {"clean": False, "failed": "it was interrupted"})
        raise
    return number, result


def show(console: Console, result: dict[str, Any]) -> None:
    """A result for people."""
    if "failed" in result:
        console.print(Text(f"round {result['number']} could not be done: {result['failed']}", style="bold red"))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    columns = ("rows", "marked", "keys", "memories", "lag", "unsettled", "found", "mended")
    for heading in ("table", "rows", "by digest", *columns[2:]):
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for label, one in result["tables"].items():
        skipped = f" ({one['skipped']})" if one["skipped"] else ""
        table.add_row(label + skipped, *(f"{one[name]:,}" for name in columns))
    console.print(table)
    for found in result["findings"]:
        cause = f", cause: {found['cause']}" if found["cause"] else ""
        what = f"{found['table']} {found['key']}: {found['kind']}{cause}: {found['how'] or 'not mended'}"
        console.print(Text(what, style="yellow" if found["how"] else "red"))
    if result["not_named"]:
        console.print(Text(f"and {result['not_named']:,} more", style="red"))
    verdict = "nothing differs" if result["clean"] else f"{result['found']:,} found, {result['mended']:,} mended"
    if unsettled := sum(one["unsettled"] for one in result["tables"].values()):
        verdict += f", {unsettled:,} unsettled"
        console.print(Text(UNSETTLED, style="yellow"))
    compared = f"{result['rows']:,} rows and {result['memories']:,} memories in {result['seconds']:.1f} s"
    console.print(Text(f"round {result['number']}: {verdict}; compared {compared}", style="bold"))
