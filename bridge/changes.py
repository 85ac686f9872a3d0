"""What a change stream says, in our own words: independent of the plugin and of the transport.

A decoder's messages become `Event`s: `Begin`, `RowChange` or `Truncated` with ordinals, `Commit`; between transactions
`Keepalive`; anywhere `Heartbeat` and `RelationSeen`. Values are PostgreSQL's text under the pinned settings of law 10.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from bridge.lsn import Lsn


class Unchanged(enum.Enum):
    """The type of `UNCHANGED`: a TOASTed value that an UPDATE left alone and therefore did not send (never NULL)."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED

Value: TypeAlias = "str | bytes | None | Unchanged"
"""Text; `bytes` only when the server sent what is no valid UTF-8 (a SQL_ASCII database); None is NULL."""

Row: TypeAlias = "tuple[Value, ...]"


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """A column as a relation message announces it."""

    name: str
    type_oid: int
    type_modifier: int
    is_identity: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as the stream announces it, before its first change and after each change of its definition."""

    oid: int
    schema: str
    name: str
    identity: str
    columns: tuple[RelationColumn, ...]

    @property
    def label(self) -> str:
        """`schema.table`."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Begin:
    """A committed transaction begins. `commit_lsn` is the start of its commit record, `commit_time` seconds since 1970."""

    commit_lsn: Lsn
    commit_time: float
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The transaction is complete. `end_lsn` is the end of its commit record: what may be confirmed once all is applied."""

    commit_lsn: Lsn
    end_lsn: Lsn
    commit_time: float


@dataclass(slots=True)
class RowChange:
    """One row inserted, updated or deleted. Not frozen, and never changed: one is made for each row, in a third of the time.

    `old` is sent for deletes and for updates whose identity changed or is full. With `old_is_full` false its columns outside
    the identity are None and are not values. `new` has been completed from a full old row already; what is still `UNCHANGED`
    has to be read again. `ordinal` counts row changes and truncates of the transaction from 1, before any filter. `ambiguous`:
    some of what is UNCHANGED may have changed, and was sent in a way that does not tell its value.
    """

    kind: Literal["insert", "update", "delete"]
    relation: Relation
    new: Row | None
    old: Row | None
    old_is_full: bool
    ordinal: int
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Truncated:
    """Tables were truncated together."""

    relations: tuple[Relation, ...]
    ordinal: int


@dataclass(frozen=True, slots=True)
class RelationSeen:
    """The definition of a table was announced."""

    relation: Relation


@dataclass(frozen=True, slots=True)
class Keepalive:
    """The server has nothing before `wal_end` that was not sent. Outside transactions only (law 5)."""

    wal_end: Lsn


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A message of our own came back through the stream. Not transactional; `lsn` is its position."""

    prefix: str
    content: bytes
    lsn: Lsn


Event: TypeAlias = "Begin | Commit | RowChange | Truncated | RelationSeen | Keepalive | Heartbeat"
