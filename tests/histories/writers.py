"""Writers that know what they have written: each owns a table, gives its rows ever new values, and notes each commit."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Hashable
from typing import Any

import psycopg
from psycopg import sql

from bridge.lsn import Lsn
from bridge.memories import digest
from bridge.sandbox.promises import UNKNOWN, State

START = time.time() - time.monotonic()

KEYS = 60
HOT = 8
"""So many of a table's keys have most of the changes."""

NEVER: Lsn = 1 << 64
PAUSE = 0.1


def now() -> float:
    """The time, by a clock that nobody sets: all moments of a history are this process's own."""
    return START + time.monotonic()


def value_of(row: dict[str, Any]) -> str:
    """What a history has of a row: no two states of a row have the same."""
    return f"{row['note']}|{digest(row['pad'] or '')}"


class KeyWriter:
    """Writes one table from one thread, so that the order of a row's states is known. `label` is the table's."""

    def __init__(self, url: str, name: str, seed: int, rate: float) -> None:
        self.name = name
        self.label = f"public.{name}"
        self.states: dict[str, list[State]] = defaultdict(list)
        self.lsns: dict[str, Lsn] = {}
        self.latest: Lsn = 0
        """Behind the last commit of this writer."""
        self.counts: Counter[str] = Counter()
        self._url = url
        self._table = sql.Identifier(name)
        self._random = random.Random(seed)
        self._rate = rate
        self._rows: dict[str, dict[str, Any]] = {}
        self._number = 0
        self._connection: psycopg.Connection[Any] | None = None
        self.goes_on = threading.Event()
        """Cleared, it writes nothing."""
        self.goes_on.set()
        self._end = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"writer of {name}", daemon=True)

    def create(self) -> None:
        """Make the table, with a column that is stored out of line, and its first rows."""
        connection = self._connected()
        connection.execute(sql.SQL("create table {} (id int primary key, note text not null, pad text)").format(self._table))
        connection.execute(sql.SQL("alter table {} alter column pad set storage external").format(self._table))
        self._transact("first", self._fill)

    def histories(self) -> dict[Hashable, list[State]]:
        """The states of all rows, by (label, key)."""
        return {(self.label, key): states for key, states in self.states.items()}

    @property
    def alive(self) -> bool:
        """Whether it writes."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """End after the transaction under way. Raises what the thread failed with, if it did."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._connection is not None:
            self._connection.close()
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        """End, whatever it has failed with."""
        with contextlib.suppress(Exception):
            self.stop()

    def _run(self) -> None:
        acts = (self._write, self._delete, self._replace, self._move, self._roll_back, self._truncate)
        try:
            due = time.monotonic()
            while not self._end.is_set():
                if not self.goes_on.wait(PAUSE):
                    continue
                act = self._random.choices(acts, (60, 16, 8, 8, 8, 1))[0]
                self._transact(act.__name__[1:], act)
                due = max(due + 1 / self._rate, time.monotonic() - 1.0)
                self._end.wait(max(0.0, due - time.monotonic()))
        except BaseException as failure:  # noqa: BLE001  (raised again by stop)
            self._failure = failure

    # one transaction

    def _transact(self, name: str, act: Any) -> None:
        """Do it and note what it left behind. What it changes is in `after`: the rows by key, None for one that is gone."""
        after: dict[str, dict[str, Any] | None] = {}
        began = now()
        try:
            with self._connected().transaction():
                act(after)
                began = now()
            seen = now()
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            self.counts["refused"] += 1
        except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.Rollback):  # the last when the server went meanwhile
            self.counts["interrupted"] += 1
            self._find_out(after, began)
        else:
            self.counts[name] += 1
            if after:
                self._note(after, began, seen)

    def _note(self, after: dict[str, dict[str, Any] | None], began: float, seen: float) -> None:
        """A commit that was answered: the position that is asked for now is behind it."""
        try:
            lsn = self._flushed()
        except (psycopg.OperationalError, psycopg.InterfaceError):
            lsn = NEVER
        for key, row in after.items():
            if row is None and key not in self._rows:
                # Nothing was deleted and no WAL written: the position asked for now may be one that a reader had before.
                continue
            self._rows.pop(key, None)
            if row is not None:
                self._rows[key] = row
            self.states[key].append(State(None if row is None else value_of(row), began, seen, lsn))
            if lsn != NEVER:
                self.lsns[key] = lsn
        if lsn != NEVER:
            self.latest = lsn

    def _find_out(self, after: dict[str, dict[str, Any] | None], began: float) -> None:
        """The server went away: whether that was committed is unknown, until it can be asked again."""
        for key, row in after.items():
            self.states[key].append(State(None if row is None else value_of(row), began, UNKNOWN, NEVER))
        while not self._end.is_set():
            try:
                found, seen = self._found(), now()
                lsn = self._flushed()
                break
            except (psycopg.OperationalError, psycopg.InterfaceError):
                self._end.wait(PAUSE)
        else:
            return
        for key in after:
            row = found.get(key)
            # As before: there was no commit, and so nothing that this position is behind.
            ended = lsn if row != self._rows.get(key) else NEVER
            self.states[key].append(State(None if row is None else value_of(row), began, seen, ended))
        self._rows = found
        self.latest = lsn

    def _found(self) -> dict[str, dict[str, Any]]:
        rows = self._connected().execute(sql.SQL("select id, note, pad from {}").format(self._table)).fetchall()
        return {str(key): {"note": note, "pad": pad} for key, note, pad in rows}

    def _flushed(self) -> Lsn:
        row = self._connected().execute("select pg_current_wal_flush_lsn() - '0/0'::pg_lsn").fetchone()
        assert row is not None
        return int(row[0])

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url, autocommit=True, application_name="writer", connect_timeout=5, options="-c lock_timeout=5000"
            )
        return self._connection

    # what is done

    def _fill(self, after: dict[str, dict[str, Any] | None]) -> None:
        for key in range(KEYS):
            self._put(str(key), after)

    def _write(self, after: dict[str, dict[str, Any] | None]) -> None:
        """Some rows get a new value, or are there again."""
        for key in self._some(self._random.randint(1, 4)):
            self._put(key, after)

    def _delete(self, after: dict[str, dict[str, Any] | None]) -> None:
        for key in self._some(self._random.randint(1, 3)):
            self._execute("delete from {} where id = %s", key)
            after[key] = None

    def _replace(self, after: dict[str, dict[str, Any] | None]) -> None:
        """A row goes and comes back at once."""
        self._delete(after)
        for key in list(after):
            self._put(key, after)

    def _move(self, after: dict[str, dict[str, Any] | None]) -> None:
        """A row gets another key."""
        there = [key for key in self._some(HOT) if key in self._rows]
        free = [key for key in self._some(HOT) if key not in self._rows]
        if there and free:
            self._execute("update {} set id = %s where id = %s", free[0], there[0])
            after[there[0]] = None
            after[free[0]] = self._rows[there[0]]

    def _roll_back(self, after: dict[str, dict[str, Any] | None]) -> None:
        """Nothing of it may ever be seen."""
        self._delete({})
        self._put(self._some(1)[0], {}, "never")
        raise psycopg.Rollback

    def _truncate(self, after: dict[str, dict[str, Any] | None]) -> None:
        """All rows go; most of them come back."""
        self._execute("truncate {}")
        after.update(dict.fromkeys(self._rows))
        for key in self._random.sample(range(KEYS), KEYS * 2 // 3):
            self._put(str(key), after, anew=True)

    def _put(self, key: str, after: dict[str, dict[str, Any] | None], mark: str = "", *, anew: bool = False) -> None:
        self._number += 1
        note = f"{mark}{self.name} {key} {self._number}"
        earlier = after[key] if key in after else self._rows.get(key)
        pad = None if self._random.random() < 0.5 else f"{self._number}." * 700
        keep = earlier is not None and not anew and self._random.random() < 0.5
        clause = "note = excluded.note" if keep else "note = excluded.note, pad = excluded.pad"
        self._execute(
            f"insert into {{}} (id, note, pad) values (%s, %s, %s) on conflict (id) do update set {clause}", key, note, pad
        )
        after[key] = {"note": note, "pad": earlier["pad"] if keep and earlier is not None else pad}

    def _some(self, count: int) -> list[str]:
        hot = [self._random.randrange(HOT if self._random.random() < 0.6 else KEYS) for _ in range(count)]
        return [str(key) for key in dict.fromkeys(hot)]

    def _execute(self, statement: str, *values: object) -> None:
        self._connected().execute(sql.SQL(statement).format(self._table), values)  # type: ignore[arg-type]
