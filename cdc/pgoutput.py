"""pgoutput, protocol version 1: the bytes of one message in, one message out; no I/O.

The grammar is PostgreSQL's manual, "Logical Replication Message Formats". Version 1 is asked for on purpose: later ones may send
transactions that are rolled back after all, and then ordinals would differ between two deliveries (law 2). What only later
versions or options send (streaming, two-phase commit, binary values) is refused.

No length is trusted and none is checked one by one. Python's slices never raise, so each decoder moves its cursor by the
*declared* lengths and the message is accepted only if the cursor ends exactly at its end: a truncated value leaves the cursor
beyond the end, a surplus byte leaves it before. What runs over the end on the way raises, and leaves as ProtocolError.

Messages are plain slotted classes, not frozen ones: they live from here to the assembler, one per row, and a frozen dataclass
costs three times as much to make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from struct import error as struct_error
from typing import Final, TypeAlias

from bridge.changes import UNCHANGED, Relation, RelationColumn, Row, Value
from bridge.errors import ProtocolError
from bridge.lsn import Lsn

_UNSIGNED: Final = Struct(">I").unpack_from
_COUNT: Final = Struct(">H").unpack_from
_BEGIN: Final = Struct(">xQqI")
_COMMIT: Final = Struct(">xBQQq")
_ORIGIN: Final = Struct(">xQ").unpack_from
_ROW_HEAD: Final = Struct(">IBH").unpack_from
_TRUNCATE_HEAD: Final = Struct(">xIB").unpack_from
_MESSAGE_HEAD: Final = Struct(">xBQ").unpack_from
_COLUMN_TYPE: Final = Struct(">Ii").unpack_from

_NULL, _UNCHANGED, _TEXT, _BINARY = b"nutb"
_NEW, _KEY, _OLD = b"NKO"
_EPOCH_2000: Final = 946_684_800
"""PostgreSQL's timestamps count microseconds from 2000-01-01 UTC; ours are seconds since 1970."""


@dataclass(slots=True)
class Begin:
    """A committed transaction begins; `final_lsn` is the start of its commit record."""

    final_lsn: Lsn
    commit_time: float
    xid: int


@dataclass(slots=True)
class Commit:
    """The transaction ends; `commit_lsn` is the begin's `final_lsn`, `end_lsn` the end of the commit record."""

    commit_lsn: Lsn
    end_lsn: Lsn
    commit_time: float


@dataclass(slots=True)
class Origin:
    """The transaction was replicated to the server from elsewhere; `commit_lsn` is its position there."""

    commit_lsn: Lsn
    name: str


@dataclass(slots=True)
class Type:
    """A type that is not built in, announced before the relation that uses it."""

    oid: int
    schema: str
    name: str


@dataclass(slots=True)
class Insert:
    """A row was inserted into the relation with this oid."""

    relation: int
    new: Row


@dataclass(slots=True)
class Update:
    """A row was updated. `old` is there when the identity changed (key only) or is full."""

    relation: int
    new: Row
    old: Row | None
    old_is_full: bool


@dataclass(slots=True)
class Delete:
    """A row was deleted; `old` is its identity, or the whole row when that is full."""

    relation: int
    old: Row
    old_is_full: bool


@dataclass(slots=True)
class Truncate:
    """Relations were truncated in one statement."""

    relations: tuple[int, ...]
    cascade: bool
    restart_identity: bool


@dataclass(slots=True)
class LogicalMessage:
    """What `pg_logical_emit_message` wrote."""

    transactional: bool
    lsn: Lsn
    prefix: str
    content: bytes


Message: TypeAlias = "Begin | Commit | Origin | Relation | Type | Insert | Update | Delete | Truncate | LogicalMessage"


def decode(data: bytes) -> Message:
    """The message in `data`. Raises ProtocolError when `data` is not exactly one message of version 1."""
    try:
        decoder = _DECODERS[data[0]]
    except (IndexError, KeyError):
        raise _refused(data, "is of a kind that was not asked for") from None
    try:
        return decoder(data)
    except (IndexError, ValueError, struct_error) as error:
        raise _refused(data, "is truncated or malformed") from error


def _refused(data: bytes, why: str) -> ProtocolError:
    kind = chr(data[0]) if data else ""
    return ProtocolError(
        f"a pgoutput message {why} (kind {kind!r}, {len(data)} bytes)",
        hint="Something between PostgreSQL and the bridge changes the stream, or the slot's plugin is not pgoutput.",
    )


def _end(data: bytes, at: int) -> None:
    if at != len(data):
        raise _refused(data, "has another length than it declares")


