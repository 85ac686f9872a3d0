"""Generations of tables, and what is asked of whole tables.

A table is carried in one generation, which serves. To be spread otherwise, or to be embedded by another model, it gets a second
one with a number and spaces of its own, which is filled beside the first and then takes its place, in one transaction; the first
is retired: its memories are forgotten, and when all are proven gone, so is its record. A removed table is one that is retired
without another in its place.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select, update

from bridge.choices import ADDED, REMOVED, RESHARDED, ROLLED_BACK, Choices, choices_of
from bridge.errors import ConfigError
from bridge.ledger import books, tables
from bridge.ledger.ledger import Ledger, begin_again
from bridge.ledger.numbering import LAST_NUMBER, insert
from bridge.ledger.patience import waits
from bridge.ledger.records import FILLING, RETIRED, SERVING, TableRecord

ROLLBACK = "rollback_"
"""Fact that a migration is being rolled back, or was: before its number. JSON: began, ended (null: it has not), tables,
and `open`: those in which what the migration did not record has not been looked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Something to be done with a whole table. `refused`: why it was not."""

    label: str
    verb: str
    detail: dict[str, Any]
    refused: str | None = None


class Generations:
    """What a ledger says of generations and of what was asked of tables. Every change is one transaction that may be repeated."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.patience = ledger.patience

    # what is asked

    @waits
    def ask(self, label: str, verb: str, detail: dict[str, Any]) -> None:
        """Ask for something; another process may do so. What was refused of the table before is not told any more."""
        row: dict[str, object] = {
            "label": label,
            "verb": verb,
            "detail": json.dumps(detail),
            "made": time.time(),
            "refused": None,
        }
        with self._ledger.writing() as connection:
            _forget_refusals(connection, label)
            books.upsert(connection, tables.asked, ("label", "verb"), [row])

    @waits
    def forget_refusals(self, label: str) -> None:
        """Something else is done with the table now: what was refused of it before is not told any more."""
        with self._ledger.writing() as connection:
            _forget_refusals(connection, label)

    @waits
    def asked(self) -> list[Asked]:
        """What is to be done, in the order of asking, and what was refused."""
        with self._ledger.reading() as connection:
            rows = connection.execute(select(tables.asked).order_by(tables.asked.c.made)).all()
        return [Asked(row.label, row.verb, json.loads(row.detail), row.refused) for row in rows]

    @waits
    def refuse(self, asked: Asked, reason: str) -> None:
        """It cannot be done: `status` says why until something is asked of the table again."""
        a = tables.asked.c
        with self._ledger.writing() as connection:
            connection.execute(update(tables.asked).where(a.label == asked.label, a.verb == asked.verb).values(refused=reason))

    @waits
    def choices(self) -> Choices:
        """Where the ledger knows better than the configuration."""
        c = tables.choices.c
        with self._ledger.reading() as connection:
            rows = connection.execute(select(c.label, c.verb, c.detail)).all()
        return choices_of([(row[0], row[1], row[2]) for row in rows])

    @waits
    def choose(self, label: str, verb: str, detail: dict[str, Any]) -> None:
        """The ledger knows better from now on."""
        with self._ledger.writing() as connection:
            _choose(connection, label, verb, detail)

    @waits
    def add(self, label: str, kept: int | None = None, columns: list[dict[str, Any]] | None = None) -> None:
        """A table is carried whatever the configuration says; `kept`, the number of one whose memories were kept, is loaded anew.

        `columns` are those it has now. What was known of its shape is forgotten: it may be another table by that name.
        """
        c, f = tables.choices.c, tables.facts.c
        with self._ledger.writing() as connection:
            _choose(connection, label, ADDED, {})
            connection.execute(delete(tables.choices).where(c.label == label, c.verb == REMOVED))
            if kept is not None:
                connection.execute(delete(tables.facts).where(f.name == f"shape:{kept}"))
                begin_again(connection, kept, columns or [])

    @waits
    def done(self, label: str, verb: str) -> None:
        """What was asked has been done."""
        with self._ledger.writing() as connection:
            _done(connection, label, verb)

    # generations

    @waits
    def begin(self, record: TableRecord, spaces: Sequence[str], detail: dict[str, Any]) -> TableRecord:
        """A second generation of a table, to be filled; what was asked is noted as begun by its being there.

        `detail` is kept until the switch: what the configuration may go on saying. The table's shape is taken along: what
        comes without a message before the catalogue is looked at again is missed by this generation as well.
        """
        t = tables.tables.c
        begun = select(t.number).where(t.label == record.label, t.role == FILLING, t.spaces == json.dumps(list(spaces)))
        with self._ledger.writing() as connection:
            number = connection.execute(begun).scalar()  # of a commit that came through although its answer was lost
            if number is None:
                number = insert(connection, record.label, FILLING, record.origin, spaces, record.columns, record.rows_estimated)
                _same_shape(connection, record.number, number)
            _choose(connection, record.label, FILLING, detail)
            _done(connection, record.label, "reshard")
        return next(one for one in self._ledger.generations(FILLING) if one.number == number)

    @waits
    def switch(self, filled: TableRecord) -> None:
        """The filled generation takes the place of the one that serves, which is retired."""
        t, c = tables.tables.c, tables.choices.c
        with self._ledger.writing() as connection:
            if connection.execute(select(t.role).where(t.number == filled.number)).scalar() == SERVING:
                return  # a commit that came through although its answer was lost
            here = (c.label == filled.label, c.verb == FILLING)
            detail = connection.execute(select(tables.choices.c.detail).where(*here)).scalar()
            _retire(connection, filled.label, SERVING, "another generation has taken its place")
            connection.execute(update(tables.tables).where(t.number == filled.number).values(role=SERVING))
            connection.execute(delete(tables.choices).where(*here))
            if detail is not None:
                _choose(connection, filled.label, RESHARDED, json.loads(detail))

    @waits
    def abandon(self, filling: TableRecord, reason: str) -> None:
        """A generation that cannot be filled is retired; the one that serves goes on."""
        c = tables.choices.c
        with self._ledger.writing() as connection:
            _retire(connection, filling.label, FILLING, reason)
            connection.execute(delete(tables.choices).where(c.label == filling.label, c.verb == FILLING))

    @waits
    def remove(self, label: str, *, keep: bool, reason: str, rollback: str | None = None) -> None:
        """A table is carried no more: its memories are kept, and it is stopped, or its generations are retired.

        `rollback`: the id of the migration that is taken back; such a table is taken in again by another one. But where a person
        has removed it before, that stands, with its reason.
        """
        t, c = tables.tables.c, tables.choices.c
        with self._ledger.writing() as connection:
            _retire(connection, label, FILLING, reason)
            if keep:
                serving = update(tables.tables).where(t.label == label, t.role == SERVING)
                if rollback is not None and _removed_by_hand(connection, label):
                    return
                connection.execute(serving.values(state="stopped", reason=reason))
            else:
                _retire(connection, label, SERVING, reason)
                connection.execute(delete(tables.choices).where(c.label == label))
            connection.execute(delete(tables.choices).where(c.label == label, c.verb.in_((FILLING, ADDED))))
            _choose(connection, label, REMOVED, {"keep": keep} | ({} if rollback is None else {ROLLED_BACK: rollback}))
            _done(connection, label, "remove")

    @waits
    def readmit(self, labels: Collection[str]) -> None:
        """Tables that a rollback has taken out are carried again, as if they were new; those that were removed otherwise are not.

        What is known of their keys stays: tombstones, and what other migrations have written. It is compared as it is loaded.
        Raises ConfigError for one whose rollback has not ended.
        """
        c, t, f = tables.choices.c, tables.tables.c, tables.facts.c
        with self._ledger.writing() as connection:
            for name, value in connection.execute(select(f.name, f.value).where(f.name.startswith(ROLLBACK, autoescape=True))):
                rollback = json.loads(value)
                under_way = sorted(set(labels) & set(rollback["tables"])) if rollback["ended"] is None else []
                if under_way:
                    number = int(name.removeprefix(ROLLBACK))
                    m = tables.migrations.c
                    migration = connection.execute(select(m.id).where(m.number == number)).scalar()
                    raise ConfigError(
                        f"{under_way[0]} is being rolled back",
                        hint=f"Run `engram-bridge rollback --migration-id {migration}` to its end first.",
                    )
            rows = connection.execute(select(c.label, c.detail).where(c.verb == REMOVED)).all()
            for label in [label for label, detail in rows if label in labels and ROLLED_BACK in json.loads(detail)]:
                connection.execute(delete(tables.choices).where(c.label == label, c.verb == REMOVED))
                serving = (t.label == label, t.role == SERVING)
                for number, columns in connection.execute(select(t.number, t.columns).where(*serving)).all():
                    begin_again(connection, number, json.loads(columns))

    @waits
    def discard(self, number: int) -> None:
        """Nothing of a retired generation is left in the target: forget that it ever was, but never its number."""
        f = tables.facts.c
        with self._ledger.writing() as connection:
            last = int(connection.execute(select(f.value).where(f.name == LAST_NUMBER)).scalar() or 0)
            row: dict[str, object] = {"name": LAST_NUMBER, "value": str(max(number, last))}
            books.upsert(connection, tables.facts, ("name",), [row])
            for table in (tables.memories, tables.edges, tables.alternates, tables.chunks, tables.parked):
                connection.execute(delete(table).where(table.c.tbl == number))
            connection.execute(delete(tables.facts).where(f.name.like(f"%:{number}")))
            connection.execute(delete(tables.tables).where(tables.tables.c.number == number))

    @waits
    def erase(self, number: int, keys: Sequence[str]) -> None:
        """These memories of a retired generation are proven gone."""
        with self._ledger.writing() as connection:
            for table in (tables.memories, tables.edges, tables.alternates):
                connection.execute(delete(table).where(table.c.tbl == number, table.c.key.in_(keys)))


