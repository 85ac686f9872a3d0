"""Reshard: a second generation of a table is filled beside the one that serves, and takes its place when it is complete."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bridge.acts import Acts
from bridge.capacity import proposed_shards, rows_per_space
from bridge.errors import ConfigError
from bridge.ledger import FILLING, Asked, TableRecord
from bridge.mapping import Mapping, TablePlan
from bridge.models import settle_models
from bridge.resharding import configured_spaces, fresh_spaces
from bridge.wiring import links_fact

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Spreading:
    """Begins and ends second generations. `settled` says whether the target was compared since its last start."""

    acts: Acts
    settled: Callable[[], bool]

    def begin(self, asked: Asked) -> None:
        """Register a second generation as it was asked for, or wait until the first is loaded. Raises ConfigError."""
        label, shards, model = asked.label, int(asked.detail["shards"]), asked.detail.get("model")
        record = self.acts.serving(label)
        plan = self.acts.shop.mapping.plans.get(label)
        if record is None or plan is None or record.state == "stopped":
            raise ConfigError(f"{label} is not carried now", hint="See `engram-bridge status`.")
        if any(one.label == label for one in self.acts.ledger.generations(FILLING)):
            raise ConfigError(f"{label} is being resharded already", hint="Wait until that has ended.")
        if record.state != "loaded":
            self.acts.tell(f"reshard {label}", "resharding waits until the table is loaded: %s", label)
            return
        rows = sum(count for (number, _shard), count in self.acts.ledger.live_counts().items() if number == record.number)
        limit = self.acts.shop.limit
        if rows_per_space(rows, shards) > limit:
            fit = f"engram-bridge reshard {label} {proposed_shards(rows, limit)}"
            raise ConfigError(f"{rows:,} rows in {shards} space(s): one may hold {limit:,}", hint=f"{fit} would do.")
        now = self.acts.shop.embedders.for_table(plan)
        if shards == len(record.spaces) and (model is None or self.acts.shop.embedders.load(model).identity == now.identity):
            by = f", embedded by {now.embedder.name}" if model else ""
            raise ConfigError(f"{label} is spread over {shards} space(s) already{by}", hint="Name another number, or a --model.")
        tables = self.acts.shop.mapping.plans
        names = fresh_spaces(tables, label, shards, self.acts.config.target.space_prefix, set(self.acts.ledger.spaces()))
        self.acts.open(names)
        accepted = [configured_spaces(tables, label, n, self.acts.config.target.space_prefix) for n in (None, shards)]
        self.acts.rest[label] = "reshard", partial(self._begin_filling, label, model)
        self.acts.generations.begin(record, names, {"configured": accepted} | self._model(plan, model))

    def _begin_filling(self, label: str, model: str | None) -> None:
        """Write changes to the second generation of a table as well, then load it. `end` gives up one without a first."""
        filling = next(iter(self.acts.begun(label, FILLING)), None)
        if filling is None or label not in self.acts.shop.mapping.plans:
            return
        with self.acts.keeper.lock:
            self.acts.shop.mapping = self.acts.shop.mapping.filled(filling.number, label, filling.spaces, model)
            other = self.acts.shop.mapping.numbered[filling.number]
        self.acts.ledger.put_facts({f"links:{filling.number}": links_fact(other)})
        settle_models(self.acts.ledger, [other], self.acts.shop.embedders)
        self.acts.pass_barrier()
        self.acts.loader.load(other)
        logger.info("a table is spread anew", extra={"table": label, "spaces": list(filling.spaces)})

    def _model(self, plan: TablePlan, model: str | None) -> dict[str, object]:
        """What is to be remembered of the model: the one that was chosen, now or before, and what the configuration may say."""
        before = self.acts.generations.choices().models.get(plan.table.label)
        if model is None:
            return {"model": before.name, "models": list(before.accepted)} if before is not None else {}
        said = before.accepted if before is not None else (plan.options.model or self.acts.config.embedding.model,)
        return {"model": model, "models": [*dict.fromkeys((*said, model))]}

    def end(self, record: TableRecord) -> None:
        """Whether a generation that is being filled can take its place, or never will."""
        serving, plan = self.acts.serving(record.label), self.acts.shop.mapping.numbered.get(record.number)
        stopped = record.number in self.acts.shop.stopped or (serving is not None and serving.number in self.acts.shop.stopped)
        if serving is None or plan is None or stopped:
            reason = self.acts.shop.stopped.get(record.number) or "its table is not carried any more"
            self.acts.generations.abandon(record, reason)
            self._drop_plan(record)
            logger.error("a table is not spread anew: %s: %s", record.label, reason, extra={"table": record.label})
        elif self._complete(record, serving):
            self.acts.generations.switch(record)
            self._drop_plan(serving, record.number)
            self.acts.pool.refresh(self.acts.ledger.stale_lookups())  # parents are found in the other generation now
            logger.info("a table is served from other spaces", extra={"table": record.label, "spaces": list(record.spaces)})

    def _complete(self, record: TableRecord, serving: TableRecord) -> bool:
        """Everything of it is proven, as new as the frontier is, and no key waits that does not wait in the other as well."""
        if record.state != "loaded" or record.reached > self.acts.keeper.shop.recorder.confirmed:
            return False
        if f"resync:{record.number}" in self.acts.ledger.facts() or self.acts.loader.busy(record.number) or not self.settled():
            return False
        parked = [key for key, waiting in self.acts.ledger.parked_keys() if not waiting.dropped]
        there = {key for number, key in parked if number == serving.number}
        only_here = [key for number, key in parked if number == record.number and key not in there]
        if only_here:
            sentence = "%s cannot be served from its new spaces: %d key(s) are parked there alone (`parked list`)"
            self.acts.tell(f"parked {record.label}", sentence, record.label, len(only_here))
        return not only_here

    def _drop_plan(self, retired: TableRecord, serving: int | None = None) -> None:
        """Nothing is written by this plan any more; `serving` is the number of the one in its place, as it is now."""
        with self.acts.keeper.lock:
            mapping = self.acts.shop.mapping.without(retired.number)
            plans = mapping.plans | ({} if serving is None else {retired.label: mapping.numbered[serving]})
            self.acts.shop.mapping = Mapping(plans, mapping.numbered)
        self.acts.shop.stopped[retired.number] = "it is retired"
