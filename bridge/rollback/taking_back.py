"""The rollback itself: first the reads go back to PostgreSQL, then nobody loads the tables again, then the memories go.

Whoever takes back holds the ledger, so nobody else writes: the one door to every key (law 3) is here. Each page of keys is read,
judged, forgotten, proven gone (law 6), and then recorded as tombstones in one durable step; killed anywhere it is begun again,
and what is gone already is found gone. Tombstones keep their migration and lose their version: whoever brings the row again, by
whatever version, brings it as a new one. While it is not brought, `run` forgets whatever a restart of the target brings back.

The tables are not carried any more, whole: a part of a table cannot be followed, and what was taken back would be loaded again.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bridge.ending import prefixes
from bridge.errors import TargetUnavailable
from bridge.forgetting import forget_all
from bridge.gate import Entry
from bridge.ledger import (
    FILLING,
    RETIRED,
    SERVING,
    Batch,
    Generations,
    Ledger,
    Migration,
    Migrations,
    Outcome,
    Serving,
    TableRecord,
)
from bridge.ledger.migrations import open_tables, rollback_fact
from bridge.lsn import LOWEST
from bridge.memories import Stored, digest
from bridge.ports import Target
from bridge.reads import Mode, Route
from bridge.rollback.judging import Judge, Verdict
from bridge.rollback.tallies import Left, Tally

THREADS = 8
PAGE = 500
PASSES = 5
"""How often everything is looked at again because the target was restarted meanwhile."""

STILL_ANSWERED = "Engram still answers it after it was told to forget it"

Told = Callable[[str, int, int], None]
"""Is told a table, how many of its memories were looked at, and how many there are."""


@dataclass(slots=True)
class Rollback:
    """One migration, and the tables in which it is taken back (their labels).

    `tried` says by an error that the target cannot be trusted, once the reads are PostgreSQL's and before anything is forgotten.
    """

    ledger: Ledger
    target: Target
    migration: Migration
    tables: Sequence[str]
    who: str = ""
    told: Told = lambda _table, _done, _all: None
    tried: Callable[[], None] = lambda: None
    tallies: dict[str, Tally] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)
    _judge: Judge = field(init=False)
    _looked: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        ended = self.migration.ended
        later = {one.id for one in Migrations(self.ledger).all() if ended is not None and one.began > ended}
        self._judge = Judge(self.ledger.facts()["ledger_id"], self.migration.id, frozenset(later))
        counts = Migrations(self.ledger).counts()
        for record in self.records:
            tally = self.tallies.setdefault(record.label, Tally(record.label, ()))
            tally.spaces = tuple(dict.fromkeys([*tally.spaces, *record.spaces]))
            for (migration, table), (live, _gone) in counts.items():
                if table == record.number and migration == self.migration.number:
                    tally.written += live
                elif table == record.number:
                    tally.others += live
        routes = Serving(self.ledger).routes()
        self.routes = {label: routes[label] for label in self.tallies if routes.get(label, Route()).mode is not Mode.POSTGRES}

    @property
    def records(self) -> list[TableRecord]:
        """All generations of the tables, those too that are being filled or emptied."""
        return [one for one in self.ledger.generations(SERVING, FILLING, RETIRED) if one.label in self.tables]

    def rehearse(self) -> None:
        """Look at everything, and change nothing. Raises TargetUnavailable, LedgerError."""
        self._pass(act=False)

    def carry_out(self) -> bool:
        """Take it back; answers whether all that was to go is proven gone. To be called by the holder of the ledger.

        Raises TargetUnavailable and LedgerError; then, as after a kill, calling it again goes on.
        """
        before = Migrations(self.ledger).rollback_of(self.migration.number)
        still = open_tables(self.migration, before)  # until it has ended, its own tables are open, too
        state = {"began": time.time(), "ended": None, "tables": list(self.tables), "open": sorted(still)}
        self.ledger.put_facts({self._fact: json.dumps(state)})
        self._move_reads()
        self._leave_out()
        self.tried()
        for _pass in range(PASSES):
            epoch = self.target.epoch()
            self._pass(act=True)
            if self.target.epoch() == epoch:
                break
            for tally in self.tallies.values():
                tally.again()
        else:
            raise TargetUnavailable("Engram was restarted again and again", hint="Run the same command again when it stays up.")
        if any(tally.unproven for tally in self.tallies.values()):
            return False
        state |= {"ended": time.time(), "open": sorted(still - set(self.tables))}
        self.ledger.put_facts({self._fact: json.dumps(state)})
        if self.migration.ended is None:  # whoever begins it again begins it anew
            Migrations(self.ledger).end(self.migration.number, self.migration.result)
        for tally in self.tallies.values():
            detail = {"migration": self.migration.id, "forgotten": tally.forgotten + tally.missing, "left": len(tally.left)}
            Serving(self.ledger).note(who=self.who, verb="rollback", label=tally.table, detail=detail)
        return True

    @property
    def _fact(self) -> str:
        return rollback_fact(self.migration.number)

    def _move_reads(self) -> None:
        """PostgreSQL answers: a proxy asks for the route with each read, so nothing of this is read from Engram any more."""
        why = {"why": f"the migration {self.migration.id} is rolled back"}
        for label in self.routes:
            Serving(self.ledger).route(label, Route(), who=self.who, verb="rollback", detail=why)

    def _leave_out(self) -> None:
        """Nobody carries the tables from now on, and no chunk of them counts as loaded."""
        generations = Generations(self.ledger)
        for record in self.records:
            if record.role == SERVING:
                reason = f"the migration {self.migration.id} was rolled back"
                generations.remove(record.label, keep=True, reason=reason, rollback=self.migration.id)
                self.ledger.plan(record.number, [])

    # a pass over everything

    def _pass(self, *, act: bool) -> None:
        """All spaces, several at a time, each by one thread: a space is written by one caller at a time."""
        units: dict[str, list[tuple[TableRecord, int]]] = {}
        for record in self.records:
            for shard, space in enumerate(record.spaces):
                units.setdefault(space, []).append((record, shard))
        self._looked = {}
        with ThreadPoolExecutor(max_workers=min(THREADS, len(units)) or 1, thread_name_prefix="rollback") as pool:
            jobs = [pool.submit(self._space, space, parts, act=act) for space, parts in units.items()]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        for tally in self.tallies.values():  # spaces end in any order
            tally.left.sort(key=lambda one: (one.space, one.memory_id))
            tally.unproven.sort(key=lambda one: (one.space, one.memory_id))

    def _space(self, space: str, parts: Sequence[tuple[TableRecord, int]], *, act: bool) -> None:
        self.target.open(space)
        if act:
            self.ledger.put_space(space, pristine=False)  # what was here once may be answered again: no plain store any more
        for record, shard in parts:
            for page in self._pages(record, shard):
                self._page(space, record, shard, page, act=act)
        self._unrecorded(space, parts, act=act)

    def _pages(self, record: TableRecord, shard: int) -> Iterator[list[tuple[str, Entry]]]:
        migrations, after = Migrations(self.ledger), None
        while page := migrations.page(self.migration.number, record.number, after, shard=shard, size=PAGE):
            yield page
            after = page[-1][0]

    def _page(self, space: str, record: TableRecord, shard: int, page: list[tuple[str, Entry]], *, act: bool) -> None:
        tally, judge = self.tallies[record.label], self._judge
        found = self._read(space, record.label, [key for key, _entry in page])
        gone: dict[str, Entry] = {}
        doomed: dict[str, tuple[str, Entry]] = {}
        left = []
        for (key, entry), (memory_id, stored) in zip(page, found, strict=True):
            verdict, reason = judge.judge(entry, stored)
            if verdict is Verdict.CHANGED:
                left.append(Left(record.label, key, memory_id, space, reason))
            elif verdict is Verdict.WRITTEN:
                doomed[memory_id] = (key, entry)
            elif entry.live:
                gone[key] = entry
        stays = forget_all(self, space, list(doomed)) if act else set()
        forgotten = {key: entry for memory_id, (key, entry) in doomed.items() if memory_id not in stays}
        if act:
            self._bury(record.number, shard, gone | {key: entry for key, entry in forgotten.items() if entry.live})
        with self._lock:
            tally.left += left
            tally.missing += len(gone)
            tally.forgotten += sum(entry.live for entry in forgotten.values())
            tally.returned += sum(not entry.live for entry in forgotten.values())
            tally.unproven += [Left(record.label, doomed[one][0], one, space, STILL_ANSWERED) for one in sorted(stays)]
            self._looked[record.label] = self._looked.get(record.label, 0) + sum(entry.live for _key, entry in page)
            self.told(record.label, self._looked[record.label], tally.written)

    def _read(self, space: str, label: str, keys: Sequence[str]) -> list[tuple[str, Stored | None]]:
        """What stands under the ids of these keys, with the id. A dot in a table's name leaves open how its ids begin."""
        first, *others = prefixes(label)
        ids = [first + key for key in keys]
        found = list(zip(ids, self.target.read(space, ids), strict=True))
        for prefix in others:
            again = [prefix + key for key in keys]
            second = list(zip(again, self.target.read(space, again), strict=True))
            found = [two if one[1] is None and two[1] is not None else one for one, two in zip(found, second, strict=True)]
        return found

    def _bury(self, number: int, shard: int, entries: dict[str, Entry]) -> None:
        """Tombstones for what is proven gone; the digest of what was there is kept, as evidence of what was taken back."""
        outcomes = [
            Outcome(
                (number, key),
                entry=Entry(LOWEST, entry.digest, "", False, shard, migration=self.migration.number),
                edges=(),
                alternates=(),
            )
            for key, entry in entries.items()
        ]
        if outcomes:
            with self._lock:  # one durable step at a time
                self.ledger.record(Batch(outcomes))

    def _unrecorded(self, space: str, parts: Sequence[tuple[TableRecord, int]], *, act: bool) -> None:
        """What a killed run wrote and did not record: stamped by this migration, and the ledger does not say that it is its own.

        It may know nothing of the key, or say that another migration was the last to write there, or to forget.
        """
        for label, keys in self._stamped(space).items():
            known = [(part, self.ledger.entries(part[0].number, keys)) for part in parts if part[0].label == label]
            own = {key for _part, entries in known for key, entry in entries.items() if entry.migration == self.migration.number}
            for (record, shard), entries in known:
                last = record is known[-1][0][0]
                fresh = [key for key in keys if key not in own and (key in entries or last)]
                own |= set(fresh)
                for start in range(0, len(fresh), PAGE):
                    self._adopted(space, record, shard, fresh[start : start + PAGE], entries, act=act)

    def _stamped(self, space: str) -> dict[str, list[str]]:
        """The keys of the memories in a space that bear the id of the migration, by table; by list pages, which are hints."""
        found: dict[str, list[str]] = {}
        for stored in self.target.scan(space):
            stamp = stored.stamp()
            if stamp is None or stamp.table not in self.tallies or self._judge.judge(None, stored)[0] is not Verdict.WRITTEN:
                continue
            if stored.memory_id in [prefix + stamp.key for prefix in prefixes(stamp.table)]:  # no copy under an id of its own
                found.setdefault(stamp.table, []).append(stamp.key)
        return found

    def _adopted(
        self, space: str, record: TableRecord, shard: int, keys: Sequence[str], known: Mapping[str, Entry], *, act: bool
    ) -> None:
        """Take back what was not recorded. First the ledger learns what is there: killed then, it still knows what is to go."""
        doomed: dict[str, tuple[str, Entry]] = {}
        for key, (memory_id, stored) in zip(keys, self._read(space, record.label, keys), strict=True):
            stamp = None if stored is None else stored.stamp()
            if stamp is not None and self._judge.judge(None, stored)[0] is Verdict.WRITTEN:
                references = digest(stamp.references)
                entry = Entry(stamp.version, stamp.digest, references, True, shard, migration=self.migration.number)
                doomed[memory_id] = (key, entry)
        if act and doomed:
            with self._lock:
                self.ledger.record(Batch([Outcome((record.number, key), entry=entry) for key, entry in doomed.values()]))
        stays = forget_all(self, space, list(doomed)) if act else set()
        gone = {key: entry for memory_id, (key, entry) in doomed.items() if memory_id not in stays}
        if act:
            self._bury(record.number, shard, gone)
        tally = self.tallies[record.label]
        with self._lock:
            tally.unrecorded += len(gone)
            tally.others -= sum(key in known and known[key].live for _id, (key, _entry) in doomed.items())
            tally.unproven += [Left(record.label, doomed[one][0], one, space, STILL_ANSWERED) for one in sorted(stays)]
