"""Row -> memory: shards, ids, content, text, time, confidence, references. Pure; the heart of the bridge.

`bridge.compiling` makes one `TablePlan` a table of the catalogue and the table options; a plan's functions are then called once
a row.

Ids are `<table>_<key>` (`bridge.keys`), spaces have names of their own (`bridge.spaces`). The shard of a memory is chosen by
CRC-32 of its id, which every process and every version of Python computes alike.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from json.encoder import encode_basestring

from bridge import values
from bridge.changes import UNCHANGED, Row
from bridge.errors import MappingError
from bridge.keys import alternate_value, join_key, split_key
from bridge.memories import EDGE_WEIGHT, Edge, Memory, Reference, digest, stamp_content
from bridge.schema import Table
from bridge.spaces import TableOptions

LAST_SECOND = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose memories these are: stands in every stamp."""

    ledger: str
    migration: str
    migrated_at: str
    space_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A compiled foreign key: how to read its values from a row and how to name the parent."""

    constraint: str
    columns: tuple[tuple[int, str, Callable[[str], str]], ...]
    parent: int
    key_order: tuple[int, ...] | None
    lookup: str | None
    comparables: tuple[Callable[[str], str], ...]


@dataclass(slots=True)
class TablePlan:
    """How the rows of one table become memories.

    Rows are in the order of `table.columns`, which are the carried ones; `left_out` are those that the options exclude.
    `number` is that of the generation; `origin` that of the table's first one, by which references and lookups name a table, so
    that they hold whichever generation serves. `parents` are the id prefixes of the tables that its foreign keys point at, by
    origin.
    """

    number: int
    table: Table
    options: TableOptions
    prefix: str
    spaces: tuple[str, ...]
    key_indexes: tuple[int, ...]
    text_columns: tuple[tuple[int, str], ...]
    timestamp_index: int | None
    fixed: str
    links: tuple[Link, ...] = ()
    alternates: tuple[tuple[str, tuple[tuple[int, Callable[[str], str]], ...]], ...] = ()
    body: Callable[[Row], str] = field(repr=False, default=lambda _row: "{}")
    parents: dict[int, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    origin: int = 0

    @property
    def keyless(self) -> bool:
        """The table has no key: a row is its own identity, and duplicates collapse."""
        return not self.key_indexes

    def key_of(self, row: Row) -> str:
        """The key part of the memory id. Raises MappingError when a key column is missing or is no valid UTF-8."""
        if not self.key_indexes:
            return digest(self.body(row))
        if len(self.key_indexes) == 1:
            value = row[self.key_indexes[0]]
            if type(value) is str:
                return value
        return join_key([self._key_text(row[index]) for index in self.key_indexes])

    def _key_text(self, value: object) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, bytes):
            raise MappingError(
                f"a key of {self.table.label} is not valid UTF-8",
                reason="encoding",
                hint="Correct the row, or convert the database to UTF8.",
            )
        raise MappingError(f"a key column of {self.table.label} has no value")

    def key_values(self, key: str) -> tuple[str, ...]:
        """The key columns' text, taken from the key part of an id."""
        return (key,) if len(self.key_indexes) == 1 else split_key(key)

    def shard_of(self, key: str) -> int:
        """Which of the table's spaces holds this key."""
        return zlib.crc32((self.prefix + key).encode()) % len(self.spaces) if len(self.spaces) > 1 else 0

    def space_of(self, key: str) -> str:
        """The space that holds this key."""
        return self.spaces[self.shard_of(key)]

    def memory(self, row: Row, key: str) -> Memory:
        """The memory of a whole row. Raises MappingError."""
        body = self.body(row)
        return Memory(
            table=self.number,
            key=key,
            memory_id=self.prefix + key,
            body=body,
            digest=digest(body),
            text=self._text(row, body),
            when=self._when(row),
            references=tuple(self.references(row)) if self.links else (),
            alternates=tuple(self._alternates(row)) if self.alternates else (),
        )

    def recalled(self, key: str, body: str) -> Memory | None:
        """The memory of a body that was read back, as far as it takes to write it again: without references and alternates.

        Its text and time are those of `memory`. None when they cannot be told: when a column of the text, such as an array, does
        not show its own text in JSON. For a table without a key, whose rows nobody can read again one by one, JSON has to do.
        """
        try:
            raw = values.split_object(body)
        except (ValueError, RecursionError):  # json can be nested deeper than Python follows
            return Memory(self.number, key, self.prefix + key, body, digest(body), body, None) if self.keyless else None
        row: list[str | None] = [None] * len(self.table.columns)
        for index in {index for index, _name in self.text_columns} | ({self.timestamp_index} - {None}):
            assert index is not None
            column = self.table.columns[index]
            decode = values.decoder(column.type)
            if decode is None and not self.keyless:
                return None
            value = raw.get(column.name, "null")
            row[index] = None if value == "null" else decode(value) if decode is not None else value
        known = tuple(row)
        return Memory(self.number, key, self.prefix + key, body, digest(body), self._text(known, body), self._when(known))

    def _text(self, row: Row, body: str) -> str:
        parts = []
        for index, name in self.text_columns:
            value = row[index]
            if isinstance(value, str):
                parts.append(f"{name}: {value}")
        return " | ".join(parts) if parts else body

    def _when(self, row: Row) -> float | None:
        if self.timestamp_index is None:
            return None
        value = row[self.timestamp_index]
        return epoch_seconds(value) if isinstance(value, str) else None

    def references(self, row: Row) -> Iterable[Reference]:
        """The foreign keys of a row that are not null and whose parent is carried."""
        for link in self.links:
            texts = [row[index] for index, _name, _encode in link.columns]
            if any(not isinstance(text, str) for text in texts):
                continue
            columns = ",".join(
                f"{encode_basestring(name)}:{encode(text)}"  # type: ignore[arg-type]
                for (_index, name, encode), text in zip(link.columns, texts, strict=True)
            )
            to = None
            lookup = None
            if link.key_order is not None:
                to = join_key([texts[position] for position in link.key_order])  # type: ignore[misc]
            elif link.lookup is not None:
                lookup = (link.lookup, alternate_value(zip(link.comparables, texts, strict=True)))  # type: ignore[arg-type]
            yield Reference(link.constraint, "{" + columns + "}", link.parent, to, lookup)

    def _alternates(self, row: Row) -> Iterable[tuple[str, str]]:
        for name, columns in self.alternates:
            texts = [(comparable, row[index]) for index, comparable in columns]
            if all(isinstance(text, str) for _comparable, text in texts):
                yield name, alternate_value(texts)  # type: ignore[arg-type]

    def references_json(self, references: Sequence[Reference], edges: Sequence[Edge]) -> str:
        """The `refs` of the stamp: one object a reference, `to` the parent's memory id or null while it is not known."""
        parts = []
        for reference, edge in zip(references, edges, strict=True):
            to = "null" if edge.to is None else encode_basestring(self.parents[edge.parent] + edge.to)
            parts.append(
                f'{{"type":"references","constraint":{encode_basestring(reference.constraint)},'
                f'"columns":{reference.columns},"to":{to},"weight":{EDGE_WEIGHT}}}'
            )
        return "[" + ",".join(parts) + "]"

    def content(self, memory: Memory, version: str, references: str) -> str:
        """What Engram stores: the row, and the stamp at its end."""
        return stamp_content(
            memory.body,
            version=version,
            body_digest=memory.digest,
            fixed=self.fixed,
            key=memory.key,
            references=references,
        )


