"""What a one-shot migration reads stays as it was, whatever is done to the tables meanwhile."""

from __future__ import annotations

import psycopg
import pytest

from bridge.errors import SourceUnavailable
from bridge.migration import held
from bridge.migration.held import HeldSnapshot

TABLES = """
create table "Odd things" (id int primary key, note text);
insert into "Odd things" select g, 'n' from generate_series(1, 10) g;
create table parts (id int, at date, primary key (id, at)) partition by range (at);
create table parts_1 partition of parts for values from ('2020-01-01') to ('2021-01-01');
insert into parts select g, '2020-05-05' from generate_series(1, 5) g;
"""
NAMES = [("public", "Odd things"), ("public", "parts")]


@pytest.mark.parametrize(
    "statement",
    [
        'truncate "Odd things"',
        'alter table "Odd things" alter note type varchar(99)',
        'alter table "Odd things" alter id type bigint',
        'vacuum full "Odd things"',
        "truncate parts_1",
        "drop table parts_1",
    ],
)
def test_what_would_empty_a_table_for_an_older_snapshot_waits(database: str, statement: str) -> None:
    """Otherwise rows that are there were taken for gone, and their memories forgotten."""
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(TABLES.encode())
        snapshot = HeldSnapshot.take(database, NAMES)
        try:
            other.execute("set lock_timeout = 200")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute(statement.encode())
            other.execute("""insert into "Odd things" values (11, 'others go on')""")
            other.execute("delete from parts where id = 1")
            with snapshot.connect("test") as connection:
                assert connection.execute('select count(*) from public."Odd things"').fetchone() == (10,)
                assert connection.execute("select count(*) from public.parts").fetchone() == (5,)
        finally:
            snapshot.close()
        other.execute("set lock_timeout = 10000")
        other.execute(statement.encode())


def test_a_table_that_somebody_holds_is_told(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "LOCK_SECONDS", 1)
    with psycopg.connect(database) as other:
        other.execute("create table t (id int primary key)")
        other.commit()
        other.execute("lock table t in access exclusive mode")
        with pytest.raises(SourceUnavailable, match="has held a table of this migration"):
            HeldSnapshot.take(database, [("public", "t")])


def test_columns_that_are_granted_one_by_one_are_enough(database: str) -> None:
    """Such a table cannot be locked; it is read all the same."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("create table t (id int primary key, secret text)")
        admin.execute("drop role if exists some_columns")
        admin.execute("create role some_columns login")
        try:
            admin.execute("grant select (id) on t to some_columns")
            url = psycopg.conninfo.make_conninfo(database, user="some_columns")
            snapshot = HeldSnapshot.take(url, [("public", "t")])
            try:
                with snapshot.connect("test") as connection:
                    assert connection.execute("select count(id) from public.t").fetchone() == (0,)
            finally:
                snapshot.close()
        finally:
            admin.execute("revoke all on t from some_columns")
            admin.execute("drop role some_columns")
