"""An application that keeps writing: seeded transactions at a rate, in a thread of its own, until it is told to stop.

What it writes follows from the seed and from what the database holds; when, from the rate. It outlives restarts of the server: a
transaction that was cut off is counted and the next one begins on a new connection.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

import psycopg
from psycopg import sql

Connection = psycopg.Connection[Any]
Action = Callable[[Connection, random.Random], None]
"""One transaction, on an autocommit connection. `psycopg.Rollback` raised inside its own block is an ordinary way to end."""

_PAUSE = 0.2
_CONTENTION = (psycopg.errors.IntegrityError, psycopg.errors.TransactionRollback, psycopg.errors.LockNotAvailable)
"""What several applications on one database may do to each other: the transaction is lost, the application goes on."""


class Writer:
    """Runs the `actions` of a subclass, each as often as its weight says.

    `counts` has the number of each action by its name, and `transactions`, `refused` (lost to another writer), `interrupted`
    (the server went away; whether it was committed is unknown).
    """

    actions: ClassVar[Sequence[tuple[int, Action]]] = ()

    def __init__(self, url: str, seed: int = 0, rate: float | None = 50.0) -> None:
        """`rate`: transactions a second at most, None for as many as go."""
        self.counts: Counter[str] = Counter()
        self._url = url
        self._random = random.Random(seed)
        self._rate = rate
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._write, name="application", daemon=True)
        self._failure: BaseException | None = None
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> Counter[str]:
        """Finish the transaction under way, end, and give the counts. Raises what the thread failed with, if it did."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._close()
        if self._failure is not None:
            raise self._failure
        return self.counts

    def run(self, transactions: int) -> Counter[str]:
        """So many transactions here and now, without a thread, as fast as they go; the counts so far."""
        for _ in range(transactions):
            self._one()
        return self.counts

    def _write(self) -> None:
        due = time.monotonic()
        try:
            while not self._end.is_set():
                self._one()
                if self._rate is not None:
                    due = max(due + 1 / self._rate, time.monotonic() - 1.0)  # after a pause, at most a second is caught up
                    self._end.wait(max(0.0, due - time.monotonic()))
        except BaseException as failure:  # noqa: BLE001  (raised again by stop)
            self._failure = failure

    def _one(self) -> None:
        weights, actions = zip(*self.actions, strict=True)
        action: Action = self._random.choices(actions, weights)[0]
        try:
            action(self._connected(), self._random)
        except _CONTENTION:
            self.counts["refused"] += 1
        except (psycopg.OperationalError, psycopg.Rollback):  # the latter when the server goes away during a roll-back
            self.counts["interrupted"] += 1
            self._close()
            self._end.wait(_PAUSE)
        else:
            self.counts["transactions"] += 1
            self.counts[getattr(action, "__name__", "?")] += 1

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._url, autocommit=True, application_name="application", connect_timeout=5)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def pick(connection: Connection, chance: random.Random, table: str, key: str = "id") -> Any:
    """The key of some row, or None when there is none: the first at or after a random number up to the highest key."""
    name, column = sql.Identifier(table), sql.Identifier(key)
    highest = connection.execute(sql.SQL("select max({}) from {}").format(column, name)).fetchone()
    if highest is None or highest[0] is None:
        return None
    query = sql.SQL("select {} from {} where {} >= %s order by 1 limit 1").format(column, name, column)
    row = connection.execute(query, [chance.randint(0, highest[0])]).fetchone()
    return row[0] if row else None


def pick_row(connection: Connection, chance: random.Random, table: sql.Composable, *keys: str) -> tuple[str, ...] | None:
    """Key columns of some row of a table of any key, as text; None when it is empty. Reads all keys: for small tables."""
    names = [sql.Identifier(key) for key in keys]
    texts = sql.SQL(",").join(sql.SQL("{}::text").format(name) for name in names)
    order = sql.SQL(",").join(names)
    rows = connection.execute(sql.SQL("select {} from {} order by {}").format(texts, table, order)).fetchall()
    return chance.choice(rows) if rows else None
