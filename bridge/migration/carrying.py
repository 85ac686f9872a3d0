"""A bridge without a stream: everything between the held snapshot and Engram, put together, started, and waited for.

The lanes, the gate, the proof and the ledger are those of `run`. What differs: every row is read at one snapshot, refreshes too,
and nothing moves the frontier.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from bridge.adoption import Occupied
from bridge.assembling import LANE_THREADS, add_lanes, in_order, make_workshop, open_spaces
from bridge.choices import MAPPED
from bridge.config import Config
from bridge.embedding import Embedders
from bridge.engram.client import EngramTarget
from bridge.errors import BridgeError, SourceChanged, Transient
from bridge.frontier import Frontier
from bridge.ledger import MIGRATED, RESYNC_LOADING, Generations, Ledger, TableRecord
from bridge.lsn import format_lsn, make_version, parse_lsn
from bridge.making import MIXED, making_fact, note_makings
from bridge.mapping import TablePlan
from bridge.migration.held import HeldSnapshot
from bridge.migration.order import Chosen
from bridge.models import settle_models
from bridge.pool import LanePool
from bridge.recorder import Recorder
from bridge.rereading import Rereading
from bridge.resyncing import Resyncing
from bridge.rounds import Rounds
from bridge.source_queries import Source
from bridge.watch import TargetWatch
from bridge.wiring import Plan, changed_columns, column_facts, links_fact, make_plan
from bridge.works import Work
from bridge.workshop import Workshop
from snapshot.loader import Loader
from snapshot.plan import Restriction
from snapshot.refresh import Refresher

logger = logging.getLogger(__name__)

STEP_SECONDS = 0.2
STOP_SECONDS = 3.0


@dataclass(slots=True)
class Carrying:
    """One attempt at a migration, at one snapshot. `numbers` are the tables of this order."""

    config: Config
    ledger: Ledger
    target: EngramTarget
    held: HeldSnapshot
    plan: Plan
    shop: Workshop
    recorder: Recorder
    pool: LanePool
    loader: Loader
    watch: TargetWatch
    resync: Resyncing
    numbers: frozenset[int]
    partial: frozenset[int] = frozenset()
    started: float = field(default_factory=time.time)
    _rounds: Rounds | None = None
    _retried: set[tuple[int, str]] = field(default_factory=set)

    def start(self) -> None:
        """Start all threads."""
        self.ledger.patience.begin()
        self.ledger.put_facts({"ended": "no"})
        self.recorder.start()
        self.pool.start()
        self.watch.start()
        self.loader.start()
        self._rounds = Rounds("resync", "the reading again", self._step, self.resync.ending, lambda: STEP_SECONDS, _waits)
        self._rounds.start()

    def _step(self) -> None:
        for number in list(self.partial & self.resync.resyncs):
            self._settle_partial(number)
        self.resync.step()

    def _settle_partial(self, number: int) -> None:
        """Of a table that is not read whole nothing can be said to be gone."""
        record = self.record(number)
        if record is not None and record.state == "loaded":
            self.ledger.drop_fact(f"resync:{number}")
            self.resync.resyncs.discard(number)
            self.loader.refreshing.discard(number)

    def record(self, number: int) -> TableRecord | None:
        """How far the ledger has a table."""
        return next((record for record in self.ledger.generations() if record.number == number), None)

    @property
    def failure(self) -> BridgeError | None:
        """What has ended it, if anything has."""
        parts = (self.recorder, self.pool, self.loader, self.watch, self._rounds)
        return next((part.failure for part in parts if part is not None and part.failure is not None), None)

    @property
    def done(self) -> bool:
        """Every table of the order is recorded, and nothing is left to be read again, compared or mended."""
        states = {record.number: record.state for record in self.ledger.generations()}
        return (
            self.loader.finished
            and all(states.get(number) in ("loaded", "stopped") for number in self.numbers)
            and self.watch.repaired
            and not self.resync.resyncs
            and not self.resync.reloading
            and not self.resync.adopting
            and sum(lane.load.background + lane.load.stream + lane.doing for lane in self.pool.lanes) == 0
            and self.pool.idle
            and all(self._written_through(lane.space) for lane in self.pool.lanes)
        )

    def _written_through(self, space: str) -> bool:
        """Recall by embedding knows all that the space has: after a restart of the target it is written anew.

        Where a table is stopped nobody writes its rows, and nobody waits for that.
        """
        stopped = any(space in self.shop.mapping.numbered[number].spaces for number in self.shop.stopped)
        return stopped or self.ledger.rewritten(space) == self.shop.epoch

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written or read now, if so."""
        if not self.watch.reachable:
            return "Engram cannot be reached"
        return self.pool.trouble

    def retry_parked(self) -> bool:
        """Once more those keys whose reason can end by itself; False when there are none that were not tried again."""
        waiting = [key for key, parked in self.ledger.parked_keys(due=float("inf")) if key[0] in self.numbers]
        fresh = [key for key in waiting if key not in self._retried]
        for number, key in fresh:
            self._retried.add((number, key))
            plan = self.shop.mapping.numbered.get(number)
            if plan is not None and not plan.keyless:
                self.pool.put(Work(plan, key, background=True, refresh=True, retry=True))
        self.pool.wake()
        return bool(fresh)

    def stop(self) -> None:
        """End in order: what is being done is finished and recorded. The snapshot and the ledger stay open."""
        self.ledger.patience.hurry()
        self.loader.stop()
        self.watch.stop()
        self.resync.ending.set()
        if self._rounds is not None:
            self._rounds.join(STOP_SECONDS)
        drained = self.pool.stop()
        self.recorder.stop()
        settled = self.watch.repaired and not any(lane.in_doubt for lane in self.pool.lanes)
        if self.failure is None and drained and settled:
            self.ledger.put_facts({"ended": "in order"})

    def close(self) -> None:
        """Let everything go."""
        self.shop.reader.close()
        self.shop.embedders.close()
        self.target.close()
        self.held.close()
        self.ledger.close()


