"""`check` looks behind the source's address: poolers, balancers, standbys, clocks, encryption, the WAL that may be kept."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bridge import preflight, preflight_server
from bridge.check import Finding
from bridge.check_report import Report
from bridge.check_server import server_findings
from bridge.config import Config
from bridge.errors import ConfigError
from bridge.facts import EndpointFacts, Facts
from bridge.postgres import connect
from bridge.preflight_server import clock_offset, endpoint_facts, wal_facts, with_rate, with_walsender
from bridge.sandbox.postgres import SandboxPostgres, _unprivileged_user
from tests.conftest import sandbox
from tests.patience import PATIENCE
from tests.poolers import balanced, free_port, pgbouncer

NOWHERE = {"http": f"http://127.0.0.1:{free_port()}", "grpc": f"127.0.0.1:{free_port()}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxPostgres]:
    """A server of this module's own, with a table."""
    made = sandbox(tmp_path_factory.mktemp("endpoints") / "data")
    made.start()
    _execute(made.url(), "create table t (id int primary key, note text)")
    yield made
    made.kill()


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _check(url: str, folder: Path) -> Report:
    return preflight.run(Config.model_validate({"source": url, "target": NOWHERE, "ledger": str(folder / "ledger.db")}))


def _found(report: Report) -> dict[str, Finding]:
    return {finding.code: finding for finding in report.findings}


def test_the_server_itself(server: SandboxPostgres, tmp_path: Path) -> None:
    """Nothing is said against a server that is reached directly, except that its slots have no limit."""
    found = _found(_check(server.url(), tmp_path))
    assert {code for code in found if code.startswith("source.")} == {"source.wal_unlimited"}
    with connect(server.url()) as connection:
        facts = endpoint_facts(connection, server.url(), lambda: connect(server.url()))
    assert (facts.probed, facts.servers, facts.pooled, facts.moving, facts.encrypted) == (5, 1, False, False, False)


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_pooler_that_refuses_or_swallows_our_settings(server: SandboxPostgres, tmp_path: Path, mode: str) -> None:
    """Refused as PgBouncer does by itself, or swallowed as it can be told to: said by `check`, and no connection is made."""
    for swallows, says in ((False, "refused our settings"), (True, "does not take our settings (DateStyle)")):
        with pgbouncer(tmp_path, server.port, mode=mode, swallows=swallows) as port:
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
            refused = _found(_check(url, tmp_path))["source.refused"]
            assert "pooler" in refused.what
            assert says in refused.what
            assert "address of the PostgreSQL server itself" in refused.remedy
            with pytest.raises(ConfigError, match="pooler"):
                connect(url)


@pytest.mark.parametrize(("mode", "moving"), [("transaction", True), ("session", False)])
def test_a_pooler_is_told_by_its_processes(server: SandboxPostgres, tmp_path: Path, mode: str, moving: bool) -> None:
    """One that lets all settings through would be found all the same; in transaction mode it is an error."""
    with pgbouncer(tmp_path, server.port, mode=mode, swallows=True) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        with psycopg.connect(url, autocommit=True) as connection:
            facts = endpoint_facts(connection, url, lambda: psycopg.connect(url))
    assert (facts.pooled, facts.moving) == (True, moving)
    (finding,) = (one for one in server_findings(Facts("s", "p", endpoint=facts)) if one.code == "source.pooler")
    assert finding.level == ("error" if moving else "warning")


def test_an_address_that_leads_to_several_servers(server: SandboxPostgres, tmp_path: Path) -> None:
    """A balancer between two servers is found by the connections that it hands out; one before a single server is not."""
    with SandboxPostgres(tmp_path / "other") as other:
        _execute(other.url(), "create table t (id int primary key, note text)")
        with balanced([server.port, other.port]) as port:
            found = _found(_check(f"postgresql://postgres@127.0.0.1:{port}/postgres", tmp_path))
        assert "5 connections reached 2 different servers" in found["source.balanced"].what
        with balanced([server.port]) as port:
            assert "source.balanced" not in _found(_check(f"postgresql://postgres@127.0.0.1:{port}/postgres", tmp_path))


