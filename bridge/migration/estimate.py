"""What a migration will take: room on both sides, and time. From the sizes of sampled rows, and from what was measured.

What is said of time is a span. Its least is what is left when everything that can be done side by side is: the fullest space
decides, or the model, or this program. Its most is one thing after another, on an Engram that has one core.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bridge import capacity
from bridge.changes import Row
from bridge.check_places import LEDGER_BYTES_PER_ROW
from bridge.errors import MappingError
from bridge.lsn import make_version
from bridge.mapping import TablePlan
from bridge.memories import Edge
from bridge.migration.advice import VALIDATION_SHARE

VECTOR_BYTES = 768 * 4
VERSION = make_version(1, 0, 0)
"""As long as any version in a stamp."""

ROWS_PER_SECOND = 1_100.0
"""Rows that are written, read back and recorded in a second, measured with a sandbox Engram on the same two cores (`make bench`,
ingest-snapshot-4)."""


@dataclass(frozen=True, slots=True)
class TableEstimate:
    """One table. `content_bytes`: the mean of what Engram stores of a row beside its vector; `sampled` rows were looked at.

    `unmappable`: those of them that cannot become memories. `embed_seconds`: what its texts will cost the model.
    """

    table: str
    spaces: tuple[str, ...]
    rows: int
    counted: bool
    batches: int
    content_bytes: float
    sampled: int
    unmappable: int = 0
    embed_seconds: float = 0.0

    @property
    def engram_bytes(self) -> float:
        """Contents and vectors."""
        return self.rows * (self.content_bytes + VECTOR_BYTES)

    @property
    def server_seconds(self) -> float:
        """Work of the server for its rows alone, over all its spaces."""
        return capacity.loading_seconds(self.rows, max(len(self.spaces), 1))


@dataclass(frozen=True, slots=True)
class Estimate:
    """All tables. `cache_most`: bytes that kept vectors may take on this host; 0 where none are kept."""

    tables: tuple[TableEstimate, ...] = ()
    cache_most: int = 0

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def spaces(self) -> dict[str, int]:
        """Rows by space: tables that share one fill it together."""
        rows: Counter[str] = Counter()
        for table in self.tables:
            for space in table.spaces:
                rows[space] += math.ceil(table.rows / len(table.spaces))
        return dict(rows)

    @property
    def engram_bytes(self) -> float:
        """What Engram will hold: contents and vectors."""
        return sum(table.engram_bytes for table in self.tables)

    @property
    def ledger_bytes(self) -> int:
        """What the ledger will take on this host, or on its own server."""
        return self.rows * LEDGER_BYTES_PER_ROW

    @property
    def cache_bytes(self) -> int:
        """What the vectors that are kept will take on this host."""
        return min(self.rows * VECTOR_BYTES, self.cache_most)

    @property
    def seconds(self) -> tuple[float, float]:
        """The least and the most that loading will take."""
        embedding = sum(table.embed_seconds for table in self.tables)
        filling = [capacity.filling_seconds(rows) for rows in self.spaces.values()]
        own = self.rows / ROWS_PER_SECOND
        births = len(filling) * capacity.SPACE_BIRTH_SECONDS
        return max([embedding, own, *filling]), own + embedding + sum(filling) + births

    @property
    def validation_seconds(self) -> tuple[float, float]:
        """What the guide tells one to plan for validation beside that."""
        least, most = self.seconds
        low, high = VALIDATION_SHARE
        return least * low / (1 - low), most * high / (1 - high)


def measured(plan: TablePlan, rows: Sequence[Row]) -> tuple[float, int, list[str]]:
    """The mean bytes of what Engram would store of these rows, how many cannot be memories, and the texts to be embedded."""
    sizes, texts, bad = [], [], 0
    for row in rows:
        try:
            memory = plan.memory(row, plan.key_of(row))
        except MappingError:
            bad += 1
            continue
        edges = [Edge(one.constraint, one.parent, one.to, one.lookup) for one in memory.references]
        content = plan.content(memory, VERSION, plan.references_json(memory.references, edges))
        sizes.append(len(content.encode()))
        texts.append(memory.text)
    return (sum(sizes) / len(sizes) if sizes else 0.0), bad, texts
