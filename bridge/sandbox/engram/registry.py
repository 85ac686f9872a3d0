"""The spaces of one server: made or loaded by the first request that names them, a read included."""

import re
from dataclasses import dataclass
from pathlib import Path

from bridge.sandbox.engram import instants
from bridge.sandbox.engram.durability import Log
from bridge.sandbox.engram.space import Row, Space, Stored

DEFAULT = "default"
_NAME = re.compile(r"[a-z0-9_-]{3,64}", re.ASCII)


class BadSpaceName(ValueError):
    """A space's name has 3 to 64 characters of a-z, 0-9, _ and -."""


@dataclass(slots=True)
class OpenSpace:
    """A loaded space with its log and the instant it was loaded at."""

    name: str
    root: Path
    space: Space
    log: Log
    created_at: int

    def store(self, row: Row) -> Stored:
        """Store a row and log it if it was kept."""
        stored = self.space.store(row)
        if stored.kept:
            self.log.append(row)
        return stored

    def pretend(self, row: Row) -> Stored:
        """What a store would answer, without storing."""
        return Stored(self.space.expected_activation(row.confidence), kept=False)


class Registry:
    """Every space that this process has touched. `default` is loaded at the start, the others when they are named."""

    def __init__(self, data: Path, capacity: int) -> None:
        self._data = data
        self._capacity = capacity
        self._open: dict[str, OpenSpace] = {}
        self.open(DEFAULT)

    def open(self, name: str) -> OpenSpace:
        """The space of this name, loaded or made if need be; BadSpaceName if no space can be called so."""
        opened = self._open.get(name)
        if opened is not None:
            return opened
        trimmed = name.strip()
        if not _NAME.fullmatch(trimmed):
            raise BadSpaceName(f"'{name}' is no name of a space: 3 to 64 characters of a-z, 0-9, _ and - are needed.")
        if trimmed not in self._open:
            self._open[trimmed] = self._load(trimmed)
        return self._open[trimmed]

    def loaded(self) -> list[OpenSpace]:
        """The spaces touched since the start."""
        return list(self._open.values())

    def flush(self) -> None:
        """Write out every log."""
        for opened in self._open.values():
            opened.log.flush()

    def close(self) -> None:
        """Write out and close every log."""
        for opened in self._open.values():
            opened.log.close()

    def _load(self, name: str) -> OpenSpace:
        root = self._data / name
        log = Log(root / "wal.log")
        space = Space(self._capacity)
        for row in log.replay():
            space.replay(row)
        return OpenSpace(name, root, space, log, instants.now())
