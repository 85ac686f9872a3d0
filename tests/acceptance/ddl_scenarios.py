"""What can be done to a table while it is carried, one scenario a table: the DDL, and what must become of it.

`stops` is None for what must end proven, else a part of the sentence with which the table must be stopped. `{t}` is the table,
`{p}` the publication. Partitioned tables have the partitions `{t}_a` (ids below 1000) and `{t}_b` (from 1000 to below 2000).
"""

from __future__ import annotations

from dataclasses import dataclass

PLAIN = (
    "create table {t} (id int primary key, body text, note text, n int not null default 7)",
    "insert into {t} select g, 'row ' || g, 'note ' || g, g from generate_series(1, 25) g",
)
PARTED = (
    "create table {t} (id int primary key, body text, note text) partition by range (id)",
    "create table {t}_a partition of {t} for values from (0) to (1000)",
    "create table {t}_b partition of {t} for values from (1000) to (2000)",
    "insert into {t} select g, 'row ' || g, 'note' from generate_series(1, 25) g",
    "insert into {t} select 1000 + g, 'row ' || g, 'note' from generate_series(1, 25) g",
)


@dataclass(frozen=True)
class Scenario:
    """`before` makes the table; `ddl` are statements, each a transaction of its own."""

    name: str
    ddl: tuple[str, ...]
    stops: str | None = None
    before: tuple[str, ...] = PLAIN


def typed(kind: str, values: str, make: str = "") -> tuple[str, ...]:
    """A table whose column `v` has a type of its own."""
    table = (f"create table {{t}} (id int primary key, body text, v {kind})",)
    rows = (f"insert into {{t}} (id, body, v) select g, 'row ' || g, {values} from generate_series(1, 25) g",)
    return ((make,) if make else ()) + table + rows


CHILD = (
    *PLAIN,
    "create table {t}_parent (id int primary key, body text)",
    "insert into {t}_parent select g, 'parent' from generate_series(1, 100) g",
)

COLUMNS = (
    Scenario("add_column", ("alter table {t} add column c text",)),
    Scenario("add_default", ("alter table {t} add column c int not null default 5",)),
    Scenario("add_volatile", ("alter table {t} add column c text default md5(random()::text)",)),
    Scenario("add_generated", ("alter table {t} add column g int generated always as (id * 2) stored",)),
    Scenario(
        "drop_expression",
        ("alter table {t} alter column g drop expression", "update {t} set g = 1 where id = 3"),
        before=(*PLAIN, "alter table {t} add column g int generated always as (id * 2) stored"),
    ),
    Scenario("add_twice", ("alter table {t} add column c int default 1", "alter table {t} add column d int default 2")),
    Scenario("renewed", ("alter table {t} drop column n, add column n int not null default 9",)),
    Scenario(
        "swapped_columns",
        ("alter table {t} rename body to x; alter table {t} rename note to body; alter table {t} rename x to note",),
    ),
    Scenario("rewritten", ("alter table {t} alter column note type text using upper(note)",)),
    Scenario("padded", ("alter table {t} alter column v type char(9)",), before=typed("char(5)", "'ab'")),
    Scenario("scaled", ("alter table {t} alter column v type numeric(12,4)",), before=typed("numeric(10,2)", "g * 1.25")),
    Scenario("widened", ("alter table {t} alter column v type varchar(90)",), before=typed("varchar(9)", "'ab'")),
    Scenario("not_null", ("alter table {t} alter column n drop not null, alter column n set default 3",)),
    Scenario("drop_column", ("alter table {t} drop column note",), "column 'note'"),
    Scenario("rename_column", ("alter table {t} rename note to remark",), "its column 'note' was dropped or renamed"),
    Scenario("retype", ("alter table {t} alter column n type bigint",), "its column 'n' has another type"),
)

TYPES = (
    Scenario(
        "enum_added",
        ("alter type {t}_enum add value 'three'",),
        before=typed("{t}_enum", "'one'::{t}_enum", "create type {t}_enum as enum ('one', 'two')"),
    ),
    Scenario(
        "enum_renamed",
        ("alter type {t}_enum rename value 'one' to 'first'",),
        before=typed("{t}_enum[]", "array['one', 'two']::{t}_enum[]", "create type {t}_enum as enum ('one', 'two')"),
    ),
    Scenario(
        "composite",
        ("alter type {t}_pair add attribute c int",),
        before=typed("{t}_pair", "row(g, 'x')::{t}_pair", "create type {t}_pair as (a int, b text)"),
    ),
    Scenario(
        "domain",
        ("alter domain {t}_dom add check (value >= 0)",),
        before=typed("{t}_dom", "g", "create domain {t}_dom as int"),
    ),
)

