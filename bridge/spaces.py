"""Options of a table, and the names of the spaces that follow from them. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.errors import ConfigError
from bridge.schema import Table

CONFIDENCE_CLASSES = {"verified": 0.90, "indexed": 0.85, "user_content": 0.70, "derived": 0.60}
"""The class of a table's rows and the confidence it stands for."""

SPACE_NAME = re.compile(r"[a-z0-9_-]{3,64}\Z")
SHARD_ROOM = 4


def confidence_class(given: str | float) -> tuple[str, float]:
    """Name and value of what a table's `confidence` says, 0…1."""
    return (given, CONFIDENCE_CLASSES[given]) if isinstance(given, str) else ("configured", float(given))


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the configuration says about one table; None means: decided from the catalogue."""

    space: str | None = None
    shards: int = 1
    text: tuple[str, ...] | None = None
    timestamp: str | None = None
    confidence: str | float = "verified"
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    collapse: bool = False
    model: str | None = None
    edges: bool = True


def space_name(table: Table) -> str:
    """The space of a table by default: its name made valid, at most 60 characters to leave room for shards."""
    name = table.name if table.schema == "public" else f"{table.schema}_{table.name}"
    name = re.sub(r"[^a-z0-9_-]", "_", name.lower())
    if len(name) > 64 - SHARD_ROOM:
        name = f"{name[: 64 - SHARD_ROOM - 9]}-{_short_hash(table.label)}"
    return name.ljust(3, "_")


def _short_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def spaces_of(tables: Mapping[str, Table], options: Mapping[str, TableOptions], prefix: str) -> dict[str, tuple[str, ...]]:
    """The spaces of every table, by label. Tables that would share one by default are told apart by a hash of their full names.

    Raises ConfigError for names that Engram would refuse.
    """
    chosen: dict[str, str] = {}
    plain_first = sorted(tables.values(), key=lambda table: (space_name(table) != table.name, table.label))
    for table in plain_first:
        wanted = options.get(table.label, TableOptions()).space
        if wanted is None:
            wanted = prefix + space_name(table)
            if wanted in chosen.values():
                wanted = f"{wanted[: 64 - SHARD_ROOM - 9]}-{_short_hash(table.label)}"
        chosen[table.label] = wanted
    result = {}
    for label, name in chosen.items():
        shards = options.get(label, TableOptions()).shards
        names = (name,) if shards == 1 else tuple(f"{name}-{shard}" for shard in range(shards))
        for each in names:
            if not SPACE_NAME.match(each):
                raise ConfigError(
                    f"tables.{label}.space: {each!r} is no valid space name",
                    hint="3 to 64 characters of a-z, 0-9, '_' and '-'.",
                )
        result[label] = names
    return result