def _begin(data: bytes) -> Begin:
    _end(data, _BEGIN.size)
    final_lsn, micros, xid = _BEGIN.unpack_from(data)
    return Begin(final_lsn, micros / 1e6 + _EPOCH_2000, xid)


def _commit(data: bytes) -> Commit:
    _end(data, _COMMIT.size)
    _flags, commit_lsn, end_lsn, micros = _COMMIT.unpack_from(data)
    return Commit(commit_lsn, end_lsn, micros / 1e6 + _EPOCH_2000)


def _origin(data: bytes) -> Origin:
    (lsn,) = _ORIGIN(data)
    name, at = _name(data, 9)
    _end(data, at)
    return Origin(lsn, name)


def _type(data: bytes) -> Type:
    (oid,) = _UNSIGNED(data, 1)
    schema, at = _name(data, 5)
    name, at = _name(data, at)
    _end(data, at)
    return Type(oid, schema or "pg_catalog", name)


def _relation(data: bytes) -> Relation:
    (oid,) = _UNSIGNED(data, 1)
    schema, at = _name(data, 5)
    name, at = _name(data, at)
    identity = chr(data[at])
    if identity not in "dnfi":
        raise _refused(data, "has an unknown replica identity")
    (count,) = _COUNT(data, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        flags = data[at]
        column, at = _name(data, at + 1)
        type_oid, modifier = _COLUMN_TYPE(data, at)
        at += 8
        columns.append(RelationColumn(column, type_oid, modifier, bool(flags & 1)))
    _end(data, at)
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(columns))


def _insert(data: bytes) -> Insert:
    oid, mark, count = _ROW_HEAD(data, 1)
    if mark != _NEW:
        raise _refused(data, "has no new row")
    new, at = _row(data, 8, count)
    if at != len(data):
        _end(data, at)
    return Insert(oid, new)


def _update(data: bytes) -> Update:
    oid, mark, count = _ROW_HEAD(data, 1)
    row, at = _row(data, 8, count)
    if mark == _NEW:
        _end(data, at)
        return Update(oid, row, None, False)
    if mark not in (_KEY, _OLD) or data[at] != _NEW:
        raise _refused(data, "has no new row")
    (count,) = _COUNT(data, at + 1)
    new, at = _row(data, at + 3, count)
    _end(data, at)
    return Update(oid, new, row, mark == _OLD)


def _delete(data: bytes) -> Delete:
    oid, mark, count = _ROW_HEAD(data, 1)
    if mark not in (_KEY, _OLD):
        raise _refused(data, "has no old row")
    old, at = _row(data, 8, count)
    _end(data, at)
    return Delete(oid, old, mark == _OLD)


def _truncate(data: bytes) -> Truncate:
    count, options = _TRUNCATE_HEAD(data)
    _end(data, 6 + 4 * count)
    relations = tuple(_UNSIGNED(data, at)[0] for at in range(6, len(data), 4))
    return Truncate(relations, bool(options & 1), bool(options & 2))


def _logical_message(data: bytes) -> LogicalMessage:
    flags, lsn = _MESSAGE_HEAD(data)
    prefix, at = _name(data, 10)
    (size,) = _UNSIGNED(data, at)
    _end(data, at + 4 + size)
    return LogicalMessage(bool(flags & 1), lsn, prefix, data[at + 4 :])


def _name(data: bytes, at: int) -> tuple[str, int]:
    """A string that ends with a zero byte, and where it ends. Raises ValueError without one, or when it is no UTF-8."""
    end = data.index(0, at)
    return data[at:end].decode(), end + 1


def _row(data: bytes, at: int, count: int) -> tuple[Row, int]:
    """The values of one row and where they end, which can be beyond the end of `data`: see the head of this module."""
    values: list[Value] = []
    append = values.append
    for _ in range(count):
        kind = data[at]
        if kind == _TEXT:
            (size,) = _UNSIGNED(data, at + 1)
            at += 5
            end = at + size
            try:
                append(data[at:end].decode())
            except UnicodeDecodeError:
                append(data[at:end])
            at = end
        elif kind == _NULL:
            append(None)
            at += 1
        elif kind == _UNCHANGED:
            append(UNCHANGED)
            at += 1
        else:
            raise _refused(data, "has a binary value" if kind == _BINARY else "has a value of unknown kind")
    return tuple(values), at


_DECODERS: Final[dict[int, Callable[[bytes], Message]]] = {
    ord("I"): _insert,
    ord("U"): _update,
    ord("D"): _delete,
    ord("B"): _begin,
    ord("C"): _commit,
    ord("R"): _relation,
    ord("Y"): _type,
    ord("T"): _truncate,
    ord("O"): _origin,
    ord("M"): _logical_message,
}