def _waits(error: Transient) -> None:
    logger.warning("reading again waits: %s", error, extra={"hint": error.hint})


def require_same_source(ledger: Ledger, held: HeldSnapshot) -> None:
    """The ledger's positions are of this server and history, and none lies ahead of it. Raises SourceChanged."""
    facts, now = ledger.facts(), held.origins.facts()
    other = [name for name in ("system_identifier", "database") if facts.get(name) and now[name] and facts[name] != now[name]]
    if other:
        raise SourceChanged(
            "the ledger is of another source: " + ", ".join(f"{name} {facts[name]}, here {now[name]}" for name in other),
            hint="Give the ledger that belongs to this source, or another one: --ledger PATH.",
        )
    if MIGRATED in facts and parse_lsn(facts[MIGRATED]) > held.position:
        raise SourceChanged(
            f"the ledger knows a later position ({facts[MIGRATED]}) than the source has reached: it was restored from a backup?",
            hint="Migrate into a new ledger and new spaces: --ledger PATH, and --table-to-space or target.space_prefix.",
        )


@dataclass(frozen=True, slots=True)
class Manner:
    """How it is done: connections that read at the same time, rows of a chunk, and whether a migration is gone on with."""

    workers: int
    batch: int
    going_on: bool


def assemble(
    chosen: Chosen, ledger: Ledger, target: EngramTarget, embedders: Embedders, held: HeldSnapshot, manner: Manner
) -> Carrying:
    """The parts put together; the ledger is held and is of this source.

    Raises ConfigError, CheckFailed for spaces of others, and what source, target and ledger can fail of.
    """
    config = chosen.config
    generations = Generations(ledger)
    generations.readmit(chosen.labels)
    for label, options in chosen.mapped.items():
        generations.choose(label, MAPPED, options)
    with held.connect("engram-bridge setup") as connection:
        plan = make_plan(config, ledger, connection)
    settle_models(ledger, plan.mapping.numbered.values(), embedders)
    spaces = open_spaces(ledger, target, plan, Occupied.REFUSE)
    note_makings(ledger, plan.mapping.numbered.values())
    numbers = frozenset(plan.mapping.plans[label].number for label in chosen.labels)
    restrictions = {plan.mapping.plans[label].number: only for label, only in chosen.restrictions.items()}
    ledger.put_facts({**held.origins.facts(), MIGRATED: format_lsn(held.position)})
    refreshing = _begin(ledger, plan, numbers, {n: _marker(config, restrictions.get(n)) for n in numbers}, manner)
    frontier = Frontier(held.position)
    recorder = Recorder(ledger, frontier)
    shop = make_workshop(config, ledger, target, plan, embedders, recorder, Refresher(held))
    shop.floors.update({record.number: record.floor for record in ledger.generations() if record.floor})
    pool = LanePool(shop, threads=LANE_THREADS)
    add_lanes(ledger, shop, pool, spaces)
    loader = Loader(
        url=held,
        ledger=ledger,
        recorder=recorder,
        pool=pool,
        version=make_version(int(ledger.facts().get("source_epoch", "1")), held.position, 0),
        plans=[one for one in in_order(plan) if one.number in numbers],
        stop_table=_stopper(ledger, shop),
        workers=manner.workers,
        chunk_rows=manner.batch,
        only=restrictions,
        position=held.position,
        ahead=manner.workers,
    )
    facts = ledger.facts()
    loader.refreshing.update(refreshing)
    loader.anew.update(number for number in numbers if facts.get(making_fact(number)) == MIXED)
    asks = Source(config.source.url)
    resync = Resyncing(shop, pool, recorder, loader, set(refreshing), asks, Rereading(shop, pool, loader.rows, asks.snapshot))
    pool.reload = resync.reload
    recorder.unlinked.set()  # it may have been killed between recording a parent and refreshing its children
    watch = TargetWatch(shop, pool, reload=resync.reload, rewrite_share=1.0)
    resync.watch = watch
    watch.begin(compare=facts.get("ended") == "no")
    partial = frozenset(restrictions)
    return Carrying(config, ledger, target, held, plan, shop, recorder, pool, loader, watch, resync, numbers, partial)


