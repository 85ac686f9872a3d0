"""What a bench answers: samples of ours and of the bare thing, taken in turns, and their ratio."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Figure:
    """One line of the table.

    `ours` and `bare` are samples in `unit`, pair by pair from the same repetition. `goal` says in words what is wanted, `met`
    whether the medians reach it; `must` and `must_met` are a weaker bound that has to be reached, where there is one. `missing`
    says why nothing could be measured here.
    """

    name: str
    what: str
    unit: str
    ours: list[float]
    bare: list[float]
    goal: str
    met: bool
    must: str = ""
    must_met: bool | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    missing: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours divided by the bare thing, per repetition."""
        return [ours / bare for ours, bare in zip(self.ours, self.bare, strict=True)]

    def as_json(self) -> dict[str, Any]:
        """The figure for `latest.json`."""
        if self.missing:
            return {"name": self.name, "what": self.what, "goal": self.goal, "missing": self.missing}
        return {
            "name": self.name,
            "what": self.what,
            "unit": self.unit,
            "ratio": summary(self.ratios),
            "ours": summary(self.ours),
            "bare": summary(self.bare),
            "goal": self.goal,
            "met": self.met,
            "must": self.must,
            "must_met": self.must_met,
            "repetitions": len(self.ours),
            "notes": self.notes,
        }


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Median and spread."""
    return {"median": _short(median(samples)), "least": _short(min(samples)), "most": _short(max(samples))}


def median(samples: Sequence[float]) -> float:
    """The middle sample."""
    return statistics.median(samples)


def median_ratio(ours: Sequence[float], bare: Sequence[float]) -> float:
    """The middle one of ours divided by the bare thing, pair by pair."""
    return median([one / other for one, other in zip(ours, bare, strict=True)])


def _short(number: float) -> float:
    return round(number, 3) if abs(number) < 100 else round(number, 1)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: `rows` replaces a bench's own number of rows, `repetitions` its number of repetitions."""

    rows: int | None = None
    repetitions: int | None = None
    target: str | None = None
    target_grpc: str | None = None

    def of(self, usual: int, *, least: int = 1) -> int:
        """The number of rows where `usual` is the default."""
        return max(self.rows if self.rows is not None else usual, least)

    def times(self, usual: int) -> int:
        """The number of repetitions where `usual` is the default."""
        return self.repetitions or usual


Say = Callable[[str], None]
"""Tells the person at the terminal what is being measured now."""
