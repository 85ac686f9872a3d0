"""Questions before something is dropped or forgotten for good. Where nobody is there to be asked, only --yes goes on."""

from __future__ import annotations

import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer

from bridge.config import Config
from bridge.errors import ConfigError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Go on without asking.")]


def confirm_on_target(settings: Config, what: str, *, yes: bool) -> None:
    """Have somebody type the target's name. Raises ConfigError when it is another one, or nobody is there to be asked."""
    if yes:
        return
    name = urlsplit(settings.target.http).netloc
    _require_somebody(f"{what} on {name}", "Give --yes if that is what you want.")
    print(
        f"{what[0].upper()}{what[1:]} on {name}. PostgreSQL is not touched. Type {name} to go on: ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    if sys.stdin.readline().strip() != name:
        raise ConfigError("not confirmed: nothing was forgotten", hint=f"Type the target's name: {name}.")


def confirm(what: str, question: str, *, yes: bool, otherwise: str = "") -> None:
    """Have a question answered by y; `otherwise` is another way out. Raises ConfigError for no, and when nobody is there."""
    if yes:
        return
    _require_somebody(what, f"Give --yes if that is what you want{otherwise}.")
    if not typer.confirm(question, err=True):
        raise ConfigError("not confirmed: nothing was dropped or forgotten", hint=f"Answer y, or give --yes{otherwise}.")


def _require_somebody(what: str, hint: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(f"nobody is there to confirm that {what}", hint=hint)
