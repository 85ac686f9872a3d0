"""What the read side counts and how reads are routed: names that proxies write, and that gates, page, status and metrics read.

Pure. Counts stand in the ledger by table and minute (`bridge.ledger.serving`), so they are those of all proxies together and
outlive each of them. A name is `<group>:<item>`; the sets below are all there are, so nothing that a caller sends can make a new
one.
"""

from __future__ import annotations

import enum
import functools
import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Counts: TypeAlias = Mapping[str, int]


class Mode(enum.StrEnum):
    """Where the reads of a table go."""

    POSTGRES = "postgres"
    SHADOW = "shadow"
    ENGRAM = "engram"
    ENGRAM_ONLY = "engram-only"


class Reason(enum.StrEnum):
    """Why PostgreSQL answered and not Engram: the value of `X-Fallback-Reason`."""

    MODE = "mode"
    SHARE = "share"
    SHADOW = "shadow"
    NOT_LOADED = "not-loaded"
    CATCHING_UP = "catching-up"
    READING_AGAIN = "reading-again"
    STOPPED = "stopped"
    STALE = "stale"
    MIN_LSN = "min-lsn"
    UNKNOWN_KEY = "unknown-key"
    DELETED = "deleted"
    PARKED = "parked"
    NOT_COMPARED = "not-compared"
    REFRESHED = "refreshed"
    LEDGER = "ledger-unavailable"
    MISSING = "engram-missing"
    DIFFERS = "engram-differs"
    ERROR = "engram-error"
    TIMEOUT = "engram-timeout"
    SLOW = "engram-slow"
    BREAKER = "breaker-open"
    NOT_SEARCHABLE = "not-searchable"
    CROWDED = "crowded"
    EMBEDDER = "embedder-unavailable"


class Served(enum.StrEnum):
    """Who answered: the value of `X-Served-By`."""

    ENGRAM = "engram"
    POSTGRES = "postgres"
    LEDGER = "ledger"


class Shadow(enum.StrEnum):
    """What a comparison of both answers found."""

    SAME = "same"
    LAG = "lag"
    MISMATCH = "mismatch"
    UNSETTLED = "unsettled"
    """The row changed all the time, or one side did not answer: nothing is known."""


FOREIGN_REASONS = frozenset({Reason.MODE, Reason.SHARE, Reason.SHADOW})
"""Not failures: the operator wants it so."""

BOUNDS_MS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 2000, 5000, 10000)
"""Upper bounds of the latency counts; what is longer counts as `more`."""


@functools.cache
def served(by: Served) -> str:
    """The name under which an answer is counted."""
    return f"served:{by.value}"


@functools.cache
def fell_back(reason: Reason) -> str:
    """The name under which the reason of an answer of PostgreSQL is counted, beside `served`."""
    return f"reason:{reason.value}"


def referenced(by: Served) -> str:
    """The name under which an answer about a row's references is counted."""
    return f"references:{by.value}"


def searched(by: Served, reason: Reason | None = None) -> str:
    """The name under which a search in a table is counted: by who answered, and why it was not Engram."""
    return f"search:{by.value}" if reason is None else f"search-reason:{reason.value}"


@functools.cache
def failed(status: int) -> str:
    """The name under which an answer that nobody could give is counted: 5xx only, by status."""
    return f"error:{status}"


@functools.cache
def shadow(found: Shadow) -> str:
    """The name under which a comparison is counted."""
    return f"shadow:{found.value}"


def took(by: Served, milliseconds: float) -> str:
    """The name under which the time of an answer is counted."""
    place = bisect_left(BOUNDS_MS, milliseconds)
    return f"ms:{by.value}:{BOUNDS_MS[place] if place < len(BOUNDS_MS) else 'more'}"


def target_took(milliseconds: float) -> str:
    """The name under which the time that Engram itself took for a GET is counted, whoever answered in the end."""
    place = bisect_left(BOUNDS_MS, milliseconds)
    return f"ms:target:{BOUNDS_MS[place] if place < len(BOUNDS_MS) else 'more'}"


def group(counts: Counts, name: str) -> dict[str, int]:
    """The items of a group: `group(counts, "served")` answers {"engram": 12, …}."""
    return {what.partition(":")[2]: count for what, count in counts.items() if what.partition(":")[0] == name}


def total(counts: Iterable[Counts]) -> dict[str, int]:
    """Counts of several tables or minutes, added up."""
    sums: dict[str, int] = {}
    for one in counts:
        for what, count in one.items():
            sums[what] = sums.get(what, 0) + count
    return sums


def quantile(counts: Counts, who: str, share: float) -> float | None:
    """An upper bound of the time, milliseconds, within which that share of the answers came; None without any, inf beyond all."""
    times = {item.partition(":")[2]: count for item, count in group(counts, "ms").items() if item.partition(":")[0] == who}
    wanted = share * sum(times.values())
    if not wanted:
        return None
    seen = 0
    for bound in BOUNDS_MS:
        seen += times.get(str(bound), 0)
        if seen >= wanted:
            return float(bound)
    return float("inf")


@dataclass(frozen=True, slots=True)
class Route:
    """Where the reads of a table go.

    `share`: percent of its keys that Engram answers, in the mode `engram`; that are compared while PostgreSQL answers all, in the
    mode `shadow`. `since`: epoch seconds.
    """

    mode: Mode = Mode.POSTGRES
    share: int = 0
    since: float = 0.0

    def takes(self, memory_id: str) -> bool:
        """Whether this key is among the share: the same keys each time, and those of a smaller share among a larger one's."""
        return bucket(memory_id) < self.share


def bucket(memory_id: str) -> int:
    """0…99 for a memory id, alike in every process, and not by the hash that chooses the shard."""
    return int.from_bytes(hashlib.blake2b(memory_id.encode(), digest_size=8).digest(), "big") % 100
