"""Law 8 for definitions: a column that is added is carried on, a breaking change stops its table alone, with a sentence.

Rows that have an added column's default get it without a message: the bridge reads them again. What no change announces is found
in the catalogue.
"""

from __future__ import annotations

import json
import time

from bridge.wiring import open_target
from tests.acceptance.conftest import MakeRig
from tests.acceptance.traces import configure
from tests.rig import Rig

BROKEN = {
    "dropped": ("alter table dropped drop column body", "its column 'body' was dropped or renamed"),
    "renamed": ("alter table renamed rename column body to text", "its column 'body' was dropped or renamed"),
    "retyped": ("alter table retyped alter column n type text", "its column 'n' has another type"),
    "nameless": ("alter table nameless replica identity nothing", "replica identity"),
    "rekeyed": (
        "alter table rekeyed drop constraint rekeyed_pkey; alter table rekeyed add primary key (n)",
        "its primary key has other columns",
    ),
    "away": ("alter table away rename to gone", "renamed"),
    "removed": ("drop table removed", "it was dropped"),
    "unpublished": ("alter publication {} drop table unpublished", "does not hold it any more"),
}
"""By table: what is done to it, and what is said of it."""


def make_tables(rig: Rig) -> None:
    """One table for each breaking change, one that gets columns, one that is left alone."""
    for table in (*BROKEN, "added", "calm"):
        rig.sql(
            f"create table {table} (id int primary key, body text, n int not null unique)",
            f"insert into {table} select g, 'row ' || g, g from generate_series(1, 20) g",
        )


def break_tables(rig: Rig) -> None:
    """Do to each table what breaks it, with no change after it but to some."""
    for statement, _says in BROKEN.values():
        rig.sql(statement.format(rig.slot))
    rig.sql("insert into renamed values (21, 'row 21', 21)", "insert into nameless values (21, 'row 21', 21)")


def add_columns(rig: Rig) -> None:
    """Two columns, the rows of before with nulls in one and a default in the other, and changes before, between and after."""
    rig.sql(
        "update added set body = 'before' where id = 1",
        "alter table added add column plain text",
        "update added set plain = 'between' where id = 2",
        "alter table added add column given int not null default 7",
        "insert into added (id, body, n) values (21, 'after', 21)",
        "delete from added where id = 3",
    )


def tables_of(rig: Rig) -> dict[str, tuple[str, str]]:
    """State and reason of every table, as `status` tells them."""
    told = json.loads(rig.command("status", "--json").stdout)
    return {table["name"].removeprefix("public."): (table["state"], table["reason"] or "") for table in told["tables"]}


def stopped(rig: Rig) -> set[str]:
    """The tables that the ledger knows as stopped."""
    ledger = rig.ledger()
    try:
        return {record.label.removeprefix("public.") for record in ledger.tables() if record.state == "stopped"}
    finally:
        ledger.close()


def resyncing(rig: Rig) -> bool:
    """A table is to be read again."""
    ledger = rig.ledger()
    try:
        return any(name.startswith("resync:") for name in ledger.facts())
    finally:
        ledger.close()


def prove_the_others(rig: Rig) -> None:
    """Each broken table is stopped with its sentence in `status` and in the log; what is left is proven."""
    told = tables_of(rig)
    log = rig.log.read_text(encoding="utf-8")
    for table, (_statement, says) in BROKEN.items():
        state, reason = told[table]
        assert (state, says in reason.lower()) == ("stopped", True), (table, state, reason)
        assert f"a table is stopped: public.{table}: {reason}" in log
    assert "public.removed" in rig.command("status").stdout
    evidence = {one.table.removeprefix("public."): one for one in rig.evidence()}
    for table in ("added", "calm"):
        assert told[table] == ("loaded", "")
        assert evidence[table].proven, (evidence[table], rig.tail())
        assert evidence[table].rows == 20


def test_definitions_that_change_while_the_bridge_runs(make_rig: MakeRig) -> None:
    """Added columns are carried and the rows read again; each breaking change stops its table, the others go on."""
    rig = make_rig()
    make_tables(rig)
    rig.start()
    rig.wait_until_proven()
    rig.sql("alter table added add column first text not null default 'silent'")  # no change follows
    rig.until(lambda: "a column was added" in rig.tail() and not resyncing(rig))
    add_columns(rig)
    break_tables(rig)
    rig.sql("update calm set body = 'changed' where id <= 10", "update added set given = 8 where id = 5")
    rig.until(lambda: stopped(rig) == set(BROKEN))
    rig.until(lambda: not resyncing(rig))
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    prove_the_others(rig)


