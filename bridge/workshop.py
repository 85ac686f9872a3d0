"""What all lanes share: the parts they work with, and the facts that are the same for all of them."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bridge.embedding import Embedders
from bridge.embedding.encoder import Encoded
from bridge.embedding.identity import with_identity
from bridge.errors import EmbeddingRefused
from bridge.gate import Entry
from bridge.ledger import Generations, Ledger
from bridge.lsn import LOWEST, Version
from bridge.mapping import Mapping, TablePlan
from bridge.memories import Memory, Stamp, Stored, Write, bears, digest
from bridge.ports import Clock, Reader, Target, Vectors
from bridge.recorder import Recorder

logger = logging.getLogger(__name__)

VISIBILITY_PATIENCE = 10.0
"""Seconds that a refresh waits in its lane for a commit to become visible, before its key is parked and tried again by itself."""

TRUNCATING = "truncated:{}"
"""Fact of the ledger: version and transaction of a table's last TRUNCATE, by the table's number."""

RETRY_FIRST = 30.0
RETRY_LAST = 600.0


@dataclass(slots=True)
class Workshop:
    """The parts of one running bridge, as its lanes see them.

    `visible_below`: versions under it belong to transactions that every new statement sees. `limit`: live memories that a space
    may hold. `adopted`: ids of other ledgers; what bears their stamps is ours to mend. `epoch`: number of the target's start
    that is known. `migration`: number of the one whose id stands in what is written (`bridge.ledger.migrations`). `lost` is told
    of tables without a key of which Engram lacks rows: they have to be read whole. `stopped`: numbers of tables that are parked
    as a whole; `floors`: the versions of their last TRUNCATE, `truncating`: the ids of its transactions, where they are known;
    all are durable in the ledger before they are here.
    """

    ledger: Ledger
    recorder: Recorder
    target: Target
    embedders: Embedders
    reader: Reader
    mapping: Mapping
    confidence: float = 0.90
    limit: int = 90_000
    ledger_id: str = ""
    adopted: frozenset[str] = frozenset()
    default_when: float = 0.0
    clock: Clock = time.monotonic
    wall: Clock = time.time
    visibility_patience: float = VISIBILITY_PATIENCE
    retry_first: float = RETRY_FIRST
    retry_last: float = RETRY_LAST
    visible_below: Version = LOWEST
    epoch: int = 0
    migration: int = 0
    lost: Callable[[TablePlan], None] = lambda _plan: None
    floors: dict[int, Version] = field(default_factory=dict)
    truncating: dict[int, int] = field(default_factory=dict)
    stopped: dict[int, str] = field(default_factory=dict)
    told_cut: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def erase(self, table: int, keys: list[str]) -> None:
        """Strike memories of a retired generation from the ledger: they are proven gone."""
        Generations(self.ledger).erase(table, keys)

    def floor(self, table: int) -> Version:
        """The version of the table's last TRUNCATE."""
        return self.floors.get(table, LOWEST)

    def last_truncate(self, table: int) -> tuple[Version, int | None]:
        """Its version and the id of its transaction, which a ledger from before that was kept does not know."""
        return self.floor(table), self.truncating.get(table)

    def truncate(self, table: int, version: Version, xid: int) -> None:
        """A TRUNCATE was seen: durable when this returns. Raises LedgerError."""
        if self.floor(table) < version:
            self.ledger.put_facts({TRUNCATING.format(table): json.dumps([version, xid])})  # counts once the floor is that version
            self.ledger.set_table(table, floor=version)
        if self.floor(table) <= version:
            self.truncating[table] = xid  # before the floor: nobody reads again under that without having seen this
            self.floors[table] = version

    def take_up_floor(self, table: int, floor: Version, facts: dict[str, str]) -> None:
        """What the ledger knows of a table's last TRUNCATE, at a start."""
        self.floors[table] = floor
        version, xid = json.loads(facts.get(TRUNCATING.format(table), "[null, null]"))
        if version == floor:
            self.truncating[table] = xid

    def writes(
        self, plan: TablePlan, memories: list[tuple[Memory, str]], *, urgent: bool = False
    ) -> tuple[list[Write | EmbeddingRefused], Encoded]:
        """Embed the texts of memories of one table, each given with its content; answers a write for each, and what was embedded.

        Raises EmbedderUnavailable.
        """
        texts = [memory.text for memory, _content in memories]
        ids = [memory.memory_id for memory, _content in memories]
        found = self.embedders.for_table(plan).encode(texts, urgent=urgent)
        writes: list[Write | EmbeddingRefused] = []
        for index, vector in enumerate(self._identified(found, ids, texts)):
            if vector is None:
                writes.append(EmbeddingRefused(found.refused[index]))
                continue
            memory, content = memories[index]
            when = self.default_when if memory.when is None else memory.when
            writes.append(Write(memory.memory_id, content, when, self.confidence, vector))
        return writes, found

    def tell_cut(self, plan: TablePlan) -> None:
        """Say once a table that texts of it are cut."""
        if plan.number not in self.told_cut:
            self.told_cut.add(plan.number)
            logger.warning("texts are longer than the model's window, and cut", extra={"table": plan.table.label})

    @staticmethod
    def _identified(found: Encoded, ids: list[str], texts: list[str]) -> Sequence[Vectors | None]:
        """The vectors as Engram is sent them; None for texts that cannot be embedded."""
        if not found.refused:
            return list(with_identity(found.vectors, ids, texts))
        good = [index for index in range(len(ids)) if index not in found.refused]
        vectors = with_identity(found.vectors[good], [ids[index] for index in good], [texts[index] for index in good])
        rows: list[Vectors | None] = [None] * len(ids)
        for index, vector in zip(good, vectors, strict=True):
            rows[index] = vector
        return rows

    def expected(self, entry: Entry | None, stamp: Stamp | None) -> bool:
        """Whether what was found is exactly what the ledger expects to be there."""
        return (
            entry is not None
            and entry.live
            and stamp is not None
            and stamp.intact
            and stamp.version == entry.version
            and stamp.digest == entry.digest
            and digest(stamp.references) == entry.references
            and stamp.ledger == self.ledger_id
        )

    def holds(self, plan: TablePlan, key: str, entry: Entry, stored: Stored) -> bool:
        """The same of a memory in a list page, as cheaply as can be."""
        plainly = entry.live and bears(
            stored.content,
            version=entry.version,
            body_digest=entry.digest,
            fixed=plan.fixed,
            key=key,
            references_digest=entry.references,
        )
        return plainly or self.expected(entry, stored.stamp())

    def retry_delay(self, attempts: int) -> float:
        """Seconds until a parked key is tried again by itself: longer each time."""
        return min(self.retry_first * 2.0 ** min(attempts, 30), self.retry_last)