@dataclass(slots=True)
class Mapping:
    """The plans of all carried tables: those that serve, by label; all that changes are written to, by number in the ledger."""

    plans: dict[str, TablePlan]
    numbered: dict[int, TablePlan]

    def generations(self, label: str) -> list[TablePlan]:
        """All plans of a table: the one that serves, and one that is being filled."""
        return [plan for plan in self.numbered.values() if plan.table.label == label]

    def changed(self, plans: Iterable[TablePlan]) -> Mapping:
        """With other plans in the place of those of the same numbers. A number that has gone meanwhile does not come back."""
        numbered = self.numbered | {plan.number: plan for plan in plans if plan.number in self.numbered}
        serving = {label: numbered[plan.number] for label, plan in self.plans.items()}
        return Mapping(serving, numbered)

    def without(self, number: int) -> Mapping:
        """Less one generation."""
        numbered = {other: plan for other, plan in self.numbered.items() if other != number}
        return Mapping({label: plan for label, plan in self.plans.items() if plan.number != number}, numbered)

    def filled(self, number: int, label: str, spaces: tuple[str, ...], model: str | None = None) -> Mapping:
        """With one generation more of a table, for other spaces, by another model if one is named."""
        serving = self.plans[label]
        options = serving.options if model is None else replace(serving.options, model=model)
        plan = replace(serving, number=number, spaces=spaces, options=options)
        return Mapping(self.plans, self.numbered | {number: plan})

    @property
    def spaces(self) -> list[str]:
        """Every space that answers, once, in the order of the tables."""
        return list(dict.fromkeys(space for plan in self.plans.values() for space in plan.spaces))

    @property
    def written(self) -> list[str]:
        """Every space that is written, once: those too that are being filled."""
        return list(dict.fromkeys(space for plan in self.numbered.values() for space in plan.spaces))


def epoch_seconds(text: str) -> float | None:
    """Seconds since 1970 of PostgreSQL's text of a date or timestamp, held within 1970…9999 (beyond it the server cannot count).

    The exact value stays in the content. None when the text is of another form.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        if text.endswith(" BC") or text == "-infinity":
            return 0.0
        return LAST_SECOND if text == "infinity" or re.match(r"\d{5,}-", text) else None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp(), 0.0), LAST_SECOND)


def completed(new: Row, earlier: Row | None) -> Row:
    """`new` with its unchanged columns taken from an earlier waiting row of the same plan, as far as that has them."""
    if earlier is None:
        return new
    return tuple(old if value is UNCHANGED else value for value, old in zip(new, earlier, strict=True))
