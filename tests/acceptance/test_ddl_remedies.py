"""What stopped a table is mended, and the table comes back; what PostgreSQL did without a message is found after a kill too."""

from __future__ import annotations

import json
import time

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.acceptance.conftest import MakeRig
from tests.acceptance.ddl_scenarios import PARTED
from tests.acceptance.test_ddl import stopped, tables_of
from tests.acceptance.traces import ended_with
from tests.conftest import Server
from tests.rig import Rig

MENDED = {
    "renamed": ("alter table renamed rename to elsewhere", "alter table elsewhere rename to renamed"),
    "nameless": ("alter table nameless replica identity nothing", "alter table nameless replica identity default"),
    "unpublished": ("alter publication {p} drop table unpublished", "alter publication {p} add table only unpublished"),
    "column": ("alter table column_ rename body to text", "alter table column_ rename text to body"),
    "swapped": (
        "alter table swapped rename to swapped_old; create table swapped (like swapped_old including all)",
        "alter publication {p} add table only swapped",
    ),
    "cut": ("truncate cut; alter table cut drop column body", "alter table cut add column body text"),
}
"""By table: what stops it, and what mends it."""


def make_tables(rig: Rig, *tables: str) -> None:
    """Tables of some rows each."""
    for table in tables:
        rig.sql(
            f"create table {table} (id int primary key, body text)",
            f"insert into {table} select g, 'row ' || g from generate_series(1, 30) g",
        )


def make_parted(rig: Rig, *tables: str) -> None:
    """Partitioned tables of some rows each."""
    for table in tables:
        rig.sql(*(statement.replace("{t}", table) for statement in PARTED))


def loaded_again(rig: Rig, *tables: str) -> None:
    """`resync` of the tables, and a new start: everything is proven, and nothing is stopped."""
    done = rig.command("resync", *(f"public.{table}" for table in tables))
    assert done.returncode == 0, done.stderr
    assert rig.stop() == 0, rig.tail()
    rig.start()
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    assert stopped(rig) == set()
    rig.prove()


def test_a_mended_table_comes_back(make_rig: MakeRig) -> None:
    """Renamed back, identity and membership restored, rows gone and come meanwhile: `resync` and a new start carry each again."""
    rig = make_rig()
    names = {name: "column_" if name == "column" else name for name in MENDED}
    make_tables(rig, *names.values(), "calm")
    rig.start()
    rig.wait_until_proven()
    for breaks, _mends in MENDED.values():
        rig.sql(breaks.replace("{p}", rig.slot))
    rig.until(lambda: stopped(rig) == set(names.values()))
    status = rig.command("status").stdout
    for table in names.values():
        assert f"engram-bridge resync public.{table}" in status
    for _breaks, mends in MENDED.values():
        rig.sql(mends.replace("{p}", rig.slot))
    for table in names.values():
        rig.sql(
            f"delete from {table} where id <= 5",
            f"update {table} set body = 'missed' where id between 10 and 15",
            f"insert into {table} values (100, 'missed'), (101, 'missed')",
        )
    rig.sql("insert into calm values (100, 'streamed')")
    rig.wait_until_proven()
    loaded_again(rig, *names.values())


def test_a_publication_that_is_altered(make_rig: MakeRig) -> None:
    """What leaves changes out stops the tables it concerns; what may have left some out for a moment has them loaded again."""
    rig = make_rig()
    make_tables(rig, "plain")
    make_parted(rig, "parted")
    rig.start()
    rig.wait_until_proven()
    rig.sql(
        f"alter publication {rig.slot} set (publish_via_partition_root = false)", "update parted set body = 'lost' where id = 3"
    )
    rig.until(lambda: stopped(rig) == {"parted"})
    assert "under the partitions' names" in tables_of(rig)["parted"][1]
    rig.wait_for("a table is loaded again table=public.plain")
    rig.sql(
        f"alter publication {rig.slot} set (publish = 'insert'); update plain set body = 'lost' where id = 3;"
        f"alter publication {rig.slot} set (publish = 'insert, update, delete, truncate')"
    )
    rig.wait_for_a_look()
    rig.wait_until_proven()
    assert {one.table: one.proven for one in rig.evidence()} == {"public.plain": True, "public.parted": False}
    rig.sql(f"alter publication {rig.slot} set (publish = 'insert')")
    rig.until(lambda: stopped(rig) == {"plain", "parted"})
    assert "does not publish update, delete, truncate" in tables_of(rig)["plain"][1]
    rig.sql("update plain set body = 'lost too' where id = 4", "delete from parted where id = 5")
    rig.sql(f"alter publication {rig.slot} set (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)")
    loaded_again(rig, "plain", "parted")


@pytest.mark.parametrize("server", ["database", "wal2json_database"])
def test_a_publication_that_is_dropped(make_rig: MakeRig, request: pytest.FixtureRequest, server: str) -> None:
    """Before 18 PostgreSQL ends the stream there for good, and the run with what to do; later it sends nothing: all stop."""
    rig = make_rig(request.getfixturevalue(server))
    with psycopg.connect(rig.source) as connection:
        ends = connection.info.server_version < 180000
    make_tables(rig, "plain")
    rig.start()
    rig.wait_until_proven()
    rig.sql(f"drop publication {rig.slot}", "update plain set body = 'lost' where id = 3")
    again = f"create publication {rig.slot} for table only plain with (publish_via_partition_root = true)"
    if not ends:
        rig.until(lambda: stopped(rig) == {"plain"})
        assert "was dropped" in tables_of(rig)["plain"][1]
        rig.sql(again)
        loaded_again(rig, "plain")
        return
    ended_with(rig, 2, "does not exist", "resync --new-slot")
    rig.sql(again)
    rig.start()
    ended_with(rig, 2, "or did not when a change was made", "resync --new-slot")
    assert rig.command("resync", "--new-slot").returncode == 0
    rig.catch_up()
    rig.prove()


