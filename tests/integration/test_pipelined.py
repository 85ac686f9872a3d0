"""One statement over one shared connection: answers go to who asked, errors to who made them, a lost server is found again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import pytest
import uvloop

from api.pipelined import Pipelined
from bridge.postgres import conninfo
from bridge.sandbox.postgres import SandboxPostgres

WAIT = 20.0
STATEMENT = "select $1::text, length($1::text), 10 / length($1::text), null::text, length($2::text) > 1, 0.5::float8"


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Runs a coroutine in an event loop of either kind."""

    def in_loop(coroutine: Any) -> Any:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if request.param == "uvloop" else None) as runner:
            return runner.run(coroutine)

    return in_loop


@contextlib.asynccontextmanager
async def asking(url: str, statement: str = STATEMENT, *, wait: float = WAIT, schema: str = "public") -> AsyncIterator[Pipelined]:
    pipelined = Pipelined(conninfo(url, application_name="test"), schema, statement, wait=wait)
    try:
        yield pipelined
    finally:
        await pipelined.close()


def test_everybody_gets_their_own_answer(run: Callable[[Any], Any], database: str) -> None:
    """Of hundreds at once, some of whom go away before it comes and some of whose questions fail, over one connection."""

    async def main() -> None:
        async with asking(database) as pipelined:
            texts = ["é" * (number % 9) for number in range(300)]
            tasks = [asyncio.create_task(pipelined.ask((text, "ab"))) for text in texts]
            await asyncio.sleep(0)
            for task in tasks[::7]:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            for number, (text, answer) in enumerate(zip(texts, answers, strict=True)):
                if number % 7 == 0:
                    assert isinstance(answer, asyncio.CancelledError)
                elif not text:
                    assert isinstance(answer, psycopg.errors.DivisionByZero)
                else:
                    assert answer == [(text, len(text), 10 // len(text), None, True, 0.5)]
            assert await pipelined.ask(("a", "b")) == [("a", 1, 10, None, False, 0.5)]
            with psycopg.connect(database) as connection:
                ours = connection.execute("select count(*) from pg_stat_activity where application_name = 'test'").fetchone()
            assert ours == (1,)

    run(main())


def test_a_server_that_comes_back_is_found_again(run: Callable[[Any], Any], own_postgres: SandboxPostgres) -> None:
    """While it is away each question is told so at once, and the first one afterwards is answered."""

    async def main() -> None:
        async with asking(own_postgres.url()) as pipelined:
            assert (await pipelined.ask(("a", "b")))[0][0] == "a"
            await asyncio.to_thread(own_postgres.kill)
            for _ in range(3):
                with pytest.raises(psycopg.OperationalError):
                    await pipelined.ask(("a", "b"))
            await asyncio.to_thread(own_postgres.start)
            with contextlib.suppress(psycopg.OperationalError):
                await pipelined.ask(("a", "b"))
            assert (await pipelined.ask(("a", "b")))[0][0] == "a"

    run(main())


def test_a_server_that_hangs_is_given_up(run: Callable[[Any], Any], database: str) -> None:
    """Everybody who waits is told after a while, and whoever comes then has another connection."""

    async def main() -> None:
        statement = "select $1::text, pg_sleep(case when $1::text = 'slow' then 600 else 0 end)::text"
        async with asking(database, statement, wait=1.0) as pipelined:
            await pipelined.ask(("quick",))
            answers = await asyncio.gather(*[pipelined.ask((text,)) for text in ("slow", "quick")], return_exceptions=True)
            assert [type(answer) for answer in answers] == [psycopg.OperationalError, psycopg.OperationalError]
            assert await pipelined.ask(("quick",)) == [("quick", "")]

    run(main())


def test_tables_that_change_are_asked_anew(run: Callable[[Any], Any], database: str) -> None:
    """A statement whose result has another form is told as a lost connection is, and prepared again."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table changing (a integer)")
        connection.execute("insert into changing values (1)")

        async def main() -> None:
            async with asking(database, "select * from changing where $1::text = 'x'") as pipelined:
                assert await pipelined.ask(("x",)) == [(1,)]
                connection.execute("alter table changing add column b text default 'new'")
                with pytest.raises(psycopg.OperationalError):
                    await pipelined.ask(("x",))
                assert await pipelined.ask(("x",)) == [(1, "new")]
                connection.execute("drop table changing")
                for _ in range(2):
                    with pytest.raises(psycopg.errors.UndefinedTable):
                        await pipelined.ask(("x",))

        run(main())