def _choose(connection: Connection, label: str, verb: str, detail: dict[str, Any]) -> None:
    row: dict[str, object] = {"label": label, "verb": verb, "detail": json.dumps(detail)}
    books.upsert(connection, tables.choices, ("label", "verb"), [row])


def _removed_by_hand(connection: Connection, label: str) -> bool:
    c = tables.choices.c
    detail = connection.execute(select(c.detail).where(c.label == label, c.verb == REMOVED)).scalar()
    return detail is not None and ROLLED_BACK not in json.loads(detail)


def _same_shape(connection: Connection, known: int, number: int) -> None:
    f = tables.facts.c
    value = connection.execute(select(f.value).where(f.name == f"shape:{known}")).scalar()
    if value is not None:
        books.upsert(connection, tables.facts, ("name",), [{"name": f"shape:{number}", "value": value}])


def _forget_refusals(connection: Connection, label: str) -> None:
    a = tables.asked.c
    connection.execute(delete(tables.asked).where(a.label == label, a.refused.is_not(None)))


def _done(connection: Connection, label: str, verb: str) -> None:
    a = tables.asked.c
    connection.execute(delete(tables.asked).where(a.label == label, a.verb == verb))


def _retire(connection: Connection, label: str, role: str, reason: str) -> None:
    """What was to be read again of it need not be."""
    t, f = tables.tables.c, tables.facts.c
    here = (t.label == label, t.role == role)
    for number in list(connection.execute(select(t.number).where(*here)).scalars()):
        connection.execute(delete(tables.facts).where(f.name == f"resync:{number}"))
    connection.execute(update(tables.tables).where(*here).values(role=RETIRED, reason=reason))
