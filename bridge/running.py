"""A running bridge: the threads of `run`, how they begin, what they look after, and how they end.

Threads: one reads the stream, some read chunks, some work the lanes, one writes the ledger, one watches the target, and one does
the housekeeping: measurements for `status`, requests of other processes, parked keys whose time has come, tombstones that may go.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field

from bridge import renewal
from bridge.acts import Acts
from bridge.admission import admit
from bridge.adoption import ADOPTED, Adoption, Occupied
from bridge.alterations import Alterations
from bridge.assembling import LANE_THREADS, add_lanes, in_order, make_reconciling, make_workshop, open_spaces
from bridge.catalogue_watch import CatalogueWatch
from bridge.check import Finding, setting
from bridge.config import Config
from bridge.connecting import Connector
from bridge.embedding import Embedders
from bridge.engram.client import EngramTarget
from bridge.errors import BridgeError
from bridge.figures import HISTORY
from bridge.frontier import Frontier
from bridge.fullness import Warden
from bridge.heartbeat import Heartbeat
from bridge.housekeeping import Housekeeping
from bridge.intake import Intake
from bridge.keeper import TableKeeper
from bridge.ledger import (
    RESYNC_LOADING,
    Ledger,
    Migrations,
    resyncing,
)
from bridge.ledger.migrations import RUN
from bridge.ledger.removal import remove
from bridge.lookout import Lookout
from bridge.lsn import LOWEST, Lsn, fence, format_lsn, make_version
from bridge.making import MIXED, making_fact, note_makings
from bridge.models import settle_models
from bridge.origin import Origin
from bridge.oversight import Oversight
from bridge.pool import LanePool
from bridge.postgres import connect, flush_position
from bridge.reconcile.attending import Reconciling
from bridge.recorder import Recorder
from bridge.rereading import Rereading
from bridge.restoring import begin_after_migration, begin_resyncs, restore
from bridge.resyncing import Resyncing
from bridge.slot_watch import SlotWatch
from bridge.source_queries import Source
from bridge.streaming import Stream
from bridge.validation.attending import Attendant
from bridge.watch import TargetWatch
from bridge.wiring import (
    Plan,
    SourceFacts,
    SourceSetup,
    make_plan,
    open_embedders,
    open_ledger,
    open_target,
)
from bridge.workshop import Workshop
from snapshot.loader import Loader
from snapshot.refresh import Refresher

logger = logging.getLogger(__name__)

OUTSIDE = {"publication_made", "making_slot", ADOPTED}
"""Facts of things outside the ledger that only it knows whose they are."""


@dataclass(slots=True)
class Bridge:
    """One bridge of one configuration. `prepare`, `start`, look at it, `stop`."""

    config: Config
    ledger: Ledger
    target: EngramTarget
    plan: Plan
    source: SourceFacts
    shop: Workshop
    recorder: Recorder
    frontier: Frontier
    pool: LanePool
    stream: Stream
    loader: Loader
    watch: TargetWatch
    housekeeping: Housekeeping
    alterations: Alterations
    heartbeat: Heartbeat
    reconciling: Reconciling
    catalogue: CatalogueWatch
    started: float = field(default_factory=time.time)
    fence: Lsn = 0

    def start(self) -> None:
        """Start all threads."""
        self.fence = self.flush_position()
        self.ledger.patience.begin()
        self.ledger.put_facts({"ended": "no"})
        self.recorder.start()
        self.pool.start()
        self.watch.start()
        self.stream.start()
        self.loader.start()
        self.housekeeping.start()
        self.alterations.start()
        self.catalogue.start()
        self.heartbeat.start()

    def stop(self) -> None:
        """End in order: nothing more comes in, what is being done is finished and recorded, the slot is told."""
        self.ledger.patience.hurry()
        self.heartbeat.stop()
        self.catalogue.stop()
        self.loader.stop()
        self.alterations.stop()
        self.watch.stop()
        self.housekeeping.stop()
        drained = self.pool.stop()
        self.recorder.stop()
        self.stream.stop()
        settled = self.watch.repaired and not any(lane.in_doubt for lane in self.pool.lanes)
        if self.failure is None:
            Migrations(self.ledger).end(self.shop.migration)
        if self.failure is None and drained and settled:
            self.ledger.put_facts({"ended": "in order"})
            facts = {"proven": format_lsn(self.recorder.confirmed), "changes": self.recorder.changes}
            logger.info("ended in order", extra=facts | {"parked": self.ledger.parked_count()})
        elif self.failure is None:
            logger.warning("ended before all was settled: the next run compares every space first")
        self.shop.reader.close()
        self.shop.embedders.close()
        self.target.close()
        self.ledger.close()

    @property
    def failure(self) -> BridgeError | None:
        """What has ended the bridge, if anything has."""
        parts = (
            self.recorder,
            self.pool,
            self.stream,
            self.loader,
            self.watch,
            self.housekeeping,
            self.alterations,
            self.heartbeat,
            self.catalogue,
        )
        return next((part.failure for part in parts if part.failure is not None), None)

    @property
    def consistent(self) -> bool:
        """Law 2: every chunk is recorded, and the frontier has passed the position taken after the last one."""
        tables = [record for record in self.ledger.tables() if record.state != "stopped"]
        return all(record.state == "loaded" and record.reached <= self.recorder.confirmed for record in tables)

    @property
    def resyncs_wished(self) -> bool:
        """A table is to be loaded again, and that has perhaps not begun."""
        carried = {record.number for record in self.ledger.tables() if record.state != "stopped"}
        return not carried.isdisjoint(resyncing(self.ledger.facts()))

    def caught_up(self, position: Lsn) -> bool:
        """Consistent, past that position, and nothing is left to be compared or mended."""
        return (
            self.recorder.confirmed >= position
            and self.consistent
            and self.watch.repaired
            and not self.housekeeping.resyncs
            and not self.resyncs_wished
            and not self.housekeeping.reloading
            and not self.housekeeping.adopting
            and not self.alterations.pending
            and sum(lane.load.background + lane.doing for lane in self.pool.lanes) == 0
        )

    def flush_position(self) -> Lsn:
        """A fence: where the source's WAL is flushed to now. Raises SourceUnavailable."""
        with connect(self.config.source.url, application_name="engram-bridge fence") as connection:
            return fence(flush_position(connection))


