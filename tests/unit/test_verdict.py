"""The verdict: each broken condition of law 7 is told by its own reason, and nothing else keeps Engram from answering."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from api.verdict import ABSENT, against_route, none_for_engram, unproven, why_not
from bridge.ledger import KeyStanding, Standing, TableStanding
from bridge.reads import Mode, Reason, Route

NOW = 1_800_000_000.0
KEY = "7"
ALL = Route(Mode.ENGRAM, 100)

lsns = st.integers(1, 1 << 60)


@st.composite
def well(draw: st.DrawFn) -> Standing:
    """A standing in which everything is as it has to be."""
    proven = draw(lsns)
    table = TableStanding(
        number=draw(st.integers(1, 9)),
        origin=1,
        state="loaded",
        reached=draw(st.integers(0, proven)),
        floor="",
        spaces=("users",),
        route=ALL,
        proven=proven,
        covered=NOW - draw(st.floats(0, 4.9)),
        resync=None,
        looked=proven + draw(st.integers(0, 9)),
        epoch="e",
    )
    key = KeyStanding(KEY, "0001:1:1", "d", True, draw(st.integers(0, proven)), "users", None, True)
    return Standing(table, {KEY: key})


BROKEN = {
    Reason.STOPPED: lambda s: table(s, state="stopped"),
    Reason.NOT_LOADED: lambda s: table(s, state="loading"),
    Reason.CATCHING_UP: lambda s: table(s, reached=s.table.proven + 1),
    Reason.READING_AGAIN: lambda s: table(s, resync="asked"),
    Reason.STALE: lambda s: table(s, covered=NOW - 5.1),
    Reason.PARKED: lambda s: entry(s, parked="too_large"),
    Reason.REFRESHED: lambda s: entry(s, refreshed=s.table.proven + 1),
    Reason.UNKNOWN_KEY: lambda s: entry(s, version=None, space=None, live=False, compared=False),
    Reason.DELETED: lambda s: entry(s, live=False),
    Reason.NOT_COMPARED: lambda s: entry(s, compared=False),
}
"""How each condition breaks, in the order in which they are told."""


def table(standing: Standing, **changed: object) -> Standing:
    return Standing(replace(standing.table, **changed), standing.keys)  # type: ignore[arg-type]


def entry(standing: Standing, **changed: object) -> Standing:
    return Standing(standing.table, {KEY: replace(standing.keys[KEY], **changed)})  # type: ignore[arg-type]


def told(standing: Standing, min_lsn: int = 0) -> Reason | None:
    return unproven(standing, KEY, now=NOW, max_staleness=5.0, min_lsn=min_lsn)


@given(well())
def test_nothing_broken_means_engram(standing: Standing) -> None:
    """Where all conditions hold, up to the frontier's own position, there is no reason against it."""
    assert told(standing) is None
    assert told(standing, standing.table.proven) is None
    assert why_not(standing, KEY, now=NOW, max_staleness=5.0, min_lsn=0, memory_id="users_7") is None


@given(well(), st.sets(st.sampled_from(list(BROKEN)), min_size=1))
def test_each_broken_condition_has_its_reason(standing: Standing, broken: set[Reason]) -> None:
    """However many are broken, Engram does not answer, and what is told is one that is broken: the first of them."""
    for reason in sorted(broken, key=list(BROKEN).index, reverse=True):
        standing = BROKEN[reason](standing)
    assert told(standing) is min(broken, key=list(BROKEN).index)


@given(well(), st.integers(1, 1 << 40))
def test_a_position_beyond_the_frontier_is_not_covered(standing: Standing, beyond: int) -> None:
    """X-Min-Lsn that the frontier has not passed."""
    assert told(standing, standing.table.proven + beyond) is Reason.MIN_LSN
    unseen = table(standing, looked=standing.table.proven - 1)
    assert told(unseen) is None
    assert told(unseen, standing.table.proven) is Reason.MIN_LSN, "a column may have come that nobody has seen yet"


@given(well(), st.sampled_from(sorted(ABSENT)))
def test_an_absence_implies_that_the_table_is_well(standing: Standing, absent: Reason) -> None:
    """A reason of the key is told only when none of the table holds, so an absence can be an answer by itself."""
    standing = BROKEN[absent](standing)
    for reason in list(BROKEN)[:7]:
        assert told(BROKEN[reason](standing)) is reason


@given(st.text(max_size=20), st.integers(0, 100), st.integers(0, 100))
def test_the_route_decides_first(memory_id: str, smaller: int, larger: int) -> None:
    """Modes that leave the answer to PostgreSQL say so; a share takes the same keys each time, and grows by adding keys."""
    assert against_route(Route(), memory_id) is Reason.MODE
    assert against_route(Route(Mode.SHADOW, 100), memory_id) is Reason.SHADOW
    assert against_route(Route(Mode.ENGRAM_ONLY), memory_id) is None
    assert against_route(Route(Mode.ENGRAM, 100), memory_id) is None
    assert against_route(Route(Mode.ENGRAM, 0), memory_id) is Reason.SHARE
    smaller, larger = sorted((smaller, larger))
    if against_route(Route(Mode.ENGRAM, smaller), memory_id) is None:
        assert against_route(Route(Mode.ENGRAM, larger), memory_id) is None


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5), st.sampled_from(list(Mode)), st.integers(0, 100))
def test_nobody_waits_for_a_position_that_only_postgres_is_asked_for(keys: list[str], mode: Mode, share: int) -> None:
    """The frontier matters as soon as Engram may answer for one of the keys."""
    route = Route(mode, share)
    wanted = any(mode is Mode.ENGRAM_ONLY or (mode is Mode.ENGRAM and route.takes("t_" + key)) for key in keys)
    assert none_for_engram(route, "t_", keys) is not wanted
