"""The ports: what the core asks of the world, one screen of contract each.

Adapters: `bridge.engram` (Target), `bridge.embedding` (Embedder), `snapshot.refresh` (Reader). The ledger has one home,
`bridge.ledger`, on two databases; it is no port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bridge.changes import Row
from bridge.lsn import Lsn
from bridge.memories import Stored, Write
from bridge.schema import Table

Vectors = npt.NDArray[np.float32]


class Embedder(Protocol):
    """Text to vectors: the same text gives the same vector, but for the last bits of a model's arithmetic.

    `identity` names all that decides about the vectors: model, revision, what is done with long texts. Vectors of one identity
    can be compared with each other and with nothing else. `kept`: its vectors are worth a place in the cache.
    """

    name: str
    dimensions: int
    identity: str
    kept: bool

    def embed(self, texts: Sequence[str], *, urgent: bool = False) -> Vectors:
        """One row of `dimensions` per text. May be called from several threads; who is urgent goes first.

        Raises EmbeddingRefused when there is something among the texts that it cannot embed, EmbedderUnavailable when it cannot
        embed anything now.
        """

    def cut(self, texts: Sequence[str]) -> list[int]:
        """Which of these texts are too long to be embedded as a whole: their places."""

    def close(self) -> None:
        """Close its connections."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the target answered to one write.

    `suspect`: the answer hints that it was dropped (0.9 of the activation that was to be expected).
    """

    memory_id: str
    suspect: bool


@dataclass(frozen=True, slots=True)
class SpaceState:
    """A space as the target reports it: how many rows count against its capacity, and when this process made it."""

    name: str
    counted: int
    created_at: str


class Target(Protocol):
    """An Engram server. Nothing that it acknowledges is believed before it was read back (law 6).

    Every method may raise TargetUnavailable: what it was asked may then have happened or not. One space is written by one
    caller at a time; different spaces in parallel.
    """

    def open(self, space: str) -> SpaceState:
        """Make sure that the space exists (seconds, the first time) and tell its state. Idempotent."""

    def remember(self, space: str, writes: Sequence[Write]) -> list[Kept | Exception]:
        """Store in order; one answer a write: Kept, or TargetRejected for a write that can never be stored."""

    def forget(self, space: str, memory_ids: Sequence[str]) -> None:
        """Forget each; one that is not there is fine. Deleted in memory only: a restart may bring it back."""

    def read(self, space: str, memory_ids: Sequence[str]) -> list[Stored | None]:
        """Read back by id, in order; None when the target does not have it. The only proof there is."""

    def scan(self, space: str) -> Iterator[Stored]:
        """List pages of the space: hints only. Can show rows whose `read` is None; can repeat; the caller keeps writers away."""

    def epoch(self) -> str:
        """Changes with each start of the server: what was in it may have changed."""

    def healthy(self) -> bool:
        """Whether an ordinary write, read and forget in the probe space work now. Never raises for a refusal."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that came up for a vector, and the score that the server gave it. Neither says that it still exists."""

    memory_id: str
    score: float


class Searched(Target, Protocol):
    """A target that is asked for vectors, and by them."""

    def vectors(self, space: str) -> Iterator[tuple[Stored, Vectors | None]]:
        """List pages with the memories' vectors, of whatever length; None for one that the target does not give back.

        Content and vector of a memory are of one version of it. What is said of `scan` holds here.
        """

    def recall(self, space: str, vector: Vectors, most: int) -> list[Hit]:
        """What comes up for a vector, the best first, at most 100. Hints, as list pages are: forgotten rows are among them."""


class Reading(Protocol):
    """The answer of a `Reader`: rows by key text, all read by one statement."""

    @property
    def rows(self) -> Mapping[tuple[Any, ...], Row]:
        """The rows found, by the key's text, or by all their values."""

    @property
    def lsn(self) -> Lsn:
        """A WAL position taken after the reading."""

    def visible(self, xid: int) -> bool:
        """Whether that transaction (32-bit id) was visible to the statement. False: what was read may be older (law 11)."""


class Reader(Protocol):
    """Reads rows again, by key, whole, from the primary. Raises SourceUnavailable; Fatal when the table cannot be read."""

    def read(self, table: Table, keys: Sequence[tuple[str, ...]]) -> Reading:
        """The rows of these keys that exist now; `lsn` is a WAL position taken after the read."""

    def read_same(self, table: Table, rows: Sequence[Row]) -> Reading:
        """For a keyless table: which of these very rows still exist. `rows` of the answer is keyed by the row's own values."""

    def close(self) -> None:
        """Close its connections."""


Clock = Callable[[], float]
