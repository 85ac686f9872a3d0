"""The catalogue of a real server, with everything that decides how a table is carried."""

from __future__ import annotations

import psycopg
import pytest

from bridge.postgres import connect
from bridge.schema import Catalog, ForeignKey
from snapshot.catalog import load, load_types

SCHEMA = """
create schema "Od d";
create type public.mood as enum ('a', 'b');
create domain public.moods as public.mood[];
create domain public.deep as public.moods;
create table public.parent (id int primary key, code text not null unique, x int, y int, unique (y, x));
create unique index partial on public.parent (x) where x > 0;
create unique index expression on public.parent (lower(code));
create table "Od d"."Chi""ld" (
    "B b" int, a int, dropped int, self_a int, self_b int,
    p int references public.parent, code text references public.parent (code),
    px int, py int, made int generated always as (a + 1) stored,
    primary key (a, "B b"),
    constraint self foreign key (self_b, self_a) references "Od d"."Chi""ld" ("B b", a)
);
alter table "Od d"."Chi""ld" drop column dropped;
alter table "Od d"."Chi""ld" add constraint pair foreign key (px, py) references public.parent (x, y) not valid;
create table public.parts (id int, at date, parent_id int references public.parent, primary key (id, at)) partition by range (at);
create table public.parts_a partition of public.parts for values from ('2020-01-01') to ('2021-01-01') partition by list (id);
create table public.parts_a1 partition of public.parts_a default;
create table public.parts_b partition of public.parts default;
create table public.to_parts (id int primary key, p int, at date, foreign key (p, at) references public.parts);
create table public.late (id int primary key deferrable initially deferred);
create table public.full_identity (a int, b text, g int generated always as (a) stored);
alter table public.full_identity replica identity full;
create table public.none (id int primary key);
alter table public.none replica identity nothing;
create table public.by_index (id int primary key, k int not null);
create unique index by_k on public.by_index (k) include (id);
alter table public.by_index replica identity using index by_k;
create table public.base (id int primary key);
create table public.derived () inherits (public.base);
create unlogged table public.unlogged (id int);
create table public.types (d public.deep, m public.mood[], v int2vector, b box[], n numeric(5, 2), c char(3), "char" "char");
create table public.secret (id int primary key);
alter table public.secret enable row level security;
create temp table temporary (id int);
"""


@pytest.fixture
def catalog(database: str) -> Catalog:
    with connect(database) as conn:
        conn.execute("set search_path = public")
        conn.execute(SCHEMA.encode())
        conn.execute("insert into public.parts values (1, '2020-05-05', null), (2, '1999-01-01', null)")
        conn.execute("analyze public.parts, public.parts_a1, public.parts_b")
        conn.execute("set search_path = pg_catalog")
        return load(conn, sizes=True)


def test_tables_of_users_are_found_and_partitions_are_not(catalog: Catalog) -> None:
    """§3: ordinary and partitioned tables; no partition, no temporary and no system table."""
    assert {table.label for table in catalog.tables.values()} == {
        "public.parent", 'Od d.Chi"ld', "public.parts", "public.to_parts", "public.late", "public.full_identity", "public.none",
        "public.by_index", "public.base", "public.derived", "public.unlogged", "public.types", "public.secret",
    }  # fmt: skip
    parts = catalog.tables["public", "parts"]
    assert (parts.kind, len(parts.leaves), parts.rows, parts.key) == ("p", 3, 2, ("id", "at"))
    assert parts.size > 0
    assert catalog.tables["public", "base"].inheritance_parent
    assert not catalog.tables["public", "derived"].inheritance_parent
    assert not parts.inheritance_parent
    assert catalog.tables["public", "unlogged"].persistence == "u"
    assert catalog.tables["public", "none"].rows == -1
    assert catalog.encoding == "UTF8"


