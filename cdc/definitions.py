"""What the catalogue says of the tables that wal2json names, read as late as it has to be.

wal2json names tables and says no more of them, so the catalogue is asked, and its answer counts for a transaction only if that
transaction was visible to the statement that gave it: then it is at least as new. (A partition that was attached after an older
answer would be taken for a table that nobody carries.) Where everything named was known and every transaction visible already,
nothing is asked: so a backlog costs one statement, and a live stream one for each batch that it brings. Some ALTER TABLE leave
no trace where that is looked for (a column renamed or dropped); but they change the form of messages, and so a table is read
again whenever there is a new one.

A commit can be streamed before it is visible, for a moment always, and without bound under synchronous replication (law 11).
For a moment that is waited for. If it lasts, what is known of a table is used; a name that is not known at all ends the
connection, and is asked for again by the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import psycopg

from bridge.changes import Relation, RelationColumn
from bridge.errors import SourceUnavailable
from bridge.postgres import connect, snapshot_sees, translated
from cdc.wal2json_assembler import Definition, Name

Face: TypeAlias = "tuple[int, int, str]"
"""Oid of a table and of its root, and what changes with them."""

MOMENT: Final = 0.5
"""Seconds that a commit's becoming visible is waited for when all its tables are known."""

PATIENCE: Final = 10.0
"""Seconds that it is waited for when one of them is not."""

INTERVAL: Final = 0.01
OLDEST: Final = 10.0
"""Seconds after which columns and identities are read again, though nothing shows that they have changed."""

# One row at least, for the snapshot. `xmin` of the rows of pg_class changes with nearly every ALTER TABLE.
FACES: Final = """
    select txid_current_snapshot()::text, found.*
      from (select 1) one left join (
          select n.nspname::text, c.relname::text, c.oid, coalesce(r.oid, c.oid),
                 c.xmin::text || ':' || coalesce(r.xmin::text, '')
            from unnest(%(schemas)s::text[], %(names)s::text[]) as named (schema, name)
            join pg_namespace n on n.nspname = named.schema
            join pg_class c on c.relnamespace = n.oid and c.relname = named.name and c.relkind in ('r', 'p')
            left join pg_class r on c.relispartition and r.oid = pg_partition_root(c.oid)
      ) found on true
"""

# What the stream sends of old rows: the index that is the replica identity, deferrable ones never.
TABLES: Final = """
    select c.oid, n.nspname::text, c.relname::text, c.relreplident::text,
           array(select unnest(i.indkey::int2[]) from pg_index i
                  where i.indrelid = c.oid and i.indisvalid and i.indimmediate
                    and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end)
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = any (%(oids)s::oid[])
"""

COLUMNS: Final = """
    select attrelid, attnum, attname::text, atttypid, atttypmod, attgenerated <> ''
      from pg_attribute
     where attrelid = any (%(oids)s::oid[]) and attnum > 0 and not attisdropped
     order by attrelid, attnum
"""


@dataclass(slots=True)
class _Known:
    """What was found under a name, None when nothing was; the snapshot of the last look, and when the columns were read."""

    face: Face | None
    snapshot: str
    read_at: float


class Definitions:
    """Reads definitions over a connection of its own, opened at the first need. Used by the stream's thread. Close it."""

    def __init__(self, url: str, *, tend: Callable[[], None] = lambda: None) -> None:
        self._url = url
        self._tend = tend
        self._connection: psycopg.Connection | None = None
        self._known: dict[Name, _Known] = {}

    def __len__(self) -> int:
        """How many names are remembered."""
        return len(self._known)

    def clear(self) -> None:
        """Forget all names."""
        self._known.clear()

    def close(self) -> None:
        """Give the connection up."""
        if self._connection is not None:
            self._connection.close()

    def of(self, names: Iterable[Name], xids: Iterable[int], *, again: Collection[Name] = ()) -> dict[Name, Definition | None]:
        """Those of these tables whose definition is new or has changed, as new as all of these transactions.

        `again`: tables that are read again though nothing shows that they have changed, as all are now and then. Raises
        SourceUnavailable, also while a transaction with an unknown table is not visible.
        """
        now, xids = time.monotonic(), tuple(xids)
        covered: dict[str, bool] = {}
        asked: list[Name] = []
        unread: list[Name] = []
        for name in names:
            known = self._known.get(name)
            if known is None or name in again or now - known.read_at >= OLDEST:
                unread.append(name)
                asked.append(name)
                continue
            if known.snapshot not in covered:
                covered[known.snapshot] = all(snapshot_sees(known.snapshot, xid) for xid in xids)
            if not covered[known.snapshot]:
                asked.append(name)
        if not asked:
            return {}
        faces, snapshot = self._look(asked, xids)
        unread += [name for name in asked if name in self._known and self._known[name].face != faces.get(name)]
        definitions = self._read({name: faces.get(name) for name in unread})
        for name in asked:
            read_at = now if name in definitions else self._known[name].read_at
            self._known[name] = _Known(faces.get(name), snapshot, read_at)
        return definitions

    def _look(self, names: list[Name], xids: tuple[int, ...]) -> tuple[dict[Name, Face], str]:
        began = time.monotonic()
        while True:
            rows = self._rows(FACES, schemas=[schema for schema, _name in names], names=[name for _schema, name in names])
            snapshot = rows[0][0]
            faces = {(row[1], row[2]): (row[3], row[4], row[5]) for row in rows if row[1] is not None}
            if all(snapshot_sees(snapshot, xid) for xid in xids):
                return faces, snapshot
            known = all(name in faces for name in names)
            waited = time.monotonic() - began
            if known and waited >= MOMENT:
                return faces, snapshot
            if waited >= PATIENCE:
                raise SourceUnavailable(
                    "a commit that names a table which is not known yet is in the WAL but not visible",
                    hint="A synchronous standby is missing? SELECT application_name, sync_state FROM pg_stat_replication;",
                )
            self._tend()
            time.sleep(INTERVAL)

    def _read(self, faces: dict[Name, Face | None]) -> dict[Name, Definition | None]:
        oids = sorted({oid for face in faces.values() if face is not None for oid in face[:2]})
        tables: dict[int, tuple[Any, ...]] = {}
        columns: dict[int, list[tuple[Any, ...]]] = {}
        if oids:
            tables = {row[0]: row for row in self._rows(TABLES, oids=oids)}
            for row in self._rows(COLUMNS, oids=oids):
                columns.setdefault(row[0], []).append(row)
        return {
            name: None
            if face is None or face[0] not in tables or face[1] not in tables
            else _definition(tables[face[0]], tables[face[1]], columns.get(face[0], []), columns.get(face[1], []))
            for name, face in faces.items()
        }

    def _rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = connect(self._url, application_name="engram-bridge catalogue")
        with translated():
            return self._connection.execute(query.encode(), parameters).fetchall()


def _definition(
    named: tuple[Any, ...], root: tuple[Any, ...], own: list[tuple[Any, ...]], columns: list[tuple[Any, ...]]
) -> Definition:
    oid, schema, name, identity, key = root
    relation = Relation(
        oid,
        schema,
        name,
        identity,
        tuple(
            RelationColumn(column, type_oid, modifier, identity == "f" or number in key)
            for _table, number, column, type_oid, modifier, generated in columns
            if not generated
        ),
    )
    generated = frozenset(row[2] for row in (*own, *columns) if row[5])
    return Definition(relation, named[3], generated, leaf=named[0] != oid)
