"""The watch on the catalogue: whoever may be committing a change of a carried table is seen, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from bridge.catalogue_watch import altering
from bridge.postgres import connect

SCHEMA = """
    create type mood as enum ('good', 'bad'); create type other as enum ('x');
    create table plain (id int primary key, mood mood);
    create table parent (id int primary key) partition by range (id);
    create table middle partition of parent for values from (0) to (100) partition by range (id);
    create table leaf partition of middle for values from (0) to (50);
    create table free (id int primary key);
    create publication pub for table plain, parent;
"""


@pytest.fixture
def source(database: str) -> Iterator[tuple[psycopg.Connection, psycopg.Connection, list[int]]]:
    """Somebody who alters, the watch, and the oids of the tables `plain` and `parent`, which are carried."""
    with connect(database, application_name="alters") as somebody, connect(database, application_name="watch") as watch:
        watch.autocommit = somebody.autocommit = True
        somebody.execute("set search_path = public")
        somebody.execute(SCHEMA)
        oids = [row[0] for row in watch.execute("select oid from pg_class where relname in ('plain', 'parent')").fetchall()]
        somebody.autocommit = False
        yield somebody, watch, oids
        somebody.rollback()


@pytest.mark.parametrize(
    ("statement", "seen"),
    [
        ("alter table plain add column a int default 1", True),
        ("truncate leaf", True),
        ("alter table parent attach partition free for values from (100) to (200)", True),
        ("alter publication pub drop table plain", True),
        ("alter type mood rename value 'good' to 'fine'", True),
        ("alter type other rename value 'x' to 'y'", False),
        ("alter table free add column a int default 1", False),
        ("insert into plain values (1, 'good')", False),
        ("analyze plain", False),
    ],
)
def test_a_change_that_is_not_committed_yet_is_seen(
    source: tuple[psycopg.Connection, psycopg.Connection, list[int]], statement: str, seen: bool
) -> None:
    """By the locks of its transaction; and no longer when that has ended."""
    somebody, watch, oids = source
    assert not altering(watch, oids)
    somebody.execute(sql.SQL(statement))  # type: ignore[arg-type]  # one of those above
    assert altering(watch, oids) is seen
    somebody.rollback()
    assert not altering(watch, oids)


def test_locks_of_another_database_say_nothing(
    source: tuple[psycopg.Connection, psycopg.Connection, list[int]], postgres: object
) -> None:
    """Databases that were made of one template have tables of the same numbers; those of the catalogues are the same in all."""
    _somebody, watch, _oids = source
    watch.execute("select 1")
    (oid,) = watch.execute("select 'pg_description'::regclass::oid").fetchone() or ()
    with connect(postgres.url(), application_name="elsewhere") as elsewhere:  # type: ignore[attr-defined]  # a Server
        elsewhere.autocommit = False
        elsewhere.execute("lock table pg_description in access exclusive mode")
        assert altering(elsewhere, [oid])
        assert not altering(watch, [oid])
        elsewhere.rollback()
