"""The automatic return: nothing goes back within its budget, what is beyond it does, once, whoever sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.ledger import Ledger, Serving
from bridge.reads import Mode, Reason, Route, Served, Shadow, fell_back, served, shadow, target_took, took
from bridge.returning import FAILURES, Budget, Returning, failures, since, why_back

LABEL = "public.users"
BUDGET = Budget(window=10, least=20, failed_share=0.1, p99_ms=1000.0)
HALF = Route(Mode.ENGRAM, 50, 1.0)

reasons = st.dictionaries(st.sampled_from(list(Reason)).map(fell_back), st.integers(0, 200))
names = st.dictionaries(
    st.sampled_from([served(by) for by in Served] + [shadow(found) for found in Shadow] + ["error:503"]), st.integers(0, 200)
)


@given(names, reasons)
def test_only_what_engram_answers_goes_back(counts: dict[str, int], why: dict[str, int]) -> None:
    """The other modes stay as they are, whatever was counted; `engram-only` too."""
    for route in (Route(), Route(Mode.SHADOW, 100), Route(Mode.ENGRAM, 0), Route(Mode.ENGRAM_ONLY, 100)):
        assert why_back(counts | why, route, BUDGET) is None


@given(names, reasons)
def test_failures_beyond_the_share_go_back_and_within_it_do_not(counts: dict[str, int], why: dict[str, int]) -> None:
    """The rule, said once more: mismatches, or a share of failed reads, judged from `least` reads on."""
    found = counts | why
    failed = sum(found.get(fell_back(reason), 0) for reason in FAILURES) + found.get("error:503", 0)
    reads = failed + found.get(served(Served.ENGRAM), 0)
    assert failures(found) == (reads, failed)
    wrong = found.get(shadow(Shadow.MISMATCH), 0) > 0 or (reads >= 20 and failed > 0.1 * reads)
    assert (why_back(found, HALF, BUDGET) is not None) is wrong


@given(st.integers(0, 500), st.integers(0, 20))
def test_latency_beyond_its_bound_goes_back(fast: int, slow: int) -> None:
    """p99 by the counts' own upper bounds."""
    late = fast + slow >= 20 and fast < 0.99 * (fast + slow)
    served_late = {served(Served.ENGRAM): fast + slow, took(Served.ENGRAM, 5): fast, took(Served.ENGRAM, 4000): slow}
    hedged = {served(Served.POSTGRES): fast + slow, target_took(5): fast, target_took(4000): slow}
    for counts in (served_late, hedged):
        assert (why_back(counts, HALF, BUDGET) is not None) is late


sums = st.dictionaries(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"])), st.integers(0, 50))


@given(sums, sums)
def test_what_came_between_two_looks_is_what_was_added(
    earlier: dict[tuple[int, str, str], int], more: dict[tuple[int, str, str], int]
) -> None:
    """Adding counts and looking again finds exactly those."""
    now = {key: earlier.get(key, 0) + more.get(key, 0) for key in earlier.keys() | more.keys()}
    came = since(earlier, now)
    for label in ("a", "b"):
        for what in ("x", "y"):
            added = sum(count for key, count in more.items() if key[1:] == (label, what))
            assert came.get(label, {}).get(what, 0) == added


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    book = Ledger(str(tmp_path / "ledger.db"))
    yield Serving(book)
    book.close()


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_of_several_proxies_one_takes_the_table_back(serving: Serving) -> None:
    """All see it, the route is changed once, and the audit trail has one line that says why."""
    serving.route(LABEL, Route(Mode.ENGRAM, 50), who="ann", verb="advance", detail={})
    clock = Clock()
    several = [Returning(serving, BUDGET, f"proxy {n}", clock=clock, wall=clock) for n in range(3)]
    assert [one.look() for one in several] == [[], [], []]
    serving.count({(LABEL, fell_back(Reason.ERROR)): 30}, now=clock.now)
    clock.now += 1
    assert [one.look() for one in several] == [[LABEL], [], []]
    assert serving.routes()[LABEL].mode is Mode.POSTGRES
    (act,) = [act for act in serving.audit() if act.verb == "returned"]
    assert act.who == "proxy 0"
    assert "30 of 30 reads failed" in act.detail["why"]
    assert "engram-error 30" in act.detail["why"]


def test_a_judgement_of_a_route_that_was_changed_meanwhile_counts_for_nothing(serving: Serving) -> None:
    """Between the look and the change the operator was faster."""
    serving.route(LABEL, Route(Mode.ENGRAM, 50), who="ann", verb="advance", detail={})
    seen = serving.routes()[LABEL]
    serving.route(LABEL, Route(Mode.ENGRAM, 10), who="ann", verb="advance", detail={})
    assert serving.route_from(seen, LABEL, Route(), who="proxy", verb="returned", detail={}) is None
    assert serving.routes()[LABEL].share == 10
    assert [act.verb for act in serving.audit()] == ["advance", "advance"]


def test_what_was_counted_under_an_earlier_route_does_not_count_against_the_new_one(serving: Serving) -> None:
    """After a return and a new advance the old failures are over."""
    clock = Clock()
    one = Returning(serving, BUDGET, "proxy", clock=clock, wall=clock)
    serving.route(LABEL, Route(Mode.ENGRAM, 50), who="ann", verb="advance", detail={})
    one.look()
    serving.count({(LABEL, fell_back(Reason.TIMEOUT)): 30}, now=clock.now)
    clock.now += 1
    assert one.look() == [LABEL]
    serving.route(LABEL, Route(Mode.ENGRAM, 50), who="ann", verb="advance", detail={})
    clock.now += 1
    assert one.look() == []
    clock.now += 1
    assert one.look() == []


def test_old_failures_leave_the_window(serving: Serving) -> None:
    """A few failures now and a few a minute ago are not many at once."""
    clock = Clock()
    one = Returning(serving, BUDGET, "proxy", clock=clock, wall=clock)
    serving.route(LABEL, Route(Mode.ENGRAM, 50), who="ann", verb="advance", detail={})
    one.look()
    for _ in range(6):
        serving.count({(LABEL, fell_back(Reason.TIMEOUT)): 12}, now=clock.now)
        clock.now += 6
        one.look()
        clock.now += 6
        assert one.look() == []
