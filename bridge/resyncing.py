"""Reading tables again while the bridge runs: resyncs, tables without a key, children whose parents have changed, adoption."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.frontier import Token
from bridge.ledger import DEPENDENTS, RESYNC_ASKED, RESYNC_BEHIND, RESYNC_LOADING
from bridge.lsn import Lsn
from bridge.making import made_anew
from bridge.mapping import TablePlan
from bridge.memories import Key
from bridge.missing import missing_works
from bridge.pool import LanePool
from bridge.recorder import Recorder
from bridge.rereading import Rereading
from bridge.source_queries import Source
from bridge.works import Work
from bridge.workshop import Workshop

if TYPE_CHECKING:
    from bridge.adoption import Adoption
    from bridge.watch import TargetWatch
    from snapshot.loader import Loader

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Resyncing:
    """Puts rows into the lanes that are to be read again. `resyncs`: numbers of tables; `ending` is set when all is to end."""

    shop: Workshop
    pool: LanePool
    recorder: Recorder
    loader: Loader
    resyncs: set[int]
    source: Source
    rereading: Rereading
    watch: TargetWatch | None = None
    adoption: Adoption | None = None
    relinking: bool = False
    ending: threading.Event = field(default_factory=threading.Event)
    _rereads: dict[int, tuple[Token, str]] = field(default_factory=dict)
    _barriers: dict[int, int] = field(default_factory=dict)

    def reload(self, plan: TablePlan, token: Token | None = None) -> None:
        """Have the rows of a keyless table read whole. `token` counts them, and one more until the last of them was put.

        With a token the target is looked at for each row, without one each row's references are resolved anew.
        """
        self.rereading.ask(plan, token)

    @property
    def reloading(self) -> bool:
        """A table is to be read whole, or children are still to be found whose parents have changed."""
        return len(self.rereading) > 0 or self.relinking or self.recorder.unlinked.is_set()

    @property
    def adopting(self) -> bool:
        """Memories of another ledger are still being dealt with."""
        return self.adoption is not None and not self.adoption.ended

    def step(self) -> None:
        """Read rows again: by key where the ledger knows the keys, whole for a table without one. Raises LedgerError.

        In a thread of its own, since it waits for room in the lanes.
        """
        self._begin_asked()
        if self.adoption is not None:
            self.adoption.step()
        self._relink()
        self.rereading.step(self._room)
        facts = self.shop.ledger.facts() if self.resyncs else {}
        records = {record.number: record for record in self.shop.ledger.generations()} if self.resyncs else {}
        for number in list(self.resyncs):
            wish, record = facts.get(f"resync:{number}", ""), records.get(number)
            if wish in (RESYNC_ASKED, RESYNC_BEHIND) and number not in self._rereads:
                self.resyncs.discard(number)  # it is to be loaded, once more if it has just been: no key names what has come
                continue
            if number not in self._rereads and record is not None and record.state == "loaded":
                known = self.shop.mapping.numbered.get(number)
                # Before, rows may come by the old definition, or from a partition that is gone.
                if known is not None and self.recorder.confirmed >= max(fence_of(wish), record.reached):
                    self._put_keys(known, wish)
            token, put = self._rereads.get(number, (None, wish))
            gone = record is None or record.state == "stopped"
            if gone or (token is not None and token.complete("proven")):
                self._read_again(number, put, gone=gone)

    def _read_again(self, number: int, wish: str, *, gone: bool) -> None:
        """The rows of a table are read, by the wish that stood when they were put. One that came meanwhile begins anew."""
        self._rereads.pop(number, None)
        self.resyncs.discard(number)  # first: whoever wishes anew from here on notes it, and then adds the number again
        if not self.shop.ledger.drop_fact(f"resync:{number}", None if gone else wish) and not gone:
            now = self.shop.ledger.facts().get(f"resync:{number}")
            if now is not None:  # with none, it was dropped before, and only the answer was lost
                if now not in (RESYNC_ASKED, RESYNC_BEHIND):  # those are to be loaded, not read by key
                    self.resyncs.add(number)
                return
        plan = self.shop.mapping.numbered.get(number)
        if number in self.loader.refreshing and self.watch is not None and plan is not None:
            self.watch.compare(plan.spaces)  # the ledger is right now: and Engram?
        if number in self.loader.refreshing & self.loader.anew and plan is not None and made_anew(self.shop.ledger, plan):
            self.loader.anew.discard(number)
        self.loader.refreshing.discard(number)

    def _begin_asked(self) -> None:
        """Tables that are to be loaded again. Those that were stopped are `bridge.alterations`' own."""
        records = {record.number: record for record in self.shop.ledger.generations()}
        for name, value in self.shop.ledger.facts().items():
            number = int(name.split(":")[1]) if name.startswith("resync:") else 0
            plan = self.shop.mapping.numbered.get(number)
            if (
                value not in (RESYNC_ASKED, RESYNC_BEHIND)
                or plan is None
                or number in self.shop.stopped
                or number in self.resyncs
            ):
                continue
            if plan.keyless:
                self.shop.ledger.drop_fact(name)
                self.reload(plan)
                continue
            if records[number].state != "loaded" or (value == RESYNC_BEHIND and not self._behind(number)):
                continue
            self.shop.ledger.begin_again(number, records[number].columns)
            self.resyncs.add(number)
            self.loader.reload(plan)
            logger.info("a table is loaded again", extra={"table": plan.table.label})

    def _behind(self, number: int) -> bool:
        """Whether all transactions have ended that ran when this was asked first: what they wrote was perhaps not streamed."""
        mark = self._barriers.get(number)
        if mark is None:
            self._barriers[number] = self.source.mark()
            return False
        if self.source.oldest() <= mark:
            return False
        del self._barriers[number]
        return True

    def _put_keys(self, plan: TablePlan, wish: str) -> None:
        """Have all known rows read again by this wish, or those that a table loaded again does not have any more forgotten.

        The token is complete, and the resync over, when all of them are recorded.
        """
        missing = wish == RESYNC_LOADING
        token = Token(threading.Lock(), streamed=False)
        count = 0
        for work in self._missing(plan) if missing else self._known(plan):
            if not self._room():
                return
            work.belongs_to(token)
            self.pool.put(work)
            count += 1
        self.pool.wake()
        token.closed = True
        self._rereads[plan.number] = (token, wish)
        said = "rows that are not there any more are forgotten" if missing else "reading a table's rows again"
        logger.info(said, extra={"table": plan.table.label, "count": count})

    def _known(self, plan: TablePlan) -> Iterator[Work]:
        keys = [
            key for shard in range(len(plan.spaces)) for key, entry in self.shop.ledger.scan(plan.number, shard) if entry.live
        ]
        return (Work(plan, key, background=True, refresh=True) for key in keys)

    def _missing(self, plan: TablePlan) -> Iterator[Work]:
        return missing_works(self.loader.url, self.shop.ledger, plan, self.loader.version)

    def _room(self) -> bool:
        """Wait until more may be put into the lanes; False when all is to end."""
        while not self.pool.wait_for_room(background=True, timeout=0.5):
            if self.ending.is_set():
                return False
        return True

    def _relink(self) -> None:
        """Refresh the children whose parents have changed and that were too many to be refreshed at once, page by page."""
        if not self.recorder.unlinked.is_set():
            return
        self.relinking = True
        self.recorder.unlinked.clear()  # first: what becomes stale from here on is told anew
        try:
            after: Key | None = None
            while page := self.shop.ledger.stale_lookups(after, DEPENDENTS):
                if not self._room():
                    return
                self.pool.refresh(page)
                after = page[-1]
        except BaseException:
            self.recorder.unlinked.set()
            raise
        finally:
            self.relinking = False


def fence_of(value: str) -> Lsn:
    """The position in a fact `column@<lsn>`: rows are read again only once everything before it is recorded; else 0."""
    return int(value.partition("@")[2] or 0)
