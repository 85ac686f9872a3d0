"""`engram-bridge wipe`, and the question that comes before anything is forgotten for good."""

from __future__ import annotations

import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer

from bridge.cli.options import ConfigFile, LedgerPlace, SourceUrl, TargetUrl, load
from bridge.config import Config
from bridge.console import console as make_console
from bridge.errors import ConfigError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Go on without asking.")]


def confirm(settings: Config, what: str, *, yes: bool) -> None:
    """Have somebody type the target's name. Raises ConfigError when it is another one, or nobody is there to be asked."""
    if yes:
        return
    name = urlsplit(settings.target.http).netloc
    if not sys.stdin.isatty():
        raise ConfigError(f"nobody is there to confirm that {what} on {name}", hint="Give --yes if that is what you want.")
    print(
        f"{what[0].upper()}{what[1:]} on {name}. PostgreSQL is not touched. Type {name} to go on: ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    if sys.stdin.readline().strip() != name:
        raise ConfigError("not confirmed: nothing was forgotten", hint=f"Type the target's name: {name}.")


def wipe(
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    yes: Yes = False,
) -> int:
    """Forget every memory in the spaces of this configuration, whoever wrote it; refused while its ledger counts on them."""
    from bridge import wiping

    settings = load(config, source, target, ledger)
    spaces = wiping.spaces_to_wipe(settings)
    confirm(settings, f"everything in {len(spaces)} space(s) is forgotten ({_named(spaces)})", yes=yes)
    total = 0
    for _space, count in wiping.wiped(settings, spaces):
        total += count
    make_console().print(f"{total:,} memories in {len(spaces)} space(s) were forgotten and are proven gone")
    return 0


def _named(spaces: list[str]) -> str:
    return ", ".join(spaces[:8]) + (f" and {len(spaces) - 8} more" if len(spaces) > 8 else "")
