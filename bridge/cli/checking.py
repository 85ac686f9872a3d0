"""`engram-bridge init` and `check`: before anything is carried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_FILE, AsJson, ConfigFile, LedgerPlace, SourceUrl, TargetUrl, load
from bridge.console import console as make_console
from bridge.errors import ConfigError


def init(
    source: Annotated[
        str | None,
        typer.Option("--source", help="PostgreSQL URL; by default that of ENGRAM_BRIDGE_SOURCE. Its password is not kept."),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Engram's HTTP URL; by default that of ENGRAM_BRIDGE_TARGET, or this host's.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = DEFAULT_FILE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> int:
    """Write a first configuration from the catalogue: tables, spaces, text columns; what cannot be carried, and why."""
    from bridge import initial

    places = initial.addresses(source, target)
    initial.refuse_existing(output, force=force)
    draft = initial.draft(places)
    initial.write(output, draft, force=force)
    console = make_console()
    console.print(
        f"{output}: {len(draft.carried)} table(s) to carry, {len(draft.excluded)} that cannot be, with the reason", markup=False
    )
    if places.had_secret:
        console.print("the password is not in it: set PGPASSWORD or PGPASSFILE")
    config = "" if output == DEFAULT_FILE else f" --config {output}"
    console.print(f"read it, then: engram-bridge check{config}", markup=False)
    return 0


def check(
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
    as_sql: Annotated[bool, typer.Option("--sql", help="Only the statements that the source lacks, as a script.")] = False,
    role: Annotated[
        str | None, typer.Option("--role", help="With --sql: for this role, there or not; by default the one that connects.")
    ] = None,
) -> int:
    """Tell now what would go wrong later. Changes nothing in the source."""
    from bridge import preflight

    if as_sql:
        print(preflight.statements(load(config, source, target, ledger), role), end="")
        return 0
    if role is not None:
        raise ConfigError("--role goes with --sql", hint="To check what a role may do, connect as that role.")
    report = preflight.run(load(config, source, target, ledger))
    if as_json:
        print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        report.show(make_console())
    return int(report.exit_code)
