"""The proof of the whole: every row, edge and deleted key of PostgreSQL against what Engram answers now.

Nothing of what the ledger says is believed here but the names of deleted keys. Rows come by a COPY of their own, edges from joins
that PostgreSQL makes, memories by GET; what is left over in a space is found by its list pages and confirmed by GET.
It is meant for a source at rest: what changes between its two readings is counted as a difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from bridge.changes import Row
from bridge.keys import join_key
from bridge.ledger import Ledger
from bridge.mapping import Mapping, TablePlan
from bridge.memories import Stored, digest, split_content
from bridge.ports import Target
from bridge.schema import ForeignKey, Table
from snapshot.chunks import read_chunk
from snapshot.plan import Chunk
from snapshot.texts import copy_rows

PAGE = 1000
EXAMPLES = 10


@dataclass(slots=True)
class TableEvidence:
    """What was found of one table. Counts; `examples` are memory ids."""

    table: str
    rows: int = 0
    memories: int = 0
    missing: int = 0
    wrong: int = 0
    extra: int = 0
    edges: int = 0
    wrong_edges: int = 0
    missing_edges: int = 0
    deleted: int = 0
    orphans: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def proven(self) -> bool:
        """Everything is there, as it should be, and nothing else is."""
        return not (self.missing or self.wrong or self.extra or self.wrong_edges or self.missing_edges)

    def blame(self, memory_id: str) -> None:
        """Keep an example of what is wrong."""
        if len(self.examples) < EXAMPLES:
            self.examples.append(memory_id)


def compare(connection: psycopg.Connection[Any], target: Target, mapping: Mapping, ledger: Ledger) -> list[TableEvidence]:
    """Compare every carried table. Raises Transient."""
    deleted = {plan.number: _deleted(ledger, plan) for plan in mapping.plans.values()}
    expected: dict[str, set[str]] = {space: set() for space in mapping.spaces}
    evidence = {}
    for plan in mapping.plans.values():
        evidence[plan.number] = _compare_table(connection, target, mapping, ledger, plan, expected)
    for plan in mapping.plans.values():
        _compare_deleted(target, plan, deleted[plan.number], expected, evidence[plan.number])
    for space, known in expected.items():
        for memory_id in _left_over(target, space, known):
            plan = _owner(mapping, space, memory_id)
            evidence[plan.number].extra += 1
            evidence[plan.number].blame(memory_id)
    return list(evidence.values())


def _compare_table(
    connection: psycopg.Connection[Any],
    target: Target,
    mapping: Mapping,
    ledger: Ledger,
    plan: TablePlan,
    expected: dict[str, set[str]],
) -> TableEvidence:
    found = TableEvidence(plan.table.label)
    edges = expected_edges(connection, mapping, plan)
    known_edges = _ledger_edges(ledger, plan)
    page: dict[str, str] = {}
    equal: set[str] = set()
    for row in read_chunk(connection, plan.table, Chunk(0, None, None)):
        key = plan.key_of(row)
        if plan.keyless:
            if key in equal:
                continue
            equal.add(key)
        found.rows += 1
        page[key] = plan.body(row)
        if len(page) >= PAGE:
            _compare_page(target, plan, page, edges, known_edges, found, expected)
            page = {}
    _compare_page(target, plan, page, edges, known_edges, found, expected)
    return found


def _compare_page(
    target: Target,
    plan: TablePlan,
    page: dict[str, str],
    edges: dict[str, dict[str, str]],
    known_edges: dict[str, dict[str, str | None]],
    found: TableEvidence,
    expected: dict[str, set[str]],
) -> None:
    by_space: dict[str, list[str]] = {}
    for key in page:
        by_space.setdefault(plan.space_of(key), []).append(key)
    for space, keys in by_space.items():
        ids = [plan.prefix + key for key in keys]
        expected[space].update(ids)
        for key, stored in zip(keys, target.read(space, ids), strict=True):
            _compare_row(plan, key, page[key], stored, found)
            _compare_edges(plan.prefix + key, edges.get(key, {}), known_edges.get(key, {}), stored, found)


def _compare_row(plan: TablePlan, key: str, body: str, stored: Stored | None, found: TableEvidence) -> None:
    memory_id = plan.prefix + key
    if stored is None:
        found.missing += 1
        found.blame(memory_id)
        return
    found.memories += 1
    parts = split_content(stored.content)
    if parts is None or digest(parts[0]) != digest(body) or stored.memory_id != memory_id:
        found.wrong += 1
        found.blame(memory_id)


def _compare_edges(
    memory_id: str,
    wanted: dict[str, str],
    recorded: dict[str, str | None],
    stored: Stored | None,
    found: TableEvidence,
) -> None:
    """Edges of one row: PostgreSQL's joins against the content in Engram and against the ledger."""
    parts = split_content(stored.content) if stored else None
    references = json.loads(parts[1]).get("refs", []) if parts else []
    answered = {reference["constraint"]: reference["to"] for reference in references}
    found.edges += len(wanted)
    for constraint, parent in wanted.items():
        for side in (answered, recorded):
            if side.get(constraint) is None:
                found.missing_edges += 1
                found.blame(memory_id)
            elif side[constraint] != parent:
                found.wrong_edges += 1
                found.blame(memory_id)
    found.orphans += len(set(recorded) - set(wanted))
    if set(answered) != set(recorded):
        found.wrong_edges += 1
        found.blame(memory_id)


