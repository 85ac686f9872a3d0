"""Fixtures for every tier: a PostgreSQL server for the session, and a fresh database for each test that asks for one."""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import hypothesis
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bridge.errors import ConfigError
from bridge.sandbox.engram.process import SandboxEngram
from bridge.sandbox.postgres import SandboxPostgres
from tests import ready

DSN = os.environ.get("ENGRAM_BRIDGE_TEST_DSN")
PLUGIN = os.environ.get("ENGRAM_BRIDGE_TEST_PLUGIN", "pgoutput")
"""The plugin of the bridges that tests start. With wal2json, the session's server is one that has it."""
hypothesis.settings.register_profile("bridge", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("bridge")  # a busy machine fails no law
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test fetches a model
if ready.WANTED:  # the same server in a fork: what its users do to it, kill -9 among it, is as before
    SandboxEngram._spawn = ready.spawn_engram  # type: ignore[method-assign, assignment]


class Server(Protocol):
    """A server that tests may make databases on."""

    def url(self, database: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        """A connection string."""
        ...


class ExternalServer:
    """The server of ENGRAM_BRIDGE_TEST_DSN: a superuser's connection string; needs wal_level=logical."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def url(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """The DSN, led to another database, and to another user when one is named."""
        parameters = conninfo_to_dict(self.dsn) | {"dbname": database}
        if user not in (None, "postgres"):
            parameters |= {"user": user, "password": password}
        return make_conninfo("", **{name: str(value) for name, value in parameters.items() if value is not None})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules in an order that mixes those that compute with those that wait, so that several processes share two cores well.

    It is the same in all of them; a module stays together, and so do the servers that its tests share.
    """
    items.sort(key=lambda item: zlib.crc32(item.nodeid.partition("::")[0].encode()))


def pytest_report_header() -> str:
    """The server's version, which decides what the integration tests have shown."""
    if DSN:
        with psycopg.connect(DSN) as connection:
            return f"postgresql: {connection.info.server_version} (ENGRAM_BRIDGE_TEST_DSN)"
    try:
        binaries = SandboxPostgres(Path("unused")).bin_path
    except ConfigError as error:
        return f"postgresql: none, {error}"
    version = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return f"postgresql: {version.split()[-1]} (sandbox)"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for the whole session: the sandbox's, or the one that ENGRAM_BRIDGE_TEST_DSN names."""
    if DSN:
        yield ExternalServer(DSN)
        return
    with tempfile.TemporaryDirectory(prefix="engram-bridge-", ignore_cleanup_errors=True) as folder:
        server = sandbox(Path(folder) / "data", plugin=None if PLUGIN == "pgoutput" else PLUGIN)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def wal2json_postgres() -> Iterator[Server]:
    """One server with wal2json for the whole session; where none is installed the test is skipped, and the summary says why."""
    with tempfile.TemporaryDirectory(prefix="engram-bridge-", ignore_cleanup_errors=True) as folder:
        server = sandbox(Path(folder) / "data", plugin="wal2json")
        server.start()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture
def wal2json_database(wal2json_postgres: Server) -> Iterator[str]:
    """The URL of a fresh, empty database on a server with wal2json."""
    yield from fresh_database(wal2json_postgres)


def sandbox(data: Path, plugin: str | None = None) -> SandboxPostgres:
    """A sandbox server, not started; without the wheel (or a server with the plugin) the test is skipped, and pytest's summary
    says why."""
    try:
        return SandboxPostgres(data, plugin=plugin)
    except ConfigError as error:
        pytest.skip(f"{error}: {error.hint}")


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    """The URL of a fresh, empty database; afterwards it is dropped with its slots."""
    yield from fresh_database(postgres)


def fresh_database(postgres: Server) -> Iterator[str]:
    """Make a database, and drop it with its slots afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} template template0 encoding 'UTF8'").format(sql.Identifier(name)))
    try:
        yield postgres.url(name)
    finally:
        drop_database(postgres, name)


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[SandboxPostgres]:
    """A server of the test's own, to stop, kill and restart. Costs about two seconds."""
    server = sandbox(tmp_path / "data", plugin=None if PLUGIN == "pgoutput" else PLUGIN)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def drop_database(server: Server, name: str) -> None:
    """Drop a database with its slots, whoever still uses them."""
    with psycopg.connect(server.url(), autocommit=True) as admin:
        prepared = admin.execute("select gid from pg_prepared_xacts where database = %s", (name,)).fetchall()
        if prepared:
            with psycopg.connect(server.url(name), autocommit=True) as inside:
                for (gid,) in prepared:
                    inside.execute(sql.SQL("rollback prepared {}").format(sql.Literal(gid)))
        terminate = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()"
        admin.execute(terminate, (name,))
        admin.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = %s", (name,))
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