def test_columns_keys_and_foreign_keys_are_as_declared(catalog: Catalog) -> None:
    """*Ids*, *Edges*: columns by number without dropped and generated ones; keys and foreign keys in their order."""
    child = catalog.tables["Od d", 'Chi"ld']
    assert [column.name for column in child.columns] == ["B b", "a", "self_a", "self_b", "p", "code", "px", "py"]
    assert [column.number for column in child.columns] == [1, 2, 4, 5, 6, 7, 8, 9]
    assert child.generated == ("made",)
    assert child.key == ("a", "B b")
    assert sorted(child.foreign_keys, key=lambda key: key.columns) == [
        ForeignKey('Chi"ld_code_fkey', ("code",), ("public", "parent"), ("code",)),
        ForeignKey('Chi"ld_p_fkey', ("p",), ("public", "parent"), ("id",)),
        ForeignKey("pair", ("px", "py"), ("public", "parent"), ("x", "y"), validated=False),
        ForeignKey("self", ("self_b", "self_a"), ("Od d", 'Chi"ld'), ("B b", "a")),
    ]
    assert set(catalog.tables["public", "parent"].unique_keys) == {("code",), ("y", "x")}
    assert [key.parent for key in catalog.tables["public", "to_parts"].foreign_keys] == [("public", "parts")]
    assert [key.parent for key in catalog.tables["public", "parts"].foreign_keys] == [("public", "parent")]


def test_what_an_old_row_sends_is_known(catalog: Catalog) -> None:
    """*Ids*: the identity's columns by kind of identity; a deferrable key is told and sends nothing."""
    sent = {name: catalog.tables["public", name] for name in ("late", "full_identity", "none", "by_index", "parent")}
    assert {name: (table.identity, table.identity_columns) for name, table in sent.items()} == {
        "late": ("d", ()),
        "full_identity": ("f", ("a", "b")),
        "none": ("n", ()),
        "by_index": ("i", ("k",)),
        "parent": ("d", ("id",)),
    }
    assert sent["late"].key_deferrable
    assert not sent["parent"].key_deferrable
    assert sent["by_index"].key == ("id",)


def test_types_are_loaded_to_the_bottom(catalog: Catalog) -> None:
    """*Content*: domains lead to their base, true arrays to their element; `int2vector` is no array."""
    types = catalog.tables["public", "types"]
    deep = types.column("d").type
    assert deep.base is not None
    assert deep.base.base is not None
    assert deep.base.base.element is not None
    assert (deep.kind, deep.base.name, deep.base.base.element.name) == ("d", "moods", "mood")
    assert deep.base.base.element == catalog.types[deep.base.base.element.oid]
    assert types.column("v").type.element is None
    assert types.column("b").type.element is not None
    assert types.column("b").type.element.delimiter == ";"
    assert [types.column(name).declared for name in ("n", "c", "char", "m")] == [
        "numeric(5,2)", "character(3)", '"char"', "public.mood[]",
    ]  # fmt: skip


def test_a_role_that_may_only_connect_reads_it_too(database: str, catalog: Catalog) -> None:
    """Law 12: nothing here needs a right on a table; and row security counts for those whom it hides rows from."""
    role = "only_" + database.rsplit("_", 1)[1]
    with connect(database) as conn:
        conn.execute(f'create role "{role}"'.encode())
        try:
            conn.execute(f'set role "{role}"'.encode())
            seen = load(conn, schemas=["public"], sizes=True)
        finally:
            conn.execute("reset role")
            conn.execute(f'drop role "{role}"'.encode())
    assert set(seen.tables) == {name for name in catalog.tables if name[0] == "public"}
    assert seen.tables["public", "secret"].row_security
    assert not catalog.tables["public", "secret"].row_security
    assert seen.tables["public", "types"] == catalog.tables["public", "types"]


def test_types_can_be_loaded_alone(database: str) -> None:
    """A relation message names types by oid: unknown ones are left out."""
    with connect(database) as conn:
        types = load_types(conn, [1007, 4294967295])
    assert {info.name for info in types.values()} == {"_int4", "int4"}


def test_virtual_generated_columns_are_left_out(database: str) -> None:
    """*Content*: generated columns are not carried, by any path."""
    with psycopg.connect(database, autocommit=True) as admin:
        if admin.info.server_version < 180000:
            pytest.skip("virtual columns came with 18")
        admin.execute("create table public.v (id int primary key, w int generated always as (id + 1) virtual)")
    with connect(database) as conn:
        table = load(conn).tables["public", "v"]
    assert ([column.name for column in table.columns], table.generated) == (["id"], ("w",))
