"""The checker of histories: an honest server is never blamed, and each way of breaking a promise is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.sandbox.promises import UNKNOWN, Fault, History, Outage, Read, State, judge

GRANTED = 5.0

# Written at 10, changed at 20, deleted at 30, written again at 40; each known to all a second later.
STATES = (
    State("one", 10, 11, 100),
    State("two", 20, 21, 200),
    State(None, 30, 31, 300),
    State("three", 40, 41, 400),
)


def read(asked: float, value: str | None, **more: object) -> Read:
    given_ = {"status": 404 if value is None else 200, "by": "engram", "granted": GRANTED, "answered": asked + 0.5, **more}
    return Read("row", asked, value=value, **given_)  # type: ignore[arg-type]


def fault(one: Read, *outages: Outage, states: tuple[State, ...] = STATES) -> Fault | None:
    broken = judge({"row": History(states)}, [one], outages).broken
    return broken[0].fault if broken else None


@pytest.mark.parametrize(
    "honest",
    [
        read(5, None),
        read(10.4, "one"),  # answered when it had begun
        read(10.4, None),
        read(25, "one"),  # superseded at 21, five seconds are granted
        read(25, "two"),
        read(35, "two"),
        read(35, None),
        read(44, None),
        read(44, "three"),
        read(21, "one", by="postgres"),
        read(35, None, by="postgres"),
        read(25, "two", min_lsn=200),
        read(25, "one", min_lsn=199, frontier=150, stated=4.0),
    ],
)
def test_what_is_permitted_is_not_blamed(honest: Read) -> None:
    assert fault(honest) is None


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        (read(25, "never"), Fault.WRONG),
        (read(25, "three"), Fault.WRONG),  # from the future
        (read(9, "one"), Fault.WRONG),
        (read(27, "one"), Fault.STALE),
        (read(47, "two"), Fault.STALE),
        (read(37, "two"), Fault.DELETED),
        (read(37, "one"), Fault.DELETED),
        (read(17, None), Fault.LOST),
        (read(27, None), Fault.LOST),
        (read(47, None), Fault.LOST),
        (read(22, "one", by="postgres"), Fault.STALE),
        (read(32, "two", by="postgres"), Fault.DELETED),
        (read(42, None, by="postgres"), Fault.LOST),
        (read(21, "one", min_lsn=200), Fault.STALE),  # granted by time, not by the LSN
        (read(31, "two", min_lsn=300), Fault.DELETED),
        (read(41, None, min_lsn=400), Fault.LOST),
        (read(21, "one", min_lsn=200, by="postgres"), Fault.STALE),
        (read(25, "one", frontier=200), Fault.STALE),  # it says itself that it knows better
        (read(25, "one", stated=3.0), Fault.STALE),
        (read(33, "two", stated=1.0), Fault.DELETED),
        (read(25, None, status=500), Fault.ERROR),
        (read(25, None, status=400), Fault.ERROR),
        (read(25, None, status=503), Fault.ERROR),
        (read(25, None, status=None), Fault.ERROR),
    ],
)
def test_each_broken_promise_is_named(planted: Read, expected: Fault) -> None:
    assert fault(planted) is expected


def test_a_row_without_a_history_never_was() -> None:
    assert judge({}, [read(5, "ghost")]).broken[0].fault is Fault.WRONG
    assert judge({}, [read(5, None)]).broken == []


def test_a_commit_without_an_answer_may_have_happened_or_not() -> None:
    """It permits both, and what comes after it counts as ever."""
    states = (STATES[0], State("maybe", 20, UNKNOWN, 0), State("after", 40, 41, 400))
    for value in ("one", "maybe"):
        assert fault(read(39, value), states=states) is None
        assert fault(read(47, value), states=states) is Fault.STALE
    assert fault(read(39, None), states=states) is Fault.LOST
    assert fault(read(15, "maybe"), states=states) is Fault.WRONG


@pytest.mark.parametrize(("what", "status"), [("proxy", None), ("postgres", 503), ("engram-only", 503)])
def test_an_outage_excuses_its_own_errors_and_no_others(what: str, status: int | None) -> None:
    away = Outage(what, 20, 24)
    unanswered = read(25, None, status=status)
    for asked, answered in ((19, 20.5), (21, 22), (23.5, 30)):
        assert fault(replace(unanswered, asked=asked, answered=answered), away) is None
    for asked, answered in ((18, 19.5), (24.5, 25)):
        assert fault(replace(unanswered, asked=asked, answered=answered), away) is Fault.ERROR
    for other in {None, 500, 502, 503} - {status}:
        assert fault(replace(unanswered, asked=21, answered=22, status=other), away) is Fault.ERROR


def test_no_outage_excuses_a_wrong_answer() -> None:
    everything = [Outage(what, -math.inf, math.inf) for what in ("proxy", "postgres", "engram-only")]
    assert fault(read(37, "two"), *everything) is Fault.DELETED
    assert fault(read(47, None), *everything) is Fault.LOST


def test_engram_must_not_answer_when_the_bridge_is_dead_for_too_long() -> None:
    """Even if what it says is true by luck."""
    dead = Outage("bridge", 42, 60)
    assert fault(read(46.9, "three"), dead) is None
    assert fault(read(47.1, "three"), dead) is Fault.OVERDUE
    assert fault(read(47.1, "three", by="postgres"), dead) is None
    assert fault(read(60.1, "three"), dead) is None


def test_what_is_counted() -> None:
    reads = [read(25, "two"), read(25, "two", by="postgres"), read(37, "two"), read(25, None, status=503)]
    verdict = judge({"row": History(STATES)}, reads, [Outage("postgres", 20, 30)])
    assert (verdict.reads, verdict.by, verdict.excused) == (4, {"engram": 2, "postgres": 1}, {"postgres": 1})
    assert verdict.count(Fault.DELETED, Fault.STALE) == 1


@st.composite
def honest(draw: st.DrawFn) -> tuple[History, Read, list[tuple[float, State]]]:
    """A row with its true instants of commit, and an answer of a replica that is as old as it may be."""
    instants = sorted(draw(st.lists(st.floats(0, 100), min_size=1, max_size=8, unique=True)))
    states = []
    for number, at in enumerate(instants):
        began, seen = at - draw(st.floats(0, 3)), at + draw(st.floats(0, 3))
        value = draw(st.sampled_from([None, f"v{number}"]))
        states.append(State(value, began, seen, 100 * number + draw(st.integers(50, 99))))
    asked = draw(st.floats(-5, 110))
    answered = asked + draw(st.floats(0, 10))
    granted = draw(st.floats(0, 10))
    looked = draw(st.floats(asked, answered))  # when the server made up its mind
    at = draw(st.floats(looked - granted, answered))
    shown = [state for instant, state in zip(instants, states, strict=True) if instant <= at]
    value = shown[-1].value if shown else None
    one = Read("row", asked, answered, 404 if value is None else 200, value, "engram", granted)
    return History(states), one, list(zip(instants, states, strict=True))


@given(honest())
def test_an_honest_replica_is_never_blamed(drawn: tuple[History, Read, list[tuple[float, State]]]) -> None:
    """However vague the moments are that the checker knows."""
    history, one, _truth = drawn
    assert judge({"row": history}, [one]).broken == []


@given(honest(), st.floats(0.001, 20))
def test_what_was_superseded_for_longer_than_granted_is_always_blamed(
    drawn: tuple[History, Read, list[tuple[float, State]]], late: float
) -> None:
    history, one, truth = drawn
    for place, (_instant, state) in enumerate(truth[:-1]):
        if state.value is None:
            continue
        seen = max(other.seen for _at, other in truth[: place + 2])
        old = replace(one, value=state.value, status=200, asked=seen + one.granted + late, answered=seen + one.granted + late + 1)
        assert judge({"row": history}, [old]).broken
