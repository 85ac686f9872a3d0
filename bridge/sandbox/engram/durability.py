"""The write-ahead log of a space, with the real one's amnesia.

Only the first run that writes into an empty log keeps what it writes. When a start finds a log with rows in it, it
replays them and then goes on writing to a file that it has already unlinked: every write of this and of all later
runs is lost at the next restart. Nothing about a forget is ever logged, so forgotten rows come back; and since a
replay keeps the first version of an id, updates revert.

An acknowledgement does not wait for the log: a kill loses what was written since the last flush.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bridge.sandbox.engram.space import Row
from bridge.sandbox.engram.vectors import DIMENSIONS

_HEAD = struct.Struct("<I")
_VECTOR_BYTES = DIMENSIONS * 4


class Log:
    """One space's log."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a buffer of its own: what is flushed is with the kernel and outlives a kill of the process.
        self._file = path.open("ab", buffering=0)
        self._path = path
        self._pending: list[bytes] = []
        self._kept = self._file.tell() == 0

    def replay(self) -> Iterator[Row]:
        """The rows in the log, oldest first, up to a torn end."""
        data = self._path.read_bytes()
        at = 0
        while at + _HEAD.size <= len(data):
            (length,) = _HEAD.unpack_from(data, at)
            start = at + _HEAD.size
            end = start + length + _VECTOR_BYTES
            if end > len(data):
                return
            identity, content, confidence, when = json.loads(data[start : start + length])
            vector = np.frombuffer(data, dtype=np.float32, count=DIMENSIONS, offset=start + length).copy()
            yield Row(identity, content, confidence, when, vector)
            at = end

    def append(self, row: Row) -> None:
        """Log a stored row, some time soon; or, in a run whose log is lost already, never."""
        if self._kept:
            head = json.dumps([row.id, row.content, row.confidence, row.when]).encode()
            self._pending += (_HEAD.pack(len(head)), head, row.vector.tobytes())

    def flush(self) -> None:
        """Hand everything pending to the operating system."""
        if self._pending:
            self._file.write(b"".join(self._pending))
            self._pending.clear()

    def close(self) -> None:
        """Flush and let go of the file."""
        self.flush()
        self._file.close()
