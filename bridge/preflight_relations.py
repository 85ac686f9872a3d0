"""What the catalogue says beside the tables' definitions: widths of columns, large values, and relations that are no tables.

Readable by a role that may only connect; statistics of columns are shown by the server for tables that the role may read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import psycopg

from bridge.facts import ColumnFacts, OtherRelations, TableFacts
from bridge.postgres import translated

# Of a partitioned table the statistics of all its partitions together are the ones marked `inherited`.
WIDTHS = """
    select c.oid, s.attname::text, s.avg_width, s.n_distinct::float8
      from pg_stats s
      join pg_namespace n on n.nspname = s.schemaname
      join pg_class c on c.relname = s.tablename and c.relnamespace = n.oid
     where c.oid = any (%s::oid[]) and s.inherited = (c.relkind = 'p')
"""

OUT_OF_LINE = """
    select c.oid, pg_relation_size(c.reltoastrelid)
      from pg_class c where c.oid = any (%s::oid[]) and c.reltoastrelid <> 0
"""

TOASTABLE = """
    select a.attrelid, a.attname::text
      from pg_attribute a
     where a.attrelid = any (%s::oid[]) and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
       and a.attstorage in ('x', 'e')
     order by a.attrelid, a.attnum
"""

OTHERS = """
    select case when c.relpersistence = 't' then 't' else c.relkind::text end, n.nspname::text || '.' || c.relname::text
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
     where (c.relkind in ('v', 'm', 'f', 'S') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_')
        or (c.relkind in ('r', 'p') and c.relpersistence = 't' and not c.relispartition)
     order by 1, 2
"""


def with_columns(connection: psycopg.Connection, tables: Sequence[TableFacts]) -> list[TableFacts]:
    """The same tables with what is known of their columns and large values. Raises SourceUnavailable."""
    oids = [facts.table.oid for facts in tables]
    leaves = {leaf: facts.table.oid for facts in tables for leaf in (facts.table.oid, *facts.table.leaves)}
    columns: dict[int, dict[str, ColumnFacts]] = {}
    sizes: dict[int, int] = {}
    toastable: dict[int, list[str]] = {}
    with translated():
        for oid, name, width, distinct in connection.execute(WIDTHS, [oids]):
            columns.setdefault(oid, {})[name] = ColumnFacts(width, distinct)
        for oid, name in connection.execute(TOASTABLE, [oids]):
            toastable.setdefault(oid, []).append(name)
        for oid, size in connection.execute(OUT_OF_LINE, [list(leaves)]):
            sizes[leaves[oid]] = sizes.get(leaves[oid], 0) + (size or 0)
    return [
        replace(
            facts,
            columns=columns.get(facts.table.oid, {}),
            out_of_line=sizes.get(facts.table.oid, 0),
            toastable=tuple(toastable.get(facts.table.oid, ())),
        )
        for facts in tables
    ]


def other_relations(connection: psycopg.Connection) -> OtherRelations:
    """What there is beside tables. Raises SourceUnavailable."""
    found: dict[str, list[str]] = {}
    with translated():
        for kind, label in connection.execute(OTHERS):
            found.setdefault(kind, []).append(label)
    views, materialized, foreign, temporary, sequences = (tuple(found.get(kind, ())) for kind in "vmftS")
    return OtherRelations(views, materialized, foreign, temporary, sequences)
