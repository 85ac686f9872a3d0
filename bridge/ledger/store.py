"""An open ledger as a database: its transactions, who may write, and waiting for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from bridge.ledger.connection import migrate
from bridge.ledger.failure import translated
from bridge.ledger.holder import Holder
from bridge.ledger.patience import Patience
from bridge.ledger.place import Place, place_of


class Store:
    """One place, opened. It is made when it is not there, and brought up to date when it is of an earlier version.

    Raises LedgerUnavailable, LedgerError and ConfigError.
    """

    def __init__(self, location: str) -> None:
        self.place: Place = place_of(location)
        self.location = self.place.shown
        self.engine: Engine = self.place.engine()
        self.patience = Patience()
        try:
            self.is_new = migrate(self.engine, self.place)
        except BaseException:
            self.engine.dispose()
            raise
        self._holder: Holder = self.place.holder()

    def acquire(self) -> None:
        """Become the one writer. Raises LedgerHeld, saying who it is."""
        self._holder.acquire()

    def release(self) -> None:
        """Give the right to write back."""
        self._holder.release()

    def held_by(self) -> str | None:
        """Who writes now, as a sentence part, or None."""
        return self._holder.held_by()

    def close(self) -> None:
        """Release and close all connections; those of threads that were left behind when they let go of them."""
        self.release()
        event.listen(self.engine.pool, "checkin", _not_kept)
        self.engine.dispose()
        event.listen(self.engine.pool, "checkin", _not_kept)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection with one consistent view."""
        with translated(self.location), self.place.reads(self.engine) as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable when the block has ended without an error. Raises LedgerHeld when the right was lost."""
        with self._transaction() as connection:
            self._holder.fence(connection)
            yield connection

    @contextmanager
    def shared(self) -> Iterator[Connection]:
        """A durable transaction on what belongs to no single writer: the read side's tables (`bridge.ledger.serving`)."""
        with self._transaction() as connection:
            yield connection

    @contextmanager
    def stepping(self) -> Iterator[Connection | None]:
        """The same, counted as one durable step; None when the step had been done already (`bridge.ledger.locking`)."""
        with self._transaction() as connection:
            yield connection if self._holder.step(connection) else None
        self._holder.stepped()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with (
            translated(self.location),
            self.engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection


def _not_kept(_connection: object, record: ConnectionPoolEntry) -> None:
    record.invalidate()
