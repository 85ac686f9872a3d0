"""Messages of pgoutput to test with: Hypothesis strategies, and a recording."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from bridge.changes import UNCHANGED, Relation, RelationColumn, Row, Value
from cdc import pgoutput

LSN = st.integers(0, 2**64 - 1)
OID = st.integers(0, 2**32 - 1)
NAME = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
SECONDS = st.integers(0, 4_000_000_000).map(float)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NOT_TEXT = st.binary(max_size=6).map(lambda tail: b"\xff" + tail)
"""A byte that begins no UTF-8 character: what a SQL_ASCII database can send."""

VALUE: st.SearchStrategy[Value] = st.one_of(TEXT, st.none(), st.just(UNCHANGED), NOT_TEXT)
ROW: st.SearchStrategy[Row] = st.lists(VALUE, max_size=6).map(tuple)
COLUMN = st.builds(RelationColumn, NAME, OID, st.integers(-1, 2**31 - 1), st.booleans())
RELATION = st.builds(Relation, OID, NAME, NAME, st.sampled_from("dnfi"), st.lists(COLUMN, max_size=6).map(tuple))
UPDATE = st.one_of(
    st.builds(pgoutput.Update, OID, ROW, st.none(), st.just(False)), st.builds(pgoutput.Update, OID, ROW, ROW, st.booleans())
)
MESSAGE: st.SearchStrategy[pgoutput.Message] = st.one_of(
    st.builds(pgoutput.Begin, LSN, SECONDS, OID),
    st.builds(pgoutput.Commit, LSN, LSN, SECONDS),
    st.builds(pgoutput.Origin, LSN, NAME),
    st.builds(pgoutput.Type, OID, NAME, NAME),
    RELATION,
    st.builds(pgoutput.Insert, OID, ROW),
    UPDATE,
    st.builds(pgoutput.Delete, OID, ROW, st.booleans()),
    st.builds(pgoutput.Truncate, st.lists(OID, max_size=4).map(tuple), st.booleans(), st.booleans()),
    st.builds(pgoutput.LogicalMessage, st.booleans(), LSN, NAME, st.binary(max_size=12)),
)

RECORDED = Path(__file__).parent / "unit" / "recorded" / "pgoutput-18.hex"


def recorded() -> list[bytes]:
    """What a PostgreSQL 18 sent, one message a line in hexadecimal."""
    return [bytes.fromhex(line) for line in RECORDED.read_text().splitlines()]
