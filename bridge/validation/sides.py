"""The sides that are compared, read in pages: PostgreSQL by key, Engram by id, and what the ledger says; and the frontier.

Three cases. A bridge carries changes: what differs between PostgreSQL and the ledger is lag until the frontier has passed. Nobody
does: it is what has changed since, and no damage. PostgreSQL is read at the snapshot that the rows were carried from: then
neither can be, and it is damage like any other. What differs between ledger and Engram is damage always, once it stands still.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import psycopg

from bridge.changes import Row
from bridge.embedding import Embedders
from bridge.errors import ConfigError, Fatal, MappingError
from bridge.keys import join_key
from bridge.ledger import Ledger
from bridge.lsn import Lsn
from bridge.mapping import Mapping, TablePlan
from bridge.origin import Rows, open_rows
from bridge.ports import Searched
from bridge.source_queries import Source
from snapshot.chunks import keys_of, reached, read_chunk
from snapshot.plan import EVERYTHING, Chunk, Restriction
from snapshot.refresh import Refresher
from snapshot.texts import copy_rows

PAGE = 500
POLL_SECONDS = 0.1
REST_SECONDS = 2.0
"""Between two looks at Engram of which the first found something wrong."""

FLUSH_SECONDS = 3.0
"""When the frontier stands still for so long, the source is asked to flush what a fence waits for."""

Item = TypeVar("Item")


def _no_models() -> Embedders:
    raise ConfigError("no embedding model is at hand", hint="This is a defect: please report it.")


@dataclass(slots=True)
class Sides:
    """Everything that a validation reads. It writes to none of them.

    `target` is its own client, so that no proof waits behind it. `patience`: seconds that the frontier may take to pass a fence.
    `ending`: True when it is to end early. `current`: the plan that is in force for a table now. `embedders`: the models, loaded
    when they are asked for. `held`: `origin` and `reader` read at the snapshot that the rows were carried from; `earlier` are
    tables of which some rows were carried before it, `only` those of which not all rows are meant.
    """

    ledger: Ledger
    target: Searched
    mapping: Mapping
    origin: Rows
    reader: Refresher
    ledger_id: str
    default_when: float
    confidence: float
    url: str
    patience: float = 120.0
    ending: Callable[[], bool] = lambda: False
    current: Callable[[TablePlan], bool] = lambda _plan: True
    embedders: Callable[[], Embedders] = _no_models
    held: bool = False
    earlier: Collection[str] = ()
    only: dict[str, Restriction] = field(default_factory=dict)
    _flushed: float = 0.0
    _alone: bool | None = None

    @property
    def alone(self) -> bool:
        """Nobody carried changes when this was first asked."""
        if self._alone is None:
            self._alone = self.held or self.ledger.held_by() is None
        return self._alone

    @property
    def disturbed(self) -> bool:
        """Nobody carried changes at first, and now a bridge runs: a difference may be a change under way."""
        return self.alone and not self.held and self.ledger.held_by() is not None

    def gone_on(self, plan: TablePlan) -> bool:
        """PostgreSQL may be ahead of the ledger for good: a difference between the two says nothing of damage."""
        return self.alone and (not self.held or plan.table.label in self.earlier)

    def frontier(self) -> Lsn:
        """The proven position."""
        return int(self.ledger.facts().get("proven", 0))

    def passed(self, fence: Lsn) -> bool:
        """Wait until the frontier has passed; False when nobody moves it, patience has ended or all is to end.

        When nobody carries changes there is nothing to wait for.
        """
        if self.alone:
            return not self.ending()
        deadline = time.monotonic() + self.patience
        began = time.monotonic()
        while not self.ending():
            if self.frontier() >= fence:
                return True
            now = time.monotonic()
            if now >= deadline or self.ledger.held_by() is None:
                return False
            if now - began >= FLUSH_SECONDS and now - self._flushed >= FLUSH_SECONDS:
                self._flushed = now
                self._flush()
            time.sleep(POLL_SECONDS)
        return False

    def rested(self, fence: Lsn) -> bool:
        """As `passed`, and some time later: for what is looked at in Engram.

        What is written in the background holds no frontier, and a lane forgets a memory before it writes it again: in between it
        is missing, and nothing is lost.
        """
        until = time.monotonic() + REST_SECONDS
        if not self.passed(fence):
            return False
        while not self.alone and not self.ending() and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        return not self.ending()

    def _flush(self) -> None:
        try:
            Source(self.url).flush()
        except Fatal:  # messages may be refused to this role; then somebody's commit, or a keepalive, has to do
            return

    def searchable(self, plan: TablePlan) -> bool:
        """Whether recall knows all rows of a table. A restart of Engram that nobody has noticed yet has taken them from it."""
        epochs = self.ledger.epochs()
        return bool(epochs) and self.target.epoch() == epochs[-1][0] and self.ledger.searchable(plan.number)

    # PostgreSQL

    def keys(self, plan: TablePlan) -> tuple[set[str], int, Lsn]:
        """All keys of a table by one statement, how many rows can have none, and a position that covers what it saw."""
        found: set[str] = set()
        without = 0
        with open_rows(self.origin, "engram-bridge validate") as connection:
            for values in self._key_rows(connection, plan):
                try:
                    found.add(plan.key_of(values) if plan.keyless else join_key([_text(value) for value in values]))
                except MappingError:
                    without += 1
            return found, without, reached(connection)

    def _key_rows(self, connection: psycopg.Connection, plan: TablePlan) -> Iterator[Row]:
        only = self.only.get(plan.table.label, EVERYTHING)
        if plan.keyless:
            return read_chunk(connection, plan.table, Chunk(0, None, None), only)
        return copy_rows(connection, keys_of(plan.table, only))

    def rows(self, plan: TablePlan, keys: Sequence[str]) -> tuple[dict[str, Row], Lsn]:
        """The rows of these keys that exist now, and a position taken after they were read. Raises SourceUnavailable."""
        if plan.keyless:
            return self._rows_without_key(plan, set(keys))
        texts = {plan.key_values(key): key for key in keys}
        reading = self.reader.read(plan.table, list(texts))
        return {texts[key]: row for key, row in reading.rows.items()}, reading.lsn

    def _rows_without_key(self, plan: TablePlan, wanted: set[str]) -> tuple[dict[str, Row], Lsn]:
        found = {}
        with open_rows(self.origin, "engram-bridge validate") as connection:
            for row in read_chunk(connection, plan.table, Chunk(0, None, None)):
                key = plan.key_of(row)
                if key in wanted:
                    found[key] = row
            return found, reached(connection)

    def position(self) -> Lsn:
        """A position that covers everything that could be seen before."""
        with open_rows(self.origin, "engram-bridge validate") as connection:
            return reached(connection)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise MappingError("a key without a text")
    return value


def pages(items: Iterable[Item], size: int = PAGE) -> Iterator[list[Item]]:
    """In portions."""
    iterator = iter(items)
    while page := list(islice(iterator, size)):
        yield page
