"""wal2json, format version 2: the bytes of one message in, one message out; no I/O.

Each message is one JSON object. It is asked for with transactions, positions, ids, times and type oids, and without type names:
wal2json writes some of those in a way that is no JSON (`"odd schema".mood`).

Values never pass through a number: what stands in the JSON is PostgreSQL's own text, and is kept as such. Four things are undone:
booleans are words, bytea lacks its `\\x`, a value that is as it was (TOAST) is left out, and NaN and the infinities of float4,
float8 and numeric come as null. Such a null is not told from NULL: the value is given as UNCHANGED, to be read again.

A JSON parser would make two dictionaries for every value. So the first message of a form (table, action, columns) is parsed as
JSON and its form is remembered as a pattern: the fixed text between the values, which then matches only what has exactly that
form. Anything else is parsed as JSON again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from json.decoder import JSONDecoder
from json.encoder import encode_basestring
from typing import Any, Final, TypeAlias

from bridge.changes import UNCHANGED, Row, Value
from bridge.errors import ProtocolError
from bridge.lsn import parse_lsn
from cdc.pgoutput import Begin, Commit, LogicalMessage

Sent: TypeAlias = "tuple[tuple[str, int], ...]"
"""Columns as a message has them: name and type oid."""

BYTEA: Final = 17
UNTOLD: Final = frozenset({700, 701, 1700})
"""float4, float8, numeric: their null may be NaN or an infinity. Not domains over them, which are sent as text."""

FORMS: Final = 8
"""Forms of one table and action that are remembered; more come by absent columns, and after DDL."""

_STRING: Final = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_VALUE: Final = rf"({_STRING}|-?[0-9][-+.0-9eE]*|true|false|null)"
_OPENING: Final = r'\{{"action":"{}","xid":[0-9]+,"timestamp":"[^"]*+","lsn":"[0-9A-F/]+","schema":{},"table":{}'
_HEAD: Final = re.compile(_OPENING.format("([IUD])", f"({_STRING})", f"({_STRING})"), re.DOTALL).match
_WORDS: Final[dict[str, str | None]] = {"null": None, "true": "t", "false": "f"}
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_2000: Final = 946_684_800


@dataclass(slots=True, eq=False)
class Form:
    """What messages of one form have in common. `columns` of the new row, `identity` of the old one; None where there is none.

    `bound` belongs to the assembler.
    """

    action: str
    schema: str
    table: str
    columns: Sent | None
    identity: Sent | None
    bound: Any = field(default=None, repr=False)

    def like(self, other: Form) -> bool:
        """Whether the other one is the same."""
        return (self.columns, self.identity) == (other.columns, other.identity)


@dataclass(slots=True)
class Change:
    """A row was inserted, updated or deleted: values in the order of the form's columns."""

    form: Form
    new: Row | None
    old: Row | None


@dataclass(slots=True)
class Truncate:
    """One table was truncated; several in one statement come one by one."""

    schema: str
    table: str


Message: TypeAlias = "Begin | Commit | Change | Truncate | LogicalMessage"


class _Pattern:
    """A form, and the text that has it."""

    def __init__(self, form: Form, head: tuple[str, ...]) -> None:
        parts = [_OPENING.format(*map(re.escape, head))]
        if form.columns is not None:
            parts.append(rf',"columns":\[{_columns(form.columns)}\]')
        if form.identity is not None:
            parts.append(rf',"identity":\[{_columns(form.identity)}\]')
        self.form = form
        self.match = re.compile("".join(parts) + r"\}", re.DOTALL).fullmatch
        self.width = len(form.columns or ())
        self.new = None if form.columns is None else _Side(form.columns)
        self.old = None if form.identity is None else _Side(form.identity)

    def change(self, tokens: tuple[str, ...], *, clean: bool) -> Change:
        values = [
            (token[1:-1] if "\\" not in token else _JSON.decode(token)) if token[0] == '"' else _WORDS.get(token, token)
            for token in tokens
        ]
        new = None if self.new is None else self.new.row(values[: self.width], clean=clean)
        old = None if self.old is None else self.old.row(values[self.width :], clean=clean)
        return Change(self.form, new, old)


def _columns(sent: Sent) -> str:
    return ",".join(
        re.escape(f'{{"name":{encode_basestring(name)},"typeoid":{_signed(oid)},"value":') + _VALUE + r"\}" for name, oid in sent
    )


def _signed(oid: int) -> int:
    """wal2json writes an oid as if it had a sign."""
    return oid - (1 << 32) if oid >= 1 << 31 else oid


class _Side:
    """The columns of one row of a form, and where among them something has to be undone."""

    def __init__(self, sent: Sent) -> None:
        self.hexadecimal = tuple(place for place, (_name, oid) in enumerate(sent) if oid == BYTEA)
        self.untold = tuple(place for place, (_name, oid) in enumerate(sent) if oid in UNTOLD)

    def row(self, values: list[Any], *, clean: bool) -> Row:
        """The values as pgoutput would have them."""
        for place in self.hexadecimal:
            if values[place] is not None:
                values[place] = "\\x" + values[place]
        for place in self.untold:
            if values[place] is None:
                values[place] = UNCHANGED
        return tuple(values) if clean else tuple([_bytes_of(value) for value in values])