SILENT = {
    "attached": """
        create table attached_c (like attached including all);
        insert into attached_c select g, 'not sent', '' from generate_series(2001, 2100) g;
        alter table attached attach partition attached_c for values from (2000) to (3000)
        """,
    "detached": "alter table detached detach partition detached_b",
    "truncated": "truncate truncated_b",
    "rewritten": "alter table rewritten alter column body type text using upper(body)",
    "relabelled": "alter type mood rename value 'good' to 'splendid'",
    "away": """
        alter publication {p} drop table away; update away set body = 'not sent' where id < 9;
        alter publication {p} add table only away
        """,
}
"""By table: what PostgreSQL does to its rows without a message."""


@pytest.mark.parametrize("when", ["before it is noticed", "before it is mended"])
def test_killed_after_a_ddl_that_sends_nothing(make_rig: MakeRig, when: str) -> None:
    """kill -9 between the DDL and the look, or between the look and its end: the next run finds, or goes on with, all of it."""
    rig = make_rig()
    make_parted(rig, "attached", "detached", "truncated")
    make_tables(rig, "rewritten", "away", "relabelled")
    rig.sql("create type mood as enum ('good', 'bad')", "alter table relabelled add column mood mood default 'good'")
    rig.start()
    rig.wait_until_proven()
    if when == "before it is noticed":
        rig.kill()
    else:
        rig.engram.faults([{"on": "*", "do": "slow", "seconds": 0.2}])
    rig.sql(*(statement.replace("{p}", rig.slot) for statement in SILENT.values()))
    if when != "before it is noticed":
        rig.until(lambda: all(f"table=public.{table}" in read_again(rig) for table in SILENT))
        rig.kill()
        rig.engram.faults()
    rig.catch_up()
    assert all(f"table=public.{table}" in read_again(rig) for table in SILENT), rig.tail()
    assert stopped(rig) == set()
    rig.prove()


def test_changes_in_flight_of_a_partition_that_leaves(make_rig: MakeRig) -> None:
    """Rows whose changes are still on their way when their partition is detached do not come back after it was read again."""
    rig = make_rig(exclude=["parted_*"])  # what has left is no table of ours
    make_parted(rig, "parted")
    rig.start()
    rig.wait_until_proven()
    rig.engram.faults([{"on": "*", "do": "slow", "seconds": 1.5}])
    rig.sql(
        "insert into parted select 1100 + g, 'in flight', '' from generate_series(1, 200) g",
        "update parted set body = 'in flight' where id >= 1000",
        "alter table parted detach partition parted_b",
    )
    rig.until(lambda: "table=public.parted" in read_again(rig))
    rig.engram.faults()
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    (evidence,) = rig.prove()
    assert evidence.rows == 25


def read_again(rig: Rig) -> str:
    """The lines of the log that tell of tables read again."""
    return "\n".join(line for line in rig.log.read_text().splitlines() if "a table is read again" in line)


def test_a_right_that_is_taken_away(make_rig: MakeRig, database: str, postgres: Server) -> None:
    """Without SELECT, or behind row-level security, the stream goes on; what must be read is parked until a retry."""
    role = f"reader_{time.time_ns()}"
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"create role {role} login replication")
        try:
            rig = make_rig(make_conninfo(database, user=role))
            for table in ("revoked", "hidden", "calm"):
                admin.execute(f"create table {table} (id int primary key, body text)")
                admin.execute(f"insert into {table} select g, 'row ' || g from generate_series(1, 10) g")
                admin.execute(f"grant select on {table} to {role}")
            admin.execute(
                f"create publication {rig.slot} for table only revoked, only hidden, only calm"
                " with (publish_via_partition_root = true)"
            )
            _take_and_give_back(rig, admin, role)
        finally:
            rig.close()
            admin.execute(f"drop owned by {role}")
            admin.execute(f"drop role {role}")


def _take_and_give_back(rig: Rig, admin: psycopg.Connection, role: str) -> None:
    rig.start()
    rig.wait_until_proven()
    admin.execute(f"revoke select on revoked from {role}")
    admin.execute("alter table hidden enable row level security")
    for table in ("revoked", "hidden", "calm"):
        admin.execute(f"alter table {table} add column more int default 5")
        admin.execute(f"insert into {table} values (100, 'streamed', 6)")
    rig.wait_for_a_look()
    rig.wait_until_proven()
    parked = json.loads(rig.command("parked", "list", "--json").stdout)
    assert {entry["reason"] for entry in parked} == {"unreadable"}
    held = {entry["id"] for entry in parked}
    assert {f"public.{table}/{key}" for table in ("revoked", "hidden") for key in range(1, 11)} <= held
    assert not any(key.startswith("public.calm") for key in held)
    assert stopped(rig) == set()
    admin.execute(f"grant select on revoked to {role}")
    admin.execute("alter table hidden disable row level security")
    assert rig.command("parked", "retry", "all").returncode == 0
    rig.until(lambda: json.loads(rig.command("parked", "list", "--json").stdout) == [])
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()
