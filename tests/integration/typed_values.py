"""Generated values for a wide table: each type of the canonical form with the texts that PostgreSQL's input takes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Texts = st.SearchStrategy[str]

SETUP = """
create type public.mood as enum ('so-so', 'happy, "very"', '東');
create type public.point3 as (x int, "y y" text, z numeric[]);
create domain public.positive as int check (value > 0);
create domain public.numbers as public.positive[];
"""

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
tricky = st.text(st.sampled_from("{}\"\\,;() \t\n'NULaé🎈"), max_size=8)
texts = words | tricky


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def array_text(value: Any) -> str:
    if isinstance(value, list):
        return "{" + ",".join(map(array_text, value)) + "}"
    return "NULL" if value is None else quoted(value)


@st.composite
def arrays(draw: st.DrawFn, element: Texts, delimiter: str = ",") -> str:
    """Arrays of 0 to 3 dimensions, with NULLs, and with bounds of their own sometimes."""
    sizes = draw(st.lists(st.integers(1, 2), max_size=3))

    def build(level: int) -> Any:
        return draw(st.none() | element) if level == len(sizes) else [build(level + 1) for _ in range(sizes[level])]

    if not sizes:
        return "{}"
    text = array_text(build(0)).replace(",", delimiter) if delimiter != "," else array_text(build(0))
    starts = [draw(st.integers(-2, 3)) for _ in sizes] if draw(st.booleans()) else []
    bounds = "".join(f"[{start}:{start + size - 1}]" for start, size in zip(starts, sizes, strict=False))
    return f"{bounds}={text}" if bounds else text


def integers(bits: int) -> Texts:
    limit = 1 << (bits - 1)
    return (st.integers(-limit, limit - 1) | st.sampled_from([-limit, limit - 1])).map(str)


def floats(width: int) -> Texts:
    special = st.sampled_from(["NaN", "Infinity", "-Infinity", "-0", "0"])
    return special | st.floats(allow_nan=False, allow_infinity=False, width=width).map(repr)  # type: ignore[call-overload]


def numerics() -> Texts:
    digits = st.from_regex(r"-?[0-9]{1,60}(\.[0-9]{1,60})?", fullmatch=True)
    return digits | st.sampled_from(["NaN", "Infinity", "-Infinity", "0.000", "-0.0", "1e400", "1e-400"])


def dates() -> Texts:
    plain = st.dates().map(str)
    odd = ["infinity", "-infinity", "0044-03-15 BC", "4713-01-01 BC", "5874897-12-31", "10000-01-01", "0001-01-01"]
    return plain | st.sampled_from(odd)


def times() -> Texts:
    return st.times().map(str) | st.sampled_from(["24:00", "00:00", "23:59:59.999999"])


def moments(zoned: bool) -> Texts:
    plain = st.datetimes().map(str)
    odd = ["infinity", "-infinity", "0044-03-15 01:02:03.000001 BC", "294276-12-31 23:59:59.999999", "4714-11-24 00:00 BC"]
    zones = st.sampled_from(["+00", "+05:30", "-08", "+14"]) if zoned else st.just("")
    return st.tuples(plain, zones).map("".join) | st.sampled_from(odd)


def intervals() -> Texts:
    part = st.integers(-10_000, 10_000)
    return st.tuples(part, part, st.integers(-(10**12), 10**12)).map(lambda p: f"{p[0]} months {p[1]} days {p[2]} microseconds")


def documents() -> Texts:
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
    trees = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
    )
    return st.builds(
        lambda tree, plain, gap: json.dumps(tree, ensure_ascii=plain, indent=gap), trees, st.booleans(), st.none() | st.just(1)
    )


def composites() -> Texts:
    def write(x: int, y: str | None, z: str) -> str:
        return f"({x},{'' if y is None else quoted(y)},{quoted(z)})"

    return st.builds(write, st.integers(-9, 9), st.none() | texts, arrays(numerics().filter(lambda text: "e" not in text)))


def ranges(value: st.SearchStrategy[int], write: Callable[[int], str] = str) -> Texts:
    ends = st.tuples(value, value).map(sorted)
    one = st.builds(lambda e, o, c: f"{o}{write(e[0])},{write(e[1])}{c}", ends, st.sampled_from("[("), st.sampled_from("])"))
    return one | st.sampled_from(["empty", "(,)"]) | value.map(lambda start: f"[{write(start)},)")


def addresses() -> Texts:
    bits = st.integers(0, 32)
    return st.builds(lambda a, n: f"{a}/{n}", st.ip_addresses(v=4), bits) | st.ip_addresses().map(str)


def bits(minimum: int, maximum: int) -> Texts:
    return st.text(st.sampled_from("01"), min_size=minimum, max_size=maximum)


def lexemes() -> Texts:
    word = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
    one = word.map(lambda text: "'" + text.replace("\\", "\\\\").replace("'", "''") + "'")
    return st.lists(st.tuples(one, st.sampled_from(["", ":1", ":2A,7"])).map("".join), max_size=4).map(" ".join)


def points() -> Texts:
    number = st.integers(-5, 5) | st.floats(-1e9, 1e9)
    return st.tuples(number, number).map(lambda p: f"({p[0]!r},{p[1]!r})")


def shapes(count: int) -> Texts:
    return st.lists(points(), min_size=count, max_size=count).map(",".join)


names = st.text(st.sampled_from("abcXYZ _\"'é"), min_size=1, max_size=20)
small = st.integers(-100, 100)
binaries = st.binary(max_size=12).map(lambda b: "\\x" + b.hex())
cents = st.integers(-(1 << 63), (1 << 63) - 1).map(lambda n: f"{'-' if n < 0 else ''}{abs(n) // 100}.{abs(n) % 100:02}")


def day(number: int) -> str:
    return f"2020-01-{number % 28 + 1:02}" if number >= 0 else f"0044-03-{-number % 28 + 1:02} BC"


def hstore(pairs: dict[str, str]) -> str:
    return ",".join(f"{quoted(key)}=>{quoted(value)}" for key, value in pairs.items())


COLUMNS: dict[str, Texts] = {
    "int2": integers(16), "int4": integers(32), "int8": integers(64), "oid": st.integers(0, (1 << 32) - 1).map(str),
    "float4": floats(32), "float8": floats(64), "numeric": numerics(),
    "numeric(30,10)": st.decimals(-10**19, 10**19, places=10).map(str),
    "money": cents, "bool": st.sampled_from(["t", "f"]), "text": texts, "varchar(40)": words,
    "char(8)": names.map(lambda n: n[:8]),
    '"char"': st.sampled_from(["", "a", "\\", '"']), "name": names, "bytea": binaries,
    "date": dates(), "time": times(), "timetz": st.tuples(times(), st.sampled_from(["+00", "-15:59", "+05:30"])).map("".join),
    "timestamp": moments(False), "timestamptz": moments(True), "interval": intervals(), "uuid": st.uuids().map(str),
    "json": documents(), "jsonb": documents(), "public.mood": st.sampled_from(["so-so", 'happy, "very"', "東"]),
    "public.positive": st.integers(1, 99).map(str), "public.numbers": arrays(st.integers(1, 99).map(str)),
    "public.point3": composites(), "public.point3[]": arrays(composites()), "int4range": ranges(small), "numrange": ranges(small),
    "daterange": ranges(st.integers(0, 27), day), "tstzrange": ranges(st.integers(0, 27), day),
    "int4multirange": st.lists(ranges(small), max_size=3).map(lambda parts: "{" + ",".join(parts) + "}"),
    "inet": addresses(), "cidr": st.ip_addresses().map(str), "macaddr": st.binary(min_size=6, max_size=6).map(bytes.hex),
    "bit(5)": bits(5, 5), "varbit": bits(0, 20), "tsvector": lexemes(), "point": points(), "box": shapes(2), "lseg": shapes(2),
    "polygon": shapes(3), "path": shapes(3).map(lambda text: f"[{text}]"), "int2vector": st.just("1 2 3"),
    "regclass": st.just("public.wide"), "pg_lsn": st.just("16/B374D848"),
    "int4[]": arrays(integers(32)), "text[]": arrays(texts), "bool[]": arrays(st.sampled_from(["t", "f"])),
    "float8[]": arrays(floats(64)), "numeric[]": arrays(numerics().filter(lambda text: "e" not in text)),
    "jsonb[]": arrays(documents()), "timestamptz[]": arrays(moments(True)), "bytea[]": arrays(binaries),
    "public.mood[]": arrays(st.sampled_from(["so-so", 'happy, "very"', "東"])), "box[]": st.just("{(3,4),(1,2);(1,1),(0,0)}"),
    "int4range[]": arrays(ranges(small)),
}  # fmt: skip

EXTENSIONS: dict[str, tuple[str, Texts]] = {
    "hstore": ("hstore", st.dictionaries(texts, texts, max_size=3).map(hstore)),
    "ltree": ("ltree", st.lists(st.sampled_from(["Top", "a_1", "B"]), max_size=4).map(".".join)),
    "citext": ("citext", texts),
}  # fmt: skip


def expected(declared: str, text: str) -> Any:
    """What the JSON must say, where it can be told from the input: a value, or `...` where it cannot."""
    if declared in ("int2", "int4", "int8", "oid", "public.positive"):
        return int(text)
    if declared == "bool":
        return text == "t"
    if declared in ("text", "varchar(40)", "bytea", "name", "uuid", "public.mood", "bit(5)", "varbit", "citext"):
        return text
    if declared == "float8":
        return text if math.isnan(float(text)) or math.isinf(float(text)) else float(text)
    if declared in ("json", "jsonb"):
        return json.loads(text) if declared == "json" else ...
    return ...
