"""Misbehaviour on a schedule, which the real server has no switch for.

A schedule is a list of rules. A rule names a call, what is to go wrong with it and when:

    {"on": "Remember", "do": "lose_reply", "every": 10, "after": 100, "count": 3}
    {"on": "*", "do": "slow", "seconds": 0.5, "probability": 0.01, "seed": 7}

`on` is a call (see CALLS) or `*`. Remember counts every write, be it over HTTP, alone or as a message of a
StreamingRemember. `about` strikes only at calls whose request (over HTTP: path) contains this text. `after` lets that
many matching calls pass first, `every` takes each n-th of the following (each one if it is missing), `probability`
takes them by chance, and `count` ends the rule after it struck that often.

    slow        answer after `seconds`, in the ordinary way
    refuse      gRPC UNAVAILABLE, HTTP 503; nothing is applied
    5xx         gRPC INTERNAL, HTTP 500; nothing is applied
    lose_reply  it is applied, then the reply is lost: gRPC UNAVAILABLE, or the HTTP connection is closed
    drop        a write or a forget is acknowledged as usual and not made
    die         the process is gone at once, with status 137
"""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

WRITES: Final = ("Remember", "Forget")
CALLS: Final = (*WRITES, "Recall", "Associate", "Introspect", "GET", "list", "search", "recall", "spaces", "health")
DEEDS: Final = ("slow", "refuse", "5xx", "lose_reply", "drop", "die")
_KEYS: Final = frozenset({"on", "do", "every", "probability", "seed", "after", "count", "seconds", "about"})


class BadSchedule(ValueError):
    """A schedule of faults is not what it should be."""


@dataclass(slots=True)
class Rule:
    """One line of a schedule, and how often it met a call and struck."""

    on: str
    do: str
    every: int = 1
    probability: float | None = None
    seed: int = 0
    after: int = 0
    count: int | None = None
    seconds: float = 0.0
    about: str = ""
    seen: int = 0
    fired: int = 0
    chance: random.Random = field(default_factory=random.Random, repr=False)

    @classmethod
    def read(cls, source: Mapping[str, object]) -> "Rule":
        """The rule that a JSON object describes; BadSchedule says what is wrong with it."""
        unknown = set(source) - _KEYS
        if unknown:
            raise BadSchedule(f"A rule of faults has no key {', '.join(sorted(unknown))}; it knows {', '.join(_KEYS)}.")
        on, do = source.get("on"), source.get("do")
        if on != "*" and on not in CALLS:
            raise BadSchedule(f"A rule's `on` must be * or one of {', '.join(CALLS)}, not {on!r}.")
        if do not in DEEDS:
            raise BadSchedule(f"A rule's `do` must be one of {', '.join(DEEDS)}, not {do!r}.")
        if do == "drop" and on not in (*WRITES, "*"):
            raise BadSchedule(f"Only Remember and Forget can be dropped, not {on}.")
        probability = source.get("probability")
        seed = _whole(source, "seed", 0, 0)
        return cls(
            on=str(on),
            do=str(do),
            every=_whole(source, "every", 1, 1),
            probability=None if probability is None else _number(source, "probability"),
            seed=seed,
            after=_whole(source, "after", 0, 0),
            count=None if source.get("count") is None else _whole(source, "count", 0, 0),
            seconds=_number(source, "seconds"),
            about=str(source.get("about", "")),
            chance=random.Random(seed),
        )

    def strikes(self, call: str, request: bytes) -> bool:
        """Whether this rule strikes at this call; it counts both."""
        if self.about.encode() not in request:
            return False
        if self.on not in ("*", call) or (self.do == "drop" and call not in WRITES):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.count is not None and self.fired >= self.count):
            return False
        if (self.seen - self.after) % self.every:
            return False
        if self.probability is not None and self.chance.random() >= self.probability:
            return False
        self.fired += 1
        return True

    def shown(self) -> dict[str, object]:
        """The rule as JSON, with its counters."""
        given: dict[str, object] = {"on": self.on, "do": self.do, "every": self.every, "after": self.after}
        given |= {"probability": self.probability, "seed": self.seed, "count": self.count, "seconds": self.seconds}
        given |= {"about": self.about} if self.about else {}
        return given | {"seen": self.seen, "fired": self.fired}


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one call: a delay, and then a deed, or none."""

    seconds: float = 0.0
    do: str | None = None


NO_FAULT: Final = Fault()


class Schedule:
    """The rules in force, and how many calls of each kind were made."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = list(rules)
        self._calls: Counter[str] = Counter()

    def replace(self, rules: Sequence[Rule]) -> None:
        """Put other rules in force; their counters begin anew."""
        self._rules = list(rules)

    def next(self, call: str, request: bytes) -> Fault:
        """What goes wrong with this call. Delays add up; of the rest the first rule that strikes decides."""
        self._calls[call] += 1
        if not self._rules:
            return NO_FAULT
        seconds = 0.0
        deed: str | None = None
        for rule in self._rules:
            if deed is not None and rule.do != "slow":
                continue
            if rule.strikes(call, request):
                if rule.do == "slow":
                    seconds += rule.seconds
                else:
                    deed = rule.do
        return Fault(seconds, deed)

    def shown(self) -> dict[str, object]:
        """Rules and counters as JSON."""
        return {"rules": [rule.shown() for rule in self._rules], "calls": dict(self._calls)}


def read_rules(document: object) -> list[Rule]:
    """The rules in a JSON document: a list of them, or an object with such a list under `rules`."""
    if isinstance(document, Mapping):
        document = document.get("rules")
    if not isinstance(document, list) or not all(isinstance(entry, Mapping) for entry in document):
        raise BadSchedule('A schedule of faults is a JSON list of objects, or {"rules": [...]}.')
    return [Rule.read(entry) for entry in document]


def read_file(path: Path) -> list[Rule]:
    """The rules in a file."""
    try:
        return read_rules(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise BadSchedule(f"{path} is not JSON: {error}.") from error


def _number(source: Mapping[str, object], key: str) -> float:
    value = source.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise BadSchedule(f"A rule's `{key}` must be a number of 0 or more, not {value!r}.")
    return float(value)


def _whole(source: Mapping[str, object], key: str, default: int, least: int) -> int:
    value = source.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BadSchedule(f"A rule's `{key}` must be a whole number of {least} or more, not {value!r}.")
    return value
