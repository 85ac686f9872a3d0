"""Clusters of the sandbox's PostgreSQL beside each other: copies, standbys, other versions."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg

from bridge.sandbox.postgres import SandboxPostgres


def copied(server: SandboxPostgres, to: Path) -> Path:
    """A copy of the data directory, as a file system's snapshot would be one; the server must be stopped."""
    shutil.copytree(server.data, to, copy_function=_copy_owned)
    _own(server.data, to)
    return to


def put_back(server: SandboxPostgres, copy: Path) -> None:
    """Put a copy in the place of the data directory; the server must be stopped."""
    shutil.rmtree(server.data)
    copied_from = SandboxPostgres(copy)
    copied(copied_from, server.data)


def standby_of(server: SandboxPostgres, data: Path, **settings: str) -> SandboxPostgres:
    """A streaming standby with a physical slot of its own, made by pg_basebackup and started."""
    standby = SandboxPostgres(data, settings={"hot_standby_feedback": "on", **settings})
    data.mkdir(parents=True)
    _own(server.data, data)
    data.chmod(0o700)
    url = server.url() + "?application_name=standby"
    made = ("-R", "-C", "-S", "standby", "-X", "stream", "-c", "fast", "--no-sync")
    standby.run("pg_basebackup", "-D", str(data), "-d", url, *made)
    standby.start()
    return standby


def promote(standby: SandboxPostgres) -> None:
    """Make the standby a primary, and wait for it."""
    with psycopg.connect(standby.url(), autocommit=True) as connection:
        assert connection.execute("select pg_promote()").fetchone() == (True,)


def _copy_owned(source: str, target: str) -> None:
    shutil.copy2(source, target)
    _own(Path(source), Path(target))


def _own(like: Path, path: Path) -> None:
    found = like.stat()
    for one in [path, *(path.rglob("*") if path.is_dir() else ())]:
        shutil.chown(one, found.st_uid, found.st_gid)
