"""What the ledger says of rows that somebody wants to read, in one statement (law 7).

One statement sees one state: entry, table, epoch, frontier and route belong together. Nothing of it may be cached: after a
restart of the target a version that was true a moment ago would match a row that has reverted.

The statement is given as text with two parameters, the table's label and the keys as a JSON array of strings, because who asks it
thousands of times a second asks its driver directly (`api`). It answers one row a key, in any order; one with a null key when no
key was asked; none when the table is not carried.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.ledger.patience import waits
from bridge.ledger.store import Store
from bridge.lsn import Lsn, Version
from bridge.reads import Mode, Route

_STANDING = """
    select t.number, t.origin, t.state, t.reached, t.floor, t.spaces,
           coalesce(r.mode, 'postgres'), coalesce(r.share, 0), coalesce(r.since, 0.0),
           (select value from facts where name = 'proven'), (select value from facts where name = 'covered'),
           (select value from facts where name = 'resync:' || t.number), (select value from facts where name = 'looked'),
           (select epoch from epochs order by number desc limit 1),
           k.value, m.version, m.digest, m.live, m.refreshed, m.shard, p.reason, s.repaired
      from tables t
      left join routes r on r.label = t.label
      left join {keys} on true
      left join memories m on m.tbl = t.number and m.key = k.value
      left join parked p on p.tbl = t.number and p.key = k.value
      left join spaces s on s.name = {space}
     where t.label = {first} and t.role = 'serving'
"""

STANDING = {
    "sqlite": _STANDING.format(keys="json_each(?1) as k", space="json_extract(t.spaces, '$[' || m.shard || ']')", first="?2"),
    "postgresql": _STANDING.format(
        keys="json_array_elements_text(%s::json) as k (value)", space="(t.spaces::json ->> m.shard::int)", first="%s"
    ),
}
"""By database: parameters are the keys (JSON), then the label, in this order."""

STANDING_OF_ONE = _STANDING.format(
    keys="(select $1::text as value) as k", space="(t.spaces::json ->> m.shard::int)", first="$2::text"
)
"""The same for one key, as PostgreSQL's own protocol numbers parameters: the key and the label.

A server takes a JSON array for a hundred keys, and reads the whole of a small ledger for them; one key is looked up.
"""


@dataclass(frozen=True, slots=True)
class TableStanding:
    """A table at one moment.

    `resync`: the wish to read it again, None without one. `proven`: the frontier; `covered`: the newest source time known to be
    covered by it, epoch seconds. `looked`: before that position all changes of definitions are known. `epoch`: the target's
    newest start that is known.
    """

    number: int
    origin: int
    state: str
    reached: Lsn
    floor: Version
    spaces: tuple[str, ...]
    route: Route
    proven: Lsn
    covered: float
    resync: str | None
    looked: Lsn
    epoch: str | None

    @property
    def sure(self) -> Lsn:
        """Whatever was committed before that position is in Engram, rows and columns."""
        return min(self.proven, self.looked)


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """A key at the same moment. `version` and `space` are None for a key that the ledger does not know.

    `live`: a row is expected. `parked`: why the key waits, None when it does not. `compared`: its space was compared with the
    ledger since the target's newest start.
    """

    key: str
    version: Version | None
    digest: str
    live: bool
    refreshed: Lsn
    space: str | None
    parked: str | None
    compared: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """A table, and the keys that were asked."""

    table: TableStanding
    keys: dict[str, KeyStanding]


def standing_of(rows: Iterable[Sequence[Any]]) -> Standing | None:
    """The answer of STANDING; None when there is none: the table is not carried."""
    table: TableStanding | None = None
    keys = {}
    for row in rows:
        if table is None:
            table = _table(row)
        key = row[14]
        if key is None:
            continue
        known = row[15] is not None
        keys[key] = KeyStanding(
            key=key,
            version=row[15],
            digest=row[16] or "",
            live=bool(row[17]) and row[15] >= table.floor if known else False,  # what is read again has the floor's version
            refreshed=row[18] or 0,
            space=table.spaces[row[19]] if known else None,
            parked=row[20],
            compared=row[21] is not None and row[21] == table.epoch,
        )
    return None if table is None else Standing(table, keys)


def _table(row: Sequence[Any]) -> TableStanding:
    return TableStanding(
        number=row[0],
        origin=row[1],
        state=row[2],
        reached=row[3],
        floor=row[4],
        spaces=_names(row[5]),
        route=Route(Mode(row[6]), row[7], row[8]),
        proven=int(row[9] or 0),
        covered=float(row[10] or 0.0),
        resync=row[11],
        looked=int(row[12] or 0),
        epoch=row[13],
    )


@functools.lru_cache(maxsize=1024)
def _names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


class Standings:
    """The same through the ledger's own engine: for commands and tests. Proxies ask their driver."""

    def __init__(self, ledger: Store) -> None:
        self._ledger = ledger
        self.patience = ledger.patience

    @waits
    def of(self, label: str, keys: Sequence[str] = ()) -> Standing | None:
        """What is known of these keys. Raises LedgerUnavailable."""
        with self._ledger.reading() as connection:
            statement = STANDING[connection.dialect.name]
            return standing_of(connection.exec_driver_sql(statement, (json.dumps(list(keys)), label)).all())
