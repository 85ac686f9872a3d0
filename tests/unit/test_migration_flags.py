"""The command line of `migrate-postgresql`: the flags of the guide, what they are by default, and what their help advises."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer

from bridge.cli.migrating import app
from bridge.errors import CheckFailed
from bridge.migration import checkpoint
from bridge.migration.checkpoint import usable

ADDRESSES = "--source postgresql://h/d --target http://h:1 "
GUIDE = (
    "--source 'postgresql://user:pass@localhost/mydb' --target http://localhost:8080 --batch-size 1000",
    ADDRESSES + "--table-to-space 'users:user_space,orders:order_space,products:product_space' --batch-size 5000",
    ADDRESSES + "--text-columns 'users:name,bio,notes;orders:description,comments' --batch-size 5000",
    "--source 'host=h dbname=d' --target http://h:1 --parallel-workers 8 --batch-size 5000 --checkpoint-file pg_migration.json",
    ADDRESSES + "--timestamp-column inserted_on --dry-run --validate --no-validate",
    ADDRESSES + "--tables users,orders --skip-edges --memory-space all --single-space --embedding-provider minilm",
    ADDRESSES + "--confidence 0.95 --report r.html --migration-id m --since 2026-01-01 --until 2026-02-01 --limit 100",
    ADDRESSES + "--ledger l.db --config c.yaml --json-log",
)
"""The commands of the guide, but for the hosts, and every other flag that is promised."""


def command() -> Any:
    """The command, as Typer makes it."""
    return typer.main.get_command(app)


def parameter(name: str) -> Any:
    """One of its options."""
    return next(one for one in command().params if name in one.opts)


@pytest.mark.parametrize("flags", GUIDE)
def test_the_commands_of_the_guide_are_understood(flags: str) -> None:
    """Requirements 20 to 32: the words as they stand there are flags of ours."""
    assert command().make_context("migrate-postgresql", shlex.split(flags)) is not None


@pytest.mark.parametrize(
    ("name", "default"), [("--batch-size", 1000), ("--parallel-workers", 4), ("--validate", True), ("--dry-run", False)]
)
def test_defaults_are_those_of_the_guide(name: str, default: object) -> None:
    """Requirements 27, 29, 146: 1000 rows, 4 workers, and checks are made unless they are refused."""
    assert parameter(name).default == default


def test_the_help_gives_the_guides_advice() -> None:
    """Requirements 26, 28, 33 to 38: 5000 is recommended, and numbers by the size of tables and by their mixture."""
    assert "Recommended: 5000" in parameter("--batch-size").help
    assert re.search(r"100k rows 1000, up to 10M 5000 to 10000, beyond 10000 to 20000", parameter("--batch-size").help)
    assert all(advice in parameter("--parallel-workers").help for advice in ("1 to 2", "4 to 8", "4 to 6"))
    assert "created_at" in parameter("--timestamp-column").help
    assert "10 to 15 %" in parameter("--validate").help
    for one in command().params:
        assert getattr(one, "help", None), one.name


@contextmanager
def nobody() -> Iterator[None]:
    """As a user who may write nowhere; as oneself where one is no superuser."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_checkpoint_that_cannot_be_written_is_told_with_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirement 18: a folder that is read-only, or not there, or without room, before a row is read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        usable(folder / "c.json")
        with pytest.raises(CheckFailed, match="is not there"):
            usable(folder / "missing" / "c.json")
        with pytest.raises(CheckFailed, match="is a folder"):
            usable(folder)
        folder.chmod(0o555)
        with nobody(), pytest.raises(CheckFailed, match=re.escape(f"{folder / 'c.json'} cannot be written")):
            usable(folder / "c.json")
        folder.chmod(0o755)
        monkeypatch.setattr(checkpoint, "LEAST_FREE_BYTES", 1 << 62)
        with pytest.raises(CheckFailed, match="MB left"):
            usable(folder / "c.json")
