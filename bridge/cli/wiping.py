"""`engram-bridge wipe`, which empties the spaces of a configuration."""

from __future__ import annotations

from bridge.cli.asking import Yes, confirm_on_target
from bridge.cli.options import ConfigFile, LedgerPlace, SourceUrl, TargetUrl, load
from bridge.console import console as make_console


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
    confirm_on_target(settings, f"everything in {len(spaces)} space(s) is forgotten ({_named(spaces)})", yes=yes)
    total = 0
    for _space, count in wiping.wiped(settings, spaces):
        total += count
    make_console().print(f"{total:,} memories in {len(spaces)} space(s) were forgotten and are proven gone")
    return 0


def _named(spaces: list[str]) -> str:
    return ", ".join(spaces[:8]) + (f" and {len(spaces) - 8} more" if len(spaces) > 8 else "")
