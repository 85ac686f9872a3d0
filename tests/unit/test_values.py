"""The JSON form of values: law 10, without a server."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.changes import UNCHANGED
from bridge.errors import MappingError
from bridge.schema import Column, TypeInfo
from bridge.values import comparable, decoder, encoder, is_stable, is_text, is_timestamp, row_encoder, split_object


def builtin(name: str, **facts: Any) -> TypeInfo:
    return TypeInfo(oid=1, schema="pg_catalog", name=name, **facts)


def array_of(element: TypeInfo) -> TypeInfo:
    return TypeInfo(oid=2, schema="pg_catalog", name="_" + element.name, category="A", element=element)


def domain_over(base: TypeInfo) -> TypeInfo:
    return TypeInfo(oid=3, schema="app", name="a_domain", kind="d", base=base)


def column(name: str, info: TypeInfo, number: int = 1) -> Column:
    return Column(name, info, info.name, number)


INT, TEXT, BOOL, FLOAT, NUMERIC = (builtin(name) for name in ("int4", "text", "bool", "float8", "numeric"))
CITEXT = TypeInfo(oid=9, schema="ext", name="citext", category="S")

FORMS = [
    ("int2", "-32768", "-32768"),
    ("int8", "9223372036854775807", "9223372036854775807"),
    ("oid", "4294967295", "4294967295"),
    ("bool", "t", "true"),
    ("bool", "f", "false"),
    ("float8", "1e+300", "1e+300"),
    ("float8", "-0", "-0"),
    ("float4", "0.1", "0.1"),
    ("float8", "NaN", '"NaN"'),
    ("float8", "-Infinity", '"-Infinity"'),
    ("numeric", "1.50", '"1.50"'),
    ("numeric", "NaN", '"NaN"'),
    ("money", "$1,000.00", '"$1,000.00"'),
    ("json", '{"b" : 1.10, "a":[]}', '{"b" : 1.10, "a":[]}'),
    ("jsonb", '{"a": 12345678901234567890.123}', '{"a": 12345678901234567890.123}'),
    ("bytea", "\\xdead", '"\\\\xdead"'),
    ("timestamptz", "2005-12-28 00:53:10+00", '"2005-12-28 00:53:10+00"'),
    ("date", "0044-03-15 BC", '"0044-03-15 BC"'),
    ("int2vector", "1 2", '"1 2"'),
    ("text", 'a"b\\c\n\x01ß🎈', '"a\\"b\\\\c\\n\\u0001ß🎈"'),
]


@pytest.mark.parametrize(("name", "text", "expected"), FORMS)
def test_every_type_has_one_form(name: str, text: str, expected: str) -> None:
    """Law 10: the table of the module's docstring, line by line; a domain looks like its base."""
    assert encoder(builtin(name))(text) == expected
    assert encoder(domain_over(domain_over(builtin(name))))(text) == expected


@pytest.mark.parametrize(("name", "text", "expected"), FORMS)
def test_a_form_leads_back_to_its_text(name: str, text: str, expected: str) -> None:
    """What was encoded is decoded to the very text, but for json, whose null is not told from NULL, and arrays."""
    back = decoder(domain_over(builtin(name)))
    assert back(expected) == text if back is not None else name in ("json", "jsonb")
    assert decoder(array_of(builtin(name))) is None


@given(st.dictionaries(st.text(min_size=1), st.text()), st.sampled_from(["", " ", "\n\t"]))
def test_an_object_is_taken_apart_as_it_was_put_together(texts: dict[str, str], space: str) -> None:
    """Whatever is in names and values, and with the blanks that a json value brings along."""
    members = {name: encoder(TEXT)(text) for name, text in texts.items()} | {"n": "1" * 5000, "j": '{"a": [1.0, "}"]}'}
    body = "{" + ",".join(f"{encoder(TEXT)(name)}:{space}{raw}{space}" for name, raw in members.items()) + "}"
    assert split_object(body) == members
    assert split_object("{}") == {}


def test_a_users_own_type_of_a_built_in_name_is_text() -> None:
    """Types are told by schema and name, so `app.int4` is not taken for a number."""
    assert encoder(TypeInfo(oid=1, schema="app", name="int4"))("x") == '"x"'


def quoted_anyway(item: str) -> str:
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


def array_out(value: Any, delimiter: str = ",", always_quote: bool = False) -> str:
    """What `array_out` prints, written independently of the parser."""
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return "{" + delimiter.join(array_out(item, delimiter, always_quote) for item in value) + "}"
    special = value == "" or value.upper() == "NULL" or re.search(r'[\s"\\{}]', value) or delimiter in value
    return quoted_anyway(value) if special or always_quote else value


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
syntax = st.text(st.sampled_from('{}",;\\ NULabc'), max_size=6)


