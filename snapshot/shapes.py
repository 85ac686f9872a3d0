"""The catalogue's traces of what no change announces, for `bridge.shapes`: a few statements, of carried tables alone.

Catalogue rows are compared by their `xmin`, the transaction that wrote them: every kind of ALTER leaves a new one, and at worst
it changes without need. Sources: the manual's chapters "System Catalogs" and "System Columns".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import psycopg

from bridge.postgres import translated
from bridge.shapes import Part, Shape

# VACUUM and ANALYZE write pg_class in place, without a new xmin. Of foreign keys the parent's name counts too.
TABLES = b"""
    select c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relispartition, c.relfilenode::bigint, columns.versions,
           md5(concat_ws(' ', c.xmin::text, columns.versions,
               (select string_agg(concat_ws(' ', i.indexrelid, i.xmin::text), ',' order by i.indexrelid)
                  from pg_index i where i.indrelid = c.oid and i.indisunique),
               (select string_agg(concat_ws(' ', k.oid, k.xmin::text, p.relnamespace, p.relname), ',' order by k.oid)
                  from pg_constraint k join pg_class p on p.oid = k.confrelid
                 where k.conrelid = c.oid and k.contype = 'f')))
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
     cross join lateral (
           select md5(string_agg(concat_ws(' ', a.attnum, a.xmin::text), ',' order by a.attnum))
             from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
           ) columns (versions)
     where c.oid = any (%(tables)s::oid[])
"""

# Partitions at any depth, without those whose DETACH CONCURRENTLY has begun: their rows are gone for every new statement.
# A partition that was made as one still has a column as its making left it, written by the same command as the system columns
# and by the same transaction as its membership. ATTACH always rewrites the columns' entries.
PARTS = b"""
    with recursive below (root, oid, joined, pending) as (
        select i.inhparent, i.inhrelid, i.xmin, coalesce((to_jsonb(i) ->> 'inhdetachpending')::boolean, false)
          from pg_inherits i where i.inhparent = any (%(roots)s::oid[])
        union all
        select b.root, i.inhrelid, i.xmin, b.pending or coalesce((to_jsonb(i) ->> 'inhdetachpending')::boolean, false)
          from below b join pg_inherits i on i.inhparent = b.oid
    )
    select b.root, b.oid, n.nspname || '.' || c.relname, c.relfilenode::bigint, b.joined::text,
           exists (select from pg_attribute s
                     join pg_attribute u on u.attrelid = s.attrelid and u.xmin = s.xmin and u.cmin = s.cmin
                    where s.attrelid = b.oid and s.attname = 'tableoid' and s.attnum < 0 and s.xmin = b.joined and u.attnum > 0),
           c.relkind::text, c.relpersistence::text
      from below b
      join pg_class c on c.oid = b.oid
      join pg_namespace n on n.oid = c.relnamespace
     where not b.pending
"""

# Types of users that the columns are made of, all the way down: the labels of enums, the fields of composites.
TYPES = b"""
    with recursive used (tbl, oid) as (
        select a.attrelid, a.atttypid from pg_attribute a
         where a.attrelid = any (%(tables)s::oid[]) and a.attnum > 0 and not a.attisdropped and a.atttypid >= 16384
        union
        select u.tbl, x.oid
          from used u
          join pg_type t on t.oid = u.oid
         cross join lateral (
               select t.typbasetype where t.typtype = 'd'
               union all select t.typelem where t.typelem <> 0
               union all select r.rngsubtype from pg_range r where r.rngtypid = t.oid
               union all select f.atttypid from pg_attribute f
                          where f.attrelid = t.typrelid and t.typtype = 'c' and f.attnum > 0 and not f.attisdropped
               ) x (oid)
         where x.oid >= 16384
    )
    select u.tbl, e.oid::text, e.enumlabel::text from used u join pg_enum e on e.enumtypid = u.oid
    union all
    select u.tbl, t.oid::text, string_agg(concat_ws(' ', f.attnum, f.atttypid, f.atttypmod), ',' order by f.attnum)
      from used u join pg_type t on t.oid = u.oid join pg_attribute f on f.attrelid = t.typrelid
     where t.typtype = 'c' and f.attnum > 0 and not f.attisdropped
     group by u.tbl, t.oid
"""

# As JSON, because row filters and column lists came with 15.
MEMBERS = b"""
    select r.prrelid, p.xmin::text || ' ' || r.oid,
           coalesce(to_jsonb(r) ->> 'prqual', to_jsonb(r) ->> 'prattrs') is not null
      from pg_publication_rel r
      join pg_publication p on p.oid = r.prpubid
     where p.pubname = %(publication)s and r.prrelid = any (%(tables)s::oid[])
"""

NAMED = b"""
    select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and n.nspname = %(schema)s and c.relname = %(name)s
"""


def load_shapes(connection: psycopg.Connection[Any], tables: Sequence[int], publication: str | None) -> dict[int, Shape]:
    """The shapes of the tables with these oids that are still there, under whatever name.

    Without a publication everything counts as a member. Raises SourceUnavailable.
    """
    with translated():
        connection.execute("set jit = off")  # which would take longer to compile these than they take
        found = connection.execute(TABLES, {"tables": list(tables)}).fetchall()
        roots = [row[0] for row in found if row[3] == "p"]
        parts = connection.execute(PARTS, {"roots": roots}).fetchall() if roots else []
        types = connection.execute(TYPES, {"tables": list(tables)}).fetchall()
        members = None
        if publication is not None:
            rows = connection.execute(MEMBERS, {"tables": list(tables), "publication": publication})
            members = {row[0]: (row[1], row[2]) for row in rows}
    below: defaultdict[int, dict[int, Part]] = defaultdict(dict)
    for root, oid, name, storage, joined, in_place, kind, persistence in parts:
        below[root][oid] = Part(name, storage, joined, in_place, kind, persistence)
    made_of: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for table, name, value in types:
        made_of[table][name] = value
    shapes = {}
    for oid, schema, name, _kind, is_partition, storage, attributes, definition in found:
        membership, narrowed = ("", False) if members is None else members.get(oid, (None, False))
        shapes[oid] = Shape(
            oid=oid,
            schema=schema,
            name=name,
            definition=definition,
            attributes=attributes,
            storage=storage,
            is_partition=is_partition,
            membership=membership,
            narrowed=narrowed,
            types=made_of[oid],
            parts=below[oid],
        )
    return shapes


def is_left(connection: psycopg.Connection[Any], oid: int) -> bool:
    """Whether the table of that oid is still there. Raises SourceUnavailable."""
    with translated():
        return connection.execute("select from pg_class where oid = %s", (oid,)).fetchone() is not None


def is_there(connection: psycopg.Connection[Any], schema: str, name: str) -> bool:
    """Whether there is a table of that name. Raises SourceUnavailable."""
    with translated():
        return connection.execute(NAMED, {"schema": schema, "name": name}).fetchone() is not None