def _bytes_of(value: Value) -> Value:
    """A value of a SQL_ASCII database that is no valid UTF-8 stays bytes."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode(errors="surrogateescape")
    return value


class _Number(str):
    """A number of the JSON, as it is written there."""

    __slots__ = ()


def _no_constant(_name: str) -> Any:
    raise ValueError("no JSON")


_JSON: Final = JSONDecoder(parse_int=_Number, parse_float=_Number, parse_constant=_no_constant)


class Decoder:
    """Decodes the messages of one stream, and remembers the forms it has seen."""

    def __init__(self) -> None:
        self._patterns: dict[tuple[str, ...], list[_Pattern]] = {}
        self._last: _Pattern | None = None

    def decode(self, data: bytes) -> Message:
        """The message in `data`. Raises ProtocolError when it is not exactly one of format version 2, as it was asked for."""
        try:
            text, clean = data.decode(), True
        except UnicodeDecodeError:
            text, clean = data.decode(errors="surrogateescape"), False
        last = self._last
        if last is not None and (found := last.match(text)) is not None:
            return last.change(found.groups(), clean=clean)
        head = _HEAD(text)
        if head is not None:
            for pattern in self._patterns.get(head.groups(), ()):
                found = pattern.match(text)
                if found is not None:
                    self._last = pattern
                    return pattern.change(found.groups(), clean=clean)
        try:
            document = _JSON.decode(text)
            return self._message(document, head.groups() if head is not None else None, clean=clean)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ProtocolError(
                f"a wal2json message is malformed, or of another form than was asked for ({len(data)} bytes)",
                hint="Something between PostgreSQL and the bridge changes the stream, or the slot's plugin is not wal2json.",
            ) from error

    def _message(self, document: dict[str, Any], head: tuple[str, ...] | None, *, clean: bool) -> Message:
        action = document["action"]
        if action in ("I", "U", "D"):
            return self._change(document, head, clean=clean)
        if action == "B":
            return Begin(parse_lsn(document["lsn"]), _seconds(document["timestamp"]), int(document["xid"]))
        if action == "C":
            return Commit(parse_lsn(document["lsn"]), parse_lsn(document["nextlsn"]), _seconds(document["timestamp"]))
        if action == "T":
            return Truncate(_text(document["schema"]), _text(document["table"]))
        if action == "M":
            content = _text(document["content"]).encode(errors="surrogateescape")
            transactional = document["transactional"]
            if not isinstance(transactional, bool):
                raise TypeError("transactional")
            return LogicalMessage(transactional, parse_lsn(document["lsn"]), _text(document["prefix"]), content)
        raise ValueError("action")

    def _change(self, document: dict[str, Any], head: tuple[str, ...] | None, *, clean: bool) -> Change:
        action = document["action"]
        new, old = document.get("columns"), document.get("identity")
        if (new is None) != (action == "D") or (old is None and action == "D") or (old is not None and action == "I"):
            raise ValueError("rows")
        form = Form(action, _text(document["schema"]), _text(document["table"]), _sent(new), _sent(old))
        form = self._known(form, head)
        rows = [
            None if columns is None else _Side(sent).row([_plain(column["value"]) for column in columns], clean=clean)
            for columns, sent in ((new, form.columns or ()), (old, form.identity or ()))
        ]
        return Change(form, rows[0], rows[1])

    def _known(self, form: Form, head: tuple[str, ...] | None) -> Form:
        """The remembered form that is like this one; remembers it otherwise, first in line."""
        if head is None:
            return form
        patterns = self._patterns.setdefault(head, [])
        for pattern in patterns:
            if pattern.form.like(form):
                return pattern.form
        patterns.insert(0, _Pattern(form, head))
        del patterns[FORMS:]
        return form


def _sent(columns: list[dict[str, Any]] | None) -> Sent | None:
    if columns is None:
        return None
    sent = tuple([(_text(column["name"]), int(column["typeoid"]) % (1 << 32)) for column in columns])
    if len({name for name, _oid in sent}) != len(sent):
        raise ValueError("a column comes twice")
    return sent


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("no text")
    return value


def _plain(value: Any) -> str | None:
    """A value as text."""
    if value is True:
        return "t"
    if value is False:
        return "f"
    if value is None or type(value) is str:
        return value
    if type(value) is _Number:
        return str(value)
    raise TypeError("no value")


def _seconds(text: str) -> float:
    """Seconds since 1970 of a time as the server writes it in UTC, to the microsecond as pgoutput has it."""
    if not text.endswith("+00"):
        raise ValueError("the time is not in UTC")
    micros = (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    return micros / 1e6 + _EPOCH_2000
