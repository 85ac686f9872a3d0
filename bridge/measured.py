"""What is measured of reads and of lag, as figures: from the counts of all proxies, and from the running bridge's beat. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.reads import BOUNDS_MS, Mode, Reason, Route, Served, Shadow, group, quantile, total

BEYOND_MS = 2.0 * BOUNDS_MS[-1]
"""What a quantile beyond all bounds is shown as: JSON knows no infinity."""

TARGET = "target"
"""Engram itself, among those whose times are measured: what its GET took, whoever answered in the end."""


@dataclass(slots=True)
class Times:
    """Milliseconds within which that share of answers came; upper bounds, `BEYOND_MS` for longer than is measured.

    `within`: how many came within each of `BOUNDS_MS` and not within the one before; `more` beyond all.
    """

    count: int
    p50: float
    p95: float
    p99: float
    within: dict[str, int]


@dataclass(slots=True)
class Reads:
    """Reads of one table, or of all, in one span of time.

    `answered`: all that were answered, by whom in `served` (engram, postgres, ledger); `reasons`: why PostgreSQL answered and not
    Engram, those with a count; `errors`: answers that nobody could give, by status; `ms`: times by who answered, and `target`;
    `shadow`: comparisons by what they found.
    """

    answered: int = 0
    served: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    ms: dict[str, Times] = field(default_factory=dict)
    shadow: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class TableReads:
    """A table's reads. `since`: when its route was set, None while it never was.

    `windows`: `5m` and `60m`, the last minutes with the running one; `route`: since the route was set; `all`: ever.
    """

    table: str
    mode: str
    share: int
    since: float | None
    windows: dict[str, Reads]


@dataclass(slots=True)
class HeartbeatFigures:
    """The bridge's own beat through the whole path, over the last five minutes. While no bridge runs nothing is known.

    `age_seconds`: since one passed; `waiting_seconds`: for how long the oldest one is under way; `refused`: why none is
    taken; `clock_offset_seconds`: by how much the source's clock is ahead. `history`: 15 minutes by five seconds, each
    point its moment, median and most (milliseconds).
    """

    running: bool = False
    every_seconds: float | None = None
    refused: str | None = None
    trouble: str | None = None
    count: int = 0
    last_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    age_seconds: float | None = None
    waiting_seconds: float | None = None
    clock_offset_seconds: float | None = None
    clock_error_seconds: float | None = None
    history: list[list[float]] = field(default_factory=list)

    @classmethod
    def of(cls, gauge: Mapping[str, Any] | None, history: Iterable[list[float]]) -> HeartbeatFigures:
        """From the running bridge's gauge; None when it is old or there was never one."""
        return cls(running=bool(gauge), **(gauge or {}), history=list(history))


@dataclass(slots=True)
class EpochFigures:
    """One start of the target: when it was seen, and when everything had been compared and mended, None while it has not."""

    epoch: str
    seen: float
    repaired: float | None


def reads_of(counts: Mapping[str, int]) -> Reads:
    """The figures of some counts."""
    served = group(counts, "served")
    found, errors = group(counts, "shadow"), group(counts, "error")
    return Reads(
        answered=sum(served.values()),
        served={by.value: served.get(by.value, 0) for by in Served},
        reasons={reason.value: n for reason in Reason if (n := group(counts, "reason").get(reason.value, 0))},
        errors=errors,
        failed=sum(errors.values()),
        ms={who: times for who in (*(by.value for by in Served), TARGET) if (times := times_of(counts, who)) is not None},
        shadow={one.value: found.get(one.value, 0) for one in Shadow},
    )


def times_of(counts: Mapping[str, int], who: str) -> Times | None:
    """How long answers of one took; None without any."""
    within = {item.partition(":")[2]: n for item, n in group(counts, "ms").items() if item.partition(":")[0] == who}
    if not any(within.values()):
        return None
    p50, p95, p99 = (min(quantile(counts, who, share) or 0.0, BEYOND_MS) for share in (0.5, 0.95, 0.99))
    return Times(sum(within.values()), p50, p95, p99, within)


def reads_by_table(
    labels: Iterable[str], routes: Mapping[str, Route], windows: Mapping[str, Mapping[str, Mapping[str, int]]]
) -> dict[str, TableReads]:
    """For each table that is carried or was read; `windows`: counts by name of the span, then table."""
    known = dict.fromkeys([*labels, *routes, *(label for counts in windows.values() for label in counts)])
    return {
        label: TableReads(
            table=label,
            mode=(route := routes.get(label, Route())).mode.value,
            share=100 if route.mode is Mode.ENGRAM_ONLY else route.share,
            since=route.since or None,
            windows={name: reads_of(counts.get(label, {})) for name, counts in windows.items()},
        )
        for label in known
    }


def reads_together(windows: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[str, Reads]:
    """All tables' reads, by span."""
    return {name: reads_of(total(counts.values())) for name, counts in windows.items()}
