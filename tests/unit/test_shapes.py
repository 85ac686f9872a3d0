"""What a difference in the catalogue's traces asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.shapes import ANOTHER, Act, Part, Shape, faults, judge

KNOWN = Shape(
    oid=10,
    schema="public",
    name="t",
    attributes="a",
    storage=100,
    membership="5 6",
    types={"40": "good", "41": "bad"},
    parts={20: Part("public.t_a", 200, "7"), 21: Part("public.t_b", 201, "7")},
)


def with_part(oid: int, part: Part) -> Shape:
    """The known shape with one partition more, or another one in its place."""
    return replace(KNOWN, parts=KNOWN.parts | {oid: part})


@pytest.mark.parametrize(
    ("now", "act"),
    [
        (KNOWN, Act.NOTHING),
        (replace(KNOWN, definition="another index"), Act.NOTHING),
        (replace(KNOWN, storage=101), Act.NOTHING),
        (replace(KNOWN, attributes="b"), Act.NOTHING),
        (replace(KNOWN, storage=101, attributes="b"), Act.REREAD),
        (replace(KNOWN, types={"40": "good", "41": "bad", "42": "new"}), Act.NOTHING),
        (replace(KNOWN, types={"40": "splendid", "41": "bad"}), Act.REREAD),
        (with_part(22, Part("public.t_c", 202, "8", in_place=True)), Act.NOTHING),
        (with_part(22, Part("public.t_c", 202, "8", in_place=False)), Act.LOAD),
        (with_part(21, Part("public.t_b", 201, "9")), Act.LOAD),
        (with_part(21, Part("public.t_b", 999, "7")), Act.REREAD),
        (replace(KNOWN, parts={20: KNOWN.parts[20]}), Act.REREAD),
        (replace(KNOWN, parts={20: KNOWN.parts[20], 22: Part("public.t_c", 2, "8", in_place=False)}), Act.LOAD),
        (replace(KNOWN, membership="5 8"), Act.LOAD_BEHIND),
        (replace(KNOWN, oid=11, membership="5 8"), Act.STOP),
    ],
)
def test_what_a_difference_asks_for(now: Shape, act: Act) -> None:
    """The strongest act that any of the differences needs."""
    assert judge(KNOWN.fact(1), now, 1).act is act
    assert judge(KNOWN.fact(1), now, 2).act is Act.NOTHING  # in another source epoch everything is read anyway


def test_another_table_of_the_name_is_said_to_be_one() -> None:
    """The reason is a sentence part for `status`."""
    assert judge(KNOWN.fact(1), replace(KNOWN, oid=11), 1).why == ANOTHER


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        (KNOWN, None),
        (replace(KNOWN, narrowed=True), "leaves out"),
        (with_part(22, Part("public.t_c", 1, "8", kind="f")), "public.t_c is a foreign table"),
        (with_part(22, Part("public.t_c", 1, "8", persistence="u")), "public.t_c is unlogged"),
    ],
)
def test_what_is_not_streamed(shape: Shape, says: str | None) -> None:
    """Partitions without WAL, and a publication that narrows the table, cannot be followed."""
    found = faults(shape)
    assert found is None if says is None else says in (found or "")


parts = st.dictionaries(
    st.integers(1, 6), st.builds(Part, st.just("p"), st.integers(1, 4), st.sampled_from("789"), st.booleans())
)
shapes = st.builds(
    Shape,
    st.just(10),
    st.just("public"),
    st.just("t"),
    attributes=st.sampled_from("ab"),
    storage=st.integers(1, 2),
    membership=st.sampled_from(["1 2", "1 3"]),
    types=st.dictionaries(st.sampled_from("xy"), st.sampled_from("12")),
    parts=parts,
)


@given(shapes, shapes)
def test_rows_that_came_or_went_without_a_message_are_never_missed(before: Shape, now: Shape) -> None:
    """Whatever else has changed: a partition that joined with rows has the table loaded, one that lost rows has it read again."""
    act = judge(before.fact(1), now, 1).act
    joined = any(
        (oid not in before.parts and not part.in_place) or (oid in before.parts and before.parts[oid].joined != part.joined)
        for oid, part in now.parts.items()
    )
    lost = any(oid not in now.parts or now.parts[oid].storage != part.storage for oid, part in before.parts.items())
    if joined:
        assert act in (Act.LOAD, Act.LOAD_BEHIND)
    if lost:
        assert act is not Act.NOTHING
    if before == now:
        assert act is Act.NOTHING
