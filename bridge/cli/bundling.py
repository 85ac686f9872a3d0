"""`engram-bridge bundle`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import ConfigFile, LedgerPlace, SourceUrl, TargetUrl, existing_ledger, load
from bridge.console import console as make_console
from bridge.errors import ConfigError


def bundle(
    file: Annotated[Path | None, typer.Argument(help="Where to; by default engram-bridge-<time>.zip here.")] = None,
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
) -> int:
    """Pack what support needs into one file: configuration without secrets, status, last errors, catalogue. No row values."""
    from bridge import bundle as bundles

    settings = load(config, source, target, ledger)
    place = file or Path(time.strftime("engram-bridge-%Y%m%d-%H%M%S.zip"))
    try:
        book = existing_ledger(settings)
    except ConfigError:
        book = None
    try:
        lacking = bundles.write(place, settings, book)
    except OSError as error:
        raise ConfigError(f"{place} cannot be written: {error.strerror}", hint="Name another file.") from error
    finally:
        if book is not None:
            book.close()
    console = make_console()
    console.print(f"{place}")
    for name, why in lacking.items():
        console.print(f"without {name}: {why}")
    return 0
