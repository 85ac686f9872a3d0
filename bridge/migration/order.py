"""What a one-shot migration is told to do: the flags of `migrate-postgresql`, read and held against the real tables.

The flags say the same as a configuration would; so they are made into one, and everything behind it is the running bridge's. What
they say of a table is kept in the ledger (`Choices.mapped`), so that `validate`, `reconcile`, `rollback` and a later `run` need
not be told again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from bridge import values
from bridge.capacity import proposed_shards, rows_per_space
from bridge.choices import Choices
from bridge.config import Config
from bridge.config import Table as Options
from bridge.errors import ConfigError
from bridge.explain import nearest
from bridge.schema import Table
from bridge.selection import names_of, select
from bridge.spaces import SPACE_NAME
from snapshot.plan import Restriction

CREATED = "created_at"
BATCH, WORKERS = 1000, 4
NO_MAPPING = "--table-to-space users:user_space,orders:order_space"
NO_TEXTS = '--text-columns "users:name,bio;orders:description"'


@dataclass(frozen=True, slots=True)
class Order:
    """The flags, taken apart. No tables mean all; None means: as the configuration says, or by default.

    `space`: the one for all tables that `spaces` does not name. `since`, `until`: times of the timestamp column, ISO in UTC.
    """

    tables: tuple[str, ...] = ()
    spaces: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shards: Mapping[str, int] = field(default_factory=dict)
    timestamp: str | None = None
    space: str | None = None
    confidence: str | None = None
    provider: str | None = None
    edges: bool = True
    since: str | None = None
    until: str | None = None
    limit: int | None = None

    @property
    def partial(self) -> bool:
        """Not all rows of the tables are meant."""
        return self.since is not None or self.until is not None or self.limit is not None

    def as_dict(self) -> dict[str, Any]:
        """For checkpoint and ledger: what has to be the same again to go on with a migration."""
        return {name: value for name, value in _plain(asdict(self)).items() if value not in (None, [], {})}


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    return plain | {"texts": {name: list(columns) for name, columns in given["texts"].items()}}


# the flags


def names(given: Sequence[str] | None) -> tuple[str, ...]:
    """`a,b` and repeated flags alike."""
    return tuple(dict.fromkeys(name.strip() for one in given or () for name in one.split(",") if name.strip()))


def pairs(flag: str, given: str | None, form: str) -> dict[str, str]:
    """`users:user_space,orders:order_space`. Raises ConfigError for anything else."""
    found: dict[str, str] = {}
    for pair in (one.strip() for one in (given or "").split(",")):
        table, colon, value = (part.strip() for part in pair.rpartition(":"))
        if not pair and not found and not given:
            continue
        if not colon or not table or not value:
            raise ConfigError(f"{flag}: {pair!r} is no pair of table and {form.rpartition(':')[2]}", hint=f"For example: {form}")
        if table in found:
            raise ConfigError(f"{flag}: {table} stands twice", hint=f"For example: {form}")
        found[table] = value
    return found


def texts(given: str | None) -> dict[str, tuple[str, ...]]:
    """`users:name,bio;orders:description`. Raises ConfigError for anything else."""
    found: dict[str, tuple[str, ...]] = {}
    for part in (one.strip() for one in (given or "").split(";")):
        if not part:
            continue
        table, colon, columns = part.partition(":")
        chosen = names([columns])
        if not colon or not table.strip() or not chosen:
            raise ConfigError(f"--text-columns: {part!r} is no table with its columns", hint=f"For example: {NO_TEXTS}")
        if table.strip() in found:
            raise ConfigError(f"--text-columns: {table.strip()} stands twice", hint=f"For example: {NO_TEXTS}")
        found[table.strip()] = chosen
    return found


def shards(given: str | None) -> dict[str, int]:
    """`orders:4`. Raises ConfigError for anything else."""
    found = pairs("--shards", given, "--shards orders:4")
    for table, number in found.items():
        if not number.isdigit() or not 1 <= int(number) <= 256:
            raise ConfigError(f"--shards: {number!r} is no number of spaces for {table}", hint="1 to 256.")
    return {table: int(number) for table, number in found.items()}


def moment(flag: str, given: str | None) -> str | None:
    """A date or time in ISO form; without a zone it is UTC. Raises ConfigError for anything else."""
    if given is None:
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise ConfigError(f"{flag}: {given!r} is no date or time", hint=f"For example: {flag} 2025-06-30T12:00:00Z") from None
    return (found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def require(order: Order) -> None:
    """That the flags agree with each other. Raises ConfigError."""
    if order.space is not None and SPACE_NAME.match(order.space) is None:
        raise ConfigError(
            f"--memory-space: {order.space!r} is no name of a space", hint="3 to 64 characters of a-z, 0-9, '_', '-'."
        )
    for table, space in order.spaces.items():
        if SPACE_NAME.match(space) is None:
            raise ConfigError(
                f"--table-to-space: {space!r} (of {table}) is no name of a space",
                hint="3 to 64 characters of a-z, 0-9, '_', '-'.",
            )
    if order.since is not None and order.until is not None and order.since >= order.until:
        raise ConfigError("--since is not before --until: no row is meant", hint="Give times in their order.")
    if order.confidence is not None:
        try:
            Options.model_validate({"confidence": order.confidence})
        except ValueError:
            raise ConfigError(
                f"--confidence: {order.confidence!r} is none", hint="verified, indexed, user_content, derived, or 0.5 to 0.95."
            ) from None


def space_of_database(database: str) -> str:
    """The one space of a whole database, for --single-space without a name."""
    return re.sub(r"[^a-z0-9_-]", "_", database.lower())[:60].ljust(3, "_")


# what it comes to


@dataclass(frozen=True, slots=True)
class Chosen:
    """The order held against the tables that there are.

    `config` carries the tables of this order and those that the ledger has already. `labels` are those of this order, `mapped`
    what is to be kept of each, `restrictions` where not all rows are read, `passed_over` tables that a delta cannot read, with
    why. `spread`: tables that got more spaces than one because they would not fit into it.
    """

    config: Config
    labels: tuple[str, ...]
    mapped: Mapping[str, dict[str, Any]]
    restrictions: Mapping[str, Restriction]
    passed_over: Mapping[str, str]
    spread: Mapping[str, int]

    def under(self, migration_id: str) -> Chosen:
        """The same, by a migration of this id."""
        return replace(self, config=self.config.model_copy(update={"migration": migration_id}))


def resolve(
    order: Order,
    base: Config,
    tables: Sequence[Table],
    rows: Mapping[str, int],
    choices: Choices,
    known: Sequence[str] = (),
) -> Chosen:
    """The order as a configuration. `rows` are estimates by label, `known` the tables that the ledger carries.

    Raises ConfigError for tables and columns that do not exist.
    """
    wanted = base.model_copy(update={"include": order.tables, "exclude": ()}) if order.tables else base
    try:
        chosen = select(wanted, tables, choices)
    except ConfigError as error:
        raise (ConfigError(str(error).replace("include:", "--tables:"), hint=error.hint) if order.tables else error) from None
    if order.tables:
        chosen = [table for table in chosen if any(name in order.tables or _fits(name, order.tables) for name in names_of(table))]
    _require_tables(order, chosen)
    passed_over = _without_column(order, chosen) if order.since is not None else {}
    chosen = [table for table in chosen if table.label not in passed_over]
    given, spread = {}, {}
    for table in chosen:
        given[table.label] = _table(order, base, table, choices.mapped.get(table.label, {}))
        fitting = proposed_shards(rows.get(table.label, 0), base.target.limit)
        shard_given = "shards" in given[table.label] or _named(order.spaces, table) is not None or order.space is not None
        if rows_per_space(rows.get(table.label, 0), 1) > base.target.limit and not shard_given and table.label not in known:
            given[table.label]["shards"] = spread[table.label] = fitting
    there = {table.label for table in tables}
    labels = tuple(table.label for table in chosen)
    carried = [*labels, *(label for label in known if label in there and label not in labels and label not in choices.removed)]
    others = {
        name: options
        for name, options in base.tables.items()
        if any(name in names_of(table) and table.label in carried and table.label not in labels for table in tables)
    }
    config = base.model_copy(
        update={
            "include": tuple(carried),
            "exclude": (),
            "tables": others | {label: Options.model_validate(options) for label, options in given.items()},
        }
    )
    mapped = {label: options for label, options in given.items() if not _in_file(base, tables, label, options)}
    return Chosen(config, labels, mapped, _restrictions(order, chosen), passed_over, spread)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    from fnmatch import fnmatchcase

    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _named(by_name: Mapping[str, Any], table: Table) -> Any:
    return next((by_name[name] for name in names_of(table) if name in by_name), None)


def _require_tables(order: Order, tables: Sequence[Table]) -> None:
    """Tables that a flag names are among those to be migrated, and their columns exist. Raises ConfigError."""
    there = {name: table for table in tables for name in names_of(table)}
    shortest = [names_of(table)[-1] for table in tables]
    for flag, given in (("--table-to-space", order.spaces), ("--text-columns", order.texts), ("--shards", order.shards)):
        for name in given:
            if name not in there:
                raise ConfigError(f"{flag}: {name!r} is no table of this migration", hint=nearest(name, shortest))
    for name, columns in order.texts.items():
        known = [column.name for column in there[name].columns]
        for column in columns:
            if column not in known:
                raise ConfigError(f"--text-columns: {name} has no column {column!r}", hint=nearest(column, known))
    if order.timestamp is not None and not any(_has_time(table, order.timestamp) for table in tables):
        known = sorted({column.name for table in tables for column in table.columns if values.is_timestamp(column.type)})
        raise ConfigError(
            f"--timestamp-column: no table has a date or timestamp column {order.timestamp!r}",
            hint=nearest(order.timestamp, known) if known else "None of the tables has one.",
        )


def _has_time(table: Table, name: str) -> bool:
    return any(column.name == name and values.is_timestamp(column.type) for column in table.columns)


def _table(order: Order, base: Config, table: Table, mapped: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of one table, in the words of the configuration: its own, what was kept of it, and the flags, which win."""
    in_file = _named(base.tables, table)
    said: dict[str, Any] = dict(mapped) if in_file is None else in_file.model_dump(exclude_defaults=True, mode="json")
    if "shards" in mapped and not said.keys() & {"shards", "space"}:
        said["shards"] = mapped["shards"]  # its memories are in so many spaces by now, whether a file came to name it or not
    space = _named(order.spaces, table) or order.space
    if space is not None:
        said["space"] = space
    if (columns := _named(order.texts, table)) is not None:
        said["text"] = list(columns)
    if order.timestamp is not None and _has_time(table, order.timestamp):
        said["timestamp"] = order.timestamp
    if (number := _named(order.shards, table)) is not None:
        said["shards"] = number
    if order.confidence is not None:
        said["confidence"] = order.confidence
    if order.provider is not None:
        said["model"] = order.provider
    if not order.edges:
        said["edges"] = False
    if not table.key:
        said["duplicates"] = "collapse"
    return said


def _in_file(base: Config, tables: Sequence[Table], label: str, options: Mapping[str, Any]) -> bool:
    """The configuration file says all of it already: then nothing has to be kept of it in the ledger."""
    table = next(table for table in tables if table.label == label)
    in_file = _named(base.tables, table)
    return (in_file.model_dump(exclude_defaults=True, mode="json") if in_file is not None else {}) == options


def _time_column(order: Order, table: Table) -> str | None:
    name = order.timestamp or CREATED
    return name if _has_time(table, name) else None


def _without_column(order: Order, tables: Sequence[Table]) -> dict[str, str]:
    """Tables that a delta cannot be read of, and why."""
    name = order.timestamp or CREATED
    return {table.label: f"it has no date or timestamp column {name}" for table in tables if _time_column(order, table) is None}


def _restrictions(order: Order, tables: Sequence[Table]) -> dict[str, Restriction]:
    if not order.partial:
        return {}
    found = {}
    for table in tables:
        column = _time_column(order, table) if order.since is not None or order.until is not None else None
        if column is not None or order.limit is not None:
            bounds = (order.since, order.until) if column is not None else (None, None)
            found[table.label] = Restriction(column, *bounds, order.limit)
    return found
