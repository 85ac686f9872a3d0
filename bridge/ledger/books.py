"""What the ledger says of memories, edges and parked keys: reading in batches, recording what lanes have proven."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import TypeVar

from sqlalchemy import Connection, Dialect, Table, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from bridge.frontier import Token
from bridge.gate import Entry, Parked
from bridge.ledger import tables
from bridge.memories import Edge, Key

First = TypeVar("First", int, str)

SERVING_NUMBERS = select(tables.tables.c.number).where(tables.tables.c.role == "serving")

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
    query = select(m.key, m.version, m.digest, m.refs, m.live, m.shard, m.xid, m.refreshed, m.epoch).where(
        m.tbl == bindparam("t"), m.key.in_(bindparam("k", expanding=True))
    )
    for start in range(0, len(keys), BATCH):
        for row in connection.execute(query, {"t": table, "k": list(keys[start : start + BATCH])}):
            found[row[0]] = Entry(*row[1:])
    return found


def read_digests(connection: Connection, table: int, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Digests of body and references of the live ones among these keys."""
    m = tables.memories.c
    found: dict[str, tuple[str, str]] = {}
    query = select(m.key, m.digest, m.refs).where(m.tbl == bindparam("t"), m.key.in_(bindparam("k", expanding=True)), m.live)
    for start in range(0, len(keys), BATCH):
        for key, body, references in connection.execute(query, {"t": table, "k": list(keys[start : start + BATCH])}):
            found[key] = (body, references)
    return found


def read_parked(connection: Connection, table: int, keys: Sequence[str]) -> dict[str, Parked]:
    """The parked ones among these keys."""
    p = tables.parked.c
    found: dict[str, Parked] = {}
    query = select(p.key, p.reason, p.detail, p.version, p.xid, p.since, p.attempts, p.retry_at, p.dropped).where(
        p.tbl == bindparam("t"), p.key.in_(bindparam("k", expanding=True))
    )
    for start in range(0, len(keys), BATCH):
        for row in connection.execute(query, {"t": table, "k": list(keys[start : start + BATCH])}):
            found[row[0]] = Parked(*row[1:])
    return found


def page_of_entries(connection: Connection, table: int, shard: int, after: str | None) -> list[tuple[str, Entry]]:
    """The next keys of a table in one shard, live ones and tombstones, in key order: fewer than PAGE when they are the last."""
    m = tables.memories.c
    query = select(m.key, m.version, m.digest, m.refs, m.live, m.shard, m.xid, m.refreshed, m.epoch).where(
        m.tbl == table, m.shard == shard
    )
    if after is not None:
        query = query.where(m.key > after)
    rows = connection.execute(query.order_by(m.key).limit(PAGE)).all()
    return [(row[0], Entry(*row[1:])) for row in rows]


def _pages(pairs: Iterable[tuple[First, str]]) -> Iterator[tuple[First, list[str]]]:
    """Pairs by their first part, a page at a time: SQLite uses an index for `a = ? and b in (…)`, but not for pairs in a list."""
    by_first: dict[First, list[str]] = {}
    for first, second in pairs:
        by_first.setdefault(first, []).append(second)
    for first, seconds in by_first.items():
        for start in range(0, len(seconds), BATCH):
            yield first, seconds[start : start + BATCH]


def resolve_lookups(connection: Connection, lookups: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The key parts of the parents that are known under these alternate values."""
    a = tables.alternates.c
    found: dict[tuple[str, str], str] = {}
    for lookup, page in _pages(dict.fromkeys(lookups)):
        query = select(a.value, a.key).where(a.lookup == lookup, a.value.in_(page), a.tbl.in_(SERVING_NUMBERS))
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


def upsert(connection: Connection, table: Table, keys: Sequence[str], rows: list[dict[str, object]]) -> None:
    """Insert, or replace what stands under the same key, in either dialect; all rows with the same columns.

    The statement goes to the driver as it was compiled once: to make parameters anew of each row would cost more than all else
    that a row costs the ledger. No column of ours has a type whose values need that.
    """
    if not rows:
        return
    statement, order = _upsert_statement(connection.dialect, table, tuple(keys), tuple(rows[0]))
    if order is None:
        connection.exec_driver_sql(statement, rows)
        return
    pick = itemgetter(*order)
    connection.exec_driver_sql(statement, [pick(row) for row in rows])


@lru_cache(maxsize=64)
def _upsert_statement(
    dialect: Dialect, table: Table, keys: tuple[str, ...], columns: tuple[str, ...]
) -> tuple[str, tuple[str, ...] | None]:
    """The SQL, and the order of its parameters; None when the driver takes them by name."""
    insert = (sqlite.insert if dialect.name == "sqlite" else postgresql.insert)(table)
    replaced = {name: insert.excluded[name] for name in columns if name not in keys}
    compiled = insert.on_conflict_do_update(index_elements=list(keys), set_=replaced).compile(
        dialect=dialect, column_keys=list(columns)
    )
    order = tuple(compiled.positiontup or ()) if compiled.positional else None
    return str(compiled), order


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
        }
        for o in outcomes
        if o.entry is not None
    ]
    upsert(connection, tables.memories, ("tbl", "key"), rows)


def _put_edges(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    old = [{"t": o.key[0], "k": o.key[1]} for o in outcomes if o.edges is not None and not o.fresh]
    e = tables.edges.c
    if old:
        connection.execute(delete(tables.edges).where(e.tbl == bindparam("t"), e.key == bindparam("k")), old)
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
        query = select(a.key, a.lookup, a.value).where(a.tbl == table, a.key.in_(keys))
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
        query = select(e.tbl, e.key).where(e.lookup == lookup, e.lookup.is_not(None), e.lookup_value.in_(page))
        found.update(dict.fromkeys((row[0], row[1]) for row in connection.execute(query.limit(DEPENDENTS + 1))))
        if len(found) > DEPENDENTS:
            break
    return list(found)


def _put_parked(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    p = tables.parked.c
    ended = [{"t": o.key[0], "k": o.key[1]} for o in outcomes if o.unpark]
    if ended:
        connection.execute(delete(tables.parked).where(p.tbl == bindparam("t"), p.key == bindparam("k")), ended)
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