@st.composite
def arrays(draw: st.DrawFn) -> list[Any]:
    """Rectangular arrays of 1 to 3 dimensions with NULLs, as PostgreSQL has them."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))

    def build(level: int) -> Any:
        if level == len(sizes):
            return draw(st.none() | texts | syntax)
        return [build(level + 1) for _ in range(sizes[level])]

    result = build(0)
    assert isinstance(result, list)
    return result


@given(arrays(), st.sampled_from(",;"), st.booleans(), st.booleans())
def test_arrays_come_back_as_they_went_in(value: list[Any], delimiter: str, quote: bool, bounds: bool) -> None:
    """Law 10: an array of any depth is the JSON array of its elements' form; its lower bounds are dropped."""
    text = array_out(value, delimiter, quote)
    prefix = "[-1:0][2:3]=" if bounds else ""
    element = builtin("text", delimiter=delimiter)
    assert json.loads(encoder(array_of(element))(prefix + text)) == value


def test_arrays_of_other_elements_have_the_elements_form() -> None:
    """Law 10: numbers, booleans, JSON, and arrays inside of domains inside of arrays."""
    assert encoder(array_of(INT))("{}") == "[]"
    assert encoder(array_of(INT))("[0:1]={1,NULL}") == "[1,null]"
    assert encoder(array_of(BOOL))("{{t,f},{f,NULL}}") == "[[true,false],[false,null]]"
    assert encoder(array_of(NUMERIC))("{1.0}") == '["1.0"]'
    assert encoder(array_of(builtin("jsonb")))('{"{\\"a\\": [1, 2]}",1}') == '[{"a": [1, 2]},1]'
    assert encoder(array_of(domain_over(array_of(INT))))('{"{1,2}","{3}"}') == "[[1,2],[3]]"
    assert encoder(domain_over(array_of(domain_over(INT))))("{1,2}") == "[1,2]"
    assert encoder(array_of(builtin("box", delimiter=";")))("{(1,1),(0,0);(2,2),(1,1)}") == '["(1,1),(0,0)","(2,2),(1,1)"]'


MALFORMED = [
    "",
    "{",
    "}",
    "{1",
    "1}",
    "{1,}",
    "{,1}",
    "{1,,2}",
    '{"1}',
    "{1}}",
    "{{1}",
    "{1}{2}",
    "x{1}",
    '{"1"2}',
    "{1\\}",
    "[0:1]{1}",
    '{"a",}',
    "{{1},}",
    "{{1}2}",
    '"a"',
    "{}x",
    '{{"a"}}}',
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_array_is_refused_without_its_value(text: str) -> None:
    """Law 12: what PostgreSQL does not print is an error, and the message shows no value."""
    with pytest.raises(MappingError, match=r"^the text of an array is malformed$"):
        encoder(array_of(TEXT))(text)


@given(texts.map(lambda text: text * 3))
def test_any_array_text_is_json_or_refused(text: str) -> None:
    """Law 8: no text makes the parser fail in another way than by MappingError, or print what is no JSON."""
    for candidate in (text, "{" + text + "}"):
        try:
            encoded = encoder(array_of(TEXT))(candidate)
        except MappingError:
            continue
        json.loads(encoded)


@pytest.mark.parametrize("info", [INT, TEXT, BOOL, FLOAT, NUMERIC, builtin("jsonb"), array_of(INT)])
def test_invalid_utf8_parks_with_its_reason(info: TypeInfo) -> None:
    """Law 8: bytes are what was no valid UTF-8; the key is parked with the reason `encoding`, whatever the type."""
    for run in (lambda: encoder(info)(b"\xff"), lambda: row_encoder([column("c", info)])((b"\xff",))):  # type: ignore[arg-type]
        with pytest.raises(MappingError) as caught:
            run()
        assert caught.value.reason == "encoding"
        assert "xff" not in str(caught.value)


@pytest.mark.parametrize("info", [INT, TEXT, BOOL, FLOAT, NUMERIC, builtin("jsonb"), array_of(INT)])
def test_an_unchanged_value_is_never_written(info: TypeInfo) -> None:
    """*Unchanged TOAST*: a value that was not sent has no form; the column is named."""
    with pytest.raises(MappingError, match=r"column 'big': .*unchanged"):
        row_encoder([column("id", INT), column("big", info)])(("1", UNCHANGED))


def test_a_malformed_value_is_named_by_its_column() -> None:
    """Law 12: the error names the column, not the value."""
    with pytest.raises(MappingError, match=r"^column 'ok': a boolean is neither t nor f$"):
        row_encoder([column("ok", BOOL)])(("secret",))
    with pytest.raises(MappingError, match="a row has 1 values, its table 2 columns"):
        row_encoder([column("a", INT), column("b", INT)])(("1",))


def test_a_row_is_one_canonical_object() -> None:
    """*Content*: columns in the given order, no spaces, NULL as null; odd names are escaped and never run as code."""
    columns = [
        column(name, info) for name, info in [("id", INT), ('a"b\\', TEXT), ("f", FLOAT), ("n", NUMERIC), ("t", array_of(BOOL))]
    ]
    assert row_encoder(columns)(("1", "x", "NaN", "1.0", "{t}")) == '{"id":1,"a\\"b\\\\":"x","f":"NaN","n":"1.0","t":[true]}'
    assert row_encoder(columns)((None,) * 5) == '{"id":null,"a\\"b\\\\":null,"f":null,"n":null,"t":null}'
    assert row_encoder([])(()) == "{}"
    assert row_encoder([column("'); import os #", INT)])(("7",)) == '{"\'); import os #":7}'


@given(st.lists(st.tuples(texts, st.none() | texts), max_size=12, unique_by=lambda pair: pair[0]))
def test_a_row_reads_back(pairs: list[tuple[str, str | None]]) -> None:
    """Law 10: any names and any texts come back from the JSON."""
    columns = [column(name, TEXT) for name, _ in pairs]
    assert json.loads(row_encoder(columns)(tuple(value for _, value in pairs))) == dict(pairs)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4), st.integers(0, 5))
