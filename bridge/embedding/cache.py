"""Vectors on disk by what they were made of: a text that has been embedded once is not embedded again.

The key is a hash of the model's identity and the text, so nothing here has to be invalidated: another model, another revision or
another treatment of long texts has keys of its own. Vectors are kept as float16, and the model's own answers are rounded to it in
the same way, so that a row's vector is the same, bit for bit, whether it came from the model or from here.

The file is a SQLite database that several processes may use at once. It holds nothing that cannot be made again: one that is
damaged is replaced by a new one, and one that cannot be written is done without.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from bridge.ports import Clock, Vectors

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

KEY_BYTES = 20
BATCH = 500
"""Keys in one statement."""

TOUCH_SECONDS = 3600.0
"""How exactly it is known when a vector was last used: reading must not become writing."""

EVICTED = 0.1
"""The part of the file that is given up at once when it is full: the vectors that were not used for the longest time."""

BUSY_MS = 2000
TELL_AGAIN = 60.0

_SCHEMA = (
    "create table if not exists vectors (key blob primary key, used integer not null, vector blob not null) without rowid",
    "create index if not exists vectors_used on vectors (used)",
)
_TROUBLE = "the vector cache cannot be used; texts are embedded without it: %s"


def key_of(identity: str, text: str) -> bytes:
    """The key of a text under a model. The length keeps apart pairs whose concatenation is the same."""
    return hashlib.blake2b(b"%d:%b%b" % (len(identity), identity.encode(), text.encode()), digest_size=KEY_BYTES).digest()


def rounded(vectors: Vectors) -> Vectors:
    """The vectors as they come back from the cache."""
    return vectors.astype(np.float16).astype(np.float32)


class VectorCache:
    """A bounded file of vectors, made when it is first needed. For threads and processes; raises nothing for a bad file."""

    def __init__(self, path: Path, *, most_bytes: int, clock: Clock = time.time) -> None:
        self._path = path
        self._most = most_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._usable = True
        self._told = float("-inf")

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The vectors that are there."""
        with self._lock:
            return self._guarded(lambda connection: self._read(connection, keys)) or {}

    def put(self, vectors: Mapping[bytes, Vectors]) -> None:
        """Keep these, and give up the least recently used ones when the file is full."""
        if vectors:
            with self._lock:
                self._guarded(lambda connection: self._write(connection, vectors))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._usable = False
            self._drop_connection()

    def _guarded(self, act: Callable[[sqlite3.Connection], Answer]) -> Answer | None:
        """Do it; with a file that is damaged once more on a new one, with one that cannot be used not at all."""
        for attempt in range(2):
            if not self._usable:
                return None
            try:
                return act(self._opened())
            except sqlite3.OperationalError as error:  # locked, read-only, no room: another time it may work
                self._drop_connection()
                self._tell(error)
                return None
            except sqlite3.DatabaseError as error:
                self._drop_connection()
                self._usable = attempt == 0 and self._replaced(error)
        return None

    def _tell(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._told > TELL_AGAIN:
            self._told = now
            logger.warning(_TROUBLE, error, extra={"path": str(self._path)})

    def _replaced(self, error: Exception) -> bool:
        logger.warning("the vector cache is damaged and begun anew: %s", error, extra={"path": str(self._path)})
        try:
            for ending in ("", "-wal", "-shm"):
                Path(f"{self._path}{ending}").unlink(missing_ok=True)
        except OSError as problem:
            self._tell(problem)
            return False
        return True

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._connection = connection
            connection.execute(f"pragma busy_timeout={BUSY_MS}")
            connection.execute("pragma journal_mode=wal")
            connection.execute("pragma synchronous=normal")
            for statement in _SCHEMA:
                connection.execute(statement)
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        found: dict[bytes, Vectors] = {}
        stale: list[bytes] = []
        now = int(self._clock())
        for some in _parts(keys, BATCH):
            marks = ",".join("?" * len(some))
            for key, used, blob in connection.execute(f"select key, used, vector from vectors where key in ({marks})", some):
                vector = _unpacked(blob)
                if vector is None:
                    continue
                found[key] = vector
                if now - used > TOUCH_SECONDS:
                    stale.append(key)
        if stale:
            with connection:
                connection.execute("begin immediate")
                connection.executemany("update vectors set used = ? where key = ?", [(now, key) for key in stale])
        return found

    def _write(self, connection: sqlite3.Connection, vectors: Mapping[bytes, Vectors]) -> None:
        now = int(self._clock())
        with connection:
            connection.execute("begin immediate")
            connection.executemany(
                "insert or replace into vectors (key, used, vector) values (?, ?, ?)",
                [(key, now, _packed(vector)) for key, vector in vectors.items()],
            )
            while _bytes_used(connection) > self._most and self._evict(connection):
                pass

    def _evict(self, connection: sqlite3.Connection) -> bool:
        """Give up what was not used for the longest time. Its pages are used again; the file does not grow any more."""
        (rows,) = connection.execute("select count(*) from vectors").fetchone()
        connection.execute(
            "delete from vectors where key in (select key from vectors order by used limit ?)", (max(int(rows * EVICTED), 1),)
        )
        return bool(rows)


def _bytes_used(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        int(connection.execute(f"pragma {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _packed(vector: Vectors) -> bytes:
    numbers = vector.astype(np.float16).tobytes()
    return numbers + zlib.crc32(numbers).to_bytes(4, "little")


def _unpacked(blob: bytes) -> Vectors | None:
    """The vector; None when a bit of it has changed since it was kept."""
    numbers = blob[:-4]
    if len(blob) < 6 or len(numbers) % 2 or zlib.crc32(numbers).to_bytes(4, "little") != blob[-4:]:
        return None
    return np.frombuffer(numbers, dtype=np.float16).astype(np.float32)


def _parts(keys: Sequence[bytes], size: int) -> Iterable[Sequence[bytes]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))
