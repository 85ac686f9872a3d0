"""A walk through the references of one row: from the ledger's edges where they are proven whole and new enough, else by joins.

What must hold for the ledger's answer is law 7 for the row itself, and for every table at the other end that it knows all of its
rows: all chunks proven and passed by the frontier, nothing being read again, no key parked. One parked child could point here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from api import joins
from api.cursors import Place
from api.joins import Operators, Relation
from api.ledger import states_of
from api.postgres import ShapeChanged
from api.problems import Problem
from api.proxy import RETRY_AFTER, Demand, Proxy
from api.tables import Carried
from api.verdict import ABSENT, against_route, incomplete, unproven
from bridge import reads
from bridge.changes import Row
from bridge.errors import Fatal, LedgerError, LedgerUnavailable, SourceUnavailable
from bridge.ledger import Standing
from bridge.ledger.links import IN, OUT
from bridge.mapping import TablePlan
from bridge.reads import Mode, Reason, Served

MOST_KEYLESS = 1000
"""Rows of a table without a key that are put in order here, since PostgreSQL cannot: more are not answered by joins."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One end of a reference, seen from the other. `pending`: the row is not there; its key is None where it is not known."""

    constraint: str
    label: str
    key: str | None
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """What is asked: the references of a row in one direction, at most so many behind a place."""

    table: Carried
    key: str
    incoming: bool
    place: Place
    limit: int
    demand: Demand


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the walk. `more`: there are others behind it. `standing` is None when the ledger could not be asked; `staleness`
    in seconds, None when nobody knows."""

    references: list[Reference]
    more: bool
    by: Served
    reason: Reason | None
    standing: Standing | None
    staleness: float | None


class Walks:
    """Answers walks. One for a process."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def page(self, walk: Walk) -> Page | None:
        """The next part of a walk; None when there is no such row. Raises Problem."""
        relations = self._relations(walk)
        standing, against, broken = await self._judged(walk, relations)
        only = standing is not None and standing.table.route.mode is Mode.ENGRAM_ONLY
        if standing is not None and against is None and broken is None:
            return await self._by_ledger(walk, relations, standing, None)
        reason = against or broken
        assert reason is not None
        if only and reason in ABSENT:
            return None
        if only:
            raise _nobody(reason)
        try:
            found = await self._by_joins(walk)
        except (SourceUnavailable, Fatal) as error:
            if standing is None or broken is not None:
                raise _nobody(broken or reason) from error
            return await self._by_ledger(walk, relations, standing, reason)
        return None if found is None else self._cut(walk, found, Served.POSTGRES, reason, standing)

    # who answers

    def _relations(self, walk: Walk) -> list[Relation]:
        """The foreign keys that are walked along, in their order."""
        plans = {table.label: table.plan for table in self._proxy.tables.all() if table.plan is not None}
        plan = plans.get(walk.table.label)
        if plan is None:
            return []
        return joins.incoming(plans, plan) if walk.incoming else joins.outgoing(plans, plan)

    async def _judged(self, walk: Walk, relations: Sequence[Relation]) -> tuple[Standing | None, Reason | None, Reason | None]:
        """What the ledger says of the row, what the operator has against its answer, and what of it is not proven."""
        proxy, table = self._proxy, walk.table
        try:
            standing = await proxy.standing(table, [walk.key], walk.demand)
            others = await self._others(walk, relations, standing)
        except (LedgerUnavailable, LedgerError):
            return None, None, Reason.LEDGER
        broken = unproven(
            standing,
            walk.key,
            now=proxy.freshness.now(standing.table.covered),
            max_staleness=proxy.allowed(table, walk.demand),
            min_lsn=walk.demand.min_lsn,
        )
        return standing, against_route(standing.table.route, table.prefix + walk.key), broken or others

    async def _others(self, walk: Walk, relations: Sequence[Relation], standing: Standing) -> Reason | None:
        """Why the ledger does not know all of the other ends."""
        if walk.table.plan is None:
            return Reason.NOT_LOADED  # which tables there are at the other end is not known before PostgreSQL was reached
        labels = {(one.child if walk.incoming else one.parent).table.label for one in relations}
        if not labels:
            return None
        states = await states_of(self._proxy.ledger, labels)
        for label in sorted(labels):
            state = states.get(label)
            reason = Reason.NOT_LOADED if state is None else incomplete(state, standing.table.proven)
            if reason is None and state is not None and state.parked:
                reason = Reason.PARKED
            if reason is not None:
                return reason
        return None

    # the ledger

    async def _by_ledger(self, walk: Walk, relations: Sequence[Relation], standing: Standing, reason: Reason | None) -> Page:
        ask, label = self._proxy.ledger.ask, walk.table.label
        found: list[Reference] = []
        try:
            if not walk.incoming:
                asked = {"label": label, "key": walk.key, "after": walk.place.constraint, "limit": walk.limit + 1}
                for constraint, parent, key, there in await ask(OUT, asked):
                    found.append(Reference(constraint, parent, key, not there))
                return self._cut(walk, found, Served.LEDGER, reason, standing)
            for one in relations:
                child, constraint = one.child.table.label, one.key.name
                least = walk.place.least(child, constraint)
                if least is None or len(found) > walk.limit:
                    continue
                asked = {
                    "label": label,
                    "key": walk.key,
                    "child": child,
                    "constraint": constraint,
                    "least": least,
                    "limit": walk.limit + 1 - len(found),
                }
                found += [Reference(constraint, child, row[0]) for row in await ask(IN, asked)]
        except (LedgerUnavailable, LedgerError) as error:
            raise _nobody(Reason.LEDGER) from error
        return self._cut(walk, found, Served.LEDGER, reason, standing)

    # PostgreSQL

    async def _by_joins(self, walk: Walk) -> list[Reference] | None:
        """The same from PostgreSQL; None when it has no such row. Raises SourceUnavailable and Fatal."""
        for _attempt in range(2):
            here = await self._proxy.ask_postgres(walk.table, [walk.key])
            if walk.key not in here:
                return None
            walk = replace(walk, table=self._proxy.tables.find(walk.table.label) or walk.table)
            try:
                return await self._joined(walk)
            except ShapeChanged:
                await self._proxy.relearn()
        raise SourceUnavailable(f"{walk.table.label} is being changed in PostgreSQL")

    async def _joined(self, walk: Walk) -> list[Reference]:
        assert walk.table.plan is not None
        values = list(walk.table.plan.key_values(walk.key))
        found: list[Reference] = []
        for one in self._relations(walk):
            if len(found) > walk.limit:
                break
            if walk.incoming:
                found += await self._children(one, walk, values, walk.limit + 1 - len(found))
            elif one.key.name.encode() > walk.place.constraint.encode():
                found += await self._parents(one, values)
        return found

    async def _parents(self, one: Relation, values: list[str]) -> list[Reference]:
        rows = (await self._proxy.postgres.texts(joins.parents(one, await self._operators(one)), values)).rows
        if not rows or rows[0][0] != "t":
            return []
        there, width = rows[0][1] == "t", 2 + len(one.key.columns)
        key = _key(one.parent, rows[0][width:]) if there else joins.named(one, rows[0][2:width])
        return [Reference(one.key.name, one.parent.table.label, key, not there)]

    async def _children(self, one: Relation, walk: Walk, values: list[str], most: int) -> list[Reference]:
        label, constraint = one.child.table.label, one.key.name
        least = walk.place.least(label, constraint)
        if least is None:
            return []
        query = joins.children(one, await self._operators(one))
        if not one.child.keyless:
            rows = (await self._proxy.postgres.texts(query, [*values, least, str(most)])).rows
            return [Reference(constraint, label, _key(one.child, row)) for row in rows]
        rows = (await self._proxy.postgres.texts(query, [*values, str(MOST_KEYLESS + 1)])).rows
        if len(rows) > MOST_KEYLESS:
            raise SourceUnavailable(f"{label} has no key, and more than {MOST_KEYLESS} rows of it point here")
        keys = sorted({one.child.key_of(row) for row in rows}, key=str.encode)
        return [Reference(constraint, label, key) for key in keys if key.encode() >= least.encode()][:most]

    async def _operators(self, one: Relation) -> Operators:
        rows = (await self._proxy.postgres.texts(joins.OPERATORS.encode(), one.name)).rows
        if len(rows) != len(one.key.columns):
            raise ShapeChanged
        return tuple((str(schema), str(operator)) for schema, operator in rows)

    # the end

    def _cut(self, walk: Walk, found: list[Reference], by: Served, reason: Reason | None, standing: Standing | None) -> Page:
        self._proxy.counting.add(walk.table.label, reads.referenced(by))
        age = self._proxy.freshness.age(standing.table.covered) if standing is not None else None
        return Page(found[: walk.limit], len(found) > walk.limit, by, reason, standing, age)


def _key(plan: TablePlan, row: Row) -> str:
    return plan.key_of(row) if plan.keyless else str(row[0])


def _nobody(reason: Reason) -> Problem:
    return Problem(
        503,
        "Nobody can answer now",
        "PostgreSQL is not asked or cannot answer, and what the ledger knows is not proven whole and new enough.",
        headers={"Retry-After": str(RETRY_AFTER), "X-Fallback-Reason": reason.value},
        reasons=[reason.value],
    )
