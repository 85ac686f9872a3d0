"""The embedded PostgreSQL: it starts as whoever we are, keeps port and data over restarts, and is fit for replication."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from bridge.errors import ConfigError
from bridge.sandbox.postgres import SandboxPostgres


def test_a_database_is_fresh_and_fit_for_logical_replication(database: str) -> None:
    """The server of the tests streams logically and each test's database is empty."""
    with psycopg.connect(database) as connection:
        assert connection.execute("show wal_level").fetchone() == ("logical",)
        tables = connection.execute("select count(*) from pg_class where relnamespace = 'public'::regnamespace").fetchone()
        assert tables == (0,)


def test_port_and_data_outlive_restart_and_kill(own_postgres: SandboxPostgres) -> None:
    """What was committed and the URL are the same after a restart and after a crash."""
    url = own_postgres.url()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table kept (n int)")
        connection.execute("insert into kept values (1)")
    own_postgres.restart()
    own_postgres.kill()
    assert not own_postgres.running
    own_postgres.start()
    assert own_postgres.url() == url
    with psycopg.connect(url) as connection:
        assert connection.execute("select n from kept").fetchone() == (1,)
    again = SandboxPostgres(own_postgres.data)
    again.start()
    assert again.port == own_postgres.port


def test_an_older_version_can_be_had(tmp_path: Path) -> None:
    """Version 16 is in the wheel too, and an existing cluster is opened with its own version."""
    with SandboxPostgres(tmp_path / "data", version=16, settings={"wal_sender_timeout": "2s"}) as server:
        with psycopg.connect(server.url()) as connection:
            assert connection.info.server_version // 10000 == 16
            assert connection.execute("show wal_sender_timeout").fetchone() == ("2s",)
        assert SandboxPostgres(server.data).version == 16


def test_an_unknown_version_or_a_missing_wheel_is_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 12: without the wheel the error names the extra to install."""
    with pytest.raises(ConfigError) as refused:
        SandboxPostgres(tmp_path, version=9)
    assert "16, 18" in refused.value.hint
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as missing:
        SandboxPostgres(tmp_path)
    assert "engram-bridge[sandbox]" in missing.value.hint


def test_the_command_serves_in_the_foreground(tmp_path: Path) -> None:
    """It prints its URL, which can be used at once, and SIGTERM stops the server and ends it with 0."""
    data = tmp_path / "data"
    command = [sys.executable, "-m", "bridge", "sandbox", "postgres", "--port", "0", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url, ready = process.stdout.readline().strip(), process.stdout.readline().strip()
        assert ready == "ready"
        with psycopg.connect(url) as connection:
            assert connection.execute("show wal_level").fetchone() == ("logical",)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not SandboxPostgres(data).running