KEYS = (
    Scenario("fk_added", ("alter table {t} add foreign key (n) references {t}_parent",), before=CHILD),
    Scenario(
        "fk_dropped",
        ("alter table {t} drop constraint {t}_n_fkey",),
        before=(*CHILD, "alter table {t} add foreign key (n) references {t}_parent"),
    ),
    Scenario(
        "fk_renamed",
        ("alter table {t} rename constraint {t}_n_fkey to {t}_other",),
        before=(*CHILD, "alter table {t} add foreign key (n) references {t}_parent"),
    ),
    Scenario(
        "fk_validated",
        ("alter table {t} validate constraint {t}_n_fkey",),
        before=(*CHILD, "alter table {t} add foreign key (n) references {t}_parent not valid"),
    ),
    Scenario("unique_added", ("alter table {t} add constraint {t}_u unique (id, n)",)),
    Scenario("identity_full", ("alter table {t} replica identity full",)),
    Scenario("identity_key", ("alter table {t} replica identity using index {t}_pkey",)),
    Scenario("identity_nothing", ("alter table {t} replica identity nothing",), "replica identity"),
    Scenario(
        "identity_other",
        ("create unique index {t}_o on {t} (n, id); alter table {t} replica identity using index {t}_o",),
    ),
    Scenario(
        "identity_else",
        ("create unique index {t}_o on {t} (u); alter table {t} replica identity using index {t}_o",),
        "replica identity",
        before=(*PLAIN, "alter table {t} add column u uuid not null default gen_random_uuid()"),
    ),
    Scenario("key_dropped", ("alter table {t} drop constraint {t}_pkey",), "has no primary key"),
    Scenario(
        "key_other",
        ("alter table {t} drop constraint {t}_pkey, add primary key (id, n)",),
        "its primary key has other columns",
    ),
    Scenario("key_again", ("alter table {t} drop constraint {t}_pkey, add primary key (id)",)),
)

STORAGE = (
    Scenario("vacuumed", ("vacuum full {t}",)),
    Scenario("clustered", ("cluster {t} using {t}_pkey",)),
    Scenario("reindexed", ("reindex table {t}",)),
    Scenario("analyzed", ("analyze {t}",)),
    Scenario("truncated", ("truncate {t}",)),
    Scenario(
        "cascade",
        ("truncate {t}_parent cascade", "insert into {t}_parent values (7, 'again')"),
        before=(*CHILD, "alter table {t} add foreign key (n) references {t}_parent"),
    ),
    Scenario("row_security", ("alter table {t} enable row level security",)),
)

TABLES = (
    Scenario("renamed", ("alter table {t} rename to {t}_away",), "it was renamed to public.renamed_away"),
    Scenario("moved", ("create schema moved; alter table {t} set schema moved",), "it was renamed to moved.moved"),
    Scenario("dropped", ("drop table {t}",), "it was dropped"),
    Scenario(
        "made_again",
        (
            """
            drop table {t};
            create table {t} (id int primary key, body text, note text, n int not null default 7);
            alter publication {p} add table only {t}
            """,
        ),
        "another table has its name now",
    ),
    Scenario(
        "swapped",
        (
            """
            create table {t}_new (like {t} including all);
            alter publication {p} add table only {t}_new;
            alter table {t} rename to {t}_old;
            alter table {t}_new rename to {t}
            """,
        ),
        "another table has its name now",
    ),
    Scenario("unpublished", ("alter publication {p} drop table {t}",), "does not hold it any more"),
    Scenario(
        "published_again",
        (
            """
            alter publication {p} drop table {t};
            update {t} set body = 'not sent' where id < 9;
            delete from {t} where id = 9;
            insert into {t} values (900, 'not sent', '', 1);
            alter publication {p} add table only {t}
            """,
        ),
    ),
)

