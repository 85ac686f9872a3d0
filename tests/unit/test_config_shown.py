"""What `config` shows: all that is in force and nothing that is secret; what a key means, and the nearest to a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from bridge.cli import app
from bridge.errors import ConfigError
from bridge.postgres import SECRETS

runner = CliRunner()


def test_the_configuration_is_shown_without_its_secrets(tmp_path: Path) -> None:
    """Passwords of all addresses, and the target's key."""
    file = tmp_path / "bridge.yaml"
    file.write_text(
        "source: postgresql://u:secret-one@h/db\n"
        "target: {http: 'http://h:7432', api_key: secret-two}\n"
        "ledger: postgresql://l:secret-three@h/ledger\n"
        "tables: {users: {shards: 2}}\n"
    )
    shown = runner.invoke(app, ["config", "--config", str(file)])
    assert shown.exit_code == 0, shown.output
    assert "secret" not in shown.output
    values = yaml.safe_load(shown.output)
    assert values["ledger"] == "postgresql://l@h/ledger"
    assert values["tables"]["users"]["shards"] == 2
    assert values["target"]["limit"] == 90_000


def test_a_ledgers_secrets_are_not_shown_wherever_they_stand(tmp_path: Path) -> None:
    """Every parameter of a connection that is secret; what is not is shown."""
    options = "&".join(f"{name}=hidden" for name in sorted(SECRETS))
    file = tmp_path / "bridge.yaml"
    file.write_text(
        "source: postgresql://u@h/db\ntarget: http://h:7432\n"
        f"ledger: postgresql://l:hid#den@h/ledger?sslmode=verify-full&{options}&schema=mine\n"
    )
    shown = runner.invoke(app, ["config", "--config", str(file)])
    assert shown.exit_code == 0, shown.output
    assert "hid" not in shown.output
    assert yaml.safe_load(shown.output)["ledger"] == "postgresql://l@h/ledger?sslmode=verify-full&schema=mine"


def test_a_key_is_explained(tmp_path: Path) -> None:
    """With any name in the place of a table's, and with all keys below a section."""
    one = runner.invoke(app, ["config", "--explain", "tables.anything.shards"])
    assert "tables.<name>.shards" in one.output
    section = runner.invoke(app, ["config", "--explain", "parked"])
    assert "parked.retry_first" in section.output
    with pytest.raises(ConfigError) as wrong:
        runner.invoke(app, ["config", "--explain", "target.limits"], catch_exceptions=False)
    assert "target.limit" in wrong.value.hint
