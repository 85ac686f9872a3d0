"""`engram-bridge cutover`: moving reads to Engram table by table, and back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.cli.options import TABLES, AsJson, ConfigFile, LedgerPlace, SourceUrl, TargetUrl, carried, existing_ledger, load
from bridge.config import Config
from bridge.console import console as make_console
from bridge.console import human_bytes, human_seconds
from bridge.cutover import GatesClosed, Moves, me
from bridge.errors import BridgeError
from bridge.gates import Gate, closed
from bridge.ledger import Act, Ledger
from bridge.reads import Route
from bridge.status import SlotFigures
from bridge.wiring import slot_figures

OneTable = Annotated[str, typer.Argument(metavar="TABLE", help="A table as `status` shows it; `orders` is enough in public.")]
Who = Annotated[str | None, typer.Option("--who", help="Who does it, for the audit trail; by default user@host.")]
Why = Annotated[str, typer.Option("--why", help="Why, for the audit trail.")]
Force = Annotated[bool, typer.Option("--force", help="Through closed gates; needs --why, and stands in the audit trail.")]


@contextmanager
def moves(settings: Config, who: str | None) -> Iterator[Moves]:
    """What a command needs to look and to move."""
    book = existing_ledger(settings)
    try:
        yield Moves(book, settings.cutover.thresholds(), slot_now(settings, book), who or me())
    finally:
        book.close()


def slot_now(settings: Config, book: Ledger) -> SlotFigures | None:
    """The slot as PostgreSQL tells it; None where it cannot be asked, which closes a gate."""
    slot = book.facts().get("slot")
    if slot is None:
        return None
    try:
        return slot_figures(settings, slot)
    except BridgeError as error:
        make_console(stderr=True).print(Text(f"PostgreSQL was not asked: {error}", style="yellow"))
        return None


def cutover_status(
    tables: Annotated[list[str] | None, typer.Argument(metavar="[TABLE]...", help=TABLES)] = None,
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    check: Annotated[bool, typer.Option("--check", help="End with 1 when a gate of these tables is closed.")] = False,
    as_json: AsJson = False,
) -> int:
    """Where the reads of each table go, and every gate with its value, its bound, since when, and what to do."""
    with moves(load(config, source, target, ledger), None) as at:
        labels = [carried(at.ledger, name) for name in tables or []] or [record.label for record in at.ledger.tables()]
        inputs, gates = at.known
        shown = [gate for gate in gates if gate.table == "" or gate.table in labels]
        routes = {table.label: table.route for table in inputs.tables if table.label in labels}
    shut = {label: closed(gates, label) for label in labels}
    if as_json:
        document = {
            "tables": {
                label: {**asdict(routes[label]), "ready": not shut[label], "closed": [gate.name for gate in shut[label]]}
                for label in labels
            },
            "gates": [asdict(gate) for gate in shown],
        }
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        _print(make_console(), routes, shown, inputs.now)
    return 1 if check and any(shut.values()) else 0


def cutover_shadow(
    table: OneTable,
    share: Annotated[int, typer.Option("--share", help="Percent of the keys that are compared.")] = 100,
    config: ConfigFile = None,
    ledger: LedgerPlace = None,
    who: Who = None,
    why: Why = "",
) -> int:
    """PostgreSQL answers everything, and what Engram would have answered is compared."""
    with moves(load(config, None, None, ledger), who) as at:
        told(at.shadow(carried(at.ledger, table), share, why=why))
    return 0


def cutover_advance(
    table: OneTable,
    share: Annotated[int, typer.Option("--share", help="Percent of the keys that Engram answers.")],
    config: ConfigFile = None,
    ledger: LedgerPlace = None,
    who: Who = None,
    why: Why = "",
    force: Force = False,
) -> int:
    """Let Engram answer a share of a table's keys, if all gates are open; a smaller share than now needs none."""
    with moves(load(config, None, None, ledger), who) as at:
        try:
            told(at.advance(carried(at.ledger, table), share, why=why, force=force))
        except GatesClosed as closed_gates:
            return refused(closed_gates)
    return 0


