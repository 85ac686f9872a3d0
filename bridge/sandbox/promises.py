"""What a proxy promises of its answers, and whether a history of writes and reads has kept it. Pure.

A row is a sequence of *states*, each from one commit on. Nobody sees the instant of a commit, so a state has two moments:
`began`, before which nobody can have seen it, and `seen`, from which on PostgreSQL shows it to everybody; and an LSN at or behind
the end of its commit. An answer is permitted if it is some state that had begun when the answer came, and that was not superseded

- at the moment of the request less the staleness that was granted (none, if PostgreSQL answered);
- at the moment of the request less the staleness that the answer itself states;
- at the request's `X-Min-Lsn`, nor at the frontier that the answer states.

So a judgement never depends on how long anything took: what is blamed was certainly wrong.
"""

from __future__ import annotations

import enum
import math
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

UNKNOWN = math.inf
"""`seen` of a state whose COMMIT got no answer: it may be there, and supersedes nothing."""


@dataclass(frozen=True, slots=True)
class State:
    """What a row is from a commit on; `value` None: there is no row. Moments are seconds since 1970."""

    value: str | None
    began: float
    seen: float
    lsn: int


@dataclass(frozen=True, slots=True)
class Read:
    """One row that was asked for. `status` None: nothing answered. `granted`: the staleness that the request allowed, seconds.

    `stated` and `frontier` are what the answer says of itself, where it does. `value` is that of a state, None with 404.
    """

    key: Hashable
    asked: float
    answered: float
    status: int | None
    value: str | None = None
    by: str = ""
    granted: float = 0.0
    min_lsn: int = 0
    stated: float | None = None
    frontier: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which something was away: `proxy`, `postgres` or `bridge`; `engram-only`: PostgreSQL was not to be asked."""

    what: str
    began: float
    ended: float


class Fault(enum.StrEnum):
    """How a promise was broken."""

    WRONG = "wrong"
    """A value that never was, or that was not yet."""
    DELETED = "deleted"
    """A row that had been deleted."""
    LOST = "lost"
    """404 for a row that was there."""
    STALE = "stale"
    """An older state than promised."""
    OVERDUE = "overdue"
    """Engram answered though the bridge had been dead for longer than the staleness granted."""
    ERROR = "error"
    """No answer, or none that a caller can use, without an excuse."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that was broken, with what an answer could have been."""

    fault: Fault
    read: Read
    permitted: tuple[str | None, ...] = ()
    why: str = ""


@dataclass(slots=True)
class Verdict:
    """What became of all reads. `by` counts rows by who answered; `excused` those that nobody answered, by what was away."""

    reads: int = 0
    by: dict[str, int] = field(default_factory=dict)
    excused: dict[str, int] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)

    def count(self, *faults: Fault) -> int:
        """How many promises were broken so."""
        return sum(one.fault in faults for one in self.broken)


class History:
    """The states of one row, in the order of their commits; before the first of them there is no row."""

    def __init__(self, states: Iterable[State] = ()) -> None:
        self.states = [State(None, -math.inf, -math.inf, 0), *states]
        known = [(index, state) for index, state in enumerate(self.states) if state.seen != UNKNOWN]
        self._places = [index for index, _state in known]
        self._seen = _no_later_than_the_next(state.seen for _index, state in known)
        self._lsns = _no_later_than_the_next(state.lsn for _index, state in known)
        self._began = _no_later_than_the_next(state.began for state in self.states)

    def permitted(self, asked: float, answered: float, lsn: int) -> Sequence[State]:
        """The states that may be answered: from the one that everybody saw at `asked`, or that ended by `lsn`, to the last one
        that had begun at `answered`."""
        first = max(bisect_left(self._seen, asked), bisect_right(self._lsns, lsn)) - 1
        last = bisect_right(self._began, answered)
        return self.states[self._places[max(first, 0)] : last]


def _no_later_than_the_next(numbers: Iterable[float]) -> list[float]:
    """The numbers, none greater than one behind it: whoever has seen a later state has an earlier one behind him."""
    least = math.inf
    found = []
    for number in reversed(list(numbers)):
        least = min(least, number)
        found.append(least)
    return found[::-1]


def judge(histories: Mapping[Hashable, History], reads: Iterable[Read], outages: Sequence[Outage] = ()) -> Verdict:
    """Hold every read against the history of its row; a row without one never was."""
    verdict = Verdict()
    nothing = History()
    for read in reads:
        verdict.reads += 1
        if read.status in (200, 304, 404):
            verdict.by[read.by] = verdict.by.get(read.by, 0) + 1
            broken = _answer(histories.get(read.key, nothing), read) or _overdue(read, outages)
        else:
            excuse = _excuse(read, outages)
            broken = Broken(Fault.ERROR, read, why=read.note) if excuse is None else None
            if excuse is not None:
                verdict.excused[excuse] = verdict.excused.get(excuse, 0) + 1
        if broken is not None:
            verdict.broken.append(broken)
    return verdict


def _answer(history: History, read: Read) -> Broken | None:
    from_postgres = read.by == "postgres"
    staleness = 0.0 if from_postgres else min(read.granted, read.granted if read.stated is None else read.stated)
    lsn = read.min_lsn if from_postgres else max(read.min_lsn, read.frontier)
    value = None if read.status == 404 else read.value
    states = history.permitted(read.asked - staleness, read.answered, lsn)
    permitted = tuple(dict.fromkeys(state.value for state in states))
    if value in permitted:
        return None
    before = [index for index, state in enumerate(history.states) if state.value == value and state.began <= read.answered]
    if value is None:
        fault = Fault.LOST
    elif not before:
        fault = Fault.WRONG
    else:
        fault = Fault.DELETED if states[0].value is None else Fault.STALE
    return Broken(fault, read, permitted)


def _overdue(read: Read, outages: Sequence[Outage]) -> Broken | None:
    if read.by == "postgres":
        return None
    for outage in outages:
        if outage.what == "bridge" and outage.began + read.granted < read.asked and read.answered < outage.ended:
            dead = read.asked - outage.began
            return Broken(Fault.OVERDUE, read, why=f"the bridge had been dead for {dead:.1f} s")
    return None


def _excuse(read: Read, outages: Sequence[Outage]) -> str | None:
    """A refused connection while the proxy was away; an honest 503 while PostgreSQL was, or while nobody was to ask it."""
    excuses = {None: ("proxy",), 503: ("postgres", "engram-only")}.get(read.status, ())
    return next(
        (one.what for one in outages if one.what in excuses and one.began <= read.answered and read.asked <= one.ended), None
    )
