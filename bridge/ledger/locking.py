"""The right to write a ledger that is in PostgreSQL, and the fence that keeps out whoever has lost it without knowing.

The right is a session lock of the server (advisory), held on a connection of its own: it is free as soon as the server has seen
that connection end. That can happen to a process that still lives: its network fails, an administrator ends its session, the
server restarts. So the one who takes the right also puts a token of its own into the table `writers`, in place of the last one's,
and every transaction of a run looks for its token before it writes. The look locks the token's row, so that nobody takes the
right over between the look and the commit.

`writers.steps` counts durable steps. A step whose commit was not answered is looked up there instead of being done twice; and
a server that comes back with fewer steps than it has acknowledged (a standby that was behind, a restored copy) is found out
(law 4).
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
import uuid
from contextlib import suppress
from typing import Protocol

import psycopg
from sqlalchemy import Connection, select, update

from bridge.errors import LedgerError, LedgerHeld
from bridge.ledger import tables
from bridge.ledger.failure import translated
from bridge.ledger.holder import about_us, describe_holder, given_back, held_by_another

logger = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
"""How often it is looked whether the lock is still ours. It is for those who ask `held_by`: the fence is enough."""

HELD = """
    select (select about from writers limit 1)
      from pg_locks
     where locktype = 'advisory' and granted and objsubid = 1
       and database = (select oid from pg_database where datname = current_database())
       and classid::bigint = %s and objid::bigint = %s
"""


class Connects(Protocol):
    """A place on a server."""

    @property
    def schema(self) -> str:
        """The ledger's schema."""

    @property
    def shown(self) -> str:
        """The place as it may be shown."""

    def connect(self, application_name: str) -> psycopg.Connection:
        """An autocommit connection. Raises LedgerUnavailable, LedgerError and ConfigError."""


def lock_number(name: str) -> int:
    """A number for a lock of that name: the server's locks have no others."""
    return int.from_bytes(hashlib.sha256(f"engram-bridge: {name}".encode()).digest()[:8], "big", signed=True)


class ServerHolder:
    """Used from all threads of a run."""

    def __init__(self, place: Connects) -> None:
        self._place = place
        self._number = lock_number(place.schema)
        self._connection: psycopg.Connection | None = None
        self._token = ""
        self._given_back = False
        self._steps = 0
        self._looked = 0.0
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Take the lock, and put our token there. Raises LedgerHeld, saying who has it."""
        token = uuid.uuid4().hex
        connection = self._locked()
        try:
            with translated(self._place.shown), connection.transaction():
                row = connection.execute("delete from writers returning steps").fetchone()
                self._steps = int(row[0]) if row else 0
                connection.execute("insert into writers values (%s, %s, %s)", (token, self._steps, about_us()))
        except BaseException:
            connection.close()
            raise
        self._connection, self._token, self._looked = connection, token, time.monotonic()
        self._given_back = False

    def release(self) -> None:
        """Give the lock back. The token stays: it is the last one's until the next takes its place, and a thread of ours that
        is late finds it gone, or is refused."""
        self._given_back = bool(self._token)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def held_by(self) -> str | None:
        """Who holds the lock now, or None when nobody does."""
        connection = self._place.connect("engram-bridge ledger")
        with translated(self._place.shown), connection:
            return self._held_by(connection)

    def _held_by(self, connection: psycopg.Connection) -> str | None:
        unsigned = self._number % 2**64
        row = connection.execute(HELD, (unsigned >> 32, unsigned & 0xFFFFFFFF)).fetchone()
        return describe_holder(row[0] or "") if row else None

    def _locked(self) -> psycopg.Connection:
        """A new connection that holds the lock. Raises LedgerHeld."""
        connection = self._place.connect("engram-bridge ledger lock")
        try:
            with translated(self._place.shown):
                row = connection.execute("select pg_try_advisory_lock(%s)", (self._number,)).fetchone()
                if row is None or not row[0]:
                    raise held_by_another(self._held_by(connection) or "an unknown process")
        except BaseException:
            connection.close()
            raise
        return connection

    def fence(self, connection: Connection) -> None:
        """Keep our token where it is until this transaction ends. Raises LedgerHeld when it is gone, or was given back."""
        if not self._token:
            return
        if self._given_back:
            raise given_back(self._place.shown)
        self._look()
        row = (
            select(tables.writers.c.steps).where(tables.writers.c.token == self._token).with_for_update(read=True, key_share=True)
        )
        if connection.execute(row).first() is None:
            raise self._lost(connection)

    def step(self, connection: Connection) -> bool:
        """Count one more, under our token."""
        if not self._token:
            return True
        if self._given_back:
            raise given_back(self._place.shown)
        self._look()
        w = tables.writers.c
        counted = update(tables.writers).where(w.token == self._token, w.steps == self._steps).values(steps=self._steps + 1)
        if connection.execute(counted).rowcount == 1:
            return True
        steps = connection.execute(select(w.steps).where(w.token == self._token)).scalar()
        if steps is None:
            raise self._lost(connection)
        if steps == self._steps + 1:
            return False
        raise LedgerError(
            f"the ledger {self._place.shown} has seen {steps} durable steps, and has acknowledged {self._steps}",
            hint="Its server was replaced by one that was behind, or restored from a copy: see docs/ledger.md, Backup.",
        )

    def stepped(self) -> None:
        """It is durable."""
        if self._token:
            self._steps += 1

    def _look(self) -> None:
        """Now and then: is the lock still ours? If its connection has ended, it is taken again, as soon as it is free.

        The server can need a minute to see that the connection has ended, and our own session holds the lock meanwhile. Whether
        it is that or another run, the token tells, which is looked at next. Raises LedgerUnavailable.
        """
        with self._lock:
            if time.monotonic() - self._looked < LOOK_SECONDS or self._connection is None:
                return
            try:
                self._connection.execute("select 1")
            except psycopg.Error:
                with suppress(psycopg.Error):
                    self._connection.close()
                try:
                    self._connection = self._locked()
                except LedgerHeld:
                    logger.info("the ledger's lock was lost, and is not free yet", extra={"ledger": self._place.shown})
                else:
                    logger.warning("the ledger's lock was lost, and is taken again", extra={"ledger": self._place.shown})
            self._looked = time.monotonic()

    def _lost(self, connection: Connection) -> LedgerHeld:
        said = connection.execute(select(tables.writers.c.about)).scalar()
        return LedgerHeld(
            f"this run has lost the ledger {self._place.shown} to another: {describe_holder(said or '')}",
            hint="Nothing was written since. Run one bridge with this ledger.",
        )
