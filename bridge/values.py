"""The one place where the JSON form of a value is decided (law 10): PostgreSQL's text and its type -> JSON text.

    type                                    JSON
    --------------------------------------  ---------------------------------------------------------------
    int2, int4, int8, oid                   an integer with all its digits
    bool                                    true, false
    float4, float8                          the shortest number that reads back the same, as the server prints
                                            it; "NaN", "Infinity", "-Infinity"
    numeric, money                          always a string, so that no reader turns it into a float
    json, jsonb                             embedded as it is, keys in the server's order
    a true array                            an array of its element's form, nested as it is; NULL is null;
                                            explicit bounds (`[0:1]={…}`) are dropped
    a domain                                like its base
    everything else                         PostgreSQL's text as a string, UTF-8 unescaped: text, bytea (\\x…),
                                            dates, intervals, uuid, enums, ranges, composites, int2vector, …

The text must have been written under the settings that `bridge.postgres` pins. Types are told by name within `pg_catalog`
(a schema of the user's may hold another `int4`), `citext` by name in any schema, since an extension can be put anywhere.

`encoder` and `row_encoder` are on the path of every row. They never put a value into an error message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, NoReturn, TypeAlias

from bridge.changes import UNCHANGED, Row
from bridge.errors import MappingError
from bridge.schema import Column, TypeInfo

Encoder: TypeAlias = "Callable[[str], str]"

_VERBATIM = frozenset({"int2", "int4", "int8", "oid", "json", "jsonb"})
_FLOATS = frozenset({"float4", "float8"})
_QUOTED = frozenset({"numeric", "money"})
_TEXTS = frozenset({"text", "varchar", "bpchar", "name"})
_TIMESTAMPS = frozenset({"date", "timestamp", "timestamptz"})
_UNSTABLE = frozenset({"numeric", "bpchar", "float4", "float8", "interval", "jsonb", "inet", "cidr"})

_NOT_FINITE = {text: f'"{text}"' for text in ("NaN", "Infinity", "-Infinity")}
_BOOLEANS = {"t": "true", "f": "false"}

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
"""Only to find where values end: numbers may have more digits than Python reads."""


def base_of(info: TypeInfo) -> TypeInfo:
    """The type itself, or what its chain of domains ends in."""
    while info.kind == "d" and info.base is not None:
        info = info.base
    return info


def is_text(info: TypeInfo) -> bool:
    """Whether it holds words: text, varchar, bpchar, name, citext and domains over them. Embedded by default."""
    base = base_of(info)
    return _builtin(base) in _TEXTS or _is_citext(base)


def is_timestamp(info: TypeInfo) -> bool:
    """Whether it names a moment: date, timestamp, timestamptz and domains over them."""
    return _builtin(base_of(info)) in _TIMESTAMPS


def encoder(info: TypeInfo) -> Encoder:
    """The function that turns the text of a value of this type into JSON text.

    The function raises MappingError with reason `encoding` for `bytes` (what was no valid UTF-8), and MappingError for anything
    else that is no text, or for the text of an array or a boolean that is none.
    """
    base = base_of(info)
    if base.element is not None:
        return _array_encoder(base)
    name = _builtin(base)
    if name in _VERBATIM:
        return _verbatim
    if name in _FLOATS:
        return _float
    if name in _QUOTED:
        return _quoted
    return _boolean if name == "bool" else _string


def decoder(info: TypeInfo) -> Encoder | None:
    """The inverse of `encoder`: the text of a value that is not NULL, from its JSON text.

    None for the types that have no inverse: of an array the bounds are lost, and a JSON null cannot be told from NULL.
    """
    base = base_of(info)
    name = _builtin(base)
    if base.element is not None or name in ("json", "jsonb"):
        return None
    return _plain_boolean if name == "bool" else _plain


def _plain(raw: str) -> str:
    return str(json.loads(raw)) if raw.startswith('"') else raw


def _plain_boolean(raw: str) -> str:
    return raw[0]


def split_object(text: str) -> dict[str, str]:
    """The members of a JSON object in our canonical form: names, and the JSON text of their values. Raises ValueError."""
    found: dict[str, str] = {}
    at = 1
    while at < len(text) - 1:
        name, at = _DECODER.raw_decode(text, at)
        start = _past_space(text, at + 1)  # a json value is embedded as it is, with the blanks around it
        _value, end = _DECODER.raw_decode(text, start)
        found[name] = text[start:end]
        at = _past_space(text, end) + 1
    return found


def _past_space(text: str, at: int) -> int:
    while text[at] in " \t\n\r":
        at += 1
    return at


def _builtin(base: TypeInfo) -> str:
    return base.name if base.schema == "pg_catalog" and base.element is None else ""


def _is_citext(base: TypeInfo) -> bool:
    return base.name == "citext" and base.category == "S" and base.element is None


def _verbatim(text: str) -> str:
    if text.__class__ is not str:
        _refuse(text)
    return text


def _float(text: str) -> str:
    if text.__class__ is not str:
        _refuse(text)
    return _NOT_FINITE.get(text, text)


def _quoted(text: str) -> str:
    if text.__class__ is not str:
        _refuse(text)
    return f'"{text}"'


def _string(text: str) -> str:
    try:
        return encode_basestring(text)
    except TypeError:
        _refuse(text)


def _boolean(text: str) -> str:
    known = _BOOLEANS.get(text)
    if known is None:
        _refuse(text, "a boolean is neither t nor f")
    return known


def _refuse(value: object, otherwise: str = "a value is no text") -> NoReturn:
    if isinstance(value, bytes):
        raise MappingError(
            "a value is not valid UTF-8", reason="encoding", hint="Correct the row, or convert the database to UTF8."
        )
    if value is UNCHANGED:
        raise MappingError("a value was not sent because it is unchanged; the row has to be read again")
    raise MappingError(otherwise)


_BOUNDS = re.compile(r"(?:\[[+-]?\d+:[+-]?\d+\])+=")


def _array_encoder(array: TypeInfo) -> Encoder:
    """The encoder of a true array.

    `array_out` quotes every element that could be taken for syntax, so where there is no quote a plain split is right.
    """
    assert array.element is not None
    delimiter = array.element.delimiter
    element = encoder(array.element)
    tokens = re.compile(
        rf'"([^"\\]*(?:\\.[^"\\]*)*)"|([{{}}])|({re.escape(delimiter)})|([^"{{}}\\{re.escape(delimiter)}]+)', re.DOTALL
    )

    def encode(text: str) -> str:
        if text.__class__ is not str:
            _refuse(text)
        if text[:1] == "[":
            text = _BOUNDS.sub("", text, count=1)
        if text == "{}":
            return "[]"
        if text[:1] == "{" and '"' not in text and "\\" not in text and text.find("}") == len(text) - 1 and text.rfind("{") == 0:
            items = text[1:-1].split(delimiter)
            if "" in items:
                raise _malformed()
            return "[" + ",".join(["null" if item == "NULL" else element(item) for item in items]) + "]"
        return _encode_tokens(text, tokens, element)

    return encode


def _encode_tokens(text: str, tokens: re.Pattern[str], element: Encoder) -> str:
    """The general form: nested or quoted. Two states: a value is due, or a delimiter or the end is."""
    out: list[str] = []
    depth = end = 0
    due = True
    for token in tokens.finditer(text):
        if token.start() != end or (end and not depth):
            raise _malformed()
        end = token.end()
        quoted, brace, comma, plain = token.groups()
        if brace == "{":
            if not due:
                raise _malformed()
            depth += 1
            out.append("[")
        elif brace == "}":
            if not depth or (due and out[-1] != "["):
                raise _malformed()
            depth -= 1
            due = False
            out.append("]")
        elif comma is not None:
            if due:
                raise _malformed()
            due = True
            out.append(",")
        elif not due or not depth:
            raise _malformed()
        else:
            due = False
            out.append(element(_unescape(quoted)) if quoted is not None else "null" if plain == "NULL" else element(plain))
    if end != len(text) or depth or due:
        raise _malformed()
    return "".join(out)


def _unescape(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if "\\" in quoted else quoted


def _malformed() -> MappingError:
    return MappingError("the text of an array is malformed")


def row_encoder(columns: Sequence[Column]) -> Callable[[Row], str]:
    """The function that turns a row, in the order of `columns`, into its canonical JSON object.

    Separators are `,` and `:`, NULL is null. The function raises MappingError, with the column's name and without the value, for
    what `encoder` refuses, for `UNCHANGED`, and for a row of another length.
    """
    source, names = _row_source(columns)
    exec(compile(source, "<row encoder>", "exec"), names)  # noqa: S102  # numbers only; no name of the catalogue is in the source
    fast: Callable[[Row], str] = names["encode"]
    slow = [(column.name, encoder(column.type)) for column in columns]

    def encode(row: Row) -> str:
        try:
            return fast(row)
        except (TypeError, ValueError, MappingError):
            _explain(slow, row)
            raise  # pragma: no cover  # _explain finds what the fast form stumbled over

    return encode


def _row_source(columns: Sequence[Column]) -> tuple[str, dict[str, Any]]:
    """Python for one table: 2.5 times as fast as a loop over (prefix, encoder) pairs.

    `"".join` and `encode_basestring` raise TypeError for what is no `str`, so nothing has to be checked before.
    """
    names: dict[str, Any] = {}
    parts = []
    for number, column in enumerate(columns):
        opening = "," if number else "{"
        names[f"p{number}"] = f"{opening}{encode_basestring(column.name)}:"
        names[f"e{number}"] = each = encoder(column.type)
        value = f"v{number}"
        form = f"e{number}({value})"
        if each is _verbatim:
            form = value
        elif each is _quoted:
            form = f"'\"' + {value} + '\"'"
        elif each is _string:
            names[f"e{number}"] = encode_basestring
        parts.append(f"p{number}, 'null' if {value} is None else {form}, ")
    targets = "".join(f"v{number}, " for number in range(len(columns)))
    body = f"    ({targets}) = row\n" if columns else "    () = row\n"
    opening = "" if columns else "'{', "
    return f"def encode(row):\n{body}    return ''.join(({opening}{''.join(parts)}'}}',))\n", names


def _explain(columns: Sequence[tuple[str, Encoder]], row: Row) -> NoReturn:
    """Raise what is wrong with the row, with the column's name."""
    if len(row) != len(columns):
        raise MappingError(f"a row has {len(row)} values, its table {len(columns)} columns")
    for (name, encode), value in zip(columns, row, strict=True):
        try:
            if value is not None:
                encode(value)  # type: ignore[arg-type]  # that it is no str is what is looked for
        except MappingError as error:
            raise MappingError(f"column {name!r}: {error}", reason=error.reason, hint=error.hint) from None
    raise MappingError("a row cannot be encoded")


