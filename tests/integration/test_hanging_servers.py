"""Servers that do not answer, or that refuse a login that was good: reads are told so, and hang no longer than they may."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable

import psycopg
import pytest
import uvloop

from api.ledger import ledger_reads
from api.postgres import PostgresReads
from bridge.errors import LedgerUnavailable, SourceUnavailable
from bridge.ledger import Ledger
from bridge.sandbox.postgres import SandboxPostgres
from tests.patience import PATIENCE


def stopped(url: str) -> list[int]:
    """Processes of the proxy's connections, which from now on answer nothing."""
    query = "select pid from pg_stat_activity where application_name = 'engram-bridge proxy'"
    with psycopg.connect(url) as connection:
        pids = [pid for (pid,) in connection.execute(query)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


async def told(asked: Awaitable[object], error: type[Exception], patience: float = PATIENCE) -> None:
    task = asyncio.ensure_future(asked)
    done, _ = await asyncio.wait([task], timeout=patience)
    task.cancel()
    assert done, "it hangs"
    with pytest.raises(error):
        await task


def test_a_ledger_that_hangs_is_given_up(own_postgres: SandboxPostgres) -> None:
    """Several keys go over the pool, which has no limit of its own; a batch of keys hung for as long as the server did."""
    url = own_postgres.url()
    Ledger(url).close()

    async def main() -> None:
        reads = ledger_reads(url)
        await reads.open()
        try:
            assert await reads.standing("public.users", ["1", "2"]) is None
            pids = stopped(url)
            try:
                await told(reads.standing("public.users", ["1", "2"]), LedgerUnavailable)
            finally:
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)
            assert await reads.standing("public.users", ["1", "2"]) is None
        finally:
            await reads.close()

    uvloop.run(main())


def test_a_postgresql_that_hangs_is_given_up(own_postgres: SandboxPostgres) -> None:
    """By the limit of the configuration, and not five seconds later, when the driver gives up that a statement is cancelled."""
    url = own_postgres.url()

    async def main() -> None:
        reads = PostgresReads(url, timeout=1.0, connections=2)
        await reads.open()
        try:
            assert (await reads.texts(b"select 'a'", [])).rows == [("a",)]
            pids = stopped(url)
            try:
                await told(reads.texts(b"select 'a'", []), SourceUnavailable, 5.5)
            finally:
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)
            assert (await reads.texts(b"select 'a'", [])).rows == [("a",)]
        finally:
            await reads.close()

    uvloop.run(main())


@pytest.mark.parametrize("keys", [["1"], ["1", "2"]])
def test_a_ledger_that_refuses_the_login_is_one_that_is_away(own_postgres: SandboxPostgres, keys: list[str]) -> None:
    """Its database was renamed, or a password changed, while the proxy runs: PostgreSQL answers then, nobody gets a defect."""

    async def main() -> None:
        reads = ledger_reads(own_postgres.url("gone"))
        await reads.open()
        try:
            with pytest.raises(LedgerUnavailable):
                await reads.standing("public.users", keys)
        finally:
            await reads.close()

    uvloop.run(main())
