"""What is asked of whole tables while the bridge runs: add, remove, reshard.

Whoever asks writes it into the ledger (`Generations.ask`), while a bridge runs or not; this thread of a running one does it. Each
act is a row of steps, of which one is a single transaction of the ledger that decides: before it nothing has happened, after it
the rest follows, in this run, again and again while something it needs is away, or in the next.

add      the table is registered, it joins the publication, its plan is put in force, the barrier is passed, it is loaded
remove   it is retired, or stopped where its memories are kept; its plan goes; it leaves the publication
reshard  a second generation is registered for new spaces and its plan put in force beside the first, so that changes are written
         to both; the barrier is passed, it is loaded; when it is complete, it takes the first one's place, which is retired
retired  all memories of the generation are forgotten, and proven gone; then its record goes
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import psycopg

from bridge import additions
from bridge.adoption import Occupied, settle, survey
from bridge.capacity import proposed_shards, rows_per_space
from bridge.check import Finding
from bridge.config import Config
from bridge.errors import BridgeError, ConfigError, Fatal, Transient, defect
from bridge.keeper import NO_KEY, TableKeeper
from bridge.lane import Lane
from bridge.ledger import FILLING, RESYNC_ASKED, RETIRED, SERVING, Asked, Generations, Ledger, TableRecord
from bridge.lsn import Lsn
from bridge.mapping import Mapping, TablePlan
from bridge.models import settle_models
from bridge.pool import LanePool
from bridge.postgres import connect
from bridge.replanning import replan
from bridge.resharding import configured_spaces, fresh_spaces
from bridge.schema import Table
from bridge.wiring import column_facts, links_fact, make_plan
from bridge.works import Vacation
from bridge.workshop import Workshop
from cdc.publication import ensure_publication, leave_publication
from cdc.slot import barrier
from snapshot.chunks import reached
from snapshot.loader import Loader

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
STOP_SECONDS = 3.0
TURN_SECONDS = 5.0
"""How long one table's memories are forgotten before something else has its turn."""

TELL_AGAIN = 30.0
KEPT = "it was removed, and its memories are kept"
GONE = "it was removed"


