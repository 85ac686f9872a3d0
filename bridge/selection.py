"""Which tables of the catalogue are carried, and with what options: the configuration's names held against the real ones.

`users` means the table of that name in `public`, `app.users` the one in schema `app`; names are written as they stand in the
catalogue, case included. A name or column that does not exist is an error with the nearest one that does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from bridge.choices import Choices
from bridge.config import Columns, Config
from bridge.config import Table as Options
from bridge.errors import ConfigError
from bridge.explain import nearest
from bridge.schema import Table
from bridge.spaces import TableOptions

_NONE = Choices()


def names_of(table: Table) -> tuple[str, ...]:
    """The names under which the configuration may speak of a table."""
    return (table.label, table.name) if table.schema == "public" else (table.label,)


def select(config: Config, tables: Sequence[Table], choices: Choices = _NONE) -> list[Table]:
    """The tables that `include` and `exclude` leave, in their order, with those added and without those removed by `choices`.

    Raises ConfigError for a pattern of `include` without a match, for a plain name of either that is no table, and for two tables
    whose schemas and names read alike. Names of tables that were removed may stay, whether the tables are still there or not.
    """
    for key, patterns in (("include", config.include), ("exclude", config.exclude)):
        for pattern in patterns:
            plain = not any(sign in pattern for sign in "*?[")
            known = any(_matches(table, pattern) for table in tables) or any(_fits(label, pattern) for label in choices.removed)
            if (key == "include" or plain) and not known:
                raise ConfigError(f"{key}: no table matches {pattern!r}", hint=nearest(pattern, _all_names(tables)))
    chosen = [
        table
        for table in tables
        if table.label not in choices.removed and (table.label in choices.added or _chosen(config, table))
    ]
    twice = [label for label, count in Counter(table.label for table in chosen).items() if count > 1]
    if twice:
        raise ConfigError(
            f"two tables are called {twice[0]}: the dot stands in a name",
            hint="Everything knows a table by `schema.table`: rename one of them, or exclude both.",
        )
    return chosen


def loosened(config: Config, tables: Sequence[Table], labels: Collection[str]) -> Config:
    """The configuration without what it says of the columns of these tables, and of those of them that are not there any more.

    While a bridge runs, a table that cannot be carried must not keep the others from being planned anew. Where the table's
    memories are, and under what model, stays.
    """
    there = {name for table in tables for name in names_of(table)}
    loose = {name for label in labels for name in _names(label)}
    gone = loose - there
    nothing = {"text": None, "timestamp": None, "columns": Columns()}
    return config.model_copy(
        update={
            "tables": {
                name: given.model_copy(update=nothing) if name in loose else given
                for name, given in config.tables.items()
                if name not in gone
            },
            "include": tuple(name for name in config.include if name not in gone),
            "exclude": tuple(name for name in config.exclude if name not in gone),
        }
    )


def _chosen(config: Config, table: Table) -> bool:
    return (not config.include or any(_matches(table, pattern) for pattern in config.include)) and not any(
        _matches(table, pattern) for pattern in config.exclude
    )


def table_options(config: Config, tables: Sequence[Table], choices: Choices = _NONE) -> dict[str, TableOptions]:
    """The options of every table that `tables:` names, by label; `tables` is the whole catalogue, also what is left out.

    What it says of tables that were removed is passed over; tables that it does not name are as they were mapped.
    Raises ConfigError for tables and columns that do not exist, and for one table named twice.
    """
    mapped = {table.label: choices.mapped[table.label] for table in tables if table.label in choices.mapped}
    options = {label: _known(tables, label, Options.model_validate(given).options()) for label, given in mapped.items()}
    named: set[str] = set()
    for name, given in config.tables.items():
        found = [table for table in tables if name in names_of(table)]
        if any(name in _names(label) for label in choices.removed) and len(found) <= 1:
            continue
        if not found:
            raise ConfigError(f"tables.{name}: there is no such table", hint=nearest(name, _all_names(tables)))
        if len(found) > 1:
            labels = " and ".join(f"{table.schema!r}.{table.name!r}" for table in found)
            raise ConfigError(f"tables.{name}: the name fits {labels}", hint="Write `schema.table` in full.")
        table = found[0]
        if table.label in named:
            raise ConfigError(f"tables.{name}: {table.label} stands twice", hint="Keep one of `table` and `schema.table`.")
        named.add(table.label)
        wanted = given.options()
        _require_columns(name, table, wanted)
        # A generated column is never carried: to exclude it is no mistake, but the mapping does not know its name.
        kept = tuple(column for column in wanted.exclude if column not in table.generated)
        options[table.label] = replace(wanted, exclude=kept)
    return options


def _known(tables: Sequence[Table], label: str, options: TableOptions) -> TableOptions:
    """Options that the ledger has kept, without columns that have gone since."""
    columns = {name for table in tables if table.label == label for name in _columns(table)}
    text = tuple(name for name in options.text if name in columns) if options.text is not None else None
    timestamp = options.timestamp if options.timestamp in columns else None
    return replace(options, text=text, timestamp=timestamp)


def _require_columns(name: str, table: Table, options: TableOptions) -> None:
    for key, wanted in (
        ("text", options.text or ()),
        ("timestamp", (options.timestamp,) if options.timestamp is not None else ()),
        ("columns.include", options.include or ()),
        ("columns.exclude", options.exclude),
    ):
        for column in wanted:
            generated = column in table.generated
            if column in _columns(table) or (generated and key == "columns.exclude"):
                continue
            if generated:
                raise ConfigError(
                    f"tables.{name}.{key}: {column!r} is a generated column, which no path carries",
                    hint=f"Leave it out, or use one of: {', '.join(_columns(table))}.",
                )
            raise ConfigError(f"tables.{name}.{key}: there is no column {column!r}", hint=nearest(column, _columns(table)))


def _columns(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def _names(label: str) -> tuple[str, str]:
    """The names under which the configuration may speak of a table that is perhaps not there any more."""
    return label, label.removeprefix("public.")


def _fits(label: str, pattern: str) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for name in _names(label))


def _matches(table: Table, pattern: str) -> bool:
    # A table's own name is never a pattern: "a[1]" names the table a[1].
    return any(name == pattern or fnmatchcase(name, pattern) for name in names_of(table))


def _all_names(tables: Iterable[Table]) -> Collection[str]:
    return [table.name if table.schema == "public" else table.label for table in tables]
