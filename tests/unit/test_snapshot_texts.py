"""COPY's text format, parameters as text, chunks and snapshots: what needs no server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.changes import Value
from bridge.postgres import snapshot_sees
from snapshot.plan import Chunk, chunks_between
from snapshot.texts import array_parameter, parse_copy_row

ESCAPES = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}


def copy_line(row: tuple[Value, ...]) -> bytes:
    """What COPY TO prints, written independently of the parser."""
    fields = []
    for value in row:
        if value is None:
            fields.append(b"\\N")
            continue
        raw = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        escaped = "".join(ESCAPES.get(character, character) for character in raw)
        fields.append(escaped.encode("latin-1" if isinstance(value, bytes) else "utf-8"))
    return b"\t".join(fields) + b"\n"


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.text(st.sampled_from("\\\t\n\r\b\f\vNtx"))


def is_invalid(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return True
    return False


invalid = st.binary(max_size=6).map(lambda value: b"\xff" + value.replace(b"\0", b"\t")).filter(is_invalid)


@given(st.lists(st.none() | texts, min_size=1))
def test_copy_lines_are_read_as_they_were_written(row: list[str | None]) -> None:
    r"""Law 10: every text and NULL comes back, `\N` as a text too."""
    assert parse_copy_row(copy_line(tuple(row))) == tuple(row)


@given(st.lists(st.none() | texts | invalid, min_size=1))
def test_only_the_invalid_value_stays_bytes(row: list[Value]) -> None:
    """Law 8: of a row with invalid UTF-8, only the value that is invalid is bytes; the others are text."""
    assert parse_copy_row(copy_line(tuple(row))) == tuple(row)


def test_array_parameters_are_quoted() -> None:
    """Key text goes back to the server as it came: quotes, backslashes, the word NULL, invalid bytes."""
    assert array_parameter(["a", None, "NULL", 'q"\\', b"\xff"]) == b'{"a",NULL,"NULL","q\\"\\\\","\xff"}'
    assert array_parameter([]) == b"{}"


def test_chunks_cover_every_key() -> None:
    """Law 2: each chunk begins where the one before ends; the first and the last are open."""
    assert list(chunks_between([])) == [Chunk(0, None, None)]
    assert list(chunks_between([("a",), ("b",)])) == [
        Chunk(0, None, ("a",)),
        Chunk(1, ("a",), ("b",)),
        Chunk(2, ("b",), None),
    ]


@pytest.mark.parametrize(
    ("snapshot", "xid", "seen"),
    [
        ("100:100:", 99, True),
        ("100:100:", 100, False),
        ("100:105:101,103", 101, False),
        ("100:105:101,103", 102, True),
        ("100:105:101,103", 103, False),
        ("100:105:101,103", 105, False),
        ("100:105:101,103", 10, True),
        # 0x1_0000_0003: the ids before it belong to the epoch before
        ("4294967299:4294967299:", 0xFFFFFFFF, True),
        ("4294967290:4294967299:4294967294", 0xFFFFFFFE, False),
        ("4294967290:4294967299:4294967294", 0xFFFFFFFD, True),
        ("4294967299:4294967299:", 3, False),
        # xmax just before the wrap: a small id is of the epoch to come
        ("8589934590:8589934590:", 5, False),
        ("8589934590:8589934590:", 0xFFFFFFFD, True),
        # the very first epoch has none before it
        ("5:5:", 0xFFFFFFF0, False),
    ],
)
def test_a_snapshot_sees_what_ended_before_it(snapshot: str, xid: int, seen: bool) -> None:
    """Law 11: a committed transaction is visible unless it was running or had not begun; 32-bit ids wrap around."""
    assert snapshot_sees(snapshot, xid) is seen


@given(st.integers(3, 1 << 40), st.integers(0, 1000), st.data())
def test_widening_an_id_finds_the_id(xmin: int, span: int, data: st.DataObject) -> None:
    """Law 11: for any 64-bit id within 2^31 of the snapshot, its low 32 bits are enough."""
    xmax = xmin + span
    running = sorted(data.draw(st.sets(st.integers(xmin, xmax - 1), max_size=5))) if span else []
    xid = data.draw(st.integers(max(3, xmax - (1 << 31) + 1), xmax + (1 << 31) - 1))
    snapshot = f"{xmin}:{xmax}:{','.join(map(str, running))}"
    assert snapshot_sees(snapshot, xid & 0xFFFFFFFF) is (xid < xmax and xid not in running)