def expected_edges(connection: psycopg.Connection[Any], mapping: Mapping, plan: TablePlan) -> dict[str, dict[str, str]]:
    """The edges that PostgreSQL itself finds by joining child and parent: key of the child -> constraint -> id of the parent."""
    edges: dict[str, dict[str, str]] = {}
    carried = {column.name for column in plan.table.columns}
    for key in plan.table.foreign_keys:
        parent = mapping.plans.get(".".join(key.parent))
        if parent is None or not carried.issuperset(key.columns):
            continue
        width = len(plan.table.key) or len(plan.table.columns)
        for row in copy_rows(connection, _join(connection, plan, key, parent)):
            edges.setdefault(_key(plan, row[:width]), {})[key.name] = parent.prefix + _key(parent, row[width:])
    return edges


def _key(plan: TablePlan, values: Row) -> str:
    """The key part of an id, from the key's columns; from the whole row where there is none."""
    return plan.key_of(values) if plan.keyless else join_key([str(value) for value in values])


def _join(connection: psycopg.Connection[Any], plan: TablePlan, key: ForeignKey, parent: TablePlan) -> sql.Composed:
    columns = [
        sql.Identifier(side, name)
        for side, table in (("c", plan.table), ("p", parent.table))
        for name in table.key or [column.name for column in table.columns]
    ]
    equal = _operators(connection, plan, key)
    condition = sql.SQL(" and ").join(
        sql.SQL("p.{} operator({}.{}) c.{}").format(
            sql.Identifier(theirs), sql.Identifier(schema), sql.SQL(operator), sql.Identifier(child)
        )
        for child, theirs, (schema, operator) in zip(key.columns, key.parent_columns, equal, strict=True)
    )
    return sql.SQL("select {} from {} c join {} p on {}").format(
        sql.SQL(", ").join(columns), _relation(plan.table), _relation(parent.table), condition
    )


def _relation(table: Table) -> sql.Composed:
    """A table without those that inherit from it; a partitioned one with its partitions."""
    only = sql.SQL("" if table.kind == "p" else "only ")
    return sql.SQL("{}{}").format(only, sql.Identifier(table.schema, table.name))


def _operators(connection: psycopg.Connection[Any], plan: TablePlan, key: ForeignKey) -> list[tuple[str, LiteralString]]:
    """Schema and name of the operators by which PostgreSQL itself compares parent and child, column by column.

    A type of an extension has its equality in the extension's schema, where no search path of ours finds it.
    """
    rows = connection.execute(
        """
        select n.nspname, o.oprname
        from pg_catalog.pg_constraint c
        join pg_catalog.pg_class r on r.oid = c.conrelid
        join pg_catalog.pg_namespace s on s.oid = r.relnamespace
        cross join lateral unnest(c.conpfeqop) with ordinality as e (oid, place)
        join pg_catalog.pg_operator o on o.oid = e.oid
        join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
        where c.contype = 'f' and c.conname = %s and s.nspname = %s and r.relname = %s
        order by e.place
        """,
        (key.name, plan.table.schema, plan.table.name),
    ).fetchall()
    return [(row[0], row[1]) for row in rows]


def _ledger_edges(ledger: Ledger, plan: TablePlan) -> dict[str, dict[str, str | None]]:
    edges: dict[str, dict[str, str | None]] = {}
    for key, constraint, parent, parent_key in ledger.edges_of(plan.number):
        to = None if parent_key is None else plan.parents.get(parent, "") + parent_key
        edges.setdefault(key, {})[constraint] = to
    return edges


def _deleted(ledger: Ledger, plan: TablePlan) -> list[str]:
    """Keys that the ledger knows as deleted."""
    return [key for shard in range(len(plan.spaces)) for key, entry in ledger.scan(plan.number, shard) if not entry.live]


def _compare_deleted(
    target: Target, plan: TablePlan, keys: list[str], expected: dict[str, set[str]], found: TableEvidence
) -> None:
    """A deleted key answers nothing."""
    by_space: dict[str, list[str]] = {}
    for key in keys:
        space = plan.space_of(key)
        if plan.prefix + key not in expected[space]:
            by_space.setdefault(space, []).append(plan.prefix + key)
    for space, ids in by_space.items():
        found.deleted += len(ids)
        for memory_id, stored in zip(ids, target.read(space, ids), strict=True):
            if stored is not None:
                found.extra += 1
                found.blame(memory_id)
                expected[space].add(memory_id)  # counted once


def _left_over(target: Target, space: str, known: set[str]) -> Iterator[str]:
    """Memories of the space that no row stands for: list pages are hints, each is confirmed by a GET."""
    suspects = list(dict.fromkeys(stored.memory_id for stored in target.scan(space) if stored.memory_id not in known))
    for memory_id, stored in zip(suspects, target.read(space, suspects), strict=True):
        if stored is not None:
            yield memory_id


def _owner(mapping: Mapping, space: str, memory_id: str) -> TablePlan:
    """The table that an id in a space seems to belong to."""
    plans = [plan for plan in mapping.plans.values() if space in plan.spaces]
    fitting = [plan for plan in plans if memory_id.startswith(plan.prefix)]
    return max(fitting or plans, key=lambda plan: len(plan.prefix))
