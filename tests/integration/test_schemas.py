"""The two schemas that everything else is tried on: they are valid, their rows repeat, and their applications really write."""

from __future__ import annotations

import time
from collections import Counter
from types import ModuleType

import psycopg
import pytest
from psycopg import sql

from bridge.sandbox import shop
from bridge.sandbox.postgres import SandboxPostgres
from bridge.sandbox.writing import Writer
from tests.schemas import odd

SCHEMAS = [shop, odd]


def _content(url: str) -> dict[str, list[str]]:
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        tables = connection.execute(
            "select c.oid::regclass::text, n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where c.relkind in ('r', 'p') and not c.relispartition and n.nspname in ('public', 'twin', 'keyless')"
        ).fetchall()
        return {
            label: [
                row[0] for row in connection.execute(sql.SQL("select t::text from {} t order by 1").format(sql.Identifier(*name)))
            ]
            for label, *name in tables
        }


@pytest.mark.parametrize("schema", SCHEMAS, ids=["shop", "odd"])
def test_every_table_has_rows_and_the_count_is_near(schema: ModuleType, database: str) -> None:
    """`seed(url, rows)` fills every table, and gives about as many rows as were asked for."""
    schema.create(database)
    counted = schema.seed(database, 2_000)
    content = _content(database)
    assert counted == sum(map(len, content.values()))
    assert 1_200 < counted < 2_800
    assert len(content) >= 11
    assert [table for table, rows in content.items() if not rows] == []


@pytest.mark.parametrize("schema", SCHEMAS, ids=["shop", "odd"])
def test_transactions_are_all_possible(schema: ModuleType, database: str) -> None:
    """A lone application's transactions are hardly ever refused, and each kind of them comes."""
    schema.create(database)
    schema.seed(database, 400)
    application: Writer = schema.Application(database, seed=3)
    counts = application.run(700)
    application.stop()
    assert counts["interrupted"] == 0
    assert counts["refused"] < 35, counts
    assert {action.__name__ for _weight, action in schema.Application.actions} <= set(counts)


def test_choices_repeat(database: str) -> None:
    """The same seed on the same rows does the same."""
    shop.create(database)
    seen: list[Counter[str]] = []
    states = []
    for _ in range(2):
        with psycopg.connect(database) as connection:
            connection.execute(
                sql.SQL("truncate {} restart identity").format(sql.SQL(",").join(map(sql.Identifier, shop.TABLES)))
            )
        shop.seed(database, 300)
        application = shop.Application(database, seed=11)
        seen.append(application.run(150))
        application.stop()
        with psycopg.connect(database) as connection:
            states.append(
                connection.execute("select array_agg((id, name, bio, referrer_id)::text order by id) from users").fetchone()
            )
    assert seen[0] == seen[1]
    assert states[0] == states[1]


def test_an_application_keeps_its_rate_and_outlives_a_restart(own_postgres: SandboxPostgres) -> None:
    """In a thread, at most so many transactions a second, going on after the server was away."""
    url = own_postgres.url()
    shop.create(url)
    shop.seed(url, 200)
    with shop.Application(url, seed=1, rate=100) as application:
        time.sleep(0.5)
        before = application.counts["transactions"]
        own_postgres.restart("immediate")
        time.sleep(1.0)
    assert 0 < before <= 60
    assert application.counts["transactions"] > before
    assert application.counts["interrupted"] >= 1


def test_the_keyless_part_is_apart(database: str) -> None:
    """The table without a key is only there when it is asked for."""
    odd.create(database, keyless=True)
    application = odd.KeylessApplication(database)
    application.run(20)
    application.stop()
    assert len(_content(database)["keyless.log_lines"]) > 5


def test_a_failure_of_the_application_is_told(database: str) -> None:
    """What is no contention and no outage comes out at `stop`, and is not swallowed."""
    application = shop.Application(database, rate=None)
    application.start()
    with pytest.raises(psycopg.errors.UndefinedTable):
        application.stop()
