"""The snapshot: every chunk of every table put into the lanes, by any number of workers, resumable chunk by chunk.

Chunks may be read at any time, in any order and again, while the stream runs: the version gate sorts it out (law 2). Nothing
here holds a transaction open longer than one chunk's COPY. A chunk is done when the recorder has made its last row durable; a
worker that dies leaves its chunk to be read again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

import psycopg

from bridge.changes import Row
from bridge.errors import BridgeError, Fatal, LedgerError, MappingError, SourceChanged, SourceUnavailable, defect
from bridge.frontier import ChunkToken, Token
from bridge.intake import ROOM_EVERY, row_size
from bridge.ledger import ChunkRecord, Ledger
from bridge.lsn import Lsn, Version
from bridge.mapping import TablePlan
from bridge.origin import Rows, open_rows
from bridge.pool import LanePool
from bridge.recorder import Recorder
from bridge.unchanged import Differing, differing
from bridge.works import Kind, Work
from snapshot.chunks import plan_chunks, reached, read_chunk
from snapshot.plan import EVERYTHING, Chunk, Restriction

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
STOP_SECONDS = 5.0
SLOW_SECONDS = 10.0
"""A chunk's query that takes longer is told."""

PAGE = 2_000
"""Rows of a resync that are compared with the ledger at once."""

IN_MEMORY = 16 * 1024 * 1024
"""Characters of a chunk that a worker holds, so that its COPY, and with it its snapshot, ends whatever the target does."""


@dataclass(slots=True)
class TableProgress:
    """How far a table's snapshot is: chunks and rows that are recorded."""

    chunks: int = 0
    chunks_done: int = 0
    rows: int = 0


Task: TypeAlias = "tuple[TablePlan, Chunk | None]"
"""A chunk to be read, or without one a table to be planned."""


class _Queue:
    """Tasks in the order in which they came, table by table."""

    def __init__(self) -> None:
        self._tables: dict[int, deque[Task]] = {}

    def __bool__(self) -> bool:
        return bool(self._tables)

    def add(self, task: Task, *, first: bool = False) -> None:
        tasks = self._tables.setdefault(task[0].number, deque())
        tasks.insert(0 if first else len(tasks), task)

    def take(self, under_way: Mapping[int, int]) -> Task:
        """The first of the table of which the least is under way; there is one."""
        number = min(self._tables, key=lambda table: under_way.get(table, 0))
        task = self._tables[number].popleft()
        if not self._tables[number]:
            del self._tables[number]
        return task


