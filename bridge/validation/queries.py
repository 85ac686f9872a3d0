"""Check `queries`: questions from a file find in Engram the rows that they should.

What recall answers is names only: forgotten rows are among them, and rows that have nothing to do with the question. So each hit
is read by its id, has to be the row that the ledger expects, and is ranked by its own text, as the proxy does it. A row that is
not found then is not found by an application either.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bridge.embedding.identity import IDENTITY_SHARE, clean_query
from bridge.errors import ConfigError
from bridge.mapping import TablePlan
from bridge.memories import split_content
from bridge.ports import Hit, Vectors
from bridge.validation.findings import QUERIES, Finding, Tally
from bridge.validation.sides import Sides

LIMIT = 10
MOST = 100
"""Hits that the server gives of one space, whatever it is asked."""

TRIES = 3
"""A query whose rows are not all found is asked again once the frontier has passed what PostgreSQL held: it may have been lag."""

_KEYS = {"query", "table", "expect", "limit", "recall"}
_ALL = {"queries", "limit", "recall", "p95_ms"}


@dataclass(frozen=True, slots=True)
class Query:
    """`recall`: the least share of the `expect`ed ids that have to be among the first `limit` rows of `table`."""

    text: str
    table: str
    expect: tuple[str, ...]
    limit: int = LIMIT
    recall: float = 1.0


@dataclass(frozen=True, slots=True)
class Queries:
    """`p95_ms`: how long Engram may take for 95 of 100 of them, in milliseconds."""

    queries: tuple[Query, ...]
    p95_ms: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As a file would have it."""
        return {
            "queries": [
                {"query": one.text, "table": one.table, "expect": list(one.expect), "limit": one.limit, "recall": one.recall}
                for one in self.queries
            ],
            **({"p95_ms": self.p95_ms} if self.p95_ms is not None else {}),
        }

    def require(self, plans: Mapping[str, TablePlan]) -> None:
        """Raises ConfigError for tables that are not carried."""
        for number, one in enumerate(self.queries, 1):
            if label_of(one.table, plans) is None:
                raise ConfigError(f"queries: {number}: {one.table!r} is not carried", hint=f"Carried are: {', '.join(plans)}.")


def label_of(name: str, plans: Mapping[str, TablePlan]) -> str | None:
    """The label of a table; the schema `public` may be left out."""
    return next((label for label in plans if label in (name, f"public.{name}")), None)


