"""The same transactions through a slot of pgoutput and one of wal2json of the same server: the same events.

Generated: values of every type, odd names, full and default identity, partitions with columns in another order, keyless tables,
TOAST, generated columns, changes of keys, truncates. What may differ is written down in `alike`, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from psycopg import sql

from bridge.changes import Event, Heartbeat, Relation, RelationSeen, RowChange
from bridge.postgres import connect
from cdc import slot as slots
from cdc import source
from cdc.source import StreamSource, emit_heartbeat
from tests.integration.likeness import compare
from tests.integration.typed_values import COLUMNS, SETUP
from tests.patience import PATIENCE

SEED = int(os.environ.get("ENGRAM_BRIDGE_TEST_SEED", random.SystemRandom().randrange(10**6)))
SECONDS = float(os.environ.get("ENGRAM_BRIDGE_TEST_SECONDS", "20"))
"""How long examples are made; the seed is printed."""

ODD = 'Ünlikely "name", \\with.dots* and {"json":1}'
BIG = 9000
"""Characters that PostgreSQL does not keep in the row, of a column that is not compressed."""


@dataclass
class Shape:
    """A table of the test: columns with their declared types, the columns of its key."""

    schema: str
    name: str
    columns: dict[str, str]
    key: tuple[str, ...] = ("id",)

    @property
    def identifier(self) -> sql.Identifier:
        """Quoted."""
        return sql.Identifier(self.schema, self.name)


WIDE = {f"c{number}": declared for number, declared in enumerate(COLUMNS)}
TABLES = {
    "wide": Shape("public", "wide", {"id": "int4", **WIDE}),
    "full": Shape("public", "full", {"id": "int4", **WIDE}),
    "odd": Shape(ODD, ODD, {"id": "text", ODD: "text", "n": "numeric", "b": "bytea", "big": "text"}),
    "composite": Shape("public", "composite", {"a": "int8", "note": "text", "b": "timestamptz", "x": "float8"}, ("a", "b")),
    "parted": Shape("public", "parted", {"id": "int4", "day": "date", "note": "text", "big": "text"}, ("id", "day")),
    "keyless": Shape("public", "keyless", {"a": "int4", "note": "text", "big": "text"}, ("a",)),
    "generated": Shape("public", "generated", {"id": "int4", "a": "int4", "note": "text"}),
}
BY_LABEL = {f"{shape.schema}.{shape.name}": shape for shape in TABLES.values()}
DETAILS = """
alter table "full" replica identity full;
create table parted_1 partition of parted for values from ('2024-01-01') to ('2025-01-01');
create table parted_2 (big text, gone int, note text, day date not null, id int4 not null);
alter table parted_2 drop column gone;
alter table parted attach partition parted_2 for values from ('2025-01-01') to ('2026-01-01') ;
create table parted_3 partition of parted for values from ('2026-01-01') to ('2028-01-01') partition by list (day);
create table "parted ""3"" leaf" partition of parted_3 default;
alter table parted_1 replica identity full;
alter table keyless replica identity full;
alter table generated add column twice int4 generated always as (a * 2) stored;
alter table parted alter big set storage external;
alter table parted_1 alter big set storage external;
alter table parted_2 alter big set storage external;
alter table "parted ""3"" leaf" alter big set storage external;
alter table keyless alter big set storage external;
"""


def make(connection: psycopg.Connection) -> None:
    """The tables."""
    connection.execute(SETUP.encode())
    connection.execute(sql.SQL("create schema {}").format(sql.Identifier(ODD)))
    for shape in TABLES.values():
        columns = [sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in shape.columns.items()]  # type: ignore[arg-type]
        if shape.name != "keyless":
            columns.append(sql.SQL("primary key ({})").format(sql.SQL(", ").join(map(sql.Identifier, shape.key))))
        parted = sql.SQL(" partition by range (day)" if shape.name == "parted" else "")
        connection.execute(sql.SQL("create table {} ({}){}").format(shape.identifier, sql.SQL(", ").join(columns), parted))
    connection.execute(DETAILS.encode())
    connection.execute(sql.SQL("alter table {} alter big set storage external").format(TABLES["odd"].identifier))


# transactions

small = st.integers(1, 6)
days = st.sampled_from(["2024-05-01", "2025-05-01", "2026-05-01", "2027-05-01"])
bigs = st.none() | st.sampled_from(["short", "a" * BIG, 'b"\\é' * BIG])


def key_of(table: str) -> st.SearchStrategy[tuple[str, ...]]:
    """A key that is likely there already."""
    if table == "parted":
        return st.tuples(small.map(str), days)
    if table == "composite":
        return st.tuples(small.map(str), st.sampled_from(["2024-01-01 00:00:00+00", "infinity", "0044-03-15 01:02:03 BC"]))
    return st.tuples(small.map(str))


def value_of(declared: str, name: str) -> st.SearchStrategy[str | None]:
    """A value of a column."""
    if name == "big":
        return bigs
    return st.none() | COLUMNS[declared]


@dataclass
class Step:
    """One statement: insert, update of some columns, change of key, delete, or truncate of several tables."""

    kind: str
    table: str
    key: tuple[str, ...] = ()
    values: dict[str, str | None] = field(default_factory=dict)
    others: tuple[str, ...] = ()


@st.composite
def steps(draw: st.DrawFn) -> Step:
    table = draw(st.sampled_from(list(TABLES)))
    shape = TABLES[table]
    kind = draw(st.sampled_from(["insert"] * 4 + ["update"] * 4 + ["rekey", "delete", "delete", "truncate"]))
    if kind == "truncate":
        return Step(kind, table, others=tuple(draw(st.sets(st.sampled_from(list(TABLES)), max_size=2)) - {table}))
    key = draw(key_of(table))
    rest = [name for name in shape.columns if name not in shape.key]
    if kind == "insert":
        return Step(kind, table, key, {name: draw(value_of(shape.columns[name], name)) for name in rest})
    if kind == "update":
        some = draw(st.lists(st.sampled_from(rest), min_size=1, max_size=3, unique=True))
        return Step(kind, table, key, {name: draw(value_of(shape.columns[name], name)) for name in some})
    if kind == "rekey":
        return Step(kind, table, key, dict(zip(shape.key, draw(key_of(table)), strict=True)))
    return Step(kind, table, key)


def statement(step: Step) -> tuple[sql.Composed, list[Any]]:
    """The step as SQL; what cannot be inserted or moved because it is there already is left out."""
    shape = TABLES[step.table]
    where = sql.SQL(" and ").join(
        sql.SQL("{} = %s::{}").format(sql.Identifier(name), sql.SQL(shape.columns[name]))  # type: ignore[arg-type]
        for name in shape.key
    )
    if step.kind == "truncate":
        names = sql.SQL(", ").join(TABLES[name].identifier for name in (step.table, *step.others))
        return sql.SQL("truncate {}").format(names), []
    if step.kind == "delete":
        return sql.SQL("delete from {} where {}").format(shape.identifier, where), list(step.key)
    if step.kind == "insert":
        names = [*shape.key, *step.values]
        marks = sql.SQL(", ").join(sql.SQL("%s::{}").format(sql.SQL(shape.columns[name])) for name in names)  # type: ignore[arg-type]
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        return sql.SQL("insert into {} ({}) values ({})").format(shape.identifier, columns, marks), [
            *step.key,
            *step.values.values(),
        ]
    sets = sql.SQL(", ").join(
        sql.SQL("{} = %s::{}").format(sql.Identifier(name), sql.SQL(shape.columns[name]))  # type: ignore[arg-type]
        for name in step.values
    )
    return sql.SQL("update {} set {} where {}").format(shape.identifier, sets, where), [*step.values.values(), *step.key]


# the two streams


@dataclass
class Pair:
    """A slot of each plugin on one database, and who writes."""

    url: str
    writer: psycopg.Connection
    streams: dict[str, StreamSource]

    def write(self, transactions: Sequence[Sequence[Step]]) -> None:
        """Each a transaction of its own; a statement that fails is undone alone."""
        for transaction in transactions:
            with self.writer.transaction():
                for step in transaction:
                    with contextlib.suppress(psycopg.DataError, psycopg.IntegrityError), self.writer.transaction():
                        self.writer.execute(*statement(step))

    def read(self) -> dict[str, list[Event]]:
        """All that was written until now, from both: a message of our own behind it says when."""
        mark = os.urandom(8).hex().encode()
        with connect(self.url) as connection:
            emit_heartbeat(connection, "pair", mark)
        return {plugin: self._until(stream, mark) for plugin, stream in self.streams.items()}

    @staticmethod
    def _until(stream: StreamSource, mark: bytes) -> list[Event]:
        events: list[Event] = []
        deadline = time.monotonic() + PATIENCE
        while not any(isinstance(event, Heartbeat) and event.content == mark for event in events[-600:]):
            assert time.monotonic() < deadline, "the stream did not come to the end"
            events += stream.read(0.2)
        return events


@pytest.fixture
def pair(wal2json_database: str) -> Iterator[Pair]:
    """Both slots begin at the same moment, for nobody writes yet."""
    url = wal2json_database
    writer = psycopg.connect(url, autocommit=True, options="-c DateStyle=SQL,DMY -c extra_float_digits=0 -c bytea_output=escape")
    make(writer)
    names = [(shape.schema, shape.name) for shape in TABLES.values()]
    slots.ensure_publication(writer, "pair", names, server_version=writer.info.server_version)
    with contextlib.ExitStack() as stack:
        stack.enter_context(writer)
        streams = {}
        for plugin in ("pgoutput", "wal2json"):
            name = f"{plugin}_{os.urandom(4).hex()}"
            with contextlib.closing(connect(url, replication=True)) as walsender:
                slots.create_slot(walsender, name, plugin)
            streams[plugin] = stack.enter_context(StreamSource(url, name, "pair", plugin=plugin))
        yield Pair(url, writer, streams)


# what is compared


def test_both_plugins_tell_the_same(pair: Pair) -> None:
    """As many examples as the time allows, on one database that goes on."""
    print(f"ENGRAM_BRIDGE_TEST_SEED={SEED}")
    seen = {"changes": 0, "examples": 0}

    def example(transactions: list[list[Step]]) -> None:
        pair.write(transactions)
        seen["changes"] += compare(pair.read(), BY_LABEL)
        seen["examples"] += 1

    until = time.monotonic() + SECONDS
    turn = 0
    while time.monotonic() < until:
        plan = settings(
            max_examples=10, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        seed(SEED + turn)(plan(given(st.lists(st.lists(steps(), min_size=3, max_size=16), min_size=1, max_size=4))(example)))()
        turn += 1
    print(seen)
    assert seen["changes"] > 50


def test_tables_are_forgotten_when_there_are_too_many(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything known of tables is dropped between two batches, in the middle of transactions too: the events are the same."""
    monkeypatch.setattr(source, "MANY", 1)
    monkeypatch.setattr(pair.streams["wal2json"], "_batch", 3)
    keys = [("parted", (str(n), day)) for n in range(1, 4) for day in ("2024-05-01", "2025-05-01")]
    keys += [("generated", (str(n),)) for n in range(1, 4)]
    pair.write([[Step("insert", table, key, {"note": "a"}) for table, key in keys], [Step("delete", *one) for one in keys]])
    assert compare(pair.read(), BY_LABEL) == 2 * len(keys)


