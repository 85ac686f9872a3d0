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

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import psycopg

from bridge import additions
from bridge.acts import Acts, Ended
from bridge.check import Finding
from bridge.errors import BridgeError, ConfigError, Fatal
from bridge.keeper import NO_KEY, NO_KEY_REMEDY
from bridge.ledger import FILLING, RESYNC_ASKED, RETIRED, SERVING, Asked, TableRecord
from bridge.lsn import Lsn
from bridge.mapping import TablePlan
from bridge.models import settle_models
from bridge.postgres import connect
from bridge.replanning import replan
from bridge.retired import Retired
from bridge.rounds import Rounds
from bridge.schema import Table
from bridge.spreading import Spreading
from bridge.wiring import column_facts, make_plan
from cdc.publication import ensure_publication, leave_publication
from snapshot.chunks import reached

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
STOP_SECONDS = 3.0
KEPT = "it was removed, and its memories are kept"
GONE = "it was removed"
TOLD_PUBLISHED = "told_published"
"""Fact of the ledger: removed tables of which it was said that they are still published."""


@dataclass(slots=True)
class Alterations:
    """Does in a thread what is asked of tables. `settled` says whether the target was compared since its last start."""

    acts: Acts
    settled: Callable[[], bool]
    pending: bool = True
    _asked_at: dict[int, Lsn] = field(default_factory=dict)
    _rounds: Rounds | None = None
    _pause: float = 0.0
    _left: bool = False

    def start(self) -> None:
        """Start the thread."""
        waits = partial(self.acts.tell, "waits", "changes of tables wait: %s")
        self._rounds = Rounds("alterations", "changing tables", self._round, self.acts.ending, lambda: self._pause, waits)
        self._rounds.start()

    def stop(self) -> None:
        """End; what is under way goes on in the next run."""
        self.acts.ending.set()
        if self._rounds is not None:
            self._rounds.join(STOP_SECONDS)  # one that waits behind the barrier is left behind

    @property
    def failure(self) -> BridgeError | None:
        """What has ended the thread."""
        return self._rounds.failure if self._rounds is not None else None

    def _round(self) -> None:
        self._pause = BEAT_SECONDS
        with suppress(Ended):
            if not self._left:
                self.leave()  # of an act that was killed before its end
                self._left = True
            self.step()

    def step(self) -> None:
        """One round. Raises LedgerError, SourceUnavailable, TargetUnavailable."""
        spreading = Spreading(self.acts, self.settled)
        acts = {"add": self._add, "remove": self._remove, "reshard": spreading.begin}
        self._finish()
        for asked in self.acts.generations.asked():
            if asked.refused is None:
                self.pending = True
                try:
                    acts[asked.verb](asked)
                    self._finish()
                except (ConfigError, Fatal) as error:
                    self._refuse(asked, ". ".join(filter(None, (str(error), error.hint))))
        self._revive()
        for record in self.acts.ledger.generations(FILLING):
            spreading.end(record)
        for record in self.acts.ledger.generations(RETIRED):
            Retired(self.acts).forget(record)
        asked_still = any(asked.refused is None for asked in self.acts.generations.asked())
        self.pending = asked_still or bool(self._asked_at) or bool(self.acts.ledger.generations(FILLING, RETIRED))

    def _refuse(self, asked: Asked, reason: str) -> None:
        self.acts.generations.refuse(asked, reason)
        logger.error("cannot %s a table: %s: %s", asked.verb, asked.label, reason, extra={"table": asked.label})

    def _finish(self) -> None:
        """Do what is left of acts that are decided. It is noted before the decision, and dropped when it is done.

        So an error that passes loses nothing of it: each rest may be repeated from its beginning, and does nothing where the
        decision was not taken. A table that cannot go on is stopped, and `status` says why.
        """
        for label, (verb, rest) in list(self.acts.rest.items()):
            try:
                rest()
            except (ConfigError, Fatal) as error:
                reason = f"{error} {error.hint}".strip()
                for record in self.acts.begun(label, SERVING, FILLING):
                    self.acts.ledger.set_table(record.number, state="stopped", reason=reason)
                    self.acts.shop.stopped[record.number] = reason
                self._refuse(Asked(label, verb, {}), reason)
            del self.acts.rest[label]

    # add

    def _add(self, asked: Asked) -> None:
        label, known = asked.label, self.acts.serving(asked.label)
        removed = label in self.acts.generations.choices().removed
        if known is not None and not removed and label in self.acts.shop.mapping.plans:
            self.acts.generations.done(label, "add")
            return
        if any(record.label == label for record in self.acts.ledger.generations(RETIRED)):
            return  # what it had before is being forgotten, in the same spaces
        with connect(self.acts.config.source.url, application_name="engram-bridge add") as connection:
            answers = additions.answers_of(self.acts.config, connection)
            draft = additions.draft(self.acts.config, self.acts.ledger, answers, additions.find(answers, label))
            if known is not None and any(number == known.number for number, _shard in self.acts.ledger.live_counts()):
                self._require_key(draft)  # rows are known that may be gone
            self._require(additions.errors(self.acts.config, answers, draft))
            if known is not None:  # its memories have a model: another one is refused before anything is written
                settle_models(self.acts.ledger, [replace(draft, number=known.number)], self.acts.shop.embedders)
            self.acts.open(known.spaces if known is not None else draft.spaces)
            carry = partial(self._carry, label, (draft.table.schema, draft.table.name), refresh=known is not None)
            self.acts.rest[label] = "add", carry
            self.acts.generations.add(label, known.number if known is not None else None, column_facts(draft.table))
            make_plan(self.acts.config, self.acts.ledger, connection, register=False, joining={label})

    def _carry(self, label: str, name: tuple[str, str], *, refresh: bool) -> None:
        """Take in the changes of a table that the ledger has as new, then load it."""
        if not self.acts.begun(label, SERVING):
            return
        with connect(self.acts.config.source.url, application_name="engram-bridge add") as connection:
            version = connection.info.server_version
            ensure_publication(connection, self.acts.keeper.publication, [name], server_version=version)
            self.acts.shop.stopped.pop(next(r.number for r in self.acts.ledger.tables() if r.label == label), None)
            replan(self.acts.keeper, connection)  # what was sent before is not taken in: it is in what is read behind the barrier
            plan = self.acts.shop.mapping.plans.get(label)
            if plan is None:
                raise ConfigError("it was dropped or renamed", hint="See `engram-bridge status`.")
        settle_models(self.acts.ledger, [plan], self.acts.shop.embedders)
        self.acts.pass_barrier()
        if refresh:
            self.acts.keeper.resyncs.add(plan.number)
            self.acts.loader.refreshing.add(plan.number)
        self.acts.loader.load(plan)
        logger.info("a table is carried from now on", extra={"table": label, "spaces": list(plan.spaces)})

    # stopped tables

    def _revive(self) -> None:
        """Tables that were stopped, and are to be loaded again: what they have missed is behind the barrier.

        Not before the stream is past the asking: what it announces until then is of the definition that had to be stopped.
        """
        facts, removed = self.acts.ledger.facts(), self.acts.generations.choices().removed
        wanted = {number for number in self.acts.shop.stopped if facts.get(f"resync:{number}") == RESYNC_ASKED}
        for record in self.acts.ledger.tables():
            if record.number not in wanted or record.label in removed:
                continue
            with connect(self.acts.config.source.url, application_name="engram-bridge resync") as connection:
                if self.acts.shop.recorder.confirmed < self._asked_at.setdefault(record.number, reached(connection)):
                    continue
                del self._asked_at[record.number]
                try:
                    table = self._revivable(record, connection)
                except ConfigError as error:
                    self.acts.ledger.drop_fact(f"resync:{record.number}")
                    logger.error("a table cannot be loaded again: %s: %s", record.label, error, extra={"hint": error.hint})
                    continue
            self.acts.ledger.drop_fact(f"shape:{record.number}")  # whatever it was: what is there now is read
            self.acts.rest[record.label] = "resync", partial(self._carry_anew, record, (table.schema, table.name))
            self.acts.ledger.begin_again(record.number, column_facts(table))
            logger.info("a table is loaded again", extra={"table": record.label})
            self._finish()

    def _carry_anew(self, record: TableRecord, name: tuple[str, str]) -> None:
        """Carry a table by another plan than the one that was in force when it was stopped."""
        if self.acts.begun(record.label, SERVING):
            with self.acts.keeper.lock:
                self.acts.shop.mapping = self.acts.shop.mapping.without(record.number)  # its plan is of the old definition
        self._carry(record.label, name, refresh=True)

    def _revivable(self, record: TableRecord, connection: psycopg.Connection) -> Table:
        """The table as it is now. Raises ConfigError when it cannot be carried."""
        answers = additions.answers_of(self.acts.config, connection)
        draft = additions.draft(self.acts.config, self.acts.ledger, answers, additions.find(answers, record.label))
        self._require_key(draft)
        self._require(additions.errors(self.acts.config, answers, draft))
        self.acts.open(record.spaces)
        return draft.table

    @staticmethod
    def _require_key(draft: TablePlan) -> None:
        """What a table has missed can be found by its keys alone."""
        if draft.keyless:
            raise ConfigError(NO_KEY, hint=NO_KEY_REMEDY.format(label=draft.table.label))

    @staticmethod
    def _require(found: Sequence[Finding]) -> None:
        if found:
            raise ConfigError(found[0].what, hint=found[0].remedy)

    # remove

    def _remove(self, asked: Asked) -> None:
        label, keep = asked.label, bool(asked.detail.get("keep"))
        if self.acts.serving(label) is None:
            self.acts.generations.done(label, "remove")
            return
        reason = KEPT if keep else GONE
        records = [record for record in self.acts.ledger.generations() if record.label == label]
        self.acts.rest[label] = "remove", partial(self._let_go, label, [record.number for record in records], reason)
        self.acts.generations.remove(label, keep=keep, reason=reason)

    def _let_go(self, label: str, numbers: Sequence[int], reason: str) -> None:
        """Nothing of a removed table is taken in any more, and nothing sent."""
        if label not in self.acts.generations.choices().removed:
            return
        self.acts.shop.stopped.update(dict.fromkeys(numbers, reason))
        with connect(self.acts.config.source.url, application_name="engram-bridge remove") as connection:
            replan(self.acts.keeper, connection)
        self.leave()
        logger.info("a table is carried no more", extra={"table": label, "memories": "kept" if reason == KEPT else "forgotten"})

    def leave(self) -> None:
        """Take removed tables out of the publication; where we may not, say once what would."""
        removed = self.acts.generations.choices().removed
        if not removed:
            return
        with connect(self.acts.config.source.url, application_name="engram-bridge remove") as connection:
            left = dict(leave_publication(connection, self.acts.keeper.publication, removed))
        told = set(json.loads(self.acts.ledger.facts().get(TOLD_PUBLISHED, "[]")))
        for name in left.keys() - told:
            logger.warning("a removed table is still published: %s", name, extra={"hint": f"As its owner: {left[name]}"})
        if left.keys() != told:
            self.acts.ledger.put_facts({TOLD_PUBLISHED: json.dumps(sorted(left))})
