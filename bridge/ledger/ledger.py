"""The ledger: what Engram must hold, how far the work has come, and what waits (law 1).

It is the id map, the version gate's memory, the edge table, the checkpoint, the parked table and the evidence. One process
writes (`acquire`), any number read. Whatever `record` was given is durable when it returns.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select, text, update

from bridge.gate import Entry, Parked
from bridge.ledger import books, numbering, rewriting, tables
from bridge.ledger.patience import waits
from bridge.ledger.records import FILLING, PENDING, RESYNC_LOADING, SERVING, STALE, Batch, ChunkRecord, TableRecord
from bridge.ledger.rewriting import SearchProgress
from bridge.ledger.rows import among
from bridge.ledger.targets import Targets
from bridge.ledger.waiting import Waiting
from bridge.lsn import Lsn, make_version, split_version
from bridge.memories import Key


class Ledger(Targets, Waiting):
    """An open ledger. Methods may be called from any thread; those that write, by the holder only, save `request`."""

    # facts

    @waits
    def facts(self) -> dict[str, str]:
        """All single values."""
        with self.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(select(tables.facts.c.name, tables.facts.c.value))}

    @waits
    def put_facts(self, facts: Mapping[str, str]) -> None:
        """Set single values."""
        with self.writing() as connection:
            _put_facts(connection, facts)

    @waits
    def drop_fact(self, name: str, value: str | None = None) -> bool:
        """Forget a single value, if it is still this one; answers whether it was."""
        gone = delete(tables.facts).where(tables.facts.c.name == name)
        with self.writing() as connection:
            found = connection.execute(gone if value is None else gone.where(tables.facts.c.value == value))
        return found.rowcount > 0

    # tables and chunks

    @waits
    def register(self, label: str, spaces: Sequence[str], columns: list[dict[str, Any]], rows: int) -> TableRecord:
        """The record of a table, made when it is new. Spaces and columns of a known table are left as they were."""
        with self.writing() as connection:
            t = tables.tables.c
            known = connection.execute(select(t.number).where(t.label == label, t.role == SERVING)).one_or_none()
            if known is None:
                numbering.insert(connection, label, SERVING, None, spaces, columns, rows)
        return next(record for record in self.tables() if record.label == label)

    @waits
    def tables(self) -> list[TableRecord]:
        """The generation of every carried table that answers: the one place which decides where a table is served from."""
        return self.generations(SERVING)

    @waits
    def generations(self, *roles: str) -> list[TableRecord]:
        """The generations of these roles, by number; without one, those that changes are written to: serving and filling."""
        with self.reading() as connection:
            return numbering.read(connection, roles or (SERVING, FILLING))

    @waits
    def set_table(self, number: int, **values: Any) -> None:
        """Change columns of a table's record (`state`, `reason`, `floor`, `reached`, `columns`, `spaces`)."""
        for name in ("columns", "spaces"):
            if name in values:
                values[name] = json.dumps(values[name])
        with self.writing() as connection:
            connection.execute(update(tables.tables).where(tables.tables.c.number == number).values(**values))

    @waits
    def plan(self, table: int, chunks: Iterable[ChunkRecord]) -> None:
        """Set the chunk plan of a table, whole, and count it as loading."""
        rows = [
            {
                "tbl": table,
                "number": c.number,
                "after": _dump(c.after),
                "upto": _dump(c.upto),
                "done": False,
                "rows": 0,
                "reached": 0,
            }
            for c in chunks
        ]
        with self.writing() as connection:
            connection.execute(delete(tables.chunks).where(tables.chunks.c.tbl == table))
            if rows:
                connection.execute(tables.chunks.insert(), rows)
            t = tables.tables.c
            connection.execute(update(tables.tables).where(t.number == table, t.state != "stopped").values(state="loading"))

    @waits
    def loaded(self, table: int, reached: Lsn) -> None:
        """The last chunk of a table is recorded. A table that was stopped meanwhile stays so."""
        t = tables.tables.c
        with self.writing() as connection:
            loaded = update(tables.tables).where(t.number == table, t.state != "stopped")
            connection.execute(loaded.values(state="loaded", reached=reached))

    @waits
    def begin_again(self, table: int, columns: list[dict[str, Any]]) -> None:
        """A table is to be loaded as if it were new; what is known of its keys stays."""
        with self.writing() as connection:
            begin_again(connection, table, columns)

    @waits
    def chunks(self, table: int) -> list[ChunkRecord]:
        """The chunk plan of a table."""
        c = tables.chunks.c
        with self.reading() as connection:
            rows = connection.execute(select(tables.chunks).where(c.tbl == table).order_by(c.number)).all()
        return [ChunkRecord(r.number, _load(r.after), _load(r.upto), r.done, r.rows, r.reached) for r in rows]

    # memories

    @waits
    def entries(self, table: int, keys: Sequence[str]) -> dict[str, Entry]:
        """What is expected of these keys."""
        with self.reading() as connection:
            return books.read_entries(connection, table, keys)

    @waits
    def digests(self, table: int, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Digests of body and references of the live ones among these keys."""
        with self.reading() as connection:
            return books.read_digests(connection, table, keys)

    @waits
    def parked_of(self, table: int) -> set[str]:
        """The parked keys of a table, those that were dropped too."""
        p = tables.parked.c
        with self.reading() as connection:
            return set(connection.execute(select(p.key).where(p.tbl == table)).scalars())

    @waits
    def parked(self, table: int, keys: Sequence[str]) -> dict[str, Parked]:
        """The parked ones among these keys."""
        with self.reading() as connection:
            return books.read_parked(connection, table, keys)

    def live_keys(self, table: int, *, page: int = 5000) -> Iterator[list[str]]:
        """The keys of a table's live memories, page by page, each as it is when it is read."""
        keys, after = self.live_page(table, None, page)
        yield keys
        while after is not None:
            keys, after = self.live_page(table, after, page)
            yield keys

    @waits
    def live_page(self, table: int, after: str | None, page: int) -> tuple[list[str], str | None]:
        """The live ones of a table's next keys behind one, and the last of those, None when there are no more."""
        with self.reading() as connection:
            return books.live_keys(connection, table, after, page)

    def scan(self, table: int, shard: int) -> Iterator[tuple[str, Entry]]:
        """All keys of a table in one shard, live ones and tombstones, in key order, each page as it is when it is read."""
        after: str | None = None
        while True:
            page = self._page(table, shard, after)
            yield from page
            if len(page) < books.PAGE:
                return
            after = page[-1][0]

    @waits
    def _page(self, table: int, shard: int, after: str | None) -> list[tuple[str, Entry]]:
        with self.reading() as connection:
            return books.page_of_entries(connection, table, shard, after)

    @waits
    def resolve(self, lookups: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The parents known under these alternate values."""
        with self.reading() as connection:
            return books.resolve_lookups(connection, lookups)

    @waits
    def edges_of(self, table: int, keys: Sequence[str] | None = None) -> list[tuple[str, str, int, str | None]]:
        """The edges of a table's rows, or of these: key, constraint, the parent's table and key (None while it is not known)."""
        e = tables.edges.c
        query = select(e.key, e.constraint_name, e.parent, e.parent_key).where(e.tbl == table)
        with self.reading() as connection:
            if keys is not None:
                query = query.where(among(connection, e.key, keys))
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]

    @waits
    def stale_lookups(self, after: Key | None = None, limit: int = 1_000_000_000) -> list[Key]:
        """Children whose parent, found by an alternate key, is not the one that their memory names, in order, behind a key."""
        return self._stale_lookups(after, limit)

    def _stale_lookups(self, after: Key | None, limit: int) -> list[Key]:
        table, key = after or (-1, "")
        with self.reading() as connection:
            rows = connection.execute(text(STALE), {"table": table, "key": key, "limit": limit})
            return list(dict.fromkeys((row[0], row[1]) for row in rows))

    @waits
    def record(self, batch: Batch) -> list[Key]:
        """Write everything in one transaction; durable when it returns. Answers children to be refreshed.

        When they are more than DEPENDENTS, it is some of them: all are among `stale_lookups`.
        """
        with self.stepping() as connection:
            if connection is None:  # it was, and only the answer was lost, and with it who is to be refreshed
                return self._stale_lookups(None, books.DEPENDENTS + 1)
            dependents = books.record(connection, batch.outcomes)
            for table, chunk in batch.chunks:
                c = tables.chunks.c
                connection.execute(
                    update(tables.chunks)
                    .where(c.tbl == table, c.number == chunk.number)
                    .values(done=True, rows=chunk.rows, reached=chunk.reached)
                )
            _put_facts(connection, batch.facts)
            _count(connection, batch.counters)
        return dependents

    @waits
    def behind(self, table: int, shard: int, epoch: int, after: str, limit: int) -> list[str]:
        """Keys of live memories that were last written before this start of the target, in order, behind a key."""
        with self.reading() as connection:
            return rewriting.behind(connection, table, shard, epoch, after, limit)

    @waits
    def left_behind(self, table: int, shard: int, epoch: int) -> bool:
        """Whether a live memory that is not parked was last written before this start of the target."""
        with self.reading() as connection:
            return rewriting.left_behind(connection, table, shard, epoch)

    @waits
    def search_progress(self) -> dict[int, SearchProgress]:
        """For every table: whether recall by embedding knows all of its rows, and how many it knows. Reads all memories."""
        with self.reading() as connection:
            return rewriting.progress(connection)

    @waits
    def searchable(self, table: int) -> bool:
        """Whether the search of this table is complete: recall by embedding knows every row that the ledger expects.

        So when it is loaded, no key of it is parked, and its spaces were written through since the target's last start, as they
        are once they were compared. Cheap: asked for every search.
        """
        with self.reading() as connection:
            return rewriting.searchable(connection, table)

    @waits
    def last_commit(self, epoch: int, start: Lsn, end: Lsn) -> tuple[Lsn, int | None] | None:
        """The last commit between two positions that a key's version is of: the start of its record, its transaction if known."""
        m = tables.memories.c
        between = (m.version >= make_version(epoch, start, 1), m.version < make_version(epoch, end, 0))
        with self.reading() as connection:
            version = connection.execute(select(func.max(m.version)).where(*between)).scalar()
            if version is None:
                return None
            xid = connection.execute(select(func.max(m.xid)).where(m.version == version)).scalar()
        return split_version(version)[1], xid

    @waits
    def live_counts(self) -> dict[tuple[int, int], int]:
        """Live memories by (table, shard)."""
        m = tables.memories.c
        query = select(m.tbl, m.shard, func.count()).where(m.live).group_by(m.tbl, m.shard)
        with self.reading() as connection:
            return {(row[0], row[1]): row[2] for row in connection.execute(query)}

    @waits
    def collect_tombstones(self, table: int, below: str) -> int:
        """Remove tombstones under a version that no late delivery can fall below any more (law 2). Answers how many."""
        m = tables.memories.c
        with self.writing() as connection:
            done = connection.execute(delete(tables.memories).where(m.tbl == table, ~m.live, m.version < below))
            return int(done.rowcount)

    # figures

    @waits
    def counters(self) -> dict[str, int]:
        """Totals over all runs."""
        with self.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(select(tables.counters.c.name, tables.counters.c.value))}

    @waits
    def put_gauges(self, gauges: Mapping[str, Any]) -> None:
        """What the running process measures now."""
        now = time.time()
        rows: list[dict[str, object]] = [{"name": n, "value": json.dumps(v), "at": now} for n, v in gauges.items()]
        with self.writing() as connection:
            books.upsert(connection, tables.gauges, ("name",), rows)

    @waits
    def gauges(self) -> dict[str, tuple[Any, float]]:
        """The last measurements and when they were made."""
        g = tables.gauges.c
        with self.reading() as connection:
            return {row[0]: (json.loads(row[1]), row[2]) for row in connection.execute(select(g.name, g.value, g.at))}

    @waits
    def pending_edges(self) -> dict[int, int]:
        """Edges whose parent is not in Engram, by child table: what is left when all is consistent are orphans."""
        with self.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(text(PENDING))}


def _dump(bound: tuple[str, ...] | None) -> str | None:
    return None if bound is None else json.dumps(list(bound))


def _load(bound: str | None) -> tuple[str, ...] | None:
    return None if bound is None else tuple(json.loads(bound))


def begin_again(connection: Connection, table: int, columns: list[dict[str, Any]]) -> None:
    """`Ledger.begin_again`, as a part of a transaction."""
    connection.execute(delete(tables.chunks).where(tables.chunks.c.tbl == table))
    values = {"state": "new", "reason": None, "reached": 0, "columns": json.dumps(columns)}
    connection.execute(update(tables.tables).where(tables.tables.c.number == table).values(**values))
    _put_facts(connection, {f"resync:{table}": RESYNC_LOADING})


def _put_facts(connection: Connection, facts: Mapping[str, str]) -> None:
    books.upsert(connection, tables.facts, ("name",), [{"name": name, "value": value} for name, value in facts.items()])


def _count(connection: Connection, counters: Mapping[str, int]) -> None:
    for name, amount in counters.items():
        c = tables.counters.c
        done = connection.execute(update(tables.counters).where(c.name == name).values(value=c.value + amount))
        if done.rowcount == 0:
            connection.execute(tables.counters.insert().values(name=name, value=amount))
