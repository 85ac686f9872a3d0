"""What PostgreSQL's catalogue says about the tables that are carried: plain facts, no database access.

Loaded by `snapshot.catalog`, compared with the stream's relation messages, read by `mapping` and `check`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """One row of `pg_type`, as far as the form of a value depends on it.

    `kind` is `typtype` (b base, c composite, d domain, e enum, m multirange, p pseudo, r range). `base` is set for domains.
    `element` is set for true arrays only (another type's `typarray` points here), not for `int2vector` and its like.
    """

    oid: int
    schema: str
    name: str
    kind: str = "b"
    category: str = "U"
    delimiter: str = ","
    base: TypeInfo | None = None
    element: TypeInfo | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is carried: not dropped, not generated. `declared` is `format_type()`, fit for a cast."""

    name: str
    type: TypeInfo
    declared: str
    number: int
    not_null: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key of a table. `parent_is_key`: it points at the parent's memory key, in `parent_columns` order."""

    name: str
    columns: tuple[str, ...]
    parent: tuple[str, str]
    parent_columns: tuple[str, ...]
    validated: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """An ordinary or partitioned table.

    `kind` is `relkind` (`r`, `p`; others are refused by `check`). `key` is the memory key: the primary key, or () without one.
    `identity` is `relreplident` (`d`, `n`, `f`, `i`), `identity_columns` what an UPDATE or DELETE sends of the old row.
    `rows` and `size` (bytes) are the catalogue's estimates; `rows` is -1 when the table was never analysed.
    """

    oid: int
    schema: str
    name: str
    columns: tuple[Column, ...]
    kind: str = "r"
    key: tuple[str, ...] = ()
    key_deferrable: bool = False
    identity: str = "d"
    identity_columns: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    unique_keys: tuple[tuple[str, ...], ...] = ()
    row_security: bool = False
    persistence: str = "p"
    inheritance_parent: bool = False
    leaves: tuple[int, ...] = ()
    rows: int = -1
    size: int = 0

    @property
    def label(self) -> str:
        """`schema.table`, for people and for the ledger."""
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> Column:
        """The carried column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The tables found, by (schema, name), and facts of the server."""

    tables: dict[tuple[str, str], Table]
    types: dict[int, TypeInfo]
    server_version: int
    encoding: str
    database: str