def cutover_back(
    tables: Annotated[list[str], typer.Argument(metavar="TABLE...", help=f"{TABLES} `all`: every one.")],
    config: ConfigFile = None,
    ledger: LedgerPlace = None,
    who: Who = None,
    why: Why = "",
) -> int:
    """PostgreSQL answers everything again, at once."""
    settings = load(config, None, None, ledger)
    book = existing_ledger(settings)
    try:
        at = Moves(book, settings.cutover.thresholds(), None, who or me())
        every = [record.label for record in book.tables()]
        for label in every if tables == ["all"] else [carried(book, name) for name in tables]:
            told(at.back(label, why=why))
    finally:
        book.close()
    return 0


def cutover_audit(
    table: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="Of this table only.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="So many, the newest first.")] = 50,
    config: ConfigFile = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> int:
    """Who moved which reads, when and why."""
    from bridge.ledger import Serving

    book = existing_ledger(load(config, None, None, ledger))
    try:
        acts = Serving(book).audit(limit, carried(book, table) if table is not None else None)
    finally:
        book.close()
    if as_json:
        print(json.dumps([asdict(act) for act in acts], ensure_ascii=False, indent=2))
        return 0
    for act in acts:
        make_console().print(Text(f"{_moment(act.at)}  {act.who}  {_sentence(act)}"))
    return 0


def told(act: Act) -> None:
    """Say what was done."""
    make_console().print(Text(_sentence(act)))


def _sentence(act: Act) -> str:
    to = act.detail.get("to")
    where = f" → {to['mode']}{' ' + str(to['share']) + ' %' if to['mode'] in ('shadow', 'engram') else ''}" if to else ""
    forced = f" (by force; closed: {', '.join(act.detail['closed'])})" if act.detail.get("forced") else ""
    why = f": {act.detail['why']}" if act.detail.get("why") else ""
    return f"{act.verb} {act.label}{where}{forced}{why}"


def refused(error: GatesClosed) -> int:
    """Say which gates are closed, and what to do about each; answers the exit code."""
    console = make_console(stderr=True)
    console.print(Text(str(error), style="bold red"))
    console.print(_gates(error.gates, time.time()))
    console.print(Text(f"  → {error.hint}"))
    return error.exit_code


def _print(console: Console, routes: dict[str, Route], gates: list[Gate], now: float) -> None:
    common = [gate for gate in gates if gate.table == ""]
    console.print(Text("all tables", style="bold"), _gates(common, now), sep="\n")
    for label, route in routes.items():
        own = [gate for gate in gates if gate.table == label]
        ready = "ready" if all(gate.open for gate in common + own) else "not ready"
        share = f" {route.share} %" if route.share else ""
        console.print()
        console.print(Text(f"{label}  {route.mode}{share}  {ready}", style="bold"), _gates(own, now), sep="\n")


def _gates(gates: list[Gate], now: float) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("gate", "", "value", "bound", "since", "what to do"):
        table.add_column(heading, overflow="fold")
    for gate in gates:
        state = Text("open", style="green") if gate.open else Text("closed", style="red")
        since = f"{human_seconds(max(now - gate.since, 0.0))} ago"
        name = f"{gate.table} {gate.name}".strip() if len({one.table for one in gates}) > 1 else gate.name
        table.add_row(name, state, _shown(gate.value, gate.unit), _shown(gate.threshold, gate.unit), since, gate.remedy)
    return table


def _shown(value: float | int | str | None, unit: str) -> str:
    if value is None or isinstance(value, str):
        return value or "–"
    if unit == "B":
        return human_bytes(value)
    return human_seconds(value) if unit == "s" else f"{value:g} {unit}".strip()


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