def prepare(config: Config, occupied: Occupied = Occupied.REFUSE) -> Bridge:
    """Everything up to the first row, in the order of law 2, and the parts put together.

    Nothing is written before source and target have been found fit. Raises ConfigError, CheckFailed, LedgerHeld, SourceChanged,
    SlotLost, Transient when source or target cannot be reached.
    """
    embedders = open_embedders(config)
    try:
        return _prepared(config, embedders, occupied)
    except BaseException:
        embedders.close()
        raise


def _prepared(config: Config, embedders: Embedders, occupied: Occupied) -> Bridge:
    faulty = admit(config)
    target = open_target(config)
    target.epoch()
    ledger = open_ledger(config)
    try:
        ledger.acquire()
    except BaseException:
        ledger.close()
        raise
    try:
        with connect(config.source.url, application_name="engram-bridge setup") as connection:
            plan = make_plan(config, ledger, connection, leave_out=faulty)
            Migrations(ledger).require(plan.identity.migration, RUN)
            _tell_left_out(plan, faulty)
            _tell_shards(plan)
            settle_models(ledger, plan.mapping.numbered.values(), embedders)
            spaces = open_spaces(ledger, target, plan, occupied)
            names = [(p.table.schema, p.table.name) for p in plan.mapping.plans.values()]
            renewal.begin(config, ledger, connection, plan)
            note_makings(ledger, plan.mapping.numbered.values())
            begin_after_migration(ledger, plan)
            begin_resyncs(ledger, plan)
            if any(record.state == "new" for record in ledger.generations()):
                ledger.drop_fact("barrier")  # whoever put it into the publication, and whenever
            source = SourceSetup(config, ledger, connection, names).prepare()
        Connector(config, ledger, source, names).prove(int(ledger.facts()["confirmed"]))
        plan.migration = _begin_migration(config, ledger, plan)
        return _assemble(config, ledger, target, plan, source, embedders, spaces)
    except BaseException:
        _give_back(ledger)
        raise


def _begin_migration(config: Config, ledger: Ledger, plan: Plan) -> int:
    """Whatever this run writes is its own. Raises ConfigError for the id of another migration."""
    ordered = {
        "source": config.source.shown,
        "target": config.target.http,
        "grpc": config.target.grpc_address,
        "tables": sorted(plan.mapping.plans),
    }
    return Migrations(ledger).begin(plan.identity.migration, RUN, ordered)


def _give_back(ledger: Ledger) -> None:
    """Close the ledger of a start that failed; one that this start has made, and that knows of nothing outside, is removed."""
    with suppress(BridgeError):
        if ledger.is_new and not ledger.facts().keys() & OUTSIDE:
            remove(ledger)
            return
    ledger.close()


def _tell_left_out(plan: Plan, faulty: dict[str, Finding]) -> None:
    """Tables that came since this ledger began and cannot be carried: said at every start, and the others go on."""
    for label, found in faulty.items():
        if label not in plan.records:
            logger.error("a table is not carried: %s", found.what, extra={"table": label, "hint": found.remedy})


def _tell_shards(plan: Plan) -> None:
    """The configuration may go on naming the number of before a reshard; that the ledger knows another is said."""
    for label, one in plan.mapping.plans.items():
        if one.options.shards != len(one.spaces):
            remedy = f"Write {setting(label, f'shards: {len(one.spaces)}')} into the configuration."
            logger.info("a table lives in %d space(s): %s", len(one.spaces), label, extra={"table": label, "hint": remedy})