def test_announcements_come_before_what_they_announce(pair: Pair) -> None:
    """Columns added, dropped, renamed, retyped and generated, another identity, a partition attached: each is announced ahead of
    the first row that has it, as by pgoutput, with the same columns."""
    pair.write([[Step("insert", "composite", ("1", "infinity"), {"note": "a", "x": "1.5"})]])
    for ddl in (
        "alter table composite add column extra numeric default 1.50",
        "alter table composite rename column note to remark",
        "alter table composite alter column remark type varchar(100)",
        "alter table composite alter column a type numeric",
        "alter table composite drop column x",
        "alter table composite add column g int generated always as (7) stored",
        "alter table composite replica identity full",
        "alter table composite replica identity default",
    ):
        pair.writer.execute(ddl.encode())
        pair.writer.execute("update composite set b = b + interval '1 s'")
        pair.writer.execute("insert into composite (a, b) values (2, clock_timestamp())")
        pair.writer.execute("delete from composite where a = 2")
        events = pair.read()
        seen = {plugin: [e.relation.columns for e in told if isinstance(e, RowChange)] for plugin, told in events.items()}
        assert seen["wal2json"] == seen["pgoutput"], ddl
        for told in events.values():
            announced: dict[str, Relation] = {}
            for event in told:
                if isinstance(event, RelationSeen):
                    announced[event.relation.label] = event.relation
                elif isinstance(event, RowChange) and event.relation.label in announced:
                    assert event.relation == announced[event.relation.label]
        compare(events, BY_LABEL)


