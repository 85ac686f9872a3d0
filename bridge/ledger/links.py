"""What the ledger says of the references of one row, in both directions, and of what whole tables can be asked for.

Like `standing`, these are texts with named parameters, because who asks them asks its driver directly (`api`). A generation of a
table is found by its label in the statement itself, so that an answer never mixes two of them. Keys are ordered by their bytes in
both databases, so that a walk that was begun on one goes on where it was, whoever answers the next page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bridge.ledger.patience import waits
from bridge.ledger.store import Store
from bridge.lsn import Lsn

Statement: TypeAlias = Mapping[str, str]
"""A statement by the name of the database; its parameters are named alike."""


_PARAMETERS = ("after", "child", "constraint", "key", "label", "labels", "least", "limit")
_HERE = {name: f":{name}" for name in _PARAMETERS} | {"c": ""}
_THERE = {name: f"%({name})s" for name in _PARAMETERS} | {"c": 'collate "C"'}


def _both(text: str, **parts: tuple[str, str]) -> Statement:
    """The statement for both databases: its parameters, `{c}` for the order by bytes, and `parts` that they say otherwise."""
    return {
        "sqlite": text.format(**_HERE, **{name: one.format(**_HERE) for name, (one, _other) in parts.items()}),
        "postgresql": text.format(**_THERE, **{name: other.format(**_THERE) for name, (_one, other) in parts.items()}),
    }


OUT = _both(
    """
    select e.constraint_name, p.label, e.parent_key, coalesce(m.live and m.version {c} >= p.floor, {no})
      from tables t
      join edges e on e.tbl = t.number and e.key = {key}
      join tables p on p.origin = e.parent and p.role = 'serving'
      left join memories m on m.tbl = p.number and m.key = e.parent_key
     where t.label = {label} and t.role = 'serving' and e.constraint_name {c} > {after}
     order by e.constraint_name {c}
     limit {limit}
""",
    no=("0", "false"),
)
"""The references of one row behind a constraint, by constraint: constraint, the parent's table and key, whether it is there."""

IN = _both(
    """
    select e.key
      from tables p
      join tables t on t.label = {child} and t.role = 'serving'
      join edges e on e.parent = p.origin and e.parent_key = {key} and e.tbl = t.number and e.key {c} >= {least}
      join memories m on m.tbl = e.tbl and m.key = e.key
     where p.label = {label} and p.role = 'serving' and e.constraint_name = {constraint}
       and m.live and m.version {c} >= t.floor
     order by e.key {c}
     limit {limit}
"""
)
"""The keys of a child table whose rows point at one row by one constraint, from `least` on, in order."""

TABLES = _both(
    """
    select t.label, t.state, t.reached,
           (select value from facts where name = 'resync:' || t.number),
           exists (select 1 from parked k where k.tbl = t.number),
           (select count(*) from spaces s, {spaces} where s.name = j.value and s.rewritten = n.number),
           {count}, n.number,
           (select count(*) from spaces s, {spaces}, epochs e
             where s.name = j.value and e.number = n.number and s.repaired = e.epoch)
      from tables t
      join {asked} on t.label = l.value
      cross join (select coalesce(max(number), 0) as number from epochs) n
     where t.role = 'serving'
""",
    spaces=("json_each(t.spaces) j", "json_array_elements_text(t.spaces::json) as j (value)"),
    asked=("json_each({labels}) l", "json_array_elements_text(({labels})::json) as l (value)"),
    count=("json_array_length(t.spaces)", "json_array_length(t.spaces::json)"),
)
"""What decides about whole tables, a row each; `labels` is a JSON array."""


@dataclass(frozen=True, slots=True)
class TableState:
    """A table as a whole at one moment.

    `parked`: some key of it waits. `searchable`: as in `Ledger.searchable`. `compared`: all its spaces were compared with the
    ledger since the target's newest start.
    """

    label: str
    state: str
    reached: Lsn
    resync: str | None
    parked: bool
    searchable: bool
    compared: bool


def table_states(rows: Iterable[Sequence[Any]]) -> dict[str, TableState]:
    """The answer of TABLES by label."""
    found = {}
    for label, state, reached, resync, parked, through, spaces, epoch, compared in rows:
        searchable = state == "loaded" and not parked and epoch > 0 and through == spaces
        found[label] = TableState(label, state, reached, resync, bool(parked), searchable, compared == spaces)
    return found


class Links:
    """The same through the ledger's own engine: for commands and tests. Proxies ask their driver."""

    def __init__(self, ledger: Store) -> None:
        self._ledger = ledger
        self.patience = ledger.patience

    @waits
    def ask(self, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The answer of one of the statements. Raises LedgerUnavailable."""
        with self._ledger.reading() as connection:
            text = statement[connection.dialect.name]
            return [tuple(row) for row in connection.exec_driver_sql(text, dict(parameters)).all()]

    def states(self, labels: Sequence[str]) -> dict[str, TableState]:
        """What decides about these tables."""
        return table_states(self.ask(TABLES, {"labels": json.dumps(list(labels))}))
