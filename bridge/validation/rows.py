"""Checks `rows`, `references` and `forms`: sampled rows of PostgreSQL against what Engram answers and the ledger expects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bridge.changes import Row
from bridge.gate import Entry
from bridge.lsn import Lsn
from bridge.making import made_so
from bridge.mapping import TablePlan
from bridge.memories import Memory, Stamp, Stored, digest, read_stamp, split_content
from bridge.validation.findings import FORMS, MISSING, REFERENCES, ROWS, SINCE, Finding, Tally
from bridge.validation.settling import Look, settle
from bridge.validation.sides import Sides, pages
from bridge.wiring import linked_by, links_fact, links_fact_of

CLOSE = 0.01
"""How far a confidence may be from what was sent: the server keeps 32 bits of it."""

SECONDS = 1.0
"""How far a time may be: the server keeps whole seconds."""

TOLD = ("source", "class", "confidence", "why", "tags")
"""What a stamp says beside whose it is and which row it is of."""

RELINKED = "its rows were written under other foreign keys than are carried now ({}): migrate it again, or let `run` carry it"

Edges = dict[str, str | None]
"""By constraint: the parent's memory id, None while the parent is not known."""


@dataclass(slots=True)
class RowCheck:
    """The sampled rows of one table. `parents` collects what their edges lead to: by memory id, a child that points at it."""

    sides: Sides
    plan: TablePlan
    tally: Tally
    parents: dict[tuple[int, str], str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    facts: Mapping[str, str] = field(default_factory=dict)
    relinked: frozenset[str] = frozenset()

    def run(self, keys: Sequence[str]) -> None:
        """Compare. Raises SourceUnavailable, TargetUnavailable and LedgerUnavailable."""
        self.facts = self.sides.ledger.facts()
        self.relinked = self._relinked()
        if self.relinked:
            self.tally.undone[REFERENCES] = RELINKED.format(", ".join(sorted(self.relinked)))
        for page in pages(keys):
            settled = settle(page, self.look, self.sides.rested)
            self.tally.sampled += len(page)
            self.tally.lag += settled.lag
            self.tally.unsettled += len(settled.unsettled)
            waiting = (
                self._waiting() if any(one.check == REFERENCES for found in settled.true.values() for one in found) else set()
            )
            for key, found in settled.true.items():
                if key in waiting:
                    self.tally.unsettled += 1
                else:
                    self.tally.note(found)
            if self.sides.ending():
                return

    def _relinked(self) -> frozenset[str]:
        """Foreign keys that are carried otherwise than when the rows were written, while nobody is there to write them anew: they
        were altered, or the tables that they lead to are carried no more, or only now. The rows are as they were meant."""
        if not self.sides.alone:
            return frozenset()
        known, now = (linked_by(fact) for fact in (links_fact_of(self.facts, self.plan), links_fact(self.plan)))
        return frozenset(name for name in known.keys() | now.keys() if known.get(name) != now.get(name))

    def _waiting(self) -> set[str]:
        """Children whose parent has got another key, and which are still to be refreshed for it: the frontier does not wait for
        them."""
        return {key for table, key in self.sides.ledger.stale_lookups() if table == self.plan.number}

    def look(self, keys: Sequence[str]) -> tuple[Mapping[str, Look[Finding]], Lsn]:
        """Engram first, then PostgreSQL: what Engram shows is then rarely newer."""
        stored = self._stored(keys)
        entries = self.sides.ledger.entries(self.plan.number, keys)
        edges = self._edges(keys)
        rows, fence = self.sides.rows(self.plan, keys)
        looks = {}
        for key in keys:
            row, found, entry = rows.get(key), stored[key], entries.get(key)
            body = self.plan.body(row) if row is not None else None
            mark = (body, found.content if found is not None else None, tuple(sorted(edges.get(key, {}).items(), key=str)))
            looks[key] = Look(mark, tuple(self._problems(key, row, found, entry, edges.get(key, {}))))
        return looks, fence

    def _stored(self, keys: Sequence[str]) -> dict[str, Stored | None]:
        found: dict[str, Stored | None] = {}
        by_space: dict[str, list[str]] = {}
        for key in keys:
            by_space.setdefault(self.plan.space_of(key), []).append(key)
        for space, here in by_space.items():
            found |= zip(here, self.sides.target.read(space, [self.plan.prefix + key for key in here]), strict=True)
        return found

    def _edges(self, keys: Sequence[str]) -> dict[str, Edges]:
        edges: dict[str, Edges] = {}
        for key, constraint, parent, parent_key in self.sides.ledger.edges_of(self.plan.number, keys):
            to = None if parent_key is None else self.plan.parents.get(parent, "") + parent_key
            edges.setdefault(key, {})[constraint] = to
        return edges

    def _finding(self, check: str, kind: str, key: str, columns: Iterable[str] = (), detail: str = "") -> Finding:
        return Finding(check, kind, self.plan.table.label, self.plan.prefix + key, tuple(columns), detail)

    def _problems(self, key: str, row: Row | None, stored: Stored | None, entry: Entry | None, edges: Edges) -> Iterable[Finding]:
        if row is None:
            return  # it was deleted since the sample was drawn: what is left of it is for the check `extra`
        memory = self.plan.memory(row, key)
        if entry is not None and entry.digest != memory.digest and self.sides.gone_on(self.plan):
            yield self._finding(SINCE, "changed", key)
            yield from self._against_ledger(key, stored, entry)
            return
        if stored is None:
            yield self._finding(ROWS, MISSING, key)
            return
        stamp = read_stamp(stored.content)
        wrong = self._content(key, memory, stored, stamp, entry)
        if wrong is not None:
            yield wrong
            return
        assert stamp is not None, "a content without one is wrong"
        yield from self._references(key, memory, stamp, edges)
        yield from self._forms(key, memory, stored)

    def _against_ledger(self, key: str, stored: Stored | None, entry: Entry) -> Iterable[Finding]:
        """What Engram holds of a row that PostgreSQL has changed since: only the ledger can say whether it is right."""
        stamp = stored.stamp() if stored is not None else None
        if stored is None:
            yield self._finding(ROWS, MISSING, key)
        elif stamp is None:
            yield self._finding(ROWS, "without our stamp", key)
        elif not stamp.intact:
            yield self._finding(ROWS, "changed", key)
        elif stamp.version < entry.version:
            yield self._finding(ROWS, "reverted", key)
        elif stamp.digest != entry.digest:
            yield self._finding(ROWS, "another row", key)
        elif stamp.version != entry.version or not self._ours(key, stamp):
            yield self._finding(ROWS, "another stamp", key)
        elif digest(stamp.references) != entry.references:
            yield self._finding(REFERENCES, "other edges than the ledger's in Engram", key)

    def _otherwise(self, content: str) -> list[str]:
        """What the stamp says of class, confidence, origin and the like that the mapping would say otherwise."""
        parts = split_content(content)
        if parts is None or not made_so(self.facts, self.plan):
            return []
        found, wanted = json.loads(parts[1]), json.loads("{" + self.plan.fixed + "}")
        return [name for name in TOLD if found.get(name) != wanted.get(name)]

    def _ours(self, key: str, stamp: Stamp) -> bool:
        return (stamp.ledger, stamp.table, stamp.key) == (self.sides.ledger_id, self.plan.table.label, key)

    def _content(self, key: str, memory: Memory, stored: Stored, stamp: Stamp | None, entry: Entry | None) -> Finding | None:
        parts = split_content(stored.content)
        if parts is None or stamp is None:
            return self._finding(ROWS, "without our stamp", key)
        columns = _unlike(memory.body, parts[0])
        if not stamp.intact:
            return self._finding(ROWS, "changed", key, columns)
        if entry is not None and stamp.version < entry.version:
            return self._finding(ROWS, "reverted", key, columns)
        if stamp.found_digest != memory.digest:
            return self._finding(ROWS, "another row", key, columns)
        if not self._ours(key, stamp) or entry is None or stamp.version != entry.version:
            return self._finding(ROWS, "another stamp", key)
        return None

    def _references(self, key: str, memory: Memory, stamp: Stamp, edges: Edges) -> Iterable[Finding]:
        """The foreign keys of the row, against the content in Engram and against the ledger."""
        wanted = self._wanted(memory)
        answered: Edges = {one["constraint"]: one["to"] for one in json.loads(stamp.references)}
        for where, found in (("in Engram", answered), ("in the ledger", edges)):
            for constraint in sorted((wanted.keys() | found.keys()) - self.relinked):
                if constraint not in found:
                    yield self._finding(REFERENCES, f"edge missing {where}", key, detail=constraint)
                elif constraint not in wanted:
                    yield self._finding(REFERENCES, f"edge too many {where}", key, detail=constraint)
                elif found[constraint] != wanted[constraint]:
                    yield self._finding(REFERENCES, f"edge leads elsewhere {where}", key, detail=constraint)
        if key not in self.seen:
            self.seen.add(key)
            self.tally.edges += len(wanted)
        for reference in memory.references:
            to = wanted[reference.constraint]
            if to is not None and reference.constraint not in self.relinked:
                self.parents[(reference.parent, to.removeprefix(self.plan.parents[reference.parent]))] = self.plan.prefix + key

    def _wanted(self, memory: Memory) -> Edges:
        lookups = [reference.lookup for reference in memory.references if reference.lookup is not None]
        known = self.sides.ledger.resolve(lookups) if lookups else {}
        wanted: Edges = {}
        for reference in memory.references:
            to = reference.to if reference.lookup is None else known.get(reference.lookup)
            wanted[reference.constraint] = None if to is None else self.plan.parents[reference.parent] + to
        return wanted

    def _forms(self, key: str, memory: Memory, stored: Stored) -> Iterable[Finding]:
        other = self._otherwise(stored.content)
        if other:
            yield self._finding(FORMS, "its stamp says otherwise", key, detail=", ".join(other))
        if stored.memory_id != memory.memory_id:
            yield self._finding(FORMS, "another id", key)
        if stored.confidence is None or abs(stored.confidence - self.sides.confidence) > CLOSE:
            yield self._finding(FORMS, "another confidence", key)
        when = self.sides.default_when if memory.when is None else memory.when
        told = _seconds(stored.timestamp)
        if told is None or abs(told - when) > SECONDS:
            yield self._finding(FORMS, "another time", key)


def _seconds(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text is not None else None
    except ValueError:
        return None


def _unlike(body: str, found: str) -> tuple[str, ...]:
    """The names of the columns that differ; none when what was found cannot be taken apart."""
    try:
        wanted, answered = json.loads(body, parse_float=str), json.loads(found, parse_float=str)
        return tuple(name for name in wanted.keys() | answered.keys() if wanted.get(name, body) != answered.get(name, body))
    except (ValueError, AttributeError, RecursionError):
        return () if digest(body) == digest(found) else ("?",)


@dataclass(slots=True)
class ParentCheck:
    """The targets of the sampled edges, which need not be in the sample themselves.

    `plans` are those of loaded tables, by origin. What is reported already is not again, and what is parked may be missing.
    """

    sides: Sides
    plans: Mapping[int, TablePlan]
    parked: Mapping[int, set[str]]
    reported: set[str]

    def run(self, parents: Mapping[tuple[int, str], str], tallies: Mapping[str, Tally]) -> None:
        """Compare. A parent that PostgreSQL does not have either is an orphan's, and counted."""
        by_plan: dict[int, list[str]] = {}
        for origin, key in parents:
            plan = self.plans.get(origin)
            if plan is None or plan.prefix + key in self.reported or key in self.parked.get(plan.number, ()):
                continue
            by_plan.setdefault(origin, []).append(key)
        for origin, keys in by_plan.items():
            plan = self.plans[origin]
            tally = tallies[plan.table.label]
            for page in pages(keys):
                settled = settle(page, lambda some, plan=plan: self._look(plan, some), self.sides.rested)  # type: ignore[misc]  # bound now
                tally.targets += len(page)
                tally.lag += settled.lag
                tally.unsettled += len(settled.unsettled)
                for key, (kind,) in settled.true.items():
                    if kind == "orphan":
                        tally.orphans += 1
                        continue
                    check = SINCE if kind == "new" else REFERENCES
                    child = parents[(origin, key)]
                    tally.note([Finding(check, kind, plan.table.label, plan.prefix + key, detail=f"of {child}")])

    def _look(self, plan: TablePlan, keys: Sequence[str]) -> tuple[Mapping[str, Look[str]], Lsn]:
        found = RowCheck(self.sides, plan, Tally(plan.table.label))._stored(keys)
        part = plan.table.label in self.sides.only  # a parent that was not meant is not missing
        entries = self.sides.ledger.entries(plan.number, keys) if part or self.sides.gone_on(plan) else None
        rows, fence = self.sides.rows(plan, keys)
        looks = {}
        for key in keys:
            entry = entries.get(key) if entries is not None else None
            new = entries is not None and (entry is None or not entry.live)
            kind = "orphan" if key not in rows else "new" if new else "target missing"
            kinds = () if found[key] is not None or (part and kind == "new") else (kind,)
            looks[key] = Look((key in rows, found[key] is None), kinds)
        return looks, fence
