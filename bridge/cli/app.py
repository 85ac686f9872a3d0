"""The command line: `engram-bridge --help` lists its commands.

Exit codes: 0 done, 1 a person has to act, 2 usage or configuration, 75 source or target cannot be reached now.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from bridge.cli import (
    altering,
    bundling,
    changing,
    checking,
    completing,
    configuring,
    cutover,
    ending,
    following,
    ledgers,
    parking,
    reconciling,
    referring,
    serving,
    taking_back,
    ticking,
    trying,
    validating,
    wiping,
)
from bridge.errors import BridgeError

app = typer.Typer(
    name="engram-bridge",
    help="Keeps an Engram server in step with a live PostgreSQL database, and proves it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
parked_app = typer.Typer(
    help="Keys that could not be applied: list them, try them again, or stop waiting for them.", no_args_is_help=True
)
sandbox_app = typer.Typer(help="An Engram and a PostgreSQL to try things with.", no_args_is_help=True)
ledger_app = typer.Typer(help="Move the ledger between a file and PostgreSQL, or keep a copy.", no_args_is_help=True)
snapshot_app = typer.Typer(
    help="Pause the loading of tables, or let it go on. The stream is followed all the time.", no_args_is_help=True
)

cutover_app = typer.Typer(help="Move reads to Engram table by table, through gates, and back.", no_args_is_help=True)

SETTING_UP, RUNNING, LOOKING = "Setting up", "Running", "Looking"
CHANGING, ENDING, TRYING = "Changing", "Ending", "Trying"
MOVING = "Moving reads"

app.command(rich_help_panel=SETTING_UP)(checking.init)
app.command(rich_help_panel=SETTING_UP)(checking.check)
app.command(rich_help_panel=SETTING_UP)(configuring.config)
app.command(rich_help_panel=SETTING_UP)(ticking.checklist)
app.command(rich_help_panel=RUNNING)(following.run)
app.command(rich_help_panel=RUNNING)(serving.serve)
app.command(rich_help_panel=RUNNING)(changing.pause)
app.command(rich_help_panel=RUNNING)(changing.resume)
app.command(rich_help_panel=LOOKING)(following.status)
app.command(rich_help_panel=LOOKING)(validating.validate)
app.command(rich_help_panel=LOOKING)(reconciling.reconcile)
app.command(rich_help_panel=LOOKING)(referring.orphans)
app.command(rich_help_panel=LOOKING)(ending.slots)
app.command(rich_help_panel=LOOKING)(bundling.bundle)
app.command(rich_help_panel=CHANGING)(altering.add)
app.command(rich_help_panel=CHANGING)(altering.remove)
app.command(rich_help_panel=CHANGING)(altering.reshard)
app.command(rich_help_panel=CHANGING)(changing.resync)
app.command(rich_help_panel=LOOKING)(taking_back.migrations)
app.command(rich_help_panel=ENDING)(taking_back.rollback)
app.command(rich_help_panel=ENDING)(ending.down)
app.command(rich_help_panel=ENDING)(wiping.wipe)
app.command(rich_help_panel=TRYING)(trying.demo)
app.add_typer(parked_app, name="parked", rich_help_panel=LOOKING)
parked_app.command("list")(parking.parked_list)
parked_app.command("retry")(parking.parked_retry)
parked_app.command("drop")(parking.parked_drop)
app.add_typer(cutover_app, name="cutover", rich_help_panel=MOVING)
cutover_app.command("status")(cutover.cutover_status)
cutover_app.command("shadow")(cutover.cutover_shadow)
cutover_app.command("advance")(cutover.cutover_advance)
cutover_app.command("rehearse")(completing.cutover_rehearse)
cutover_app.command("complete")(completing.cutover_complete)
cutover_app.command("verify")(completing.cutover_verify)
cutover_app.command("back")(cutover.cutover_back)
cutover_app.command("mismatches")(completing.cutover_mismatches)
cutover_app.command("explain")(completing.cutover_explain)
cutover_app.command("audit")(cutover.cutover_audit)
app.add_typer(ledger_app, name="ledger", rich_help_panel=CHANGING)
ledger_app.command("export")(ledgers.ledger_export)
ledger_app.command("import")(ledgers.ledger_import)
ledger_app.command("backup")(ledgers.ledger_backup)
app.add_typer(snapshot_app, name="snapshot", rich_help_panel=RUNNING)
snapshot_app.command("pause")(changing.snapshot_pause)
snapshot_app.command("resume")(changing.snapshot_resume)
app.add_typer(sandbox_app, name="sandbox", rich_help_panel=TRYING)
sandbox_app.command("postgres")(trying.sandbox_postgres)
sandbox_app.command("engram")(trying.sandbox_engram)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"engram-bridge {metadata.version('engram-bridge')}")
        raise typer.Exit


@app.callback()
def root(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Keeps an Engram server in step with a live PostgreSQL database, and proves it."""


def main() -> None:
    """Run a command; errors become a sentence, a hint and an exit code."""
    end(app)


def end(command: typer.Typer, code_of: Callable[[BridgeError], int] = lambda error: error.exit_code, **given: Any) -> NoReturn:
    """Run a program's command line to its end, with the exit code of what came of it. `given`: what its call takes beside."""
    try:
        code = command(standalone_mode=False, **given)
    except BridgeError as error:
        say(error)
        sys.exit(code_of(error))
    except typer.Abort:
        sys.exit(130)
    except typer.TyperException as error:
        show = getattr(error, "show", None)  # usage errors know their command's synopsis
        if callable(show):
            show()
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def say(error: BridgeError) -> None:
    """An error as a person sees it."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]error:[/] {_plain(str(error))}")
    if error.hint:
        console.print(f"  [bold]→[/] {_plain(error.hint)}")


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
