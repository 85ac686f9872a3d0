"""What the ledger says of memories, edges and parked keys: reading in batches, recording what lanes have proven."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection, bindparam, delete, select

from bridge.frontier import Token
from bridge.gate import Entry, Parked
from bridge.ledger import tables
from bridge.ledger.rows import among
from bridge.ledger.rows import upsert as upsert  # part of the books, too
from bridge.memories import Edge, Key

First = TypeVar("First", int, str)

SERVING_NUMBERS = select(tables.tables.c.number).where(tables.tables.c.role == "serving")

ENTRY = tuple(
    tables.memories.c[name]
    for name in ("key", "version", "digest", "refs", "live", "shard", "xid", "refreshed", "epoch", "migration", "mark")
)
"""A key, and the columns of its entry in the order of `Entry`."""

BATCH = 500
"""Keys in one statement: SQLite allows 32,766 parameters, and plans for short lists are cached better."""


PAGE = 5_000
"""Keys of one page of a scan."""


DEPENDENTS = 1_000
"""Children that are refreshed at once when their parents change. A parent can have millions: those are found page by page."""


@dataclass(slots=True)
class Outcome:
    """What a lane has done for one key, to be recorded before anything is acknowledged.

    `entry` None leaves the expectation alone. `fresh`: the ledger knew nothing of the key before. `edges` and `alternates`
    replace what is there; None leaves them. `park` sets, `unpark` ends a parked key.
    """

    key: Key
    entry: Entry | None = None
    fresh: bool = False
    edges: Sequence[Edge] | None = None
    alternates: Sequence[tuple[str, str]] | None = None
    park: Parked | None = None
    unpark: bool = False
    tokens: list[Token] = field(default_factory=list)
    commit_time: float | None = None
    applied: int = 0


def read_entries(connection: Connection, table: int, keys: Sequence[str]) -> dict[str, Entry]:
    """What is expected of these keys of one table."""
    m = tables.memories.c
    found: dict[str, Entry] = {}
    query = select(*ENTRY)
    for page in _batches(keys):
        for row in connection.execute(query.where(m.tbl == table, among(connection, m.key, page))):
            found[row[0]] = Entry(*row[1:])
    return found


def read_digests(connection: Connection, table: int, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Digests of body and references of the live ones among these keys."""
    m = tables.memories.c
    found: dict[str, tuple[str, str]] = {}
    for page in _batches(keys):
        if connection.dialect.name == "sqlite":  # making a statement anew for each page would cost more than all else of a row
            padded = list(page) + [page[-1]] * (BATCH - len(page))
            rows = connection.exec_driver_sql(_DIGESTS, (table, *padded))
        else:
            rows = connection.execute(
                select(m.key, m.digest, m.refs).where(m.tbl == table, among(connection, m.key, page), m.live)
            )
        found.update((key, (body, references)) for key, body, references in rows)
    return found


_DIGESTS = f"select key, digest, refs from memories where tbl = ? and key in ({', '.join('?' * BATCH)}) and live"


def live_keys(connection: Connection, table: int, after: str | None, page: int) -> tuple[list[str], str | None]:
    """The live ones of a table's next keys, and the last of those, None when there are no more."""
    m = tables.memories.c
    query = select(m.key, m.live).where(m.tbl == table)
    if after is not None:
        query = query.where(m.key > after)
    rows = connection.execute(query.order_by(m.key).limit(page)).all()
    return [key for key, live in rows if live], rows[-1][0] if len(rows) == page else None


def read_parked(connection: Connection, table: int, keys: Sequence[str]) -> dict[str, Parked]:
    """The parked ones among these keys."""
    p = tables.parked.c
    found: dict[str, Parked] = {}
    query = select(p.key, p.reason, p.detail, p.version, p.xid, p.since, p.attempts, p.retry_at, p.dropped)
    for page in _batches(keys):
        for row in connection.execute(query.where(p.tbl == table, among(connection, p.key, page))):
            found[row[0]] = Parked(*row[1:])
    return found


def page_of_entries(connection: Connection, table: int, shard: int, after: str | None) -> list[tuple[str, Entry]]:
    """The next keys of a table in one shard, live ones and tombstones, in key order: fewer than PAGE when they are the last."""
    m = tables.memories.c
    query = select(*ENTRY).where(m.tbl == table, m.shard == shard)
    if after is not None:
        query = query.where(m.key > after)
    rows = connection.execute(query.order_by(m.key).limit(PAGE)).all()
    return [(row[0], Entry(*row[1:])) for row in rows]


def _pages(pairs: Iterable[tuple[First, str]]) -> Iterator[tuple[First, Sequence[str]]]:
    """Pairs by their first part, a page at a time: SQLite uses an index for `a = ? and b in (…)`, but not for pairs in a list."""
    by_first: dict[First, list[str]] = {}
    for first, second in pairs:
        by_first.setdefault(first, []).append(second)
    for first, seconds in by_first.items():
        for page in _batches(seconds):
            yield first, page


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), BATCH):
        yield keys[start : start + BATCH]


