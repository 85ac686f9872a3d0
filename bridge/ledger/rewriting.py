"""What the ledger says of search: which memories the target's recall by embedding has forgotten at its last start.

Every memory knows the number of the start in or after which it was written. When no live one of a space is left behind, its
`spaces.rewritten` is that number, and stays right: whatever is written later is written in that epoch or a newer one. A parked
key is left out, since its turn writes it; but its table's search is not complete as long as it waits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, case, exists, func, select

from bridge.ledger import tables


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """Of one table: `rows` live memories, of which recall by embedding knows `known`; `complete` as in `Ledger.searchable`."""

    rows: int
    known: int
    complete: bool


def behind(connection: Connection, table: int, shard: int, epoch: int, after: str, limit: int) -> list[str]:
    """See `Ledger.behind`."""
    m = tables.memories.c
    query = select(m.key).where(m.tbl == table, m.key > after, m.shard == shard, m.live, m.epoch < epoch)
    return [row[0] for row in connection.execute(query.order_by(m.key).limit(limit))]


def left_behind(connection: Connection, table: int, shard: int, epoch: int) -> bool:
    """See `Ledger.left_behind`."""
    m, p = tables.memories.c, tables.parked.c
    waits = exists().where(p.tbl == m.tbl, p.key == m.key, ~p.dropped)
    query = select(m.key).where(m.tbl == table, m.shard == shard, m.live, m.epoch < epoch, ~waits).limit(1)
    return connection.execute(query).first() is not None


def progress(connection: Connection) -> dict[int, SearchProgress]:
    """See `Ledger.search_progress`."""
    m = tables.memories.c
    number = _epoch(connection)
    known = func.sum(case((m.epoch >= number, 1), else_=0))
    counts = {row[0]: row for row in connection.execute(select(m.tbl, func.count(), known).where(m.live).group_by(m.tbl))}
    numbers = [row[0] for row in connection.execute(select(tables.tables.c.number))]
    found = {}
    for table in numbers:
        _table, rows, written = counts.get(table, (table, 0, 0))
        found[table] = SearchProgress(int(rows), int(written), searchable(connection, table))
    return found


def searchable(connection: Connection, table: int) -> bool:
    """See `Ledger.searchable`."""
    t, p = tables.tables.c, tables.parked.c
    record = connection.execute(select(t.state, t.spaces).where(t.number == table)).one_or_none()
    if record is None or record[0] != "loaded":
        return False
    if connection.execute(select(p.key).where(p.tbl == table).limit(1)).first() is not None:
        return False
    number = _epoch(connection)
    spaces: list[str] = json.loads(record[1])
    s = tables.spaces.c
    through = select(func.count()).where(s.name.in_(spaces), s.rewritten == number)
    return number > 0 and connection.execute(through).scalar() == len(spaces)


def _epoch(connection: Connection) -> int:
    """The number of the target's last start that was seen; 0 before the first."""
    return connection.execute(select(func.max(tables.epochs.c.number))).scalar() or 0
