"""Search in Engram: recall by the query's vector in all spaces of the tables, and nothing of it believed.

Asked are only spaces that the ledger names, of tables whose recall is whole: everything loaded, compared and written again since
the target's last start, no key parked, no row stored so late that it comes up whatever is asked. That must still be so when the
hits are there, at the very start of the target that the ledger spoke of: after one that nobody has noticed yet recall gives
nothing, which looks like an answer. Each hit is a name only. The ledger says whether such a row is expected, the proxy fetches it
with its proof, and its place is that of its own clean vector. So no row appears that was forgotten, replaced or never ours, and
none with an older text.

Recall gives a hundred hits a space at most. When so many of them are no rows any more that rows behind them may be missing, the
search is not answered from Engram (`crowded`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from api import recall
from api.encoders import Encoders
from api.engram import BreakerOpen, DeadlineExceeded
from api.freshness import Passed
from api.ledger import states_of
from api.proxy import Proxy, proven
from api.ranking import LEAST, Found, scores, settled
from api.recall import CLEAN, MOST, Hit, Recalled
from api.searches import Result, Search, Unfit
from api.tables import Carried
from api.verdict import ABSENT, against_route, unproven, unsound
from bridge.embedding.encoder import Encoder
from bridge.embedding.identity import clean_query, is_apart
from bridge.errors import EmbedderUnavailable, LedgerError, LedgerUnavailable, TargetUnavailable
from bridge.ledger import TableStanding
from bridge.mapping import TablePlan
from bridge.ports import Vectors
from bridge.reads import Reason, Served

FIRST = 20
"""Hits that are asked for, and looked at, at first, at least; twice as many as rows are wanted."""

AT_ONCE = 16
DEADLINES = 3
"""A search takes so many times as long as Engram may for an answer, then it is PostgreSQL's."""


@dataclass(frozen=True, slots=True)
class _Query:
    """A query for the tables of one model. `apart`: hits come in the order of their clean vectors."""

    encoder: Encoder
    vector: Vectors
    cue: str
    apart: bool