def resolve_lookups(connection: Connection, lookups: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The key parts of the parents that are known under these alternate values."""
    a = tables.alternates.c
    found: dict[tuple[str, str], str] = {}
    for lookup, page in _pages(dict.fromkeys(lookups)):
        query = select(a.value, a.key).where(a.lookup == lookup, among(connection, a.value, page), a.tbl.in_(SERVING_NUMBERS))
        for value, key in connection.execute(query):
            found[(lookup, value)] = key
    return found


def record(connection: Connection, outcomes: Sequence[Outcome]) -> list[Key]:
    """Write the outcomes; answers the children whose alternate-key parents have appeared, moved or gone.

    When they are more than DEPENDENTS, some of them.
    """
    _put_entries(connection, outcomes)
    changed = _put_alternates(connection, outcomes)
    _put_edges(connection, outcomes)
    _put_parked(connection, outcomes)
    stale = _stale_lookups(connection, outcomes)
    return list(dict.fromkeys(stale + (_dependents(connection, changed) if changed else [])))


def _put_entries(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    rows: list[dict[str, object]] = [
        {
            "tbl": o.key[0],
            "key": o.key[1],
            "shard": o.entry.shard,
            "version": o.entry.version,
            "digest": o.entry.digest,
            "refs": o.entry.references,
            "live": o.entry.live,
            "xid": o.entry.xid,
            "refreshed": o.entry.refreshed,
            "epoch": o.entry.epoch,
            "migration": o.entry.migration,
            "mark": o.entry.mark,
        }
        for o in outcomes
        if o.entry is not None
    ]
    upsert(connection, tables.memories, ("tbl", "key"), rows)


def _put_edges(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    e = tables.edges.c
    for table, keys in _pages(o.key for o in outcomes if o.edges is not None and not o.fresh):
        connection.execute(delete(tables.edges).where(e.tbl == table, among(connection, e.key, keys)))
    rows: list[dict[str, object]] = [
        {
            "tbl": o.key[0],
            "key": o.key[1],
            "constraint_name": edge.constraint,
            "parent": edge.parent,
            "parent_key": edge.to,
            "lookup": edge.lookup[0] if edge.lookup else None,
            "lookup_value": edge.lookup[1] if edge.lookup else None,
        }
        for o in outcomes
        for edge in o.edges or ()
    ]
    upsert(connection, tables.edges, ("tbl", "key", "constraint_name"), rows)


def _put_alternates(connection: Connection, outcomes: Sequence[Outcome]) -> set[tuple[str, str]]:
    """Replace the rows' alternate values; answers the values whose owner has changed."""
    a = tables.alternates.c
    before: dict[Key, set[tuple[str, str]]] = {}
    after = {o.key: set(o.alternates) for o in outcomes if o.alternates is not None}
    if not after:
        return set()
    known = [o.key for o in outcomes if o.alternates is not None and not o.fresh]
    for table, keys in _pages(known):
        query = select(a.key, a.lookup, a.value).where(a.tbl == table, among(connection, a.key, keys))
        for key, lookup, value in connection.execute(query):
            before.setdefault((table, key), set()).add((lookup, value))
    changed: set[tuple[str, str]] = set()
    gone, come = [], []
    serving = set(connection.execute(SERVING_NUMBERS).scalars())
    for key, values in after.items():
        had = before.get(key, set())
        changed |= had ^ values if key[0] in serving else set()  # of the others nobody is a child yet
        gone += [{"t": key[0], "k": key[1], "l": lookup, "v": value} for lookup, value in had - values]
        come += [{"tbl": key[0], "key": key[1], "lookup": lookup, "value": value} for lookup, value in values - had]
    if gone:
        statement = delete(tables.alternates).where(
            a.tbl == bindparam("t"), a.key == bindparam("k"), a.lookup == bindparam("l"), a.value == bindparam("v")
        )
        connection.execute(statement, gone)
    upsert(connection, tables.alternates, ("tbl", "key", "lookup"), come)
    return changed


def _stale_lookups(connection: Connection, outcomes: Sequence[Outcome]) -> list[Key]:
    """Children that were resolved before a parent of theirs was recorded: seen here, where all records pass one by one."""
    edges = [(o.key, edge) for o in outcomes for edge in o.edges or () if edge.lookup is not None]
    if not edges:
        return []
    now = resolve_lookups(connection, (edge.lookup for _key, edge in edges if edge.lookup is not None))
    return [key for key, edge in edges if edge.lookup is not None and now.get(edge.lookup) != edge.to]


def _dependents(connection: Connection, changed: set[tuple[str, str]]) -> list[Key]:
    """The children whose foreign key has one of these values; only so many that it can be seen when there are too many."""
    e = tables.edges.c
    found: dict[Key, None] = {}
    for lookup, page in _pages(changed):
        query = select(e.tbl, e.key).where(e.lookup == lookup, e.lookup.is_not(None), among(connection, e.lookup_value, page))
        found.update(dict.fromkeys((row[0], row[1]) for row in connection.execute(query.limit(DEPENDENTS + 1))))
        if len(found) > DEPENDENTS:
            break
    return list(found)


def _put_parked(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    p = tables.parked.c
    for table, keys in _pages(o.key for o in outcomes if o.unpark):
        connection.execute(delete(tables.parked).where(p.tbl == table, among(connection, p.key, keys)))
    rows: list[dict[str, object]] = [
        {
            "tbl": o.key[0],
            "key": o.key[1],
            "reason": o.park.reason,
            "detail": o.park.detail,
            "version": o.park.version,
            "xid": o.park.xid,
            "since": o.park.since,
            "attempts": o.park.attempts,
            "retry_at": o.park.retry_at,
            "dropped": o.park.dropped,
        }
        for o in outcomes
        if o.park is not None
    ]
    upsert(connection, tables.parked, ("tbl", "key"), rows)