def test_a_standby(server: SandboxPostgres, tmp_path: Path) -> None:
    """A real one, made by pg_basebackup: it is said, with everything else that can be known of it."""
    data = tmp_path / "standby"
    backup = [str(server.bin_path / "pg_basebackup"), "-d", server.url(), "-D", str(data), "-R", "-X", "stream", "-c", "fast"]
    subprocess.run(backup, check=True, capture_output=True, timeout=PATIENCE)
    standby = sandbox(data)
    _give(data)
    standby.start()
    try:
        report = _check(standby.url(), tmp_path)
        found = _found(report)
        assert found["source.standby"].remedy == "Connect to the primary."
        assert {finding.code for finding in report.errors} == {"source.standby", "target.unreachable"}
        assert [table.name for table in report.tables] == ["public.t"]
        _execute(standby.url(), "select pg_promote()")
        assert "source.standby" not in _found(_check(standby.url(), tmp_path))
    finally:
        standby.kill()


def _give(data: Path) -> None:
    """To whom the sandbox's server runs as; what it takes over it does not chown."""
    user = _unprivileged_user()
    if user is not None:
        for path in (data, *data.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)


def test_clocks_that_differ(server: SandboxPostgres, tmp_path: Path) -> None:
    """By how much the source's clock is ahead or behind, and that lags are wrong by as much."""
    with connect(server.url()) as connection:
        for shift in (-30.0, 30.0):
            offset, error = clock_offset(connection, lambda shift=shift: time.time() + shift)
            assert abs(offset + shift) < 1 + error
        offset, error = clock_offset(connection)
        assert abs(offset) <= error + 0.5


def test_who_can_read_on_the_way(tmp_path: Path) -> None:
    """A server on another address than this host's own loop: what is not encrypted is a warning."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward:
        try:
            outward.connect(("192.0.2.1", 9))
            address = outward.getsockname()[0]
        except OSError:
            address = "127.0.0.1"
    if address.startswith("127."):
        pytest.skip("this machine has no address but its own loop")
    made = sandbox(tmp_path / "data")
    made.settings["listen_addresses"] = "*"
    made.start()
    try:
        hba = made.data / "pg_hba.conf"
        hba.write_text(hba.read_text() + f"host all all {address}/32 trust\n")
        _execute(made.url(), "select pg_reload_conf()", "create table t (id int primary key)")
        url = made.url().replace("127.0.0.1", address)
        assert f"the connection to {address} is not encrypted" in _found(_check(url, tmp_path))["source.plain"].what
    finally:
        made.kill()


def test_what_the_slot_may_keep(server: SandboxPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit, one that is small against what is written, and one that does; each statement that is printed mends it."""
    url = server.url()
    monkeypatch.setattr(preflight_server, "LEAST_PERIOD", 0.0)
    unlimited = _found(_check(url, tmp_path))["source.wal_unlimited"]
    try:
        _execute(url, "alter system set max_slot_wal_keep_size = '1MB'", "alter system set wal_sender_timeout = '2s'")
        _execute(
            url, "select pg_reload_conf()", "select pg_sleep(0.3)", "select pg_stat_reset_shared('wal')", "select pg_sleep(0.3)"
        )
        _execute(url, "insert into t select n, repeat('x', 500) from generate_series(1, 20000) n", "truncate t")
        found = _found(_check(url, tmp_path))
        assert "the slot is lost once the bridge is behind by" in found["source.wal_small"].what
        assert "wal_sender_timeout is 2 s" in found["source.sender_timeout"].what
        assert "/s, " in found["storage.estimate"].what
        for finding in (found["source.wal_small"], found["source.sender_timeout"]):
            _run(url, finding.remedy)
        time.sleep(0.3)
        assert not {"source.wal_small", "source.sender_timeout", "source.wal_unlimited"} & set(_found(_check(url, tmp_path)))
        _execute(url, "alter system reset max_slot_wal_keep_size", "select pg_reload_conf()", "select pg_sleep(0.3)")
        _run(url, unlimited.remedy.split(" (or ")[0])
        if server.version >= 18:
            _execute(url, "alter system set idle_replication_slot_timeout = '2h'", "select pg_reload_conf()")
            time.sleep(0.3)
            found = _found(_check(url, tmp_path))
            assert "away for 2.0 h" in found["source.idle_timeout"].what
            _run(url, found["source.idle_timeout"].remedy)
            time.sleep(0.3)
            assert "source.idle_timeout" not in _found(_check(url, tmp_path))
        time.sleep(0.3)
        assert "source.wal_unlimited" not in _found(_check(url, tmp_path))
    finally:
        _execute(url, "alter system reset all", "select pg_reload_conf()")