def read_queries(path: Path) -> Queries:
    """The queries of a file. Raises ConfigError, which names what is wrong with it, and where."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"--queries {path} cannot be read: {why}", hint="Name a file of YAML or JSON.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"--queries {path}{line}: it is neither YAML nor JSON", hint="Correct the file there.") from error
    return queries_of(document)


def queries_of(document: object) -> Queries:
    """The queries of a file that was read as YAML or JSON. Raises ConfigError, which names the place."""
    if not isinstance(document, dict) or not isinstance(document.get("queries"), list) or not document["queries"]:
        raise _wrong("it has no list `queries`")
    _known(document, _ALL, "the file")
    limit = _number(document, "limit", LIMIT, "the file", whole=True, most=MOST)
    recall = _number(document, "recall", 1.0, "the file", most=1.0)
    p95 = None if document.get("p95_ms") is None else _number(document, "p95_ms", 0.0, "the file")
    found = [_query(one, f"query {number}", limit, recall) for number, one in enumerate(document["queries"], 1)]
    return Queries(tuple(found), p95)


def _query(given: object, where: str, limit: float, recall: float) -> Query:
    if not isinstance(given, dict):
        raise _wrong(f"{where} is no object")
    _known(given, _KEYS, where)
    for name in ("query", "table"):
        if not isinstance(given.get(name), str) or not given[name].strip():
            raise _wrong(f"{where} has no text `{name}`")
    expect = given.get("expect")
    if not isinstance(expect, list) or not expect or not all(isinstance(one, str) for one in expect):
        raise _wrong(f"{where} has no list `expect` of memory ids")
    most = _number(given, "limit", limit, where, whole=True, most=MOST)
    least = _number(given, "recall", recall, where, most=1.0)
    return Query(given["query"], given["table"], tuple(dict.fromkeys(expect)), int(most), least)


def _number(
    given: dict[str, Any], name: str, default: float, where: str, *, whole: bool = False, most: float = math.inf
) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most or (whole and value != int(value)):
        raise _wrong(f"{where}: `{name}` must be a number above 0" + (f", at most {most:g}" if most < math.inf else ""))
    return float(value)


def _known(given: dict[str, Any], names: set[str], where: str) -> None:
    unknown = [str(name) for name in given if name not in names]
    if unknown:
        raise _wrong(f"{where} has a key {unknown[0]!r}; known are {', '.join(sorted(names))}")


def _wrong(what: str) -> ConfigError:
    return ConfigError(f"queries: {what}", hint="docs/validation.md shows the form of the file.")


@dataclass(slots=True)
class QueryCheck:
    """All queries, one after the other. What is not found is told of the table that was asked."""

    sides: Sides
    tallies: Mapping[str, Tally]

    def run(self, queries: Queries) -> None:
        """Ask. Raises TargetUnavailable, EmbedderUnavailable and LedgerUnavailable."""
        times: dict[str, list[float]] = {}
        for number, one in enumerate(queries.queries, 1):
            label = label_of(one.table, self.sides.mapping.plans)
            assert label is not None, "see `Queries.require`"
            plan, tally = self.sides.mapping.plans[label], self.tallies[label]
            missing, seconds = self._asked(plan, one)
            times.setdefault(label, []).append(seconds * 1000)
            tally.queries += 1
            if len(missing) > len(one.expect) * (1 - one.recall) + 1e-9:
                told = f"query {number}{self._why(plan)}"
                kind = f"not among the first {one.limit}"
                tally.findings += [Finding(QUERIES, kind, label, memory_id, detail=told) for memory_id in missing]
            if self.sides.ending():
                return
        every = [taken for some in times.values() for taken in some]
        if queries.p95_ms is not None and percentile(every) > queries.p95_ms:
            slowest = max(times, key=lambda label: percentile(times[label]))
            detail = f"95 % within {percentile(every):.0f} ms, not {queries.p95_ms:.0f}"
            self.tallies[slowest].findings.append(Finding(QUERIES, "slow", slowest, "", detail=detail))

    def _why(self, plan: TablePlan) -> str:
        if self.sides.searchable(plan):
            return ""
        return "; recall does not know all of its rows since Engram's last start"

    def _asked(self, plan: TablePlan, query: Query) -> tuple[list[str], float]:
        """The expected ids that were not found, and how long Engram took, in seconds, the first time."""
        first = 0.0
        missing = list(query.expect)
        for number in range(TRIES):
            found, seconds = self._found(plan, query)
            first = first or seconds
            missing = [memory_id for memory_id in query.expect if memory_id not in found]
            if not missing or number + 1 == TRIES or not self.sides.passed(self.sides.position()):
                break
        return missing, first

    def _found(self, plan: TablePlan, query: Query) -> tuple[list[str], float]:
        """The ids of the first rows, and how long Engram took."""
        encoder = self.sides.embedders().for_table(plan)
        encoded = encoder.encode([query.text], urgent=True)
        if encoded.refused:
            return [], 0.0
        vector = encoded.vectors[0]
        began = time.monotonic()
        hits = {space: self.sides.target.recall(space, clean_query(vector), MOST) for space in plan.spaces}
        seconds = time.monotonic() - began
        scored = [pair for space, some in hits.items() for pair in self._scored(plan, space, some, vector)]
        return [memory_id for _score, memory_id in sorted(scored, key=lambda pair: (-pair[0], pair[1]))[: query.limit]], seconds

    def _scored(self, plan: TablePlan, space: str, hits: Sequence[Hit], query: Vectors) -> list[tuple[float, str]]:
        """Those that are the rows which the ledger expects, by their own texts; by the server's score where none can be told."""
        mine = [hit for hit in hits if hit.memory_id.startswith(plan.prefix)]
        ids = [hit.memory_id for hit in mine]
        entries = self.sides.ledger.entries(plan.number, [name.removeprefix(plan.prefix) for name in ids])
        scores: dict[str, float] = {}
        texts: dict[str, str] = {}
        for hit, stored in zip(mine, self.sides.target.read(space, ids), strict=True):
            key = hit.memory_id.removeprefix(plan.prefix)
            entry, stamp = entries.get(key), stored.stamp() if stored is not None else None
            if stored is None or stamp is None or entry is None or not entry.live or stamp.found_digest != entry.digest:
                continue
            scores[hit.memory_id] = hit.score / (1 - IDENTITY_SHARE) ** 0.5
            parts = split_content(stored.content)
            memory = plan.recalled(key, parts[0]) if parts is not None else None
            if memory is not None:
                texts[hit.memory_id] = memory.text
        encoded = self.sides.embedders().for_table(plan).encode(list(texts.values()), urgent=True) if texts else None
        for place, name in enumerate(texts):
            assert encoded is not None
            if place not in encoded.refused:
                scores[name] = cosine(query, encoded.vectors[place])
        return [(score, name) for name, score in scores.items()]


def cosine(one: Vectors, other: Vectors) -> float:
    """0 with a vector that is zero."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else 0.0


def percentile(values: Sequence[float]) -> float:
    """The value that 95 of 100 do not exceed; 0 of none."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else 0.0
