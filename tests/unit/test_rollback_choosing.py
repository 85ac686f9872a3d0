"""Which tables and which Engram a rollback goes to: those that the migration wrote to, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.cli.taking_back import _settings, _tables
from bridge.errors import ConfigError
from bridge.gate import Entry
from bridge.ledger import Batch, Ledger, Migration, Migrations, Outcome
from bridge.ledger.migrations import MIGRATE
from bridge.lsn import make_version
from bridge.rollback.taking_back import Rollback
from tests.unit.test_rollback import Memories

LABELS = ["public.a", "public.b"]
WRITTEN, OTHER = "http://127.0.0.1:1", "http://127.0.0.1:2"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(str(tmp_path / "ledger.db"))
    for label in LABELS:
        made.register(label, [label], [], 0)
    return made


def migration(ledger: Ledger, *written: int, name: str = "m", ended: bool) -> Migration:
    """One that was ordered for both tables, and has recorded a memory in those of these numbers."""
    number = Migrations(ledger).begin(name, MIGRATE, {"tables": LABELS, "target": WRITTEN, "grpc": "127.0.0.1:3"})
    entry = Entry(make_version(1, 100, 1), "d", "r", True, 0, migration=number)
    ledger.record(Batch([Outcome((table, "1"), entry) for table in written]))
    if ended:
        Migrations(ledger).end(number, {})
    return again(ledger, name)


def again(ledger: Ledger, name: str = "m") -> Migration:
    found = Migrations(ledger).find(name)
    assert found is not None
    return found


def test_a_table_in_which_nothing_was_written_is_left_alone(ledger: Ledger) -> None:
    """It was ordered, and every row of it was there already: its reads and its bridge go on."""
    done = migration(ledger, 2, ended=True)
    assert _tables(ledger, done, None) == ["public.b"]
    with pytest.raises(ConfigError, match=r"wrote nothing in public\.a"):
        _tables(ledger, done, ["a"])
    ledger.close()


def test_what_is_not_recorded_is_looked_for_once_in_each_table(ledger: Ledger) -> None:
    """One that was killed may have written in all that it was ordered; also when it is taken back table by table.

    Afterwards nobody's later work in them is stopped.
    """
    killed = migration(ledger, 2, ended=False)
    assert _tables(ledger, killed, None) == LABELS
    target = Memories({label: {} for label in LABELS})
    assert Rollback(ledger, target, killed, _tables(ledger, killed, ["b"])).carry_out()
    assert _tables(ledger, again(ledger), None) == LABELS
    assert Rollback(ledger, target, again(ledger), _tables(ledger, again(ledger), ["b"])).carry_out()
    assert _tables(ledger, again(ledger), None) == LABELS
    assert Rollback(ledger, target, again(ledger), LABELS).carry_out()
    assert _tables(ledger, again(ledger), None) == ["public.b"]
    assert Migrations(ledger).begin("m", MIGRATE, {"tables": LABELS}) == killed.number
    assert _tables(ledger, again(ledger), None) == LABELS
    ledger.close()


@pytest.mark.parametrize("ended", [True, False])
def test_a_configuration_of_another_engram_is_refused(ledger: Ledger, tmp_path: Path, *, ended: bool) -> None:
    """There everything is missing: nothing would go, and the rollback would end well."""
    done = migration(ledger, 1, ended=ended)

    def settings(http: str, target: str | None = None) -> Any:
        file = tmp_path / "bridge.yaml"
        file.write_text(f"{{source: postgresql://u@h/d, target: {http}}}", encoding="utf-8")
        return _settings(file, (target, None), str(tmp_path / "ledger.db"), done).target

    with pytest.raises(ConfigError, match=f"wrote to {WRITTEN}, and the configuration names {OTHER}"):
        settings(OTHER)
    assert settings(WRITTEN).http == WRITTEN
    named = settings(OTHER, WRITTEN)
    assert (named.http, named.grpc) == (WRITTEN, "127.0.0.1:3")
    assert settings(WRITTEN, OTHER).http == OTHER  # it has moved, says who knows
    ledger.close()