def is_stable(info: TypeInfo) -> bool:
    """Whether two values of this one type that PostgreSQL holds equal always have the same text.

    Not so for numeric (1.0 = 1.00), bpchar, float (-0), citext, interval (1 day = 24:00:00), jsonb and inet, and what is made of
    such. A text column with a nondeterministic collation is not told apart: the type does not say so.
    """
    base = base_of(info)
    if base.element is not None:
        return is_stable(base.element)
    return _builtin(base) not in _UNSTABLE and not _is_citext(base) and base.kind not in "crm"


def comparable(info: TypeInfo) -> Encoder:
    """The function that gives values which PostgreSQL holds equal the same text, across the types that a foreign key can join.

    Numbers lose the fraction's trailing zeros, the exponent and the sign of zero; bpchar its trailing spaces; citext is
    lower-cased; dates and times are written as a timestamp of UTC; inet and cidr lose a full netmask; all else is as it is.
    Not covered, because equality there needs the value and not its text: interval, jsonb, ranges, composites, arrays of unstable
    elements, nondeterministic collations.
    """
    base = base_of(info)
    name = _builtin(base)
    if name == "numeric" or name in _FLOATS:
        return _plain_number
    if name == "bpchar":
        return _without_padding
    if name in ("inet", "cidr"):
        return _without_full_mask
    if name == "date":
        return _date_as_timestamp
    if name == "timestamptz":
        return _without_utc
    return str.lower if _is_citext(base) else _same


def _plain_number(text: str) -> str:
    if text in _NOT_FINITE:
        return text
    if "e" in text:
        text = format(Decimal(text), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _without_padding(text: str) -> str:
    return text.rstrip(" ")


def _without_full_mask(text: str) -> str:
    return text.removesuffix("/128" if ":" in text else "/32")


def _date_as_timestamp(text: str) -> str:
    if text.endswith("infinity"):
        return text
    day, before_christ, _ = text.partition(" BC")
    return f"{day} 00:00:00{before_christ}"


def _without_utc(text: str) -> str:
    return text.replace("+00", "", 1)


def _same(text: str) -> str:
    return text
