"""Cursors of a walk through references: opaque, bound to their walk, and right whatever comes and goes."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import BadCursor, Place, decode, encode

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(NAMES, NAMES, NAMES, NAMES)
def test_a_cursor_is_read_as_it_was_written(label: str, constraint: str, key: str, walk: str) -> None:
    place = Place(label, constraint, key)
    assert decode(encode(place, walk), walk) == place


@given(NAMES, NAMES)
def test_a_cursor_is_good_for_its_own_walk_only(one: str, other: str) -> None:
    if one != other:
        with pytest.raises(BadCursor):
            decode(encode(Place("a", "b", "c"), one), other)


@given(st.text(max_size=100) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_anything_else_is_no_cursor(text: str) -> None:
    with pytest.raises(BadCursor):
        decode(text, "walk")


@pytest.mark.parametrize("inner", [b'["m","a","b"]', b'["m","a","b",1]', b"[" * 4000, b'"\\ud800"', b'{"a":1}'])
def test_what_only_looks_like_one_is_none(inner: bytes) -> None:
    with pytest.raises(BadCursor):
        decode(base64.urlsafe_b64encode(inner).decode(), "walk")


def test_no_cursor_is_the_beginning() -> None:
    assert decode(None, "walk").least("a", "b") == ""


@given(st.lists(st.tuples(NAMES, NAMES, NAMES), unique=True, max_size=30), st.integers(1, 4))
def test_a_walk_gives_each_entry_once_in_the_order_of_bytes(entries: list[tuple[str, str, str]], size: int) -> None:
    """As the routes walk: by table and constraint, from `least` on."""
    ordered = sorted(entries, key=lambda entry: tuple(part.encode() for part in entry))
    pairs = list(dict.fromkeys(entry[:2] for entry in ordered))
    walked: list[tuple[str, str, str]] = []
    cursor = None
    while True:
        place, page = decode(cursor, "walk"), []
        for label, constraint in pairs:
            least = place.least(label, constraint)
            if least is not None:
                page += [e for e in ordered if e[:2] == (label, constraint) and e[2].encode() >= least.encode()]
        if not page:
            break
        walked += page[:size]
        cursor = encode(Place(*page[:size][-1]), "walk")
    assert walked == ordered
