"""`engram-bridge checklist`: what is to be true of a migration, and what of it is."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from bridge.checklist import PHASES, SEEN, WORDS, Confirmation, Known, Phase, Strategy, Tick, still_open, ticks
from bridge.cli.cutover import slot_now
from bridge.cli.options import AsJson, ConfigFile, LedgerPlace, SourceUrl, TargetUrl, load
from bridge.config import Config
from bridge.console import console as make_console
from bridge.cutover import me
from bridge.errors import ConfigError
from bridge.explain import nearest
from bridge.ledger import Ledger, Migrations, Serving
from bridge.ledger.migrations import MIGRATE, Migration
from bridge.ledger.place import ledger_exists, place_of
from bridge.readiness import gates_now

LABEL = "checklist"
"""Under what the audit trail has it; tables have a dot in their labels."""

CONFIRM, WITHDRAW = "confirm", "withdraw"
ALL_ACTS = 1_000_000
CONFIRMABLE = (*WORDS, "subset")
MARKS = {"done": ("[x]", "green"), "open": ("[ ]", "bold yellow"), "not needed": ("[-]", "dim")}


def checklist(
    strategy: Annotated[
        Strategy, typer.Option("--strategy", help="The way that is taken; docs/strategies.md leads through each.")
    ] = "dual-write",
    phase: Annotated[Phase | None, typer.Option("--phase", help="Only this part of the list.")] = None,
    confirm: Annotated[list[str] | None, typer.Option("--confirm", help="Confirm a line that only a person can.")] = None,
    withdraw: Annotated[list[str] | None, typer.Option("--withdraw", help="Take a confirmation back.")] = None,
    who: Annotated[str | None, typer.Option("--who", help="Who confirms; by default user@host.")] = None,
    why: Annotated[str, typer.Option("--why", help="What the confirmation rests on.")] = "",
    check: Annotated[bool, typer.Option("--check", help="End with 1 while a line (of the phase) is open.")] = False,
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> int:
    """What has to be true before, after and at the end of a migration: ticked by what is seen, or by who confirms it."""
    settings = load(config, source, target, ledger)
    for name in (*(confirm or ()), *(withdraw or ())):
        _known_name(name)
    if confirm or withdraw:
        _note(settings, confirm or [], withdraw or [], who or me(), why)
    found = [tick for tick in ticks(_look(settings), strategy) if phase in (None, tick.phase)]
    left = still_open(found)
    if as_json:
        document = {"strategy": strategy, "open": [tick.name for tick in left], "lines": [tick.as_dict() for tick in found]}
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        make_console().print(_render(found), soft_wrap=True)
    return 1 if check and left else 0


def _known_name(name: str) -> None:
    if name in CONFIRMABLE:
        return
    if name in SEEN:
        raise ConfigError(f"{name} is not confirmed but seen", hint="It is ticked by itself once it is so.")
    raise ConfigError(f"there is no line {name!r} that a person confirms", hint=nearest(name, CONFIRMABLE))


def _note(settings: Config, confirm: list[str], withdraw: list[str], who: str, why: str) -> None:
    """Into the audit trail of the ledger, which is made if it is not there: confirmations come before anything else."""
    book = Ledger(settings.ledger)
    try:
        for verb, names in ((CONFIRM, confirm), (WITHDRAW, withdraw)):
            for name in names:
                Serving(book).note(who=who, verb=verb, label=LABEL, detail={"line": name, "why": why})
    finally:
        book.close()


def confirmations(book: Ledger) -> dict[str, Confirmation]:
    """What is confirmed and not withdrawn, by the line's name: the newest word counts."""
    words: dict[str, Confirmation] = {}
    for act in reversed(Serving(book).audit(ALL_ACTS, LABEL)):
        name = str(act.detail.get("line", ""))
        if act.verb == CONFIRM:
            words[name] = Confirmation(act.who, act.at, str(act.detail.get("why", "")))
        else:
            words.pop(name, None)
    return words


def _look(settings: Config) -> Known:
    """Ask source, target and ledger."""
    from bridge import preflight

    report = preflight.run(settings)
    loading = sum(table.seconds for table in report.tables) or None
    place = place_of(settings.ledger).shown
    if not ledger_exists(settings.ledger):
        return Known(place, findings=report.findings, loading=loading)
    book = Ledger(settings.ledger)
    try:
        inputs, gates = gates_now(book, slot_now(settings, book), settings.cutover.thresholds())
        tried = any(was_trial(one) for one in Migrations(book).all())
        return Known(
            place,
            kept=True,
            findings=report.findings,
            loading=loading,
            tried=tried,
            gates=gates,
            tables=inputs.tables,
            confirmed=confirmations(book),
        )
    finally:
        book.close()


def was_trial(migration: Migration) -> bool:
    """A one-shot migration of some tables, or of some rows, that came to its end with a report."""
    order = migration.detail.get("order", {})
    some = any(order.get(name) for name in ("tables", "limit", "since", "until"))
    return migration.kind == MIGRATE and migration.ended is not None and migration.result is not None and some


def _render(found: list[Tick]) -> RenderableType:
    lines: list[RenderableType] = []
    phase = None
    for tick in found:
        if tick.phase != phase:
            phase = tick.phase
            lines += [Text(), Text(PHASES[phase], style="bold")]
        mark, style = MARKS[tick.state]
        lines.append(Text.assemble("  ", (mark, style), " ", (f"{tick.name:<11}", "bold"), f" {tick.asks}"))
        if tick.told:
            lines.append(Text(f"                  {tick.told}", style="dim"))
        if tick.remedy:
            lines.append(Text(f"                  → {tick.remedy}"))
    left = still_open(found)
    people = sum(tick.by == "person" for tick in left)
    closing = f"{len(found) - len(left)} of {len(found)} done; {len(left)} open" + (
        f", {people} for a person to confirm" if left else ""
    )
    return Group(*lines, Text(), Text(closing, style="bold yellow" if left else "bold green"))
