"""What `--help` says: every command and option is explained, and tables are named alike everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from bridge.cli import app
from bridge.cli.options import carried
from bridge.errors import ConfigError
from bridge.ledger import Ledger


def commands(command: Any, path: str = "engram-bridge") -> Iterator[tuple[str, Any]]:
    """Every command and group below a command, itself included."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


def test_every_command_and_option_is_explained() -> None:
    """A help text is never missing, and a sentence of a command ends."""
    found = list(commands(typer.main.get_command(app)))
    assert len(found) > 20
    for path, command in found:
        assert command.help, path
        assert command.help.rstrip().endswith("."), path
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{path}: {parameter.name}"


def test_every_command_has_a_panel() -> None:
    """None stands apart from the others in `engram-bridge --help`."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]  # it is a group
        assert isinstance(command.rich_help_panel, str), name


@pytest.mark.parametrize("name", ["orders", "public.orders"])
def test_a_table_in_public_needs_no_schema(tmp_path: Path, name: str) -> None:
    """`add`, `remove`, `reshard` and `resync` take a table as the configuration names it, and as `status` shows it."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    try:
        ledger.register("public.orders", ["orders"], [], 1)
        assert carried(ledger, name) == "public.orders"
        with pytest.raises(ConfigError, match="ordres is no table of this ledger"):
            carried(ledger, "ordres")
    finally:
        ledger.close()
