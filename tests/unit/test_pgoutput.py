"""The decoder's laws: what was sent comes out, and anything else is a ProtocolError, never less than what was sent."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.changes import UNCHANGED, Relation
from bridge.errors import ProtocolError
from cdc import pgoutput
from tests.pgoutput_encoder import encode
from tests.pgoutput_messages import MESSAGE, recorded


@given(MESSAGE)
def test_what_was_encoded_is_decoded(message: pgoutput.Message) -> None:
    """Decoding is the inverse of the manual's encoding, for every message and every kind of value."""
    assert pgoutput.decode(encode(message)) == message


@given(MESSAGE)
@example(pgoutput.Insert(1, ("ü" * 3, None, UNCHANGED, b"\xff")))
@example(pgoutput.Truncate((1, 2), True, False))
@example(pgoutput.LogicalMessage(False, 1, "p", b"content"))
def test_every_truncation_is_refused(message: pgoutput.Message) -> None:
    """No prefix of a message decodes, least of all to a shortened value."""
    data = encode(message)
    for end in range(len(data)):
        with pytest.raises(ProtocolError):
            pgoutput.decode(data[:end])


@given(MESSAGE, st.binary(min_size=1, max_size=8))
def test_every_surplus_is_refused(message: pgoutput.Message, surplus: bytes) -> None:
    """A message followed by anything is refused."""
    with pytest.raises(ProtocolError):
        pgoutput.decode(encode(message) + surplus)


@given(
    st.one_of(
        st.binary(max_size=64),
        st.builds(lambda kind, rest: bytes([kind]) + rest, st.sampled_from(b"BCORYIUDTM"), st.binary(max_size=64)),
    )
)
def test_noise_raises_nothing_but_protocol_errors(data: bytes) -> None:
    """Whatever the bytes are, no IndexError, struct.error or UnicodeDecodeError comes out."""
    with contextlib.suppress(ProtocolError):
        assert encode(pgoutput.decode(data))


@given(MESSAGE, st.data())
def test_a_changed_byte_raises_nothing_but_protocol_errors(message: pgoutput.Message, draw: st.DataObject) -> None:
    """A flipped length or mark is refused or gives another whole message."""
    data = bytearray(encode(message))
    data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        pgoutput.decode(bytes(data))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not asked for"),
        (b"S\0\0\0\1\1", "not asked for"),
        (b"I\0\0\0\1N\0\1b\0\0\0\1x", "binary value"),
        (b"I\0\0\0\1N\0\1z", "unknown kind"),
        (b"I\0\0\0\1K\0\0", "no new row"),
        (b"U\0\0\0\1K\0\0K\0\0", "no new row"),
        (b"D\0\0\0\1N\0\0", "no old row"),
        (b"R\0\0\0\1s\0t\0x\0\0", "unknown replica identity"),
        (b"R\0\0\0\1\xff\0t\0d\0\0", "malformed"),
    ],
)
def test_what_was_not_asked_for_is_refused(data: bytes, says: str) -> None:
    """Streaming, binary values and unknown marks are refused, and the message says which it was."""
    with pytest.raises(ProtocolError, match=says):
        pgoutput.decode(data)


def test_no_value_stands_in_an_error() -> None:
    """Law 12: an error about a row never shows what is in it."""
    with pytest.raises(ProtocolError) as refused:
        pgoutput.decode(encode(pgoutput.Insert(1, ("secret", "hidden")))[:-1])
    assert "secret" not in str(refused.value)


def test_what_a_real_server_sent_is_decoded_whole() -> None:
    """A recording of PostgreSQL 18 holds every kind of message, decodes, and encodes to the very same bytes."""
    kinds = set()
    for data in recorded():
        message = pgoutput.decode(data)
        kinds.add(type(message))
        if not isinstance(message, pgoutput.Type | Relation):  # pg_catalog is sent as an empty string
            assert encode(message) == data
        for end in range(len(data)):
            with pytest.raises(ProtocolError):
                pgoutput.decode(data[:end])
    assert kinds >= {
        pgoutput.Begin,
        pgoutput.Commit,
        Relation,
        pgoutput.Type,
        pgoutput.Insert,
        pgoutput.Update,
        pgoutput.Delete,
        pgoutput.Truncate,
        pgoutput.LogicalMessage,
    }
