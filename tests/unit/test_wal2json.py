"""wal2json's decoder: exact texts, what wal2json garbles, and refusal of what is malformed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.changes import UNCHANGED
from bridge.errors import ProtocolError
from cdc import wal2json
from cdc.pgoutput import Begin, Commit, LogicalMessage

HEAD = '"xid":726,"timestamp":"2026-11-21 07:27:38.327219+00","lsn":"0/194A2C8"'
TABLE = '"schema":"public","table":"item"'
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20) | st.text('\\"{},:\n\x01', max_size=8)
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,60})(\.[0-9]{1,60})?(e[+-][0-9]{1,3})?", fullmatch=True)


def change(action: str, columns: list[tuple[str, int, str]] | None, identity: list[tuple[str, int, str]] | None = None) -> bytes:
    """A message as wal2json writes it; values are JSON already."""

    def listed(row: list[tuple[str, int, str]]) -> str:
        return ",".join(
            f'{{"name":{json.dumps(name, ensure_ascii=False)},"typeoid":{oid},"value":{value}}}' for name, oid, value in row
        )

    text = f'{{"action":"{action}",{HEAD},{TABLE}'
    text += "" if columns is None else f',"columns":[{listed(columns)}]'
    text += "" if identity is None else f',"identity":[{listed(identity)}]'
    return (text + "}").encode()


def decoded(decoder: wal2json.Decoder, data: bytes) -> wal2json.Change:
    """The change in a message."""
    message = decoder.decode(data)
    assert isinstance(message, wal2json.Change)
    return message


VALUES = st.one_of(
    st.tuples(st.just(25), TEXTS).map(lambda p: (p[0], json.dumps(p[1], ensure_ascii=False), p[1])),
    st.tuples(st.sampled_from([20, 701, 1700]), NUMBERS).map(lambda p: (p[0], p[1], p[1])),
    st.sampled_from([(16, "true", "t"), (16, "false", "f"), (25, "null", None), (17, '"00ff"', "\\x00ff"), (17, "null", None)]),
    st.sampled_from([(700, "null", UNCHANGED), (701, "null", UNCHANGED), (1700, "null", UNCHANGED), (23, "null", None)]),
)


@given(
    st.dictionaries(NAMES, st.tuples(st.integers(0, 6), st.lists(VALUES, min_size=2, max_size=2)), min_size=1, max_size=5),
    st.booleans(),
)
def test_every_text_comes_out_exact_by_json_and_by_pattern(columns: dict[str, Any], with_identity: bool) -> None:
    """The first message of a form is parsed as JSON, the next by its pattern: both give the text that was sent, of any number."""
    decoder = wal2json.Decoder()
    oids = {name: pair[1][0][0] for name, pair in columns.items()}
    forms = []
    for turn in range(2):
        row = [(name, oids[name], pair[1][turn]) for name, pair in columns.items()]
        sent = [(name, oid, value[1] if value[0] == oid else "null") for name, oid, value in row]
        untold = {oid: UNCHANGED if oid in wal2json.UNTOLD else None for oid in oids.values()}
        expected = tuple(value[2] if value[0] == oid else untold[oid] for _name, oid, value in row)
        message = decoded(decoder, change("U", sent, sent[:1] if with_identity else None))
        assert message.new == expected
        assert message.old == (expected[:1] if with_identity else None)
        forms.append(message.form)
    assert forms[0] is forms[1]
    assert forms[0].columns == tuple(oids.items())


def test_the_other_actions() -> None:
    """Begin, commit, truncate and messages, with positions, the id and the time to the microsecond."""
    decode = wal2json.Decoder().decode
    begin = decode(f'{{"action":"B",{HEAD},"nextlsn":"0/194A2F8"}}'.encode())
    assert begin == Begin(0x194A2C8, 1795246058.327219, 726)
    assert decode(f'{{"action":"C",{HEAD},"nextlsn":"0/194A2F8"}}'.encode()) == Commit(0x194A2C8, 0x194A2F8, 1795246058.327219)
    assert decode(f'{{"action":"T",{HEAD},{TABLE}}}'.encode()) == wal2json.Truncate("public", "item")
    beat = '{"action":"M","xid":null,"timestamp":null,"lsn":"1/2","transactional":false,"prefix":"p","content":"\xff é"}'
    assert decode(beat.encode("latin-1")) == LogicalMessage(False, 0x100000002, "p", b"\xff \xe9")


def test_type_oids_have_no_sign() -> None:
    """wal2json prints an oid of 2^31 and more as a negative number."""
    decoder = wal2json.Decoder()
    for _ in range(2):
        assert decoded(decoder, change("I", [("a", -2, '"x"')])).form.columns == (("a", 4294967294),)


def test_what_is_no_utf8_stays_bytes() -> None:
    """A SQL_ASCII database sends what it has: only the value that is no UTF-8 becomes bytes, on both paths."""
    decoder = wal2json.Decoder()
    for _ in range(2):
        data = change("I", [("a", 25, '"x"'), ("b", 25, '"y?"')]).replace(b"y?", b"y\xff")
        assert decoded(decoder, data).new == ("x", b"y\xff")


def test_a_value_cannot_pass_for_the_text_between_values() -> None:
    """What stands between values may stand in a value: it is escaped there."""
    tricky = '"},{"name":"b","typeoid":25,"value":"'
    decoder = wal2json.Decoder()
    for _ in range(2):
        message = decoded(decoder, change("I", [("a", 25, json.dumps(tricky)), ("b", 25, '"z"')]))
        assert message.new == (tricky, "z")


WHOLE = change("I", [("id", 23, "1"), ("name", 25, '"é\\n"')])


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_a_truncated_message_is_refused(size: int) -> None:
    """A prefix of a message is no message, whether its form is known or not."""
    for known in (False, True):
        decoder = wal2json.Decoder()
        if known:
            decoder.decode(WHOLE)
        with pytest.raises(ProtocolError, match="malformed"):
            decoder.decode(WHOLE[:size])


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"1",
        b'{"action":"X"}',
        b'{"action":"B"}',
        WHOLE + b"}",
        WHOLE.replace(b"1}", b"NaN}"),
        WHOLE.replace(b"1}", b"[1]}"),
        WHOLE.replace(b'"name":"name"', b'"name":"id"'),
        WHOLE.replace(b'"name":"name"', b'"name":1'),
        WHOLE.replace(b',"typeoid":25', b""),
        WHOLE.replace(b'"action":"I"', b'"action":"D"'),
        change("D", None),
        change("I", [("a", 25, '"x"')], [("a", 25, '"x"')]),
        b'{"action":"B","xid":1,"timestamp":"2026-11-21 07:27:38+01","lsn":"0/1"}',
        b'{"action":"C","xid":1,"timestamp":"2026-11-21 07:27:38+00","lsn":"0/1"}',
        b'{"action":"B","xid":1,"timestamp":"2026-11-21 07:27:38+00","lsn":"0/123456789"}',
        b'{"action":"M","lsn":"0/1","transactional":"f","prefix":"p","content":"c"}',
    ],
)
def test_what_was_not_asked_for_is_refused(data: bytes) -> None:
    """Another form, another zone, a number that JSON does not know, an unknown action: no event is made of them."""
    decoder = wal2json.Decoder()
    decoder.decode(WHOLE)
    with pytest.raises(ProtocolError, match="malformed"):
        decoder.decode(data)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_noise_is_refused(data: bytes) -> None:
    """Whatever comes, it is a message or a ProtocolError."""
    with pytest.raises(ProtocolError):
        wal2json.Decoder().decode(data)
