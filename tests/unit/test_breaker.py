"""The circuit breaker, on a clock of the test's own."""

from __future__ import annotations

from bridge.embedding.breaker import FIRST_PAUSE, LAST_PAUSE, Breaker


class Clock:
    """Time that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_after_failures_in_a_row_only() -> None:
    """A success in between begins the count anew."""
    breaker = Breaker(clock=Clock(), failures=3)
    for told in (breaker.failed, breaker.failed, breaker.succeeded, breaker.failed, breaker.failed):
        told()
        assert breaker.wait() == 0
    breaker.failed()
    assert breaker.wait() == FIRST_PAUSE


def test_one_caller_tries_and_the_others_wait() -> None:
    """Its failure opens for twice as long, up to a bound; its success closes."""
    clock = Clock()
    breaker = Breaker(clock=clock, failures=1)
    breaker.failed()
    pause = FIRST_PAUSE
    for _ in range(10):
        assert breaker.wait() == pause
        clock.now += pause
        assert breaker.wait() == 0
        assert breaker.wait() > 0, "a second caller went through"
        breaker.failed()
        pause = min(pause * 2, LAST_PAUSE)
    clock.now += pause
    assert breaker.wait() == 0
    breaker.succeeded()
    assert [breaker.wait(), breaker.wait()] == [0, 0]


def test_a_caller_that_never_comes_back_does_not_close_it_for_ever() -> None:
    """It was killed, or its answer concerned the batch: another one may try."""
    clock = Clock()
    breaker = Breaker(clock=clock, failures=1)
    breaker.failed()
    clock.now += FIRST_PAUSE
    assert breaker.wait() == 0
    clock.now += FIRST_PAUSE
    assert breaker.wait() == 0


def test_it_is_left_alone_as_long_as_it_asks() -> None:
    """Also when it has failed once only."""
    clock = Clock()
    breaker = Breaker(clock=clock)
    breaker.failed(asked_for=40)
    assert breaker.wait() == 40
    clock.now += 40
    assert breaker.wait() == 0