@dataclass(slots=True)
class Loader:
    """Loads what the ledger says is not loaded yet. `version` is the one of all snapshot rows of this source epoch.

    `refreshing`: tables that are loaded again (resync). Their rows that are as the ledger says need no lane
    (`bridge.unchanged`); the others lose against every version of this epoch that is known of their keys, so each wishes to be
    read again as well. `only`: of which tables not all rows are read. `position`: where the snapshot is that all rows are read
    from; None where each statement has its own. `ahead`: so many chunks at most are read and not recorded; None: as many as
    the lanes have room for.
    """

    url: Rows
    ledger: Ledger
    recorder: Recorder
    pool: LanePool
    version: Version
    plans: list[TablePlan]
    stop_table: Callable[[TablePlan, str], None]
    workers: int = 4
    chunk_rows: int = 10_000
    failure: BridgeError | None = None
    progress: dict[int, TableProgress] = field(default_factory=dict)
    paused: threading.Event = field(default_factory=threading.Event)
    refreshing: set[int] = field(default_factory=set)
    anew: set[int] = field(default_factory=set)
    only: dict[int, Restriction] = field(default_factory=dict)
    position: Lsn | None = None
    ahead: int | None = None
    _queue: _Queue = field(default_factory=lambda: _Queue())
    _reading: dict[int, int] = field(default_factory=dict)
    _tokens: dict[tuple[int, int], ChunkToken] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ending: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Queue what is left, and start the workers."""
        states = {record.number: record.state for record in self.ledger.generations()}
        for plan in self.plans:
            state = states[plan.number]
            if state == "new":
                self._queue.add((plan, None))
            elif state == "loading":
                self._queue_chunks(plan)
        self._start_workers()

    def _start_workers(self) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for number in range(len(self._threads), self.workers if self._queue else 0):
            thread = threading.Thread(target=self._run, name=f"snapshot-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def load(self, plan: TablePlan) -> None:
        """Load a table, or a generation of one, that has come while the others are carried."""
        with self._lock:
            self.plans = [one for one in self.plans if one.number != plan.number] + [plan]
            self._queue.add((plan, None))
        self._start_workers()

    def busy(self, number: int) -> bool:
        """Rows of this table are being read, or are on their way."""
        with self._lock:
            return bool(self._reading.get(number)) or any(table == number for table, _chunk in self._tokens)

    def reload(self, plan: TablePlan) -> None:
        """Load a table again that the ledger has as new: what is known of it is read again by key, what is not is written."""
        self.refreshing.add(plan.number)
        with self._lock:
            self._queue.add((plan, None))
        self._start_workers()

    def stop(self) -> None:
        """End; chunks that are not recorded will be read again."""
        self._ending.set()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:  # one that waits for a lock in PostgreSQL is left behind: its chunk is read again
            thread.join(max(deadline - time.monotonic(), 0))

    @property
    def finished(self) -> bool:
        """Every table of the plan is recorded as loaded or stopped."""
        with self._lock:
            return not self._queue and not any(self._reading.values()) and not self._tokens

    def rows(self, plan: TablePlan) -> Iterator[Row]:
        """All rows of a table, in one COPY. Raises SourceUnavailable and Fatal."""
        with open_rows(self.url, "engram-bridge reload") as connection:
            yield from read_chunk(connection, plan.table, Chunk(0, None, None), self._only(plan))

    def _only(self, plan: TablePlan) -> Restriction:
        return self.only.get(plan.number, EVERYTHING)

    def _queue_chunks(self, plan: TablePlan) -> None:
        chunks = self.ledger.chunks(plan.number)
        done = [chunk for chunk in chunks if chunk.done]
        self.progress[plan.number] = TableProgress(len(chunks), len(done), sum(chunk.rows for chunk in done))
        left = [(plan, Chunk(chunk.number, chunk.after, chunk.upto)) for chunk in chunks if not chunk.done]
        if not left:
            self._loaded(plan)
        with self._lock:
            for task in left:
                self._queue.add(task)

    def _run(self) -> None:
        connection: psycopg.Connection | None = None
        while not self._ending.is_set() and self.failure is None:
            task = self._next()
            if task is None:
                if self.finished:
                    break
                self._settle()
                time.sleep(0.05)
                continue
            try:
                connection = connection or open_rows(self.url, "engram-bridge snapshot")
                self._do(connection, *task)
            except SourceUnavailable as error:
                logger.warning("the snapshot waits: %s", error, extra={"table": task[0].table.label})
                connection = self._drop(connection)
                self._again(task)
                self._ending.wait(RETRY_SECONDS)
            except (LedgerError, SourceChanged) as error:
                self.failure = error
            except (Fatal, MappingError) as error:
                connection = self._drop(connection)  # in a transaction of the snapshot nothing goes on behind an error
                if self.pool.failure is not None or self.recorder.failure is not None:
                    self._again(task)
                    break
                self.stop_table(task[0], str(error))
            except BridgeError as error:
                self.failure = error
            except Exception as error:
                logger.exception("a snapshot worker ended", extra={"table": task[0].table.label})
                self.failure = defect("a snapshot worker", error)
            finally:
                self._ended(task[0])
        self._drop(connection)

    def _next(self) -> Task | None:
        """The next task: of the table of which the least is under way, of several such the first. So no table waits for another
        whose space is slow, and spaces are filled side by side. A table is planned by one worker while others read chunks."""
        if self.paused.is_set():
            return None
        with self._lock:
            under_way = Counter(self._reading)
            under_way.update(table for table, _chunk in self._tokens)
            if not self._queue or (self.ahead is not None and under_way.total() >= self.ahead):
                return None
            task = self._queue.take(under_way)
            self._reading[task[0].number] = self._reading.get(task[0].number, 0) + 1
            return task

    def _ended(self, plan: TablePlan) -> None:
        with self._lock:
            self._reading[plan.number] -= 1

    def _again(self, task: Task) -> None:
        with self._lock:
            self._queue.add(task, first=True)

    @staticmethod
    def _drop(connection: psycopg.Connection | None) -> None:
        if connection is not None:
            connection.close()

    def _do(self, connection: psycopg.Connection, plan: TablePlan, chunk: Chunk | None) -> None:
        if self.pool.stopped(plan.number):
            return
        if chunk is not None:
            self._read(connection, plan, chunk)
            return
        planned = plan_chunks(connection, plan.table, self.chunk_rows, self._only(plan))
        chunks = [ChunkRecord(c.number, c.after, c.upto) for c in planned]
        self.ledger.plan(plan.number, chunks)
        self._queue_chunks(plan)

    def _read(self, connection: psycopg.Connection, plan: TablePlan, chunk: Chunk) -> None:
        """Put the rows of one chunk into their lanes. Raises SourceUnavailable and Fatal; then the token is left behind."""
        token = Token(threading.Lock(), streamed=False)
        began = time.monotonic()
        found = _Counted(_ahead(read_chunk(connection, plan.table, chunk, self._only(plan))))
        for put, (key, row, parked) in enumerate(self._to_put(plan, found)):
            if put == 0 and time.monotonic() - began > SLOW_SECONDS:
                fields = {"table": plan.table.label, "chunk": chunk.number, "seconds": round(time.monotonic() - began, 1)}
                logger.warning("a chunk's query took long: the source is busy, or something holds its table", extra=fields)
            if put % ROOM_EVERY == 0 and not self._room():
                return
            self._put(plan, key, row, token, parked=parked)
        if self._ending.is_set():
            return
        self.pool.wake()
        position = reached(connection) if self.position is None else self.position
        whole = ChunkToken(plan.number, chunk.number, token, position, found.rows)
        token.closed = True
        with self._lock:
            self._tokens[(plan.number, chunk.number)] = whole
        self.recorder.watch(whole)
        self._settle()

    def _to_put(self, plan: TablePlan, rows: Iterable[Row]) -> Iterator[Differing]:
        """The rows that need their lanes: all of a first load, or of one by a changed mapping; of others those that differ."""
        if plan.number not in self.refreshing:
            for row in rows:
                yield Differing(plan.key_of(row), row, parked=False)
            return
        if plan.number in self.anew:
            parked = self.ledger.parked_of(plan.number)
            for row in rows:
                key = plan.key_of(row)
                yield Differing(key, row, parked=key in parked)
            return
        waiting = iter(rows)
        while page := list(islice(waiting, PAGE)):
            if self._ending.is_set():
                return
            yield from differing(self.ledger, plan, page)

    def _put(self, plan: TablePlan, key: str, row: Row, token: Token, *, parked: bool) -> None:
        work = Work(
            plan=plan,
            key=key,
            kind=Kind.ROW,
            row=row,
            version=self.version,
            refresh=plan.number in self.refreshing,
            anew=plan.number in self.refreshing and plan.number in self.anew,
            retry=parked,
            background=True,
            size=row_size(row),
        )
        work.belongs_to(token)
        self.pool.put(work)

    def _room(self) -> bool:
        """Wait for room; False when the run ends."""
        self.pool.wake()
        while not self.pool.wait_for_room(background=True, timeout=0.5):
            if self._ending.is_set():
                return False
        return not self._ending.is_set()

    def _settle(self) -> None:
        """Count the chunks that have been recorded, and close the tables whose last one was."""
        with self._lock:
            done = [whole for whole in self._tokens.values() if whole.recorded]
            for whole in done:
                del self._tokens[(whole.table, whole.number)]
                progress = self.progress[whole.table]
                progress.chunks_done += 1
                progress.rows += whole.rows
        for plan in list(self.plans):
            if any(whole.table == plan.number for whole in done):
                progress = self.progress[plan.number]
                if progress.chunks_done == progress.chunks:
                    self._loaded(plan)

    def _loaded(self, plan: TablePlan) -> None:
        position = max((chunk.reached for chunk in self.ledger.chunks(plan.number)), default=0)
        self.ledger.loaded(plan.number, position)
        logger.info("a table is loaded", extra={"table": plan.table.label})


@dataclass(slots=True)
class _Counted:
    """The same rows, counted as they go by."""

    each: Iterable[Row]
    rows: int = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self.each:
            self.rows += 1
            yield row


def _ahead(rows: Iterator[Row]) -> Iterator[Row]:
    """The same rows, but as far as memory allows all of them are read before the first is given away."""
    held: list[Row] = []
    size = 0
    for row in rows:
        held.append(row)
        size += row_size(row)
        if size > IN_MEMORY:
            break
    yield from held
    yield from rows
