"""A target that costs nothing: it acknowledges each write and gives the last ones back, without a network and without a disk.

It keeps of each space the last batch only, which is all that is read back by a step that wrote it, so that memory can be
measured behind it. With `collect` it keeps every write, to be sent again by a bare loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.memories import Stored, Write
from bridge.ports import Kept, SpaceState


class NullTarget:
    """Implements `bridge.ports.Target`."""

    confidence = 0.90

    def __init__(self, *, collect: bool = False) -> None:
        self.stored = 0
        self.written: dict[str, list[Write]] = {}
        self._last: dict[str, dict[str, str]] = {}
        self._collect = collect

    def open(self, space: str) -> SpaceState:
        """See `Target.open`."""
        self._last.setdefault(space, {})
        return SpaceState(space, 0, "never")

    def remember(self, space: str, writes: Sequence[Write]) -> list[Kept | Exception]:
        """See `Target.remember`."""
        self._last[space] = {write.memory_id: write.content for write in writes}
        self.stored += len(writes)
        if self._collect:
            self.written.setdefault(space, []).extend(writes)
        return [Kept(write.memory_id, suspect=False) for write in writes]

    def forget(self, space: str, memory_ids: Sequence[str]) -> None:
        """See `Target.forget`."""
        for memory_id in memory_ids:
            self._last[space].pop(memory_id, None)

    def read(self, space: str, memory_ids: Sequence[str]) -> list[Stored | None]:
        """See `Target.read`."""
        last = self._last[space]
        return [Stored(memory_id, last[memory_id]) if memory_id in last else None for memory_id in memory_ids]

    def scan(self, space: str) -> Iterator[Stored]:
        """See `Target.scan`."""
        return iter([Stored(memory_id, content) for memory_id, content in self._last[space].items()])

    def epoch(self) -> str:
        """See `Target.epoch`."""
        return "never"

    def healthy(self) -> bool:
        """See `Target.healthy`."""
        return True

    def close(self) -> None:
        """Nothing to close."""