def _assemble(
    config: Config,
    ledger: Ledger,
    target: EngramTarget,
    plan: Plan,
    source: SourceFacts,
    embedders: Embedders,
    spaces: dict[str, bool],
) -> Bridge:
    known = ledger.facts()
    origin = Origin(config.source.url, known["system_identifier"], int(known["timeline"]))
    frontier = Frontier(int(known["confirmed"]))
    recorder = Recorder(ledger, frontier)
    shop = make_workshop(config, ledger, target, plan, embedders, recorder, Refresher(origin))
    shop.adopted = frozenset(json.loads(known.get(ADOPTED, "[]")))
    shop.migration = plan.migration
    pool = LanePool(shop, threads=LANE_THREADS)
    resyncs = restore(ledger, shop, plan)
    add_lanes(ledger, shop, pool, spaces)
    keeper = TableKeeper(config, ledger, shop, source.publication, resyncs)
    intake = Intake(shop, pool, frontier, keeper, source.epoch)
    loader = _loader(config, ledger, origin, plan, source, recorder, pool, keeper, resyncs)
    shop.visible_below = known.get("visible_below", LOWEST)
    pool.pause(wanted="paused" in known)
    tables = [(p.table.schema, p.table.name) for p in plan.mapping.plans.values()]
    stream = Stream(Connector(config, ledger, source, tables).open, intake, frontier, recorder)
    asks = Source(config.source.url)
    resync = Resyncing(shop, pool, recorder, loader, resyncs, asks, Rereading(shop, pool, loader.rows, asks.snapshot))
    housekeeping = Housekeeping(shop, pool, recorder, stream, loader, resync, asks, Warden(ledger))
    pool.reload = resync.reload
    recorder.unlinked.set()  # a run may have been killed between recording a parent and refreshing its children
    watch = TargetWatch(shop, pool, reload=resync.reload, rewrite_share=config.target.rewrite_share)
    housekeeping.watch = resync.watch = watch
    housekeeping.slot_watch = _slot_watch(config, source, stream, pool)
    housekeeping.beside["validation"] = Attendant(
        config, ledger, lambda: shop.mapping, embedders, resync.ending.is_set, ready=lambda: watch.repaired
    ).step
    reconciling = make_reconciling(config, shop, pool, recorder, loader, resync, watch)
    housekeeping.beside["reconcile"] = reconciling.step
    housekeeping.oversight = Oversight(config, ledger, source.slot)
    housekeeping.beside |= {"returning": housekeeping.oversight.returning, "gates": housekeeping.oversight.gates}
    lookout = Lookout(keeper, source.epoch)
    catalogue = CatalogueWatch(origin, frontier, keeper, lookout)
    resync.adoption = Adoption.of(shop, watch)
    lookout.look()
    watch.begin(compare=ledger.facts().get("ended") == "no")
    resync.adoption.begin()
    alterations = Alterations(Acts(config, ledger, shop, pool, loader, keeper), settled=lambda: watch.repaired)
    heartbeat = housekeeping.heartbeat = Heartbeat(
        origin,
        frontier,
        recorder,
        config.heartbeat.seconds,
        held=lambda: pool.paused or pool.trouble is not None or not watch.reachable or not stream.connected,
    )
    heartbeat.history.extend(ledger.gauges().get(HISTORY, ([], 0.0))[0] or [])
    parts = (pool, stream, loader, watch, housekeeping, alterations, heartbeat, reconciling, catalogue)
    return Bridge(config, ledger, target, plan, source, shop, recorder, frontier, *parts)


def _loader(
    config: Config,
    ledger: Ledger,
    origin: Origin,
    plan: Plan,
    source: SourceFacts,
    recorder: Recorder,
    pool: LanePool,
    keeper: TableKeeper,
    resyncs: set[int],
) -> Loader:
    loader = Loader(
        url=origin,
        ledger=ledger,
        recorder=recorder,
        pool=pool,
        version=make_version(source.epoch, source.consistent_point, 0),
        plans=in_order(plan),
        stop_table=keeper.stop_table,
        workers=config.snapshot.workers,
        chunk_rows=config.snapshot.chunk_rows,
    )
    facts = ledger.facts()
    if "snapshot_paused" in facts:
        loader.paused.set()
    loader.anew.update(number for number in plan.mapping.numbered if facts.get(making_fact(number)) == MIXED)
    loader.refreshing.update(number for number in resyncs if facts.get(f"resync:{number}", "").startswith(RESYNC_LOADING))
    return loader


def _slot_watch(config: Config, source: SourceFacts, stream: Stream, pool: LanePool) -> SlotWatch:
    return SlotWatch(
        config.source.url,
        source.slot,
        limit=config.source.max_retained_bytes,
        drop=config.source.on_max_retained == "drop",
        leave=stream.stop,
        paused=lambda: pool.paused,
    )