def test_equal_numbers_are_comparable(number: Decimal, zeros: int) -> None:
    """*Edges*: 1, 1.0 and 1.000 are one parent, whatever the scales of the two columns."""
    text = format(number, "f")
    assert comparable(NUMERIC)(text) == comparable(NUMERIC)(text + "0" * zeros)
    assert Decimal(comparable(NUMERIC)(text)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_comparable_with_numerics(number: float) -> None:
    """*Edges*: a float's exponent form is written out, and -0 is 0."""
    text = repr(number)
    assert comparable(FLOAT)(text) == comparable(NUMERIC)(format(Decimal(text), "f"))
    assert float(comparable(FLOAT)(text)) == number
    assert math.copysign(1, float(comparable(FLOAT)("-0"))) == 1


def test_equal_texts_are_comparable() -> None:
    """*Edges*: padding, case and the spelling of a moment do not hide a parent."""
    assert comparable(builtin("bpchar"))("ab  ") == comparable(TEXT)("ab")
    assert comparable(CITEXT)("ÄB") == comparable(CITEXT)("äb")
    assert comparable(domain_over(CITEXT))("AB") == "ab"
    moment = comparable(builtin("timestamp"))
    assert comparable(builtin("date"))("2020-01-01") == moment("2020-01-01 00:00:00")
    assert comparable(builtin("date"))("0044-03-15 BC") == moment("0044-03-15 00:00:00 BC")
    assert comparable(builtin("date"))("-infinity") == "-infinity"
    assert comparable(builtin("timestamptz"))("2020-01-01 00:00:00+00") == moment("2020-01-01 00:00:00")
    assert comparable(builtin("cidr"))("10.0.0.1/32") == comparable(builtin("inet"))("10.0.0.1")
    assert comparable(builtin("cidr"))("::1/128") == "::1"
    assert comparable(NUMERIC)("NaN") == "NaN"


@pytest.mark.parametrize("name", ["numeric", "bpchar", "float4", "float8", "interval", "jsonb", "inet"])
def test_unstable_types_are_known(name: str) -> None:
    """*Edges*: where equal values can differ in text, a foreign key is not resolved by text alone."""
    assert not is_stable(builtin(name))
    assert not is_stable(domain_over(builtin(name)))
    assert not is_stable(array_of(builtin(name)))


def test_stable_types_are_known() -> None:
    """*Edges*: integers, text, uuid and times are found by their text."""
    assert all(is_stable(builtin(name)) for name in ("int4", "text", "uuid", "timestamptz", "bytea"))
    assert is_stable(array_of(INT))
    assert not is_stable(CITEXT)
    assert not is_stable(TypeInfo(oid=1, schema="pg_catalog", name="numrange", kind="r"))


def test_text_and_timestamp_columns_are_known() -> None:
    """Text columns are embedded by default, timestamp columns give a memory its time; arrays of them do neither."""
    assert all(is_text(builtin(name)) for name in ("text", "varchar", "bpchar", "name"))
    assert is_text(domain_over(CITEXT))
    assert not is_text(array_of(TEXT))
    assert not is_text(builtin("json"))
    assert all(is_timestamp(builtin(name)) for name in ("date", "timestamp", "timestamptz"))
    assert not is_timestamp(builtin("time"))
