"""Whose turn it is at a model: the stream first, and nobody never."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from bridge.embedding.turns import URGENT_IN_A_ROW, Turns


def wait_until(true: Callable[[], bool]) -> None:
    """Poll."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def order_of(urgent: int, others: int) -> list[str]:
    """Who had turns in what order, when so many of each wait at the same time."""
    turns, order = Turns(), []

    def take(name: str) -> None:
        with turns.turn(urgent=name == "stream"):
            order.append(name)

    with turns.turn(urgent=False):
        waiting = [threading.Thread(target=take, args=(name,)) for name in ["background"] * others + ["stream"] * urgent]
        for thread in waiting:
            thread.start()
        wait_until(lambda: turns._urgent == urgent and turns._others == others)
    for thread in waiting:
        thread.join()
    return order


def test_the_stream_goes_first() -> None:
    """Though it came last."""
    assert order_of(2, 3) == ["stream"] * 2 + ["background"] * 3


def test_the_background_gets_on() -> None:
    """However much of the stream waits."""
    assert order_of(10, 1).index("background") == URGENT_IN_A_ROW


def test_one_at_a_time() -> None:
    """And a turn that ends by an error is over."""
    turns, inside, worst = Turns(), [0], [0]

    def work(urgent: bool) -> None:
        for _ in range(200):
            try:
                with turns.turn(urgent=urgent):
                    inside[0] += 1
                    worst[0] = max(worst[0], inside[0])
                    inside[0] -= 1
                    raise ValueError
            except ValueError:
                pass

    threads = [threading.Thread(target=work, args=(number % 2 == 0,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worst == [1]
