"""`engram-bridge wipe`, which empties the spaces of a configuration."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.cli.asking import Yes, confirm_on_target
from bridge.cli.options import ConfigFile, LedgerPlace, SourceUrl, TargetUrl, load
from bridge.console import console as make_console
from bridge.errors import ConfigError


def wipe(
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    foreign: Annotated[
        bool, typer.Option("--foreign", help="With --yes: also what a ledger has written, which may still count on it.")
    ] = False,
    yes: Yes = False,
) -> int:
    """Forget every memory in the spaces of this configuration, whoever wrote it; refused while its ledger counts on them."""
    from bridge import wiping

    settings = load(config, source, target, ledger)
    spaces = wiping.spaces_to_wipe(settings)
    what = f"everything in {len(spaces)} space(s) is forgotten ({_named(spaces)})"
    written = "" if foreign else _written(wiping.other_ledgers(settings, spaces))
    if written and yes:
        raise ConfigError(
            f"these spaces hold {written}", hint="If no bridge counts on them any more, give --foreign as well as --yes."
        )
    confirm_on_target(settings, f"{what}, with {written}," if written else what, yes=yes)
    total = 0
    for _space, count in wiping.wiped(settings, spaces):
        total += count
    make_console().print(f"{total:,} memories in {len(spaces)} space(s) were forgotten and are proven gone")
    return 0


def _written(ledgers: dict[str, int]) -> str:
    """Whose memories there are, in words; empty when no ledger has written any."""
    if not ledgers:
        return ""
    names = ", ".join(sorted(ledgers)[:3]) + (" and others" if len(ledgers) > 3 else "")
    return f"{sum(ledgers.values()):,} memories that the ledger {names} has written and may count on"


def _named(spaces: list[str]) -> str:
    return ", ".join(spaces[:8]) + (f" and {len(spaces) - 8} more" if len(spaces) > 8 else "")
