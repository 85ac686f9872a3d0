"""PostgreSQL's catalogue -> `bridge.schema`: which tables there are, and what decides how they are carried.

Written for PostgreSQL 12 to 18, and for a role that may only connect: the system catalogues are readable by everyone, and
`pg_total_relation_size` needs no right on the table. Sources: the manual's chapter "System Catalogs".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bridge.postgres import translated
from bridge.schema import Catalog, Column, ForeignKey, Table, TypeInfo

MEASURED = "coalesce(pg_total_relation_size(c.oid), 0)"
ESTIMATED = "c.relpages::bigint * current_setting('block_size')::bigint"

# Ordinary and partitioned tables of users, without partitions: those come as `leaves` of their root. Temporary tables live in
# schemas `pg_temp_…`. `row_security_active` is about the role that asks: true when a policy would hide rows from it. The schema
# of a ledger, which may be in the same database, says so in its comment: it is never a source.
TABLES = """
    select c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relreplident::text, c.relpersistence::text,
           row_security_active(c.oid),
           c.relkind = 'r' and exists (select from pg_inherits h where h.inhparent = c.oid),
           c.reltuples::bigint, c.relpages, <size>
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and not c.relispartition
       and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
       and obj_description(n.oid, 'pg_namespace') is distinct from 'ledger of engram-bridge'
       and (%(schemas)s::text[] is null or n.nspname = any (%(schemas)s::text[]))
       and (%(only)s::oid[] is null or c.oid = any (%(only)s::oid[]))
     order by n.nspname, c.relname
"""

# Every partition below the given roots, at any depth.
PARTITIONS = """
    with recursive below (root, oid) as (
        select i.inhparent, i.inhrelid from pg_inherits i where i.inhparent = any (%(roots)s::oid[])
        union all
        select b.root, i.inhrelid from below b join pg_inherits i on i.inhparent = b.oid
    )
    select b.root, b.oid, c.relkind::text, c.reltuples::bigint, c.relpages, <size>
      from below b
      join pg_class c on c.oid = b.oid
     order by b.root, b.oid
"""

# Columns that are there. `attgenerated` is '' for ordinary ones, 's' stored, 'v' virtual (from 18).
COLUMNS = """
    select a.attrelid, a.attnum, a.attname::text, a.atttypid, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           a.attgenerated <> ''
      from pg_attribute a
     where a.attrelid = any (%(tables)s::oid[]) and a.attnum > 0 and not a.attisdropped
     order by a.attrelid, a.attnum
"""

# Unique indexes over whole rows and plain columns, in index order, without the columns that are only included.
UNIQUE_INDEXES = """
    select i.indrelid, i.indisprimary, i.indimmediate, i.indisreplident,
           array(select a.attname::text
                   from unnest(i.indkey::int2[]) with ordinality as k (number, place)
                   join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
                  where k.place <= i.indnkeyatts
                  order by k.place)
      from pg_index i
     where i.indrelid = any (%(tables)s::oid[]) and i.indisunique and i.indisvalid
       and i.indpred is null and i.indexprs is null
     order by i.indrelid, i.indexrelid
"""

# Foreign keys as they were declared: those with a `conparentid` are the server's copies for partitions. A foreign key with
# `period` (from 18) references a set of rows and is no edge; through to_jsonb the column need not exist.
FOREIGN_KEYS = """
    select k.conrelid, k.conname::text, n.nspname::text, p.relname::text, k.convalidated,
           array(select a.attname::text from unnest(k.conkey) with ordinality as u (number, place)
                   join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.number order by u.place),
           array(select a.attname::text from unnest(k.confkey) with ordinality as u (number, place)
                   join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.number order by u.place)
      from pg_constraint k
      join pg_class p on p.oid = k.confrelid
      join pg_namespace n on n.oid = p.relnamespace
     where k.contype = 'f' and k.conparentid = 0 and k.conrelid = any (%(tables)s::oid[])
       and not coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false)
     order by k.conrelid, k.conname
"""

# The given types, the bases of domains and the elements of arrays, all the way down. A true array is a type that another one
# names as its `typarray`; `int2vector` has an element, but none names it.
TYPES = """
    with recursive needed (oid) as (
        select unnest(%(oids)s::oid[])
        union
        select case when t.typtype = 'd' then t.typbasetype else e.oid end
          from needed n
          join pg_type t on t.oid = n.oid
          left join pg_type e on e.typarray = t.oid
         where t.typtype = 'd' or e.oid is not null
    )
    select t.oid, s.nspname::text, t.typname::text, t.typtype::text, t.typcategory::text, t.typdelim::text,
           case when t.typtype = 'd' then t.typbasetype end, e.oid
      from needed n
      join pg_type t on t.oid = n.oid
      join pg_namespace s on s.oid = t.typnamespace
      left join pg_type e on e.typarray = t.oid
"""

SERVER = """
    select current_setting('server_version_num')::int, current_setting('server_encoding'), current_database()::text