def test_a_partition_that_is_new_attached_detached_or_dropped(pair: Pair) -> None:
    """Rows of a partition that was made or attached in the same transaction come under the root's name; those of one that is
    gone, or on its own, do not."""
    pair.writer.execute("drop table parted_1")
    pair.writer.execute("create table later (like parted including all)")
    with pair.writer.transaction():
        pair.writer.execute("create table parted_0 partition of parted for values from ('2020-01-01') to ('2021-01-01')")
        pair.writer.execute("insert into parted values (1, '2020-05-01', 'made and filled', null)")
    pair.writer.execute("insert into later values (2, '2024-05-01', 'on its own', null)")
    assert compare(pair.read(), BY_LABEL) == 1
    with pair.writer.transaction():
        pair.writer.execute("alter table parted attach partition later for values from ('2024-01-01') to ('2025-01-01')")
        pair.writer.execute("insert into parted values (3, '2024-05-01', 'attached and filled', null)")
    assert compare(pair.read(), BY_LABEL) == 1
    pair.writer.execute("alter table parted detach partition later")
    pair.writer.execute("insert into later values (4, '2024-05-01', 'on its own again', null)")
    assert compare(pair.read(), BY_LABEL) == 0
    pair.writer.execute("insert into parted values (5, '2020-06-01', 'its partition will be dropped', null)")
    pair.writer.execute("drop table parted_0")
    events = pair.read()
    assert not [event for event in events["wal2json"] if isinstance(event, RowChange)]
    assert [event.relation.oid for event in events["wal2json"] if isinstance(event, RelationSeen)] == [0]
