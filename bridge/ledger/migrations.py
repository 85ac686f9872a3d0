"""The migrations of a ledger: everything that has written memories, by the id that stands in their stamps.

Each has a number, which every memory that it wrote bears in the ledger (`Entry.migration`), also when it is a tombstone by now.
So what belongs to a migration can be told, counted and taken back. One that is begun again under its id goes on by its number.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from bridge.errors import ConfigError
from bridge.gate import Entry
from bridge.ledger import books, tables
from bridge.ledger.generations import ROLLBACK
from bridge.ledger.ledger import Ledger
from bridge.ledger.patience import waits

MIGRATE, RUN = "migrate", "run"
"""The kind of a migration: `migrate-postgresql`, which ends, or `run`, which goes on."""

PAGE = 500


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration. `began`, `ended` are in seconds since 1970; `result` is its report, None while it has none."""

    number: int
    id: str
    kind: str
    began: float
    ended: float | None
    detail: dict[str, Any]
    result: dict[str, Any] | None


class Migrations:
    """What a ledger says of migrations."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.patience = ledger.patience

    @waits
    def begin(self, migration_id: str, kind: str, detail: Mapping[str, Any]) -> int:
        """The number of a migration that begins, or goes on: then `detail` is what is ordered now, and it has not ended.

        Raises ConfigError when the id belongs to one of the other kind: nobody could tell later which of the two wrote what; and
        when it is being rolled back.
        """
        m, f = tables.migrations, tables.facts
        with self._ledger.writing() as connection:
            values: dict[str, Any] = {"detail": json.dumps(dict(detail)), "ended": None, "result": None}
            number, rollback = _known(connection, migration_id, kind)
            if number is None:
                made = m.insert().values(id=migration_id, kind=kind, began=time.time(), **values).returning(m.c.number)
                return int(connection.execute(made).scalar_one())
            if rollback is not None and not _has_more(connection, number, rollback["tables"]):
                values["began"] = time.time()  # nothing of what it did before is left
            connection.execute(delete(f).where(f.c.name == rollback_fact(number)))  # what it writes from now on is not taken back
            connection.execute(update(m).where(m.c.number == number).values(**values))
            return number

    @waits
    def require(self, migration_id: str, kind: str) -> None:
        """That a migration of this id may begin or go on. Raises ConfigError as `begin` does, and writes nothing."""
        with self._ledger.reading() as connection:
            _known(connection, migration_id, kind)

    @waits
    def end(self, number: int, result: Mapping[str, Any] | None = None) -> None:
        """It has ended, with this report."""
        m = tables.migrations
        values = {"ended": time.time(), "result": None if result is None else json.dumps(dict(result))}
        with self._ledger.writing() as connection:
            connection.execute(update(m).where(m.c.number == number).values(**values))

    @waits
    def find(self, migration_id: str) -> Migration | None:
        """The migration of this id."""
        with self._ledger.reading() as connection:
            row = connection.execute(select(tables.migrations).where(tables.migrations.c.id == migration_id)).one_or_none()
        return None if row is None else _migration(row)

    @waits
    def all(self) -> list[Migration]:
        """All of them, in the order in which they began."""
        with self._ledger.reading() as connection:
            rows = connection.execute(select(tables.migrations).order_by(tables.migrations.c.number)).all()
        return [_migration(row) for row in rows]

    @waits
    def counts(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Live memories and tombstones by migration and generation (its number); 0 for what was written before ids were kept."""
        m = tables.memories.c
        query = select(m.migration, m.tbl, m.live, func.count()).group_by(m.migration, m.tbl, m.live)
        counted: dict[tuple[int, int], tuple[int, int]] = {}
        with self._ledger.reading() as connection:
            for migration, table, live, rows in connection.execute(query):
                alive, gone = counted.get((migration, table), (0, 0))
                counted[(migration, table)] = (alive + rows, gone) if live else (alive, gone + rows)
        return counted

    @waits
    def rollback_of(self, number: int) -> dict[str, Any] | None:
        """When a migration's rollback began and ended (None: it has not), and its tables; None when there was none."""
        f = tables.facts.c
        with self._ledger.reading() as connection:
            value = connection.execute(select(f.value).where(f.name == rollback_fact(number))).scalar()
        return None if value is None else dict(json.loads(value))

    @waits
    def page(
        self, number: int, table: int, after: str | None, *, shard: int | None = None, size: int = PAGE
    ) -> list[tuple[str, Entry]]:
        """The next memories of a migration in one generation, tombstones too, in key order; none behind the last one.

        `shard`: only those in this one of its spaces.
        """
        m = tables.memories.c
        query = select(*books.ENTRY).where(m.tbl == table, m.migration == number)
        if shard is not None:
            query = query.where(m.shard == shard)
        if after is not None:
            query = query.where(m.key > after)
        with self._ledger.reading() as connection:
            rows = connection.execute(query.order_by(m.key).limit(size)).all()
        return [(row[0], Entry(*row[1:])) for row in rows]


def rollback_fact(number: int) -> str:
    """The fact that a migration is being rolled back, or was."""
    return f"{ROLLBACK}{number}"


def open_tables(migration: Migration, rollback: Mapping[str, Any] | None) -> set[str]:
    """The tables in which it may have written what is not recorded: those of one that has not ended.

    `rollback`: its own, which ends it; what it was not made in (`open`) may still hold such.
    """
    if rollback is not None and "open" in rollback:
        return set(rollback["open"])
    return set(migration.detail.get("tables", ())) if migration.ended is None else set()


def _known(connection: Connection, migration_id: str, kind: str) -> tuple[int | None, dict[str, Any] | None]:
    """The number of the migration of this id, and its rollback, which has ended. Raises ConfigError when it may not go on."""
    m, f = tables.migrations, tables.facts
    known = connection.execute(select(m.c.number, m.c.kind).where(m.c.id == migration_id)).one_or_none()
    if known is None:
        return None, None
    if known.kind != kind:
        raise ConfigError(
            f"the migration id {migration_id!r} is that of another migration of this ledger, by {_maker(known.kind)}",
            hint="Name another one: `migration:` in the configuration, or --migration-id.",
        )
    told = connection.execute(select(f.c.value).where(f.c.name == rollback_fact(known.number))).scalar()
    rollback = None if told is None else json.loads(told)
    if rollback is not None and rollback["ended"] is None:
        raise ConfigError(
            f"the migration {migration_id!r} is being rolled back",
            hint=f"Run `engram-bridge rollback --migration-id {migration_id}` to its end first.",
        )
    return int(known.number), rollback


def _has_more(connection: Connection, number: int, labels: Collection[str]) -> bool:
    """Whether memories of a migration are in other tables than these."""
    m, t = tables.memories.c, tables.tables.c
    others = select(t.number).where(t.label.not_in(labels))
    found = select(m.key).where(m.migration == number, m.live, m.tbl.in_(others)).limit(1)
    return connection.execute(found).first() is not None


def _migration(row: Row[Any]) -> Migration:
    result = None if row.result is None else json.loads(row.result)
    return Migration(row.number, row.id, row.kind, row.began, row.ended, json.loads(row.detail), result)


def _maker(kind: str) -> str:
    return {MIGRATE: "migrate-postgresql", RUN: "run"}.get(kind, kind)