PARTITIONS = (
    Scenario(
        "part_created",
        ("create table {t}_c partition of {t} for values from (2000) to (3000); insert into {t} values (2001, 'sent', '')",),
        before=PARTED,
    ),
    Scenario(
        "part_attached",
        (
            """
            create table {t}_c (like {t} including all);
            insert into {t}_c values (2001, 'not sent', ''), (2002, 'not sent', '');
            alter table {t} attach partition {t}_c for values from (2000) to (3000)
            """,
        ),
        before=PARTED,
    ),
    Scenario("part_detached", ("alter table {t} detach partition {t}_b",), before=PARTED),
    Scenario("part_detached_softly", ("alter table {t} detach partition {t}_b concurrently",), before=PARTED),
    Scenario("part_dropped", ("drop table {t}_b",), before=PARTED),
    Scenario("part_truncated", ("truncate {t}_b",), before=PARTED),
    Scenario("part_vacuumed", ("vacuum full {t}_b",), before=PARTED),
    Scenario(
        "part_again",
        (
            """
            alter table {t} detach partition {t}_b;
            update {t}_b set body = 'not sent' where id < 1010;
            delete from {t}_b where id = 1020;
            insert into {t}_b values (1900, 'not sent', '');
            alter table {t} attach partition {t}_b for values from (1000) to (2000)
            """,
        ),
        before=PARTED,
    ),
    Scenario(
        "part_of_part",
        (
            """
            create table {t}_c (like {t} including all) partition by range (id);
            create table {t}_ca partition of {t}_c for values from (2000) to (2500);
            insert into {t}_c values (2001, 'not sent', '');
            alter table {t} attach partition {t}_c for values from (2000) to (3000)
            """,
        ),
        before=PARTED,
    ),
    Scenario(
        "part_after_truncate",
        (
            "truncate {t}",
            """
            create table {t}_c (like {t} including all);
            insert into {t}_c values (2001, 'not sent', '');
            alter table {t} attach partition {t}_c for values from (2000) to (3000)
            """,
        ),
        before=PARTED,
    ),
    Scenario(
        "part_taken",
        ("alter table {t} attach partition part_given for values from (2000) to (3000)",),
        before=(
            *PARTED,
            "create table part_given (like {t} including all)",
            "insert into part_given values (2001, 'of its own', ''), (2002, 'of its own', '')",
        ),
    ),
    Scenario("part_rewritten", ("alter table {t} alter column note type text using upper(note)",), before=PARTED),
    Scenario("part_added_column", ("alter table {t} add column c int default 4",), before=PARTED),
    Scenario(
        "part_unlogged", ("alter table {t}_b set unlogged",), "its partition public.part_unlogged_b is unlogged", before=PARTED
    ),
)

KEYLESS = (
    "create table {t} (id int, body text, note text) partition by range (id)",
    "create table {t}_a partition of {t} for values from (0) to (1000)",
    "create table {t}_b partition of {t} for values from (1000) to (2000)",
    "alter table {t} replica identity full",
    "alter table {t}_a replica identity full",
    "alter table {t}_b replica identity full",
    "insert into {t} select g, 'row ' || g, 'note' from generate_series(990, 1010) g",
)

WITHOUT_A_KEY = (
    Scenario(
        "keyless", ("alter table {t} detach partition {t}_b",), "it has no key by which they could be found", before=KEYLESS
    ),
    Scenario("keyless_column", ("alter table {t} add column c int",), "which have no key", before=KEYLESS),
)

CONFIGURED = {
    "keyless": {"duplicates": "collapse"},
    "keyless_column": {"duplicates": "collapse"},
    "drop_column": {"text": ["note"]},
    "dropped": {"text": ["body"]},
}
"""What the configuration says of some tables; of those that are stopped, it must not keep the others from going on."""

SCENARIOS = WITHOUT_A_KEY + COLUMNS + TYPES + KEYS + STORAGE + TABLES + PARTITIONS

ALSO_STOPPED = {"part_given": "it was attached to another table as a partition"}
"""Tables that a scenario stops besides its own."""

SINCE_15 = (
    Scenario(
        "filtered",
        ("alter publication {p} drop table {t}; alter publication {p} add table only {t} where (id > 5)",),
        "the publication leaves out some of its rows or columns",
    ),
    Scenario(
        "column_list",
        ("alter publication {p} drop table {t}; alter publication {p} add table only {t} (id, body)",),
        "the publication leaves out some of its rows or columns",
    ),
)
"""Row filters and column lists came with PostgreSQL 15."""