"""


@dataclass(slots=True)
class _Facts:
    """What the other queries say about one table."""

    columns: list[Column] = field(default_factory=list)
    generated: list[str] = field(default_factory=list)
    indexes: list[tuple[bool, bool, bool, tuple[str, ...]]] = field(default_factory=list)
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    partitions: list[tuple[int, str, int, int, int]] = field(default_factory=list)


def load(
    conn: psycopg.Connection[Any],
    *,
    schemas: Sequence[str] | None = None,
    only: Sequence[int] | None = None,
    sizes: bool = False,
) -> Catalog:
    """All ordinary and partitioned tables of users (of `schemas`, with the oids `only`, when given), with their types.

    Sizes are estimated from the catalogue's pages; with `sizes` they are measured, indexes and TOAST included, which waits for
    whoever holds a table exclusively (VACUUM FULL, a rewriting ALTER). Several statements; a table that is dropped between them
    comes without columns or not at all. Raises SourceUnavailable.
    """
    with translated():
        version, encoding, database = _rows(conn, SERVER)[0]
        size = MEASURED if sizes else ESTIMATED
        chosen = {"schemas": None if schemas is None else list(schemas), "only": None if only is None else list(only)}
        tables = _rows(conn, TABLES.replace("<size>", size), **chosen)
        oids = [table[0] for table in tables]
        columns = _rows(conn, COLUMNS, tables=oids)
        types = load_types(conn, {column[3] for column in columns})
        facts: defaultdict[int, _Facts] = defaultdict(_Facts)
        _add_columns(facts, columns, types)
        for oid, *index, names in _rows(conn, UNIQUE_INDEXES, tables=oids):
            facts[oid].indexes.append((index[0], index[1], index[2], tuple(names)))
        for oid, name, schema, parent, validated, child_columns, parent_columns in _rows(conn, FOREIGN_KEYS, tables=oids):
            key = ForeignKey(name, tuple(child_columns), (schema, parent), tuple(parent_columns), validated)
            facts[oid].foreign_keys.append(key)
        for root, *partition in _rows(
            conn, PARTITIONS.replace("<size>", size), roots=[table[0] for table in tables if table[3] == "p"]
        ):
            facts[root].partitions.append((partition[0], partition[1], partition[2], partition[3], partition[4]))
    loaded = [_table(row, facts[row[0]], version) for row in tables]
    return Catalog({(table.schema, table.name): table for table in loaded}, types, version, encoding, database)


def load_types(conn: psycopg.Connection[Any], oids: Iterable[int]) -> dict[int, TypeInfo]:
    """These types by oid, and all that they are made of as far as it decides the form of a value. Raises SourceUnavailable."""
    with translated():
        rows = {row[0]: row for row in _rows(conn, TYPES, oids=sorted(oids))}
    built: dict[int, TypeInfo] = {}

    def build(oid: int | None) -> TypeInfo | None:
        if oid is None or oid not in rows:
            return None
        if oid not in built:
            _, schema, name, kind, category, delimiter, base, element = rows[oid]
            built[oid] = TypeInfo(oid, schema, name, kind, category, delimiter, build(base), build(element))
        return built[oid]

    for oid in rows:
        build(oid)
    return built


def _rows(conn: psycopg.Connection[Any], query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    return conn.execute(query.encode(), parameters).fetchall()


def _add_columns(facts: dict[int, _Facts], rows: Iterable[tuple[Any, ...]], types: dict[int, TypeInfo]) -> None:
    for oid, number, name, type_oid, declared, not_null, generated in rows:
        if generated:
            facts[oid].generated.append(name)
        elif type_oid in types:
            facts[oid].columns.append(Column(name, types[type_oid], declared, number, not_null))


def _table(row: tuple[Any, ...], facts: _Facts, version: int) -> Table:
    oid, schema, name, kind, identity, persistence, row_security, inheritance_parent, tuples, pages, size = row
    key = next((index for index in facts.indexes if index[0]), None)
    estimates = [_estimate(tuples, pages, version)]
    if kind == "p":
        estimates = [_estimate(part[2], part[3], version) for part in facts.partitions if part[1] != "p"]
    return Table(
        oid=oid,
        schema=schema,
        name=name,
        columns=tuple(facts.columns),
        kind=kind,
        key=key[3] if key else (),
        key_deferrable=key is not None and not key[1],
        identity=identity,
        identity_columns=_identity_columns(identity, facts),
        generated=tuple(facts.generated),
        foreign_keys=tuple(facts.foreign_keys),
        unique_keys=tuple(dict.fromkeys(index[3] for index in facts.indexes if index[1] and not index[0])),
        row_security=row_security,
        persistence=persistence,
        inheritance_parent=inheritance_parent,
        leaves=tuple(part[0] for part in facts.partitions),
        rows=-1 if -1 in estimates else sum(estimates),
        size=size + sum(part[4] for part in facts.partitions),
    )


def _identity_columns(identity: str, facts: _Facts) -> tuple[str, ...]:
    """What is sent of an old row. A deferrable primary key is not: the server takes no deferrable index as identity."""
    if identity == "f":
        return tuple(column.name for column in facts.columns)
    for primary, immediate, chosen, columns in facts.indexes:
        if immediate and (primary if identity == "d" else identity == "i" and chosen):
            return columns
    return ()


def _estimate(tuples: int, pages: int, version: int) -> int:
    """`reltuples`, -1 when never analysed. Before 14 that was said by no tuples on no pages."""
    return -1 if tuples < 0 or (version < 140000 and not tuples and not pages) else tuples
