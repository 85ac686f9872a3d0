"""What the commands share: their options, and how they come to a configuration and to a ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bridge import config as configuration
from bridge import logs
from bridge.config import Config
from bridge.errors import ConfigError
from bridge.explain import nearest
from bridge.ledger import Ledger
from bridge.ledger.place import ledger_exists, place_of

DEFAULT_FILE = Path("bridge.yaml")

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration; bridge.yaml when it is there.")]
SourceUrl = Annotated[str | None, typer.Option("--source", help="PostgreSQL URL; wins over the file.")]
TargetUrl = Annotated[str | None, typer.Option("--target", help="Engram's HTTP URL; wins over the file.")]
LedgerPlace = Annotated[str | None, typer.Option("--ledger", help="The ledger's path or PostgreSQL URL; wins over the file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="More in the log.")]
LogFormat = Annotated[logs.LogFormat, typer.Option("--log-format", help="How log lines look.")]

LedgerOnly = Annotated[
    str | None, typer.Option("--ledger", help="The ledger's path or PostgreSQL URL; by default that of the configuration.")
]


TABLES = "Tables as `status` shows them: public.orders; `orders` is enough in public."


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """A part whose packages are optional: their absence is a sentence that names the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"this needs the package {error.name!r}, which is not installed", hint=f"pip install 'engram-bridge[{name}]'"
        ) from error


def load(path: Path | None, source: str | None, target: str | None, ledger: str | None) -> Config:
    """The configuration of a command: its file, and the flags that win over it. Raises ConfigError."""
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    return configuration.load(path, source=source, target=target, ledger=ledger)


def existing_ledger(settings: Config) -> Ledger:
    """The ledger of a bridge that has run. Raises ConfigError when there is none."""
    if not ledger_exists(settings.ledger):
        raise ConfigError(
            f"there is no ledger at {place_of(settings.ledger).shown}",
            hint="Start `engram-bridge run` first, or name the ledger by --ledger.",
        )
    return Ledger(settings.ledger)


def ledger_place(config: Path | None, ledger: str | None) -> str:
    """The place that is named, or that of the configuration. Raises ConfigError."""
    return ledger if ledger is not None else load(config, None, None, None).ledger


def open_book(config: Path | None, ledger: str | None) -> Ledger:
    """The ledger that is named, or that of the configuration; it must be there. Raises ConfigError."""
    ledger = ledger_place(config, ledger)
    if not ledger_exists(ledger):
        raise ConfigError(f"there is no ledger at {place_of(ledger).shown}", hint="Name the ledger by --ledger.")
    return Ledger(ledger)


def carried(book: Ledger, name: str) -> str:
    """The label of a carried table; the schema `public` may be left out. Raises ConfigError."""
    labels = [record.label for record in book.tables()]
    found = next((label for label in labels if label in (name, f"public.{name}")), None)
    if found is None:
        raise ConfigError(f"{name} is no table of this ledger", hint=nearest(name, labels))
    return found
