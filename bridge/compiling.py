"""Catalogue and table options -> plans. Everything that can be wrong with names is said here, before a row is read. Pure."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from dataclasses import replace
from json.encoder import encode_basestring

from bridge import values
from bridge.errors import ConfigError
from bridge.mapping import Identity, Link, Mapping, TablePlan
from bridge.memories import RESERVED
from bridge.schema import Column, ForeignKey, Table
from bridge.spaces import TableOptions, confidence_class, spaces_of

REASONING = "Migrated from authoritative PostgreSQL database"


def compile_mapping(
    tables: Sequence[Table],
    options: MappingABC[str, TableOptions],
    identity: Identity,
    numbers: MappingABC[str, int],
    *,
    origins: MappingABC[str, int] | None = None,
    homes: MappingABC[str, tuple[str, ...]] | None = None,
) -> Mapping:
    """The plans of `tables`. All else is by label; `origins` where they are not the numbers, `homes` the spaces of tables that
    live in others than the options say.

    Raises ConfigError for columns that do not exist, names that are invalid, spaces and ids that collide.
    """
    chosen = {table.label: _carried(table, options.get(table.label, TableOptions())) for table in tables}
    spaces = {**spaces_of(chosen, options, identity.space_prefix), **(homes or {})}
    plans = {
        label: _plan(table, options.get(label, TableOptions()), numbers[label], spaces[label], identity)
        for label, table in chosen.items()
    }
    for label, plan in plans.items():
        plan.origin = (origins or {}).get(label, plan.number)
    _refuse_shared_ids(list(plans.values()))
    for plan in plans.values():
        _link(plan, plans)
    for table in tables:
        plan = plans[table.label]
        plan.left_out = tuple(column.name for column in table.columns if column not in plan.table.columns)
    return Mapping(plans, {plan.number: plan for plan in plans.values()})


def _carried(table: Table, options: TableOptions) -> Table:
    """The table with the columns that the options leave."""
    names = {column.name for column in table.columns}
    for wanted in (*(options.include or ()), *options.exclude, *(options.text or ())):
        if wanted not in names:
            raise ConfigError(
                f"tables.{table.label}: there is no column {wanted!r}", hint=f"The columns are: {', '.join(sorted(names))}."
            )
    kept = tuple(
        column
        for column in table.columns
        if (options.include is None or column.name in options.include) and column.name not in options.exclude
    )
    missing = [name for name in table.key if name not in {column.name for column in kept}]
    if missing:
        raise ConfigError(
            f"tables.{table.label}: the key column {missing[0]!r} is excluded", hint="A memory cannot be named without its key."
        )
    if any(column.name == RESERVED for column in kept):
        raise ConfigError(
            f"{table.label} has a column named {RESERVED!r}, which the bridge needs for its stamp",
            hint=f"Exclude it: tables: {{{table.label}: {{exclude: [{RESERVED}]}}}}.",
        )
    return replace(table, columns=kept)


def _refuse_shared_ids(plans: Sequence[TablePlan]) -> None:
    """Two tables whose ids could be the same in one space are an error, not a surprise."""
    for first in plans:
        for second in plans:
            shared = set(first.spaces) & set(second.spaces)
            if first is second or not shared or not second.prefix.startswith(first.prefix):
                continue
            if len(first.spaces) != len(second.spaces) or first.prefix == second.prefix or not _integer_key(first):
                raise ConfigError(
                    f"{first.table.label} and {second.table.label} could use the same memory id in the space {min(shared)!r}",
                    hint=f"Give one of them a space of its own: tables: {{{second.table.label}: {{space: …}}}}.",
                )


def _integer_key(plan: TablePlan) -> bool:
    """Keys of digits alone cannot contain the name of another table."""
    return bool(plan.key_indexes) and all(
        plan.table.columns[index].type.name in ("int2", "int4", "int8") for index in plan.key_indexes
    )


def _plan(table: Table, options: TableOptions, number: int, spaces: tuple[str, ...], identity: Identity) -> TablePlan:
    index = {column.name: position for position, column in enumerate(table.columns)}
    texts = options.text if options.text is not None else [c.name for c in table.columns if values.is_text(c.type)]
    return TablePlan(
        number=number,
        table=table,
        options=options,
        prefix=(table.name if table.schema == "public" else f"{table.schema}_{table.name}") + "_",
        spaces=spaces,
        key_indexes=tuple(index[name] for name in table.key),
        text_columns=tuple((index[name], name) for name in texts if name in index),
        timestamp_index=_timestamp_index(table, options, index),
        fixed=_fixed(table, options, identity),
        body=values.row_encoder(table.columns),
    )


def _timestamp_index(table: Table, options: TableOptions, index: MappingABC[str, int]) -> int | None:
    name = options.timestamp or "created_at"
    if name in index and values.is_timestamp(table.column(name).type):
        return index[name]
    if options.timestamp is not None:
        known = [column.name for column in table.columns if values.is_timestamp(column.type)]
        raise ConfigError(
            f"tables.{table.label}.timestamp: {name!r} is no date or timestamp column",
            hint=f"There is: {', '.join(known) or 'none'}.",
        )
    return None


def _fixed(table: Table, options: TableOptions, identity: Identity) -> str:
    """The part of the stamp that all rows of a table share, as JSON without braces."""
    name, confidence = confidence_class(options.confidence)
    return (
        f'"table":{encode_basestring(table.label)},"source":"postgres","ledger":{encode_basestring(identity.ledger)},'
        f'"migration":{encode_basestring(identity.migration)},"migrated_at":{encode_basestring(identity.migrated_at)},'
        f'"class":{encode_basestring(name)},"confidence":{confidence},"why":{encode_basestring(REASONING)},'
        f'"tags":["postgres",{encode_basestring(table.name)}]'
    )


def _link(plan: TablePlan, plans: MappingABC[str, TablePlan]) -> None:
    """Compile the foreign keys of a plan; parents that are not carried are left out (they are external, C22)."""
    index = {column.name: position for position, column in enumerate(plan.table.columns)}
    links = []
    for key in sorted(plan.table.foreign_keys if plan.options.edges else (), key=lambda key: key.name):
        parent = plans.get(".".join(key.parent))
        if parent is None or any(name not in index for name in key.columns):
            continue
        links.append(_compile_link(plan, key, parent, index))
        plan.parents[parent.origin] = parent.prefix
    plan.links = tuple(links)


def _compile_link(plan: TablePlan, key: ForeignKey, parent: TablePlan, index: MappingABC[str, int]) -> Link:
    children = [plan.table.column(name) for name in key.columns]
    parents = [parent.table.column(name) for name in key.parent_columns]
    columns = tuple((index[c.name], c.name, values.encoder(c.type)) for c in children)
    direct = set(key.parent_columns) == set(parent.table.key) and all(map(_same_text, children, parents))
    if direct:
        order = tuple(key.parent_columns.index(name) for name in parent.table.key)
        return Link(key.name, columns, parent.origin, order, None, ())
    lookup = f"{parent.origin}:{','.join(key.parent_columns)}"
    _offer_alternate(parent, lookup, parents)
    return Link(key.name, columns, parent.origin, None, lookup, tuple(values.comparable(c.type) for c in children))


_INTEGERS = frozenset({"int2", "int4", "int8"})
_TEXTS = frozenset({"text", "varchar"})


def _same_text(child: Column, parent: Column) -> bool:
    """Whether equal values of the two columns always have the same text."""
    if not values.is_stable(child.type) or not values.is_stable(parent.type):
        return False
    names = {child.type.name, parent.type.name}
    return child.type.oid == parent.type.oid or names <= _INTEGERS or names <= _TEXTS


def _offer_alternate(parent: TablePlan, name: str, columns: Sequence[Column]) -> None:
    """The parent's rows must be found by these columns."""
    if any(known == name for known, _columns in parent.alternates):
        return
    index = {column.name: position for position, column in enumerate(parent.table.columns)}
    parent.alternates += ((name, tuple((index[c.name], values.comparable(c.type)) for c in columns)),)
