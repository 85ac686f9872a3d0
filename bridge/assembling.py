"""Parts that a run and a one-shot migration put together alike: spaces opened, a workshop, lanes, the order of tables."""

from __future__ import annotations

from bridge.adoption import Occupied, settle, survey
from bridge.config import Config
from bridge.embedding import Embedders
from bridge.engram.client import EngramTarget
from bridge.lane import Lane
from bridge.ledger import FILLING, RETIRED, SERVING, Ledger
from bridge.mapping import TablePlan
from bridge.pool import LanePool
from bridge.reconcile.attending import Reconciling
from bridge.reconcile.mending import Mender
from bridge.recorder import Recorder
from bridge.resyncing import Resyncing
from bridge.watch import TargetWatch
from bridge.wiring import Plan
from bridge.workshop import Workshop
from snapshot.loader import Loader
from snapshot.order import foreign_key_order
from snapshot.refresh import Refresher

LANE_THREADS = 8


def open_spaces(ledger: Ledger, target: EngramTarget, plan: Plan, occupied: Occupied) -> dict[str, bool]:
    """Open all spaces, deal with what others have left in those that are new to this ledger, and note which were empty then."""
    unknown = [space for space in plan.mapping.written if ledger.space(space) is None]
    settle([survey(target, plan.mapping, plan.identity.ledger, space) for space in unknown], occupied, ledger, target)
    pristine = {}
    for space in dict.fromkeys([*plan.mapping.written, *ledger.spaces()]):  # what was forgotten in the others can come back
        counted, known = target.open(space).counted, ledger.space(space)
        if known is None:
            ledger.put_space(space, pristine=counted == 0)
        pristine[space] = known[0] if known is not None else counted == 0
    return pristine


def make_workshop(
    config: Config, ledger: Ledger, target: EngramTarget, plan: Plan, embedders: Embedders, recorder: Recorder, reader: Refresher
) -> Workshop:
    """What the lanes share, as configuration and ledger have it."""
    return Workshop(
        ledger=ledger,
        recorder=recorder,
        target=target,
        embedders=embedders,
        reader=reader,
        mapping=plan.mapping,
        confidence=target.confidence,
        limit=config.target.limit,
        ledger_id=plan.identity.ledger,
        default_when=float(ledger.facts()["created"]),
        retry_first=config.parked.retry_first,
        retry_last=config.parked.retry_last,
    )


def make_reconciling(
    config: Config,
    shop: Workshop,
    pool: LanePool,
    recorder: Recorder,
    loader: Loader,
    resync: Resyncing,
    watch: TargetWatch,
) -> Reconciling:
    """The rounds of comparison of a run: they wait while it has something better to do."""

    def ready() -> bool:
        sound = watch.repaired and watch.reachable and pool.trouble is None and not pool.paused
        return sound and loader.finished and not resync.adopting

    return Reconciling(
        config,
        shop.ledger,
        lambda: shop.mapping,
        resync.ending.is_set,
        ready,
        lambda counters: recorder.commit([], counters),
        Mender(pool, lambda: loader.version, resync.reload, watch.compare, lambda: watch.repaired, resync.ending.is_set),
        adopted=shop.adopted,
        embedders=shop.embedders,
    )


def add_lanes(ledger: Ledger, shop: Workshop, pool: LanePool, spaces: dict[str, bool]) -> None:
    """A lane for each space; the value says whether it was empty when this ledger began."""
    # A run that was killed may have written what the ledger does not know. After a restart of the target recall does not know it
    # either, and never would: what is there already is not stored again. So it is forgotten before it is written.
    in_order = ledger.facts().get("ended") != "no"
    live = ledger.live_counts()
    records = ledger.generations(SERVING, FILLING, RETIRED)  # what is not written any more takes room, too
    for space, pristine in spaces.items():
        lane = Lane(space, shop, pristine=pristine and in_order)
        for record in records:
            if space in record.spaces:
                lane.live += live.get((record.number, record.spaces.index(space)), 0)
        pool.add(lane)


def in_order(plan: Plan) -> list[TablePlan]:
    """Parents first; what is filled beside those that serve comes last."""
    tables = [p.table for p in plan.mapping.plans.values()]
    serving = [plan.mapping.plans[table.label] for component in foreign_key_order(tables) for table in component]
    return serving + [one for one in plan.mapping.numbered.values() if plan.mapping.plans[one.table.label] is not one]
