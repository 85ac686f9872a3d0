"""Laws 4 and 5: positions move at commits, over what is done, and nothing else moves them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.frontier import Frontier


def test_a_transaction_that_waits_holds_back_those_behind_it() -> None:
    """The frontier passes a transaction only when all before it are done."""
    frontier = Frontier(100)
    first = frontier.begin()
    first.add()
    frontier.commit(200)
    second = frontier.begin()
    frontier.commit(300)
    assert second.complete("proven")
    assert frontier.advance("proven") == 100
    first.done("proven")
    assert frontier.advance("proven") == 300
    assert frontier.advance("written") == 100


def test_keepalives_move_a_quiet_stream_and_never_an_open_transaction() -> None:
    """A keepalive counts when nothing is open; inside a transaction it says nothing."""
    frontier = Frontier(100)
    frontier.keepalive(150)
    assert frontier.advance("proven") == 150
    token = frontier.begin()
    token.add()
    frontier.keepalive(500)
    assert frontier.advance("proven") == 150
    frontier.commit(400)
    token.done("proven")
    assert frontier.advance("proven") == 400


def test_a_keepalive_waits_for_what_was_sent_before_it() -> None:
    """A keepalive behind an unproven transaction moves nothing until that is proven."""
    frontier = Frontier(100)
    token = frontier.begin()
    token.add()
    frontier.commit(200)
    for position in (250, 260, 270):
        frontier.keepalive(position)
    assert frontier.advance("proven") == 100
    assert frontier.waiting == 2, "keepalives in a row are one"
    token.done("proven")
    assert frontier.advance("proven") == 270


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_frontier_is_the_longest_finished_prefix(works: list[int], chance: object) -> None:
    """In whatever order works end, the frontier is the end of the longest prefix of finished transactions."""
    frontier = Frontier(0)
    tokens = []
    for number, count in enumerate(works, 1):
        token = frontier.begin()
        token.add(count)
        frontier.commit(number * 10)
        tokens.append(token)
    left = [number for number, count in enumerate(works) for _ in range(count)]
    chance.shuffle(left)  # type: ignore[attr-defined]
    open_works = list(works)
    for number in left:
        tokens[number].done("proven")
        open_works[number] -= 1
        prefix = next((i for i, count in enumerate(open_works) if count), len(works))
        assert frontier.advance("proven") == prefix * 10


def test_a_new_connection_begins_at_the_confirmed_position() -> None:
    """After a reconnect what was open is delivered again: its old token moves nothing any more."""
    frontier = Frontier(100)
    old = frontier.begin()
    old.add()
    frontier.restart(100)
    again = frontier.begin()
    again.add()
    frontier.commit(200)
    old.done("proven")
    assert frontier.advance("proven") == 100
    again.done("proven")
    assert frontier.advance("proven") == 200


def test_what_is_covered_follows_marks_only() -> None:
    """Neither a commit nor a keepalive tells how fresh all is: a mark that the proven position has passed does."""
    frontier = Frontier(100)
    frontier.mark(300, 5.0)
    token = frontier.begin()
    token.add()
    frontier.commit(200)
    frontier.keepalive(400)
    frontier.advance("proven")
    assert frontier.covered == 0.0, "behind an unproven transaction nothing is covered"
    assert not frontier.passes(300)
    token.done("proven")
    assert frontier.passes(300)
    assert frontier.advance("proven") == 400
    assert frontier.covered == 5.0
    frontier.mark(400, 4.0)
    frontier.advance("proven")
    assert frontier.covered == 4.0, "our clock was set back: the newest mark counts, not the highest"


def test_a_mark_waits_for_a_look_that_began_after_it() -> None:
    """What no message tells has to be looked for: a look that was under way when the mark was made may have missed it."""
    frontier = Frontier(100)
    frontier.look_first()
    began = frontier.marked
    frontier.mark(100, 5.0)
    frontier.looked(began)
    frontier.advance("proven")
    assert frontier.covered == 0.0
    began = frontier.marked
    frontier.mark(100, 6.0)
    frontier.looked(began)
    frontier.advance("proven")
    assert frontier.covered == 5.0
    frontier.looked(frontier.marked)
    frontier.advance("proven")
    assert frontier.covered == 6.0


@given(st.lists(st.tuples(st.sampled_from(["commit", "keepalive", "mark", "done", "restart"]), st.integers(1, 3)), max_size=40))
def test_no_mark_counts_before_its_position_is_proven(acts: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order: what is covered was marked at or below the proven position."""
    frontier = Frontier(0)
    end, moment, marks, tokens = 0, 0.0, {0.0: 0}, []
    for what, many in acts:
        end, moment = end + 10, moment + 1
        if what == "commit":
            token = frontier.begin()
            token.add(many)
            tokens += [token] * many
            frontier.commit(end)
        elif what == "keepalive":
            frontier.keepalive(end)
        elif what == "mark":
            frontier.mark(end, moment)
            marks[moment] = end
        elif what == "restart":
            frontier.restart(frontier.positions["proven"])
            tokens = []
        elif tokens:
            tokens.pop(many % len(tokens)).done("proven")
        foreseen = max((mark for mark in marks.values() if frontier.passes(mark)), default=0)
        proven = frontier.advance("proven")
        assert marks[frontier.covered] <= proven
        assert foreseen <= proven
