"""What a round has compared and found, by table, in a form that can be kept and gone on with. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bridge.ledger import Finding

UNKNOWN_HERE, ONLY_HERE, OTHER_ROW = "not in the ledger", "only in the ledger", "another row"
MISSING, CHANGED, REVERTED = "missing", "changed", "reverted"
OTHER_STAMP, UNSTAMPED = "another stamp", "without our stamp"
BACK, STRAY, FOREIGN = "resurrected", "unknown to the ledger", "another writer's"

KINDS = {
    UNKNOWN_HERE: "a row of PostgreSQL that the ledger does not expect in Engram",
    ONLY_HERE: "a row that the ledger expects and PostgreSQL does not have",
    OTHER_ROW: "a row that is another one in PostgreSQL than the ledger expects",
    MISSING: "a memory that the ledger expects and Engram does not have",
    CHANGED: "a memory whose content is not what its stamp says",
    REVERTED: "a memory of an earlier version than the ledger expects",
    OTHER_STAMP: "a memory of another version, digest or references than the ledger expects",
    UNSTAMPED: "something else in the place of a memory of ours",
    BACK: "a memory that was forgotten and is there again",
    STRAY: "a memory with our stamp that the ledger does not know",
    FOREIGN: "a memory that somebody else has written into a space of ours",
}
"""What can be found, and what it means. The first three lie between PostgreSQL and the ledger, the others in Engram."""

STOPPED = "stopped"
"""Why a table is skipped that nobody expects anything of; a round without it is whole all the same."""

NAMED = 200
"""Findings that are named in a result; the others are counted."""


@dataclass(slots=True)
class Tally:
    """One table. `rows`: of PostgreSQL, `keys`: of the ledger, `memories`: of Engram that were compared.

    `marked`: rows of these that PostgreSQL compared by itself, and that were not sent. `lag`: differences that passed by.
    `unsettled`: differences that neither passed by nor stood still. `skipped`: why it was not compared, or not to its end.
    """

    rows: int = 0
    marked: int = 0
    keys: int = 0
    memories: int = 0
    lag: int = 0
    unsettled: int = 0
    found: int = 0
    mended: int = 0
    skipped: str = ""

    @property
    def clean(self) -> bool:
        """Everything that was looked at is as it should be."""
        return not self.found and not self.unsettled and not self.skipped


@dataclass(slots=True)
class Tallies:
    """All tables of one round, and what was found in them. `resumed`: how often it was gone on with. Seconds of work."""

    tables: dict[str, Tally] = field(default_factory=dict)
    named: list[dict[str, Any]] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    at_source: float = 0.0
    at_target: float = 0.0

    def of(self, label: str) -> Tally:
        """That table's."""
        return self.tables.setdefault(label, Tally())

    def note(self, found: Iterable[Finding], mended: Mapping[tuple[str, str, str], str]) -> None:
        """These are true; those of them that are `mended` are as they should be again."""
        for one in found:
            tally = self.of(one.label)
            tally.found += 1
            tally.mended += one.what in mended
            self.kinds[one.kind] += 1
            self.causes[one.cause or "unknown"] += 1
            if len(self.named) < NAMED:
                what = {"table": one.label, "key": one.key, "kind": one.kind, "side": one.side, "cause": one.cause}
                self.named.append(what | {"how": mended.get(one.what)})

    def kept(self) -> dict[str, Any]:
        """For a position that can be gone on from."""
        plain = asdict(self)
        return plain | {"causes": dict(self.causes), "kinds": dict(self.kinds)}

    @classmethod
    def again(cls, kept: Mapping[str, Any]) -> Tallies:
        """From there."""
        plain = dict(kept)
        tables = {label: Tally(**one) for label, one in plain.pop("tables").items()}
        causes, kinds = Counter(plain.pop("causes")), Counter(plain.pop("kinds"))
        return cls(tables=tables, causes=causes, kinds=kinds, **plain)

    def result(self, *, repair: bool, began: float, ended: float, epoch: str | None) -> dict[str, Any]:
        """What is told of the round when it has ended."""
        found = sum(one.found for one in self.tables.values())
        return {
            "clean": all(one.clean for one in self.tables.values()),
            "whole": all(one.skipped in ("", STOPPED) for one in self.tables.values()),
            "repair": repair,
            "began": began,
            "ended": ended,
            "seconds": ended - began,
            "seconds_at_source": self.at_source,
            "seconds_at_target": self.at_target,
            "resumed": self.resumed,
            "epoch": epoch,
            "rows": sum(one.rows for one in self.tables.values()),
            "marked": sum(one.marked for one in self.tables.values()),
            "memories": sum(one.memories for one in self.tables.values()),
            "found": found,
            "mended": sum(one.mended for one in self.tables.values()),
            "kinds": dict(self.kinds),
            "causes": dict(self.causes),
            "tables": {label: asdict(one) | {"clean": one.clean} for label, one in self.tables.items()},
            "findings": self.named,
            "not_named": max(found - len(self.named), 0),
        }
