"""How the sandbox's reader asks, and how it takes an answer to several keys apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sandbox.reading import Question, rows_in

values = st.none() | st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=3), max_size=3)


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(st.dictionaries(st.text(), st.dictionaries(st.text(), values)), st.sets(st.text()))
def test_rows_come_out_as_the_text_that_stands_there(rows: dict[str, object], missing: set[str]) -> None:
    texts = [f'{{"key":{compact(key)},"digest":"00","row":{compact(row)}}}' for key, row in rows.items()]
    body = f'{{"rows":[{",".join(texts)}],"missing":{compact(sorted(missing - set(rows)))}}}'
    assert rows_in(body) == {key: compact(row) for key, row in rows.items()}


@pytest.mark.parametrize(
    "body", ["", "[]", '{"rows":[]}', '{"rows":[{"key":"a","row":{}}],"missing":[]}', '{"rows":[],"missing":[]},']
)
def test_another_form_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r"not an answer to several keys|Expecting"):
        rows_in(body)


def test_how_rows_are_asked_for() -> None:
    one = Question("public.coupons", ["a/b %"], min_lsn=0x16B374D848, granted=0.25, known=('"d"', "d"))
    assert one.path == "/v1/coupons/a%2Fb%20%25"
    assert one.headers == {"X-Min-Lsn": "16/B374D848", "X-Max-Staleness-Ms": "250", "If-None-Match": '"d"'}
    several = Question("app.t", ["a,b", "&"])
    assert several.path == "/v1/app.t?key=a%2Cb&key=%26"
    assert several.headers == {}