def _run(url: str, remedy: str) -> None:
    _execute(url, *(statement for statement in remedy.split(";") if statement.strip()))


def test_the_rate_is_measured(server: SandboxPostgres) -> None:
    """What is written between the two looks counts, if it is more than the average."""
    with connect(server.url()) as connection:
        facts = wal_facts(connection, standby=False)
        _execute(server.url(), "insert into t select n, repeat('x', 500) from generate_series(1, 20000) n", "truncate t")
        time.sleep(0.3)
        later = with_rate(connection, facts)
    assert later.rate > max(facts.rate, 1_000_000.0)


def test_a_walsender_that_is_not_admitted(server: SandboxPostgres, tmp_path: Path) -> None:
    """Queries get through and replication does not: told before `run` fails on it. To the server itself, both do."""
    with pgbouncer(tmp_path, server.port, mode="session", swallows=True) as port:
        facts = with_walsender(EndpointFacts(), f"postgresql://postgres@127.0.0.1:{port}/postgres")
    (finding,) = server_findings(Facts("s", "p", endpoint=facts))
    assert (finding.level, finding.code) == ("error", "source.walsender")
    assert "unsupported startup parameter" in finding.what
    assert with_walsender(EndpointFacts(), server.url()).walsender == ""


def test_time_limits_of_the_role_do_not_matter(server: SandboxPostgres, tmp_path: Path) -> None:
    """A role that is meant for short queries may be the bridge's: our connections set their own limits."""
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    _execute(server.url(), "create role hasty login replication", "grant select on t to hasty")
    _execute(server.url(), *(f"alter role hasty set {limit} = '1ms'" for limit in limits))
    _execute(server.url(), "create publication engram_bridge for table t with (publish_via_partition_root = true)")
    try:
        report = _check(server.url(user="hasty"), tmp_path)
        assert {finding.code for finding in report.errors} == {"target.unreachable"}
    finally:
        _execute(server.url(), "drop publication engram_bridge", "drop owned by hasty", "drop role hasty")


def test_what_lies_beside_the_tables(database: str, tmp_path: Path) -> None:
    """Views, foreign tables, sequences, temporary tables and large values: told, with names, and no error."""
    _execute(
        database,
        "create table docs (id int generated by default as identity primary key, body text)",
        "alter table docs alter body set storage external",
        "insert into docs (body) select repeat(n::text, 20000) from generate_series(1, 3) n",
        "create table more (id int primary key)",
        "create view seen as select 1",
        "create materialized view kept as select 1 as n",
        "create foreign data wrapper nobody",
        "create server far foreign data wrapper nobody",
        "create foreign table away (n int) server far",
        "create publication engram_bridge for table docs, more with (publish_via_partition_root = true)",
    )
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("create temporary table passing (n int primary key)")
        config = {"source": database, "target": NOWHERE, "ledger": str(tmp_path / "l.db"), "exclude": ["more"]}
        report = preflight.run(Config.model_validate(config))
    found = _found(report)
    for part in (
        "1 view(s) (public.seen)",
        "1 materialized view(s) (public.kept)",
        "1 foreign table(s) (public.away)",
        ".passing)",
    ):
        assert part in found["source.not_tables"].what
    assert "1 sequence(s)" in found["source.sequences"].what
    assert "of large values beside its rows (body)" in found["table.toast"].what
    assert "public.more" in found["publication.more"].what
    assert {finding.code for finding in report.errors} == {"target.unreachable"}
    assert {found[code].level for code in ("source.not_tables", "source.sequences", "table.toast", "publication.more")} == {
        "info"
    }
    _execute(database, "alter table docs replica identity full")
    assert "table.toast" not in _found(preflight.run(Config.model_validate(config)))
