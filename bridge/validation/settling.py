"""Telling a difference from lag, while the stream runs.

Two sides are never read at one moment. A difference is lag until the frontier has passed a WAL position taken after PostgreSQL
was read; then both are read again. It is true when both sides stand exactly as they stood, unlike, over *two* such fences: over
one, a row that changed to and fro could still show what lies between. What keeps changing is neither, and said to be unsettled.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bridge.lsn import Lsn

FENCES = 2
ROUNDS = 8

Problem = TypeVar("Problem")


@dataclass(frozen=True, slots=True)
class Look(Generic[Problem]):
    """Both sides of one key: a mark that changes when either does, and what is wrong between them."""

    mark: Hashable
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class Settled(Generic[Problem]):
    """What became of the keys that looked wrong at first."""

    true: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    lag: int = 0
    unsettled: list[str] = field(default_factory=list)


def settle(
    keys: Sequence[str],
    look: Callable[[Sequence[str]], tuple[Mapping[str, Look[Problem]], Lsn]],
    passed: Callable[[Lsn], bool],
) -> Settled[Problem]:
    """Look at keys until each is right, truly wrong, or given up. `look` answers a WAL position taken after PostgreSQL was read;
    `passed` waits until the frontier has passed it, False when it does not."""
    looks, fence = look(keys)
    waiting = {key: (found, 0) for key, found in looks.items() if found.problems}
    settled: Settled[Problem] = Settled()
    for _round in range(ROUNDS):
        if not waiting or not passed(fence):
            break
        looks, fence = look(list(waiting))
        for key, (before, times) in list(waiting.items()):
            now = looks[key]
            if not now.problems:
                settled.lag += 1
                del waiting[key]
            elif now.mark != before.mark:
                waiting[key] = (now, 0)
            elif times + 1 == FENCES:
                settled.true[key] = now.problems
                del waiting[key]
            else:
                waiting[key] = (now, times + 1)
    settled.unsettled = list(waiting)
    return settled
