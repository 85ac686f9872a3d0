"""The store of one space of the sandbox Engram, and its log, without sockets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sandbox.engram import instants, recall
from bridge.sandbox.engram.durability import Log
from bridge.sandbox.engram.registry import BadSpaceName, Registry
from bridge.sandbox.engram.space import Row, Space
from bridge.sandbox.engram.vectors import Vector

CHANCE = np.random.default_rng(20)


def direction() -> Vector:
    """A random direction."""
    return CHANCE.standard_normal(768).astype(np.float32)


def at_cosine(vector: Vector, cosine: float) -> Vector:
    """A vector at this cosine to another."""
    unit = vector / np.linalg.norm(vector)
    other = direction()
    other -= (other @ unit) * unit
    return (cosine * unit + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)).astype(np.float32)


def row(identity: str, vector: Vector | None = None, confidence: float = 0.9, content: str = "row") -> Row:
    """A row to store."""
    return Row(identity, content, confidence, 0, direction() if vector is None else vector)


@pytest.mark.parametrize(("cosine", "kept"), [(0.5, True), (0.949, True), (0.951, False), (0.9999, False)])
def test_from_095_on_a_write_is_dropped(cosine: float, kept: bool) -> None:
    """Another row's vector at 0.95 or more is a duplicate; the length of the vectors does not matter."""
    space = Space()
    vector = direction()
    assert space.store(row("a", vector)).kept
    stored = space.store(row("b", 7 * at_cosine(vector, cosine)))
    assert stored.kept is kept
    assert (space.get("b") is not None) is kept


def test_a_better_duplicate_takes_the_place_without_being_counted() -> None:
    """The other row leaves reads, stays listed, and the counter does not move."""
    space = Space()
    vector = direction()
    space.store(row("a", vector, 0.8))
    assert space.store(row("b", at_cosine(vector, 0.97), 0.9)).kept
    assert space.get("a") is None
    assert {listed.id for listed in space.page("hot", 0, 10)} == {"a", "b"}
    assert space.counts().hot == 1


def test_the_same_id_at_097_with_more_confidence_replaces_itself() -> None:
    """Between 0.95 and 0.999 an update of higher confidence is kept."""
    space = Space()
    vector = direction()
    space.store(row("a", vector, 0.8))
    assert space.store(row("a", at_cosine(vector, 0.97), 0.9, "new")).kept
    assert space.get("a").content == "new"  # type: ignore[union-attr]
    assert space.counts().hot == 1


def test_poison_ends_with_the_row_it_came_from() -> None:
    """A row refused for another row's sake is refused again, whatever its vector, until that row or itself is forgotten."""
    space = Space()
    vector = direction()
    space.store(row("a", vector))
    assert not space.store(row("b", vector)).kept
    assert not space.store(row("b")).kept
    space.forget("a")
    assert space.store(row("b")).kept


def test_vectors_without_a_direction_are_nobodys_duplicate() -> None:
    """Zeros, NaN, infinity and what overflows are stored, and do not disturb the rows after them."""
    space = Space()
    for n, value in enumerate((0.0, 0.0, np.nan, np.nan, np.inf, 3e38)):
        assert space.store(row(f"odd{n}", np.full(768, value, dtype=np.float32))).kept
    vector = direction()
    assert space.store(row("a", vector)).kept
    assert not space.store(row("b", vector)).kept


def test_the_counter_wraps_below_zero() -> None:
    """A replacement that is not counted and two forgets take an unsigned counter below zero, as the real one's."""
    space = Space()
    vector = direction()
    space.store(row("a", vector, 0.8))
    space.store(row("b", vector, 0.9))
    assert space.forget("a") == 1
    assert space.forget("b") == 1
    assert space.counts().hot == (1 << 64) - 1


def test_eviction_takes_the_lowest_activation_and_then_the_lowest_id() -> None:
    """At capacity the row of the lowest activation goes, of equal ones the lowest id; forgotten rows are passed over."""
    space = Space(capacity=3)
    space.store(row("c", confidence=0.2))
    space.store(row("a", confidence=0.9))
    space.forget("c")
    space.store(row("b", confidence=0.5))
    space.store(row("d", confidence=0.9))
    space.store(row("e", confidence=0.9))
    assert {name for name in "abcde" if space.get(name)} == {"a", "d", "e"}


def test_recall_prefers_the_last_version_and_finds_the_dead() -> None:
    """The tiers hold one version of each id, living or not."""
    space = Space()
    old, new = direction(), direction()
    space.store(row("a", old, content="old"))
    space.forget("a")
    assert [hit.row.content for hit in recall.by_vector(space, old, 0.9)] == ["old"]
    space.store(row("a", new, content="new"))
    assert [hit.row.content for hit in recall.by_vector(space, new, 0.9)] == ["new"]
    assert [hit.score for hit in recall.by_vector(space, old, 0.9)] == [1.0]  # unrelated


def test_text_is_scored_by_part_and_by_words() -> None:
    """A part of the content scores 1.0, the content as a part of the query 0.8, common words their share."""
    space = Space()
    for name, content in (("part", "the red fox runs"), ("whole", "red"), ("words", "a fox red as ever")):
        space.store(row(name, content=content))
    found = {hit.row.id: hit.score for hit in recall.by_text(space, "RED FOX", 0.3)}
    assert found == {"part": 1.0, "whole": 0.8, "words": 0.4}


def test_a_log_keeps_the_first_run_that_wrote(tmp_path: Path) -> None:
    """Rows of the first run come back in order; a second run's are lost; a torn end is passed over."""
    path = tmp_path / "space" / "wal.log"
    first = Log(path)
    rows = [row("a"), row("ü", content="☃"), row("a", content="later")]
    for stored in rows:
        first.append(stored)
    first.close()
    second = Log(path)
    assert [(kept.id, kept.content) for kept in second.replay()] == [("a", "row"), ("ü", "☃"), ("a", "later")]
    second.append(row("lost"))
    second.close()
    path.write_bytes(path.read_bytes()[:-1])
    third = Log(path)
    replayed = list(third.replay())
    third.close()
    assert [kept.id for kept in replayed] == ["a", "ü"]
    assert np.array_equal(replayed[0].vector, rows[0].vector)


def test_a_registry_knows_spaces_by_their_trimmed_names(tmp_path: Path) -> None:
    """The same space answers to its name with blanks around it; a bad name is told."""
    registry = Registry(tmp_path, 10)
    assert registry.open(" abc ") is registry.open("abc")
    assert [opened.name for opened in registry.loaded()] == ["default", "abc"]
    with pytest.raises(BadSpaceName):
        registry.open("A")
    registry.close()


@given(st.integers(min_value=-62_135_596_800 * 10**9, max_value=253_402_300_799 * 10**9))
def test_instants_are_read_as_they_are_printed(instant: int) -> None:
    """Printing and reading an instant between the years 1 and 9999 gives it back, to the nanosecond."""
    assert instants.parse(instants.with_z(instant)) == instant
    assert instants.parse(instants.with_offset(instant)) == instant


@pytest.mark.parametrize(
    "text", ["2024-01-01", "2024-01-01T00:00:00", "2024-13-01T00:00:00Z", "2024-01-01T24:00:00Z", "2024-02-30T00:00:00Z", "now"]
)
def test_what_is_no_instant_is_told(text: str) -> None:
    """A timestamp without a zone, or of a day that does not exist, is no instant."""
    with pytest.raises(ValueError):
        instants.parse(text)