@dataclass(slots=True)
class Alterations:
    """Does in a thread what is asked of tables. `settled` says whether the target was compared since its last start."""

    config: Config
    ledger: Ledger
    shop: Workshop
    pool: LanePool
    loader: Loader
    keeper: TableKeeper
    settled: Callable[[], bool]
    failure: BridgeError | None = None
    pending: bool = True
    _told: dict[str, float] = field(default_factory=dict)
    _rest: dict[str, tuple[str, Callable[[], None]]] = field(default_factory=dict)
    _asked_at: dict[int, Lsn] = field(default_factory=dict)
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def generations(self) -> Generations:
        """The ledger's side of it."""
        return Generations(self.ledger)

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="alterations", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; what is under way goes on in the next run."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)  # one that waits behind the barrier is left behind

    def _run(self) -> None:
        left = False
        while not self._ending.is_set():
            try:
                if not left:
                    self.leave()  # of an act that was killed before its end
                    left = True
                self.step()
            except Transient as error:
                self._tell("waits", "changes of tables wait: %s", str(error))
            except _Ended:
                return
            except BridgeError as error:
                self.failure = error
                return
            except Exception as error:
                if self._ending.is_set():
                    return
                logger.exception("changing tables ended")
                self.failure = defect("changing tables", error)
                return
            self._ending.wait(BEAT_SECONDS)

    def step(self) -> None:
        """One round. Raises LedgerError, SourceUnavailable, TargetUnavailable."""
        acts = {"add": self._add, "remove": self._remove, "reshard": self._reshard}
        self._finish()
        for asked in self.generations.asked():
            if asked.refused is None:
                self.pending = True
                try:
                    acts[asked.verb](asked)
                except (ConfigError, Fatal) as error:
                    self._refuse(asked, ". ".join(filter(None, (str(error), error.hint))))
        self._revive()
        for record in self.ledger.generations(FILLING):
            self._fill(record)
        for record in self.ledger.generations(RETIRED):
            self._vacate(record)
        asked_still = any(asked.refused is None for asked in self.generations.asked())
        self.pending = asked_still or bool(self._asked_at) or bool(self.ledger.generations(FILLING, RETIRED))

    def _refuse(self, asked: Asked, reason: str) -> None:
        self.generations.refuse(asked, reason)
        logger.error("cannot %s a table: %s: %s", asked.verb, asked.label, reason, extra={"table": asked.label})

    def _finish(self) -> None:
        """Do what is left of acts that are decided. It is noted before the decision, and dropped when it is done.

        So an error that passes loses nothing of it: each rest may be repeated from its beginning, and does nothing where the
        decision was not taken. A table that cannot go on is stopped, and `status` says why.
        """
        for label, (verb, rest) in list(self._rest.items()):
            try:
                rest()
            except (ConfigError, Fatal) as error:
                reason = f"{error} {error.hint}".strip()
                for record in self._begun(label, SERVING, FILLING):
                    self.ledger.set_table(record.number, state="stopped", reason=reason)
                    self.shop.stopped[record.number] = reason
                self._refuse(Asked(label, verb, {}), reason)
            del self._rest[label]

    def _begun(self, label: str, *roles: str) -> list[TableRecord]:
        """The generations of a table that are decided on, and not being read yet."""
        return [one for one in self.ledger.generations(*roles) if one.label == label and one.state == "new"]

    def _tell(self, about: str, sentence: str, *words: object) -> None:
        """Say something that lasts once in a while."""
        if time.monotonic() - self._told.get(about, -TELL_AGAIN) >= TELL_AGAIN:
            self._told[about] = time.monotonic()
            logger.info(sentence, *words)

    def _serving(self, label: str) -> TableRecord | None:
        return next((record for record in self.ledger.tables() if record.label == label), None)

    # add

    def _add(self, asked: Asked) -> None:
        label, known = asked.label, self._serving(asked.label)
        if known is not None and (known.state != "stopped" or label not in self.generations.choices().removed):
            self.generations.done(label, "add")
            return
        if any(record.label == label for record in self.ledger.generations(RETIRED)):
            return  # what it had before is being forgotten, in the same spaces
        with connect(self.config.source.url, application_name="engram-bridge add") as connection:
            answers = additions.answers_of(self.config, connection)
            draft = additions.draft(self.config, self.ledger, answers, additions.find(answers, label))
            if known is not None:
                self._require_key(draft)
            self._require(additions.errors(self.config, answers, draft))
            if known is not None:  # its memories have a model: another one is refused before anything is written
                settle_models(self.ledger, [replace(draft, number=known.number)], self.shop.embedders)
            self._open(known.spaces if known is not None else draft.spaces)
            carry = partial(self._carry, label, (draft.table.schema, draft.table.name), refresh=known is not None)
            self._rest[label] = "add", carry
            self.generations.add(label, known.number if known is not None else None, column_facts(draft.table))
            make_plan(self.config, self.ledger, connection, register=False, joining={label})
        self._finish()  # with the next round `add` finds it carried, or refused

    def _carry(self, label: str, name: tuple[str, str], *, refresh: bool) -> None:
        """Take in the changes of a table that the ledger has as new, then load it."""
        if not self._begun(label, SERVING):
            return
        with connect(self.config.source.url, application_name="engram-bridge add") as connection:
            version = connection.info.server_version
            ensure_publication(connection, self.keeper.publication, [name], server_version=version)
            self.shop.stopped.pop(next(r.number for r in self.ledger.tables() if r.label == label), None)
            replan(self.keeper, connection)  # what was sent before is not taken in: it is in what is read behind the barrier
            plan = self.shop.mapping.plans.get(label)
            if plan is None:
                raise ConfigError("it was dropped or renamed", hint="See `engram-bridge status`.")
        settle_models(self.ledger, [plan], self.shop.embedders)
        self._pass_barrier()
        if refresh:
            self.keeper.resyncs.add(plan.number)
            self.loader.refreshing.add(plan.number)
        self.loader.load(plan)
        logger.info("a table is carried from now on", extra={"table": label, "spaces": list(plan.spaces)})

    def _pass_barrier(self) -> None:
        with connect(self.config.source.url, application_name="engram-bridge barrier") as connection:
            barrier(connection, on_wait=self._waits, patience=0.5)
        self._go_on()

    def _waits(self, who: object) -> None:
        self._go_on()
        self._tell("barrier", "waiting for transactions that began before: %s", who)

    def _go_on(self) -> None:
        if self._ending.is_set():
            raise _Ended

    def _open(self, spaces: tuple[str, ...]) -> None:
        """Open spaces, with a lane each; those of others are refused. Raises Fatal and TargetUnavailable."""
        unknown = [space for space in spaces if self.ledger.space(space) is None]
        found = [survey(self.shop.target, self.shop.mapping, self.shop.ledger_id, space) for space in unknown]
        settle(found, Occupied.REFUSE, self.ledger, self.shop.target)
        epoch = self.shop.target.epoch() if found else ""
        for one in found:  # nothing of ours is in them yet, so there is nothing to compare since that start either
            self.ledger.put_space(one.space, pristine=one.counted == 0, repaired=epoch)
        for space in spaces:
            self._lane(space)

    def _lane(self, space: str) -> Lane:
        if space not in {lane.space for lane in self.pool.lanes}:
            self.shop.target.open(space)
            known = self.ledger.space(space)
            self.pool.add(Lane(space, self.shop, pristine=known is not None and known[0]))
        return self.pool.lane(space)

    # stopped tables

    def _revive(self) -> None:
        """Tables that were stopped, and are to be loaded again: what they have missed is behind the barrier.

        Not before the stream is past the asking: what it announces until then is of the definition that had to be stopped.
        """
        facts, removed = self.ledger.facts(), self.generations.choices().removed
        wanted = {number for number in self.shop.stopped if facts.get(f"resync:{number}") == RESYNC_ASKED}
        for record in self.ledger.tables():
            if record.number not in wanted or record.label in removed:
                continue
            with connect(self.config.source.url, application_name="engram-bridge resync") as connection:
                if self.shop.recorder.confirmed < self._asked_at.setdefault(record.number, reached(connection)):
                    continue
                del self._asked_at[record.number]
                try:
                    table = self._revivable(record, connection)
                except ConfigError as error:
                    self.ledger.drop_fact(f"resync:{record.number}")
                    logger.error("a table cannot be loaded again: %s: %s", record.label, error, extra={"hint": error.hint})
                    continue
            self.ledger.drop_fact(f"shape:{record.number}")  # whatever it was: what is there now is read
            self._rest[record.label] = "resync", partial(self._carry_anew, record, (table.schema, table.name))
            self.ledger.begin_again(record.number, column_facts(table))
            logger.info("a table is loaded again", extra={"table": record.label})
            self._finish()

    def _carry_anew(self, record: TableRecord, name: tuple[str, str]) -> None:
        """Carry a table by another plan than the one that was in force when it was stopped."""
        if self._begun(record.label, SERVING):
            with self.keeper.lock:
                self.shop.mapping = self.shop.mapping.without(record.number)  # its plan is of the old definition
        self._carry(record.label, name, refresh=True)

    def _revivable(self, record: TableRecord, connection: psycopg.Connection) -> Table:
        """The table as it is now. Raises ConfigError when it cannot be carried."""
        answers = additions.answers_of(self.config, connection)
        draft = additions.draft(self.config, self.ledger, answers, additions.find(answers, record.label))
        self._require_key(draft)
        self._require(additions.errors(self.config, answers, draft))
        self._open(record.spaces)
        return draft.table

    @staticmethod
    def _require_key(draft: TablePlan) -> None:
        """What a table has missed can be found by its keys alone."""
        if draft.keyless:
            raise ConfigError(NO_KEY, hint=f"engram-bridge remove {draft.table.label}, then add it.")

    @staticmethod
    def _require(found: Sequence[Finding]) -> None:
        if found:
            raise ConfigError(found[0].what, hint=found[0].remedy)

    # remove

    def _remove(self, asked: Asked) -> None:
        label, keep = asked.label, bool(asked.detail.get("keep"))
        if self._serving(label) is None:
            self.generations.done(label, "remove")
            return
        reason = KEPT if keep else GONE
        records = [record for record in self.ledger.generations() if record.label == label]
        self._rest[label] = "remove", partial(self._let_go, label, [record.number for record in records], reason)
        self.generations.remove(label, keep=keep, reason=reason)
        self._finish()

    def _let_go(self, label: str, numbers: Sequence[int], reason: str) -> None:
        """Nothing of a removed table is taken in any more, and nothing sent."""
        if label not in self.generations.choices().removed:
            return
        self.shop.stopped.update(dict.fromkeys(numbers, reason))
        with connect(self.config.source.url, application_name="engram-bridge remove") as connection:
            replan(self.keeper, connection)
        self.leave()
        logger.info("a table is carried no more", extra={"table": label, "memories": "kept" if reason == KEPT else "forgotten"})

    def leave(self) -> None:
        """Take removed tables out of the publication; where we may not, say what would."""
        removed = self.generations.choices().removed
        if not removed:
            return
        with connect(self.config.source.url, application_name="engram-bridge remove") as connection:
            for name, statement in leave_publication(connection, self.keeper.publication, removed):
                logger.warning("a removed table is still published: %s", name, extra={"hint": f"As its owner: {statement}"})

    # reshard

    def _reshard(self, asked: Asked) -> None:
        label, shards, model = asked.label, int(asked.detail["shards"]), asked.detail.get("model")
        record = self._serving(label)
        plan = self.shop.mapping.plans.get(label)
        if record is None or plan is None or record.state == "stopped":
            raise ConfigError(f"{label} is not carried now", hint="See `engram-bridge status`.")
        if any(one.label == label for one in self.ledger.generations(FILLING)):
            raise ConfigError(f"{label} is being resharded already", hint="Wait until that has ended.")
        if record.state != "loaded":
            self._tell(f"reshard {label}", "resharding waits until the table is loaded: %s", label)
            return
        rows = sum(count for (number, _shard), count in self.ledger.live_counts().items() if number == record.number)
        if rows_per_space(rows, shards) > self.shop.limit:
            fit = f"engram-bridge reshard {label} {proposed_shards(rows, self.shop.limit)}"
            raise ConfigError(f"{rows:,} rows in {shards} space(s): one may hold {self.shop.limit:,}", hint=f"{fit} would do.")
        now = self.shop.embedders.for_table(plan)
        if shards == len(record.spaces) and (model is None or self.shop.embedders.load(model).identity == now.identity):
            by = f", embedded by {now.embedder.name}" if model else ""
            raise ConfigError(f"{label} is spread over {shards} space(s) already{by}", hint="Name another number, or a --model.")
        tables = self.shop.mapping.plans
        names = fresh_spaces(tables, label, shards, self.config.target.space_prefix, set(self.ledger.spaces()))
        self._open(names)
        accepted = [configured_spaces(tables, label, n, self.config.target.space_prefix) for n in (None, shards)]
        self._rest[label] = "reshard", partial(self._begin_filling, label, model)
        self.generations.begin(record, names, {"configured": accepted} | self._model(plan, model))
        self._finish()

    def _begin_filling(self, label: str, model: str | None) -> None:
        """Write changes to the second generation of a table as well, then load it. `_fill` gives up one without a first."""
        filling = next(iter(self._begun(label, FILLING)), None)
        if filling is None or label not in self.shop.mapping.plans:
            return
        with self.keeper.lock:
            self.shop.mapping = self.shop.mapping.filled(filling.number, label, filling.spaces, model)
            other = self.shop.mapping.numbered[filling.number]
        self.ledger.put_facts({f"links:{filling.number}": links_fact(other)})
        settle_models(self.ledger, [other], self.shop.embedders)
        self._pass_barrier()
        self.loader.load(other)
        logger.info("a table is spread anew", extra={"table": label, "spaces": list(filling.spaces)})

    def _model(self, plan: TablePlan, model: str | None) -> dict[str, object]:
        """What is to be remembered of the model: the one that was chosen, now or before, and what the configuration may say."""
        before = self.generations.choices().models.get(plan.table.label)
        if model is None:
            return {"model": before.name, "models": list(before.accepted)} if before is not None else {}
        said = before.accepted if before is not None else (plan.options.model or self.config.embedding.model,)
        return {"model": model, "models": [*dict.fromkeys((*said, model))]}

    def _fill(self, record: TableRecord) -> None:
        """Whether a generation that is being filled can take its place, or never will."""
        serving, plan = self._serving(record.label), self.shop.mapping.numbered.get(record.number)
        stopped = record.number in self.shop.stopped or (serving is not None and serving.number in self.shop.stopped)
        if serving is None or plan is None or stopped:
            reason = self.shop.stopped.get(record.number) or "its table is not carried any more"
            self.generations.abandon(record, reason)
            self._drop_plan(record)
            logger.error("a table is not spread anew: %s: %s", record.label, reason, extra={"table": record.label})
        elif self._complete(record, serving):
            self.generations.switch(record)
            self._drop_plan(serving, record.number)
            self.pool.refresh(self.ledger.stale_lookups())  # parents are found in the other generation now
            logger.info("a table is served from other spaces", extra={"table": record.label, "spaces": list(record.spaces)})

    def _complete(self, record: TableRecord, serving: TableRecord) -> bool:
        """Everything of it is proven, as new as the frontier is, and no key waits that does not wait in the other as well."""
        if record.state != "loaded" or record.reached > self.keeper.shop.recorder.confirmed:
            return False
        if f"resync:{record.number}" in self.ledger.facts() or self.loader.busy(record.number) or not self.settled():
            return False
        parked = [key for key, waiting in self.ledger.parked_keys() if not waiting.dropped]
        there = {key for number, key in parked if number == serving.number}
        only_here = [key for number, key in parked if number == record.number and key not in there]
        if only_here:
            sentence = "%s cannot be served from its new spaces: %d key(s) are parked there alone (`parked list`)"
            self._tell(f"parked {record.label}", sentence, record.label, len(only_here))
        return not only_here

    def _drop_plan(self, retired: TableRecord, serving: int | None = None) -> None:
        """Nothing is written by this plan any more; `serving` is the number of the one in its place, as it is now."""
        with self.keeper.lock:
            mapping = self.shop.mapping.without(retired.number)
            plans = mapping.plans | ({} if serving is None else {retired.label: mapping.numbered[serving]})
            self.shop.mapping = Mapping(plans, mapping.numbered)
        self.shop.stopped[retired.number] = "it is retired"

    # retired

    def _vacate(self, record: TableRecord) -> None:
        """Forget what a retired generation has left, for some seconds; what Engram goes on answering is told, and tried again."""
        self.shop.stopped.setdefault(record.number, "it is retired")
        if self.loader.busy(record.number):
            return
        schema, _dot, name = record.label.partition(".")
        prefix = f"{name}_" if schema == "public" else f"{schema}_{name}_"
        deadline = time.monotonic() + TURN_SECONDS
        for shard, space in enumerate(record.spaces):
            while True:
                job = self._page(space, Vacation(record.number, record.label, prefix, shard))
                if job.left:
                    sentence = "%s cannot be forgotten: Engram still answers %d of its memories in %s"
                    self._tell(f"vacate {record.number}", sentence, record.label, job.left, space)
                if not job.found:
                    break
                if job.left or time.monotonic() > deadline:
                    return
            self.ledger.put_space(space, pristine=False)
        self.generations.discard(record.number)  # it stays stopped: whatever still waits for this number is not to be done
        logger.info("a table's memories are forgotten", extra={"table": record.label, "spaces": list(record.spaces)})

    def _page(self, space: str, job: Vacation) -> Vacation:
        lane = self._lane(space)
        lane.put_job(job)
        self.pool.wake()
        while not job.ended.wait(0.2):
            self._go_on()
        return job


class _Ended(Exception):
    """The run ends while something waits."""
