"""`engram-bridge config`: what is in force, and what every key means."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
import yaml
from rich.table import Table

from bridge.cli.options import ConfigFile, LedgerPlace, SourceUrl, TargetUrl, load
from bridge.config import Config, shown
from bridge.console import console as make_console
from bridge.explain import Key, explain, keys


def config(
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    explain_key: Annotated[
        str | None, typer.Option("--explain", metavar="KEY", help="What a key means, such as target.limit; `all` for every key.")
    ] = None,
) -> int:
    """Show the configuration in force, defaults included and passwords left out; or explain a key."""
    if explain_key is not None:
        _explain(list(keys(Config)) if explain_key == "all" else explain(Config, explain_key))
        return 0
    yaml.safe_dump(shown(load(config, source, target, ledger)), sys.stdout, sort_keys=False, allow_unicode=True)
    return 0


def _explain(found: list[Key]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("key", "type", "default", "meaning"):
        table.add_column(heading, overflow="fold")
    for key in found:
        table.add_row(key.path, key.kind, "required" if key.default is None else key.default, key.meaning)
    make_console().print(table)
