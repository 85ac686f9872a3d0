"""The references of a row as PostgreSQL itself finds them: by joining child and parent with the foreign key's own operators.

Pure: plans in, statements out. Identifiers come from the mapping only, by psycopg's composer; values are parameters, as
text. The table of the row that is asked about is `t`, the one at the other end `o`. Keys come as they stand in memory ids, in
the order of their bytes, so that a walk begun on the ledger goes on here; of a table without a key, whose id is a digest that
PostgreSQL cannot make, whole rows come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from bridge.changes import Row
from bridge.keys import join_key
from bridge.mapping import TablePlan
from bridge.schema import ForeignKey, Table
from snapshot.keys import ALIAS, column_list, compare, relation

OTHER = "o"

OPERATORS = """
    select n.nspname, o.oprname
      from pg_constraint c
      join pg_class r on r.oid = c.conrelid
      join pg_namespace s on s.oid = r.relnamespace
      cross join lateral unnest(c.conpfeqop) with ordinality as e (oid, place)
      join pg_operator o on o.oid = e.oid
      join pg_namespace n on n.oid = o.oprnamespace
     where c.contype = 'f' and c.conname = $1 and s.nspname = $2 and r.relname = $3
     order by e.place
"""
"""Schema and name of the operators by which PostgreSQL compares parent and child, column by column: constraint, schema, table."""

Operators = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A foreign key between two carried tables. They are compared by identity: plans are made anew when a table changes."""

    child: TablePlan
    parent: TablePlan
    key: ForeignKey

    @property
    def name(self) -> tuple[str, str, str]:
        """Constraint, and schema and name of the table that has it: the parameters of OPERATORS."""
        return self.key.name, self.child.table.schema, self.child.table.name


Plans = Mapping[str, TablePlan]


def outgoing(plans: Plans, plan: TablePlan) -> list[Relation]:
    """The carried foreign keys of a table, by constraint. `plans`: of all carried tables, by label."""
    carried = {link.constraint for link in plan.links}
    found = [
        Relation(plan, plans[".".join(key.parent)], key)
        for key in plan.table.foreign_keys
        if key.name in carried and ".".join(key.parent) in plans
    ]
    return sorted(found, key=lambda relation: relation.key.name.encode())


def incoming(plans: Plans, plan: TablePlan) -> list[Relation]:
    """The carried foreign keys that point at a table, by child table and constraint."""
    found = [one for child in plans.values() for one in outgoing(plans, child) if one.parent is plan]
    return sorted(found, key=lambda one: (one.child.table.label.encode(), one.key.name.encode()))


def named(one: Relation, values: Row) -> str | None:
    """The key of the parent as the row's own values name it; None where they name another unique key of the parent."""
    link = next(link for link in one.child.links if link.constraint == one.key.name)
    return None if link.key_order is None else join_key([str(values[place]) for place in link.key_order])


def parents(one: Relation, operators: Operators) -> bytes:
    """The parent of one row: whether the row has a reference, whether there is a parent, the row's own values of the foreign key,
    and the parent's key or whole row.

    Parameters: the row's key columns.
    """
    table = one.child.table
    there = sql.SQL(" and ").join([sql.SQL("{} is not null").format(sql.Identifier(ALIAS, name)) for name in one.key.columns])
    query = sql.SQL(
        "select {there}, o.tableoid is not null, {own}, {other} from {ours} left join {theirs} on {condition} where {row}"
    )
    return query.format(
        there=there,
        own=column_list(one.key.columns),
        other=_identity(one.parent, OTHER),
        ours=relation(table),
        theirs=_other(one.parent.table),
        condition=_condition(one, operators, child=ALIAS, parent=OTHER),
        row=compare(table, "=", _parameters(len(table.key))),
    ).as_bytes(None)


def children(one: Relation, operators: Operators) -> bytes:
    """The rows of a child table that point at one row, from a key on, in the order of their keys.

    Parameters: the row's key columns, that key, how many; for a child without a key only how many, and in no order.
    """
    table, child = one.parent.table, one.child
    width = len(table.key)
    query = sql.SQL("select {other} from {ours} join {theirs} on {condition} where {row}").format(
        other=_identity(child, OTHER),
        ours=relation(table),
        theirs=_other(child.table),
        condition=_condition(one, operators, child=OTHER, parent=ALIAS),
        row=compare(table, "=", _parameters(width)),
    )
    if child.keyless:
        limit = sql.SQL(" limit {}::text::int8").format(*_parameters(1, width))
        return (query + limit).as_bytes(None)
    least, most = _parameters(2, width)
    order = sql.SQL(' and {key} collate "C" >= {least}::text order by {key} collate "C" limit {most}::text::int8')
    return (query + order.format(key=key_text(child.table, OTHER), least=least, most=most)).as_bytes(None)


def key_text(table: Table, alias: str) -> sql.Composed:
    """The key part of the memory id in SQL. `concat` takes a value's own text; a cast of a boolean or char(n) does not."""
    parts = [sql.SQL("concat({})").format(sql.Identifier(alias, name)) for name in table.key]
    if len(parts) == 1:
        return sql.Composed(parts)
    escaped = [sql.SQL("replace(replace({}, '%', '%25'), '_', '%5F')").format(part) for part in parts]
    return sql.SQL("({})").format(sql.SQL(" || '_' || ").join(escaped))


def _identity(plan: TablePlan, alias: str) -> sql.Composed:
    if plan.keyless:
        return sql.SQL(", ").join([sql.Identifier(alias, column.name) for column in plan.table.columns])
    return key_text(plan.table, alias)


def _condition(one: Relation, operators: Operators, *, child: str, parent: str) -> sql.Composed:
    terms = []
    for ours, theirs, (schema, operator) in zip(one.key.columns, one.key.parent_columns, operators, strict=True):
        sign = sql.SQL(".").join([sql.Identifier(schema), _sign(operator)])
        terms.append(sql.SQL("{} operator({}) {}").format(sql.Identifier(parent, theirs), sign, sql.Identifier(child, ours)))
    return sql.SQL(" and ").join(terms)


def _sign(operator: str) -> sql.SQL:
    """The name of an operator cannot be quoted: it is one of the server's own signs, or it is refused."""
    if not operator or set(operator) - set("+-*/<>=~!@#%^&|`?"):
        raise ValueError("not the name of an operator")
    return sql.SQL(operator)  # checked just above


def _other(table: Table) -> sql.Composed:
    only = sql.SQL("") if table.kind == "p" else sql.SQL("only ")
    return sql.SQL("{}{} as o").format(only, sql.Identifier(table.schema, table.name))


def _parameters(count: int, before: int = 0) -> Sequence[sql.Composable]:
    return [sql.SQL("${}").format(sql.Literal(before + number)) for number in range(1, count + 1)]
