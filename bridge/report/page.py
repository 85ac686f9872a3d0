"""A report as what a person reads from top to bottom: verdict, figures, sections. The one thing that text and HTML are made from.

Pure. Texts are plain and may hold any character; who shows them escapes them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

Tone = Literal["", "good", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that stands out, with what it counts."""

    value: str
    label: str
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what they are, a line each."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a grid. Numbers stand to the right."""

    heading: str
    number: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. `total`: a last line; `bad`: (row, column) of cells that a reader must not miss."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] = ()
    bad: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Lines:
    """A list. `more`: how many were left out."""

    items: tuple[str, ...]
    more: int = 0


Part: TypeAlias = Facts | Grid | Lines


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence or two, and what they are about."""

    heading: str
    parts: tuple[Part, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report. `verdict` is its one sentence, `tone` how it is meant, `reasons` why it is so."""

    title: str
    subtitle: str
    verdict: str
    tone: Tone
    reasons: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    sections: tuple[Section, ...] = ()
    foot: str = ""


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 row`, `2,000 rows`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def seconds_text(seconds: float) -> str:
    """A duration as people say it: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def moment(when: float) -> str:
    """A time, in UTC, so that it means the same to every reader."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(when))