class Semantic:
    """Answers searches from Engram. One for a process."""

    def __init__(self, proxy: Proxy, encoders: Encoders) -> None:
        self._proxy = proxy
        self._encoders = encoders
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._passed = Passed()

    async def find(self, search: Search) -> Result:
        """The best rows. Raises Unfit, and Problem where a row cannot be had from anybody."""
        first = search.tables[0].label
        try:
            async with asyncio.timeout(DEADLINES * self._proxy.settings.serve.engram_deadline):
                return await self._find(search)
        except BreakerOpen as error:
            raise Unfit(first, Reason.BREAKER) from error
        except (DeadlineExceeded, TimeoutError) as error:
            raise Unfit(first, Reason.TIMEOUT) from error
        except TargetUnavailable as error:
            raise Unfit(first, Reason.ERROR) from error
        except EmbedderUnavailable as error:
            raise Unfit(first, Reason.EMBEDDER) from error
        except (LedgerUnavailable, LedgerError) as error:
            raise Unfit(first, Reason.LEDGER) from error

    async def _find(self, search: Search) -> Result:
        known = await self._fit(search)
        plans = {table.label: table.plan for table in search.tables if table.plan is not None}
        queries = await self._queries(search.text, plans)
        parts = await asyncio.gather(
            *[self._of_table(search, table, known[table.label], queries[table.label]) for table in search.tables]
        )
        await self._still(known)
        frontier = min(one.proven for one in known.values())
        staleness = self._proxy.freshness.age(min(one.covered for one in known.values()))
        return Result([one for part in parts for one in part], Served.ENGRAM, None, frontier, staleness)

    # whether it may be asked

    async def _fit(self, search: Search) -> dict[str, TableStanding]:
        """What the ledger says of the tables. Raises Unfit."""
        proxy, known = self._proxy, {}
        for table in search.tables:
            standing = (await proxy.standing(table, [], search.demand)).table
            reason = against_route(standing.route, search.text) or unsound(
                standing,
                now=proxy.freshness.now(standing.covered),
                max_staleness=proxy.allowed(table, search.demand),
                min_lsn=search.demand.min_lsn,
            )
            if reason is None and not self._passed.settled(standing.proven, search.demand.min_lsn):
                reason = Reason.MIN_LSN
            if reason is None and table.plan is None:
                reason = Reason.NOT_LOADED
            if reason is not None:
                raise Unfit(table.label, reason)
            known[table.label] = standing
        await self._whole(known)
        return known

    async def _whole(self, labels: Collection[str]) -> None:
        """Recall knows all rows of these tables, as far as the ledger knows. Raises Unfit."""
        states = await states_of(self._proxy.ledger, labels)
        for label in labels:
            if label not in states or not states[label].searchable:
                raise Unfit(label, Reason.NOT_SEARCHABLE)

    async def _still(self, known: Mapping[str, TableStanding]) -> None:
        """What was recalled came from the start of the target that the ledger spoke of before, and no key was parked meanwhile.

        Asked behind the recalls: who asked before them would not see a restart in between. Raises Unfit.
        """
        now = await self._proxy.engram.epoch()
        for label, standing in known.items():
            if standing.epoch != now:
                raise Unfit(label, Reason.NOT_SEARCHABLE)
        await self._whole(known)

    async def _queries(self, text: str, plans: dict[str, TablePlan]) -> dict[str, _Query]:
        """The query as each table's model sees it, without a fingerprint."""
        made: dict[str, _Query] = {}
        queries = {}
        for label, plan in plans.items():
            encoder = await self._encoders.of(plan)
            if encoder.identity not in made:
                encoded = await self._encoders.encode(encoder, [text])
                if encoded.refused:
                    raise Unfit(label, Reason.EMBEDDER)
                vector = encoded.vectors[0]
                made[encoder.identity] = _Query(encoder, vector, recall.cue(clean_query(vector)), is_apart(len(vector)))
            queries[label] = made[encoder.identity]
        return queries

    # asking

    async def _of_table(self, search: Search, table: Carried, known: TableStanding, query: _Query) -> list[Found]:
        first = max(2 * search.limit, FIRST)
        for most in [first, MOST] if query.apart and first < MOST else [MOST]:
            spaces = await asyncio.gather(*[self._recall(table, space, query.cue, most) for space in known.spaces])
            found = await self._confirmed(search, table, _merged(spaces), query)
            behind = max((space.hits[-1].score for space in spaces if space.count >= most), default=None)
            if behind is None or settled([one.score for one in found], search.limit, behind / CLEAN if query.apart else LEAST):
                return [one for one in found if one.score > LEAST]
        raise Unfit(table.label, Reason.CROWDED)

    async def _recall(self, table: Carried, space: str, cue: str, most: int) -> Recalled:
        async with self._turns:
            recalled, warm = await asyncio.gather(self._proxy.engram.recall(space, cue, most), self._proxy.engram.warm(space))
        if warm:
            raise Unfit(table.label, Reason.NOT_SEARCHABLE)
        return recalled

    # confirming

    async def _confirmed(self, search: Search, table: Carried, hits: Sequence[Hit], query: _Query) -> list[Found]:
        """The rows of the hits, as far as they can be among the first, with the scores of their clean vectors."""
        found: list[Found] = []
        size = max(search.limit, FIRST)
        for start in range(0, len(hits), size):
            some = hits[start : start + size]
            bodies = await self._rows(search, table, [hit.memory_id[len(table.prefix) :] for hit in some if _of(table, hit)])
            mine = {key: body for key, body in bodies.items() if search.sees(table, body)}
            found += await self._scored(table, mine, {hit.memory_id: hit.score for hit in some}, query)
            behind = hits[start + size].score / CLEAN if start + size < len(hits) else None
            if query.apart and settled([one.score for one in found], search.limit, behind):
                break
        return found

    async def _rows(self, search: Search, table: Carried, keys: Sequence[str]) -> dict[str, str]:
        """The bodies of those keys whose row the ledger expects, each proven."""
        if not keys:
            return {}
        proxy = self._proxy
        standing = await proxy.standing(table, keys, search.demand)
        allowed, now = proxy.allowed(table, search.demand), proxy.freshness.now(standing.table.covered)
        reasons = {key: unproven(standing, key, now=now, max_staleness=allowed, min_lsn=search.demand.min_lsn) for key in keys}
        expected = [key for key in keys if reasons[key] not in ABSENT]
        if table.key:
            answers = await proxy.rows(table, expected, search.demand) if expected else None
            return {one.key: one.body for one in answers.rows if one.body is not None} if answers is not None else {}
        bodies = {}
        for key in expected:  # nobody but Engram can say what a row without a key is
            entry, reason = standing.keys[key], reasons[key]
            stored = (
                await proxy.engram.get(entry.space, table.prefix + key, table.label) if reason is None and entry.space else None
            )
            answer = proven(entry, stored.content) if stored is not None else None
            if answer is None or answer.body is None:
                raise Unfit(table.label, reason or Reason.DIFFERS)
            bodies[key] = answer.body
        return bodies

    async def _scored(self, table: Carried, bodies: dict[str, str], given: dict[str, float], query: _Query) -> list[Found]:
        """By the clean vectors of the rows' texts; where a text cannot be told or embedded, by what Engram said."""
        assert table.plan is not None
        texts = {}
        for key, body in bodies.items():
            memory = table.plan.recalled(key, body)
            if memory is not None:
                texts[key] = memory.text
        marks = {key: given[table.prefix + key] / (CLEAN if query.apart else 1.0) for key in bodies}
        if texts:
            encoded = await self._encoders.encode(query.encoder, list(texts.values()))
            cosines = scores(query.vector, encoded.vectors)
            marks |= {key: cosines[place] for place, key in enumerate(texts) if place not in encoded.refused}
        return [
            Found(table.label, key, table.prefix + key, body, marks[key], query.encoder.identity) for key, body in bodies.items()
        ]


def _merged(spaces: Sequence[Recalled]) -> list[Hit]:
    best: dict[str, Hit] = {}
    for hit in (hit for space in spaces for hit in space.hits):
        if hit.memory_id not in best or hit.score > best[hit.memory_id].score:
            best[hit.memory_id] = hit
    return sorted(best.values(), key=lambda hit: -hit.score)


def _of(table: Carried, hit: Hit) -> bool:
    """A space can be that of several tables."""
    return hit.memory_id.startswith(table.prefix)