def _marker(config: Config, only: Restriction | None) -> str:
    """What a table's chunks are planned for: by whom, and which of its rows."""
    return json.dumps([config.migration, asdict(only) if only is not None else None])


def _begin(ledger: Ledger, plan: Plan, numbers: frozenset[int], markers: Mapping[int, str], manner: Manner) -> set[int]:
    """Have the ledger ready for what is to be loaded; answers the tables whose keys it knows already: they are compared.

    A table that this migration has loaded stays, one whose loading was broken off goes on, unless its columns have changed
    meanwhile. Those that other migrations have loaded are read again, whole, and only what differs is written.
    """
    if not manner.going_on:
        for number in numbers:
            ledger.drop_fact(f"migrated:{number}")
    facts = ledger.facts()
    for record in ledger.generations():
        one = plan.mapping.numbered.get(record.number)
        if record.number not in numbers or one is None:
            continue
        broken, changed = changed_columns(record, one) if record.state != "new" else (None, [])
        own = facts.get(f"migrated:{record.number}") == markers[record.number]
        relinked = facts.get(f"links:{record.number}", links_fact(one)) != links_fact(one)
        if record.state != "new" and (not own or record.state == "stopped" or broken is not None or changed or relinked):
            ledger.begin_again(record.number, column_facts(one.table))
        ledger.put_facts({f"links:{record.number}": links_fact(one), f"migrated:{record.number}": markers[record.number]})
    facts = ledger.facts()
    return {number for number in numbers if facts.get(f"resync:{number}", "").startswith(RESYNC_LOADING)}


def left_to_read(carrying: Carrying) -> list[str]:
    """Tables of the order of which rows are still to be read."""
    states = {record.number: record for record in carrying.ledger.generations()}
    return [
        label
        for label, plan in carrying.plan.mapping.plans.items()
        if plan.number in carrying.numbers and (states[plan.number].state != "loaded" or plan.number in carrying.resync.resyncs)
    ]


def _stopper(ledger: Ledger, shop: Workshop) -> Callable[[TablePlan, str], None]:
    def stop_table(plan: TablePlan, reason: str) -> None:
        ledger.set_table(plan.number, state="stopped", reason=reason)
        shop.stopped[plan.number] = reason
        logger.error("a table is not migrated: %s: %s", plan.table.label, reason, extra={"table": plan.table.label})

    return stop_table