def test_definitions_that_change_while_nobody_looks(make_rig: MakeRig) -> None:
    """The same while the bridge is down: the stream then announces definitions that are older than the catalogue's."""
    rig = make_rig()
    make_tables(rig)
    rig.catch_up()
    rig.sql("update calm set body = 'changed' where id <= 10")
    add_columns(rig)
    break_tables(rig)
    rig.sql("create table keyless (n int)", "create table later (id int primary key)", "insert into later values (1)")
    rig.start()
    rig.wait_until_proven()
    rig.until(lambda: not resyncing(rig))
    rig.sql("insert into later values (2)", "alter table calm add column more int", "update calm set more = 1 where id = 4")
    rig.until(lambda: "a column was added table=public.calm" in rig.tail() and not resyncing(rig))
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    prove_the_others(rig)
    assert "a table is not carried: public.keyless has no primary key" in rig.log.read_text(encoding="utf-8")
    later = next(one for one in rig.evidence() if one.table == "public.later")
    assert (later.proven, later.rows) == (True, 2), rig.tail()


def test_definitions_that_change_during_the_snapshot(make_rig: MakeRig) -> None:
    """A table that is stopped while its chunks are on the way stays stopped, and a column added meanwhile reaches every row."""
    rig = make_rig(snapshot={"workers": 2, "chunk_rows": 50})
    for table in ("added", "broken"):
        rig.sql(
            f"create table {table} (id int primary key, body text)",
            f"insert into {table} select g, 'row ' || g from generate_series(1, 1000) g",
        )
    rig.engram.faults([{"on": "*", "do": "slow", "seconds": 0.1}])
    rig.start()
    rig.wait_for("streaming lsn")
    rig.sql(
        "alter table added add column more int not null default 5",
        "update added set more = 6 where id = 1000",
        "alter table broken drop column body",
        "delete from broken where id = 1000",
    )
    rig.engram.faults()
    rig.until(lambda: stopped(rig) == {"broken"})
    rig.wait_until_proven()
    rig.until(lambda: not resyncing(rig))
    assert rig.stop() == 0, rig.tail()
    assert stopped(rig) == {"broken"}
    added = next(one for one in rig.evidence() if one.table == "public.added")
    assert (added.proven, added.rows) == (True, 1000), (added, rig.tail())


def test_columns_that_the_configuration_leaves_out_and_takes_back(make_rig: MakeRig) -> None:
    """Between runs a carried column is excluded, and later carried again: every row is read again, and no table is stopped."""
    rig = make_rig()
    rig.sql(
        "create table notes (id int primary key, body text, secret text)",
        "insert into notes select n, 'note ' || n, 'whisper ' || n from generate_series(1, 300) n",
    )
    rig.catch_up()
    for exclude, holds in ((["secret"], False), ([], True)):
        configure(rig, tables={"notes": {"exclude": exclude}})
        rig.sql("update notes set secret = 'louder' where id = 3")
        rig.catch_up()
        assert stopped(rig) == set()
        (one,) = rig.prove()
        assert one.rows == 300
        target = open_target(rig.config)
        target.open("notes")
        found = [stored for stored in target.read("notes", ["notes_3", "notes_200"]) if stored is not None]
        target.close()
        assert [("secret" in stored.content) for stored in found] == [holds, holds]


def test_changes_in_flight_when_a_column_is_added_get_its_value_too(make_rig: MakeRig) -> None:
    """Rows whose changes wait for a slow target while a column with a default is added are read again after they are recorded."""
    rig = make_rig()
    rig.sql(
        "create table notes (id int primary key, body text)",
        "insert into notes select n, 'x' from generate_series(1, 100) n",
    )
    rig.start()
    rig.wait_until_proven()
    rig.engram.faults([{"on": "*", "do": "slow", "seconds": 0.05}])
    rig.sql(
        "insert into notes select n, 'in flight' from generate_series(101, 250) n",
        "update notes set body = 'in flight' where id <= 50",
        "alter table notes add column colour text default 'red'",
        "insert into notes values (999, 'after', 'blue')",
    )
    time.sleep(8.0)
    rig.engram.faults()
    rig.wait_until_proven()
    time.sleep(2.0)
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()
