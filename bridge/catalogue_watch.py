"""Looks at the catalogue all the time, so that what is said to be proven is said of the tables' definitions, too.

An ADD COLUMN with a default, or another change of a table that no row's change follows, sends nothing: the frontier passes its
commit, and Engram still has the rows of before. So two things are said only behind a look. A moment counts as covered only when a
look has begun after it and has ended (`Frontier.mark`); and `X-Min-Lsn` is answered from Engram only up to the position that was
taken before the last look (the fact `looked`), whatever the frontier has passed. What a look finds it notes durably before it
ends, so whoever sees its position sees the table stopped, or being read again.

A commit has a position before anybody sees it. One that lies below ours and is not visible yet still holds its lock on the table,
since locks are released last: while a table is locked by whoever may alter it, the position stays where it was.

Where nothing was written since the last look there is nothing to look for. Elsewhere looks follow each other closely, but take
only a small part of the time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg

from bridge.errors import BridgeError, SourceChanged, SourceUnavailable, Transient
from bridge.frontier import Frontier
from bridge.keeper import TableKeeper
from bridge.lookout import Lookout
from bridge.lsn import Lsn
from bridge.origin import Origin
from bridge.postgres import translated
from bridge.rounds import Rounds
from snapshot.chunks import reached

logger = logging.getLogger(__name__)

LOOKED = "looked"
"""The fact: a position; all changes of definitions that were committed before it are known."""

LEAST_SECONDS = 0.1
IDLE_SECONDS = 0.25
MOST_SECONDS = 5.0
"""Seconds between two looks while something is written, between two questions whether anything was, and until a look at most."""

REST = 10.0
"""How many times as long as a look took it is until the next one."""

STOP_SECONDS = 3.0

_LOCKED = """
    with recursive carried (oid) as (
        select unnest(%s::oid[]) union select inhrelid from pg_inherits join carried on inhparent = carried.oid)
    select exists (
        select from pg_locks as held left join pg_class as locked on locked.oid = held.relation
         where granted and held.database = (select oid from pg_database where datname = current_database()) and (
               held.locktype = 'relation' and held.relation in (select oid from carried)
               and (mode = 'AccessExclusiveLock' or mode = 'ShareUpdateExclusiveLock' and locked.relkind = 'p')
            or held.locktype = 'object' and mode in ('ExclusiveLock', 'AccessExclusiveLock')
               and (held.classid in ('pg_publication'::regclass, 'pg_publication_rel'::regclass)
                    or held.classid = 'pg_type'::regclass and held.objid in (
                       select atttypid from pg_attribute where attrelid in (select oid from carried)))))
"""
"""Partitions are truncated by themselves, and attached and detached under a lock on their parent that no reader notices; vacuum
takes the same lock on what holds rows, so there it says nothing. Labels of a type, and what a publication has, lock no table."""


def altering(connection: psycopg.Connection, tables: Sequence[int]) -> bool:
    """Whether somebody holds a lock to alter one of these tables, by oid, or what they are made of. Raises SourceUnavailable."""
    with translated():
        row = connection.execute(_LOCKED, (list(tables),)).fetchone()
    return row is not None and bool(row[0])


@dataclass(slots=True)
class CatalogueWatch:
    """Has the lookout look, in a thread, over a connection of its own."""

    origin: Origin
    frontier: Frontier
    keeper: TableKeeper
    lookout: Lookout
    clock: Callable[[], float] = time.monotonic
    trouble: str | None = None
    _position: Lsn | None = None
    _looked: float = float("-inf")
    _took: float = 0.0
    _idle: bool = False
    _connection: psycopg.Connection | None = None
    _ending: threading.Event = field(default_factory=threading.Event)
    _rounds: Rounds | None = None

    def __post_init__(self) -> None:
        self.frontier.look_first()

    def start(self) -> None:
        """Start the thread."""
        self._rounds = Rounds("catalogue", "the watch on the catalogue", self.step, self._ending, self._pause, self._waits)
        self._rounds.start()

    def stop(self) -> None:
        """End."""
        self._ending.set()
        if self._rounds is not None:
            self._rounds.join(STOP_SECONDS)  # one that waits for PostgreSQL or the ledger is left behind
        self._close()

    @property
    def failure(self) -> BridgeError | None:
        """What has ended the thread."""
        return self._rounds.failure if self._rounds is not None else None

    def _pause(self) -> float:
        return max(IDLE_SECONDS if self._idle else LEAST_SECONDS, REST * self._took)

    def _waits(self, error: Transient) -> None:
        self._close()
        if self.trouble is None:
            logger.info("the look at the catalogue waits: %s", error)
        self.trouble = str(error)

    def step(self) -> None:
        """One look, if anything was written since the last one. Raises SourceUnavailable, LedgerError."""
        marked = self.frontier.marked
        connection = self._open()
        position = reached(connection)
        self._idle = position == self._position and self.clock() - self._looked < MOST_SECONDS
        if not self._idle:
            begun = self.clock()
            altering = self._altering(connection)
            self.lookout.look(connection)
            self._looked = self.clock()
            self._took = self._looked - begun
            self._position = None if altering else position
            if not altering:
                self.keeper.ledger.put_facts({LOOKED: str(position)})
        self.frontier.looked(marked)
        self.trouble = None

    def _altering(self, connection: psycopg.Connection) -> bool:
        """Whether somebody may be committing a change of a carried table, at a position before ours. Raises SourceUnavailable."""
        return altering(connection, [plan.table.oid for plan in list(self.keeper.shop.mapping.numbered.values())])

    def _open(self) -> psycopg.Connection:
        """The connection, to the source itself: positions of another server say nothing here. Raises SourceUnavailable."""
        if self._connection is None or self._connection.closed:
            try:
                self._connection = self.origin.connect("engram-bridge catalogue")
            except SourceChanged as error:  # what it means for the run is found out by the stream
                raise SourceUnavailable(str(error), hint=error.hint) from error
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
