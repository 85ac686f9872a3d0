"""The reader's figure with wal2json: needs an installed PostgreSQL that has it, and says so where there is none."""

from __future__ import annotations

from bench import reader
from bench.figures import Figure, Say, Scale
from bridge.errors import ConfigError
from cdc.slot import WAL2JSON


def run(scale: Scale, say: Say) -> list[Figure]:
    """As `bench.reader`."""
    try:
        return reader.measure(scale, say, WAL2JSON)
    except ConfigError as error:
        missing = f"{error} ({error.hint})"
        return [Figure("reader-wal2json", "", "changes/s", [], [], f">= {reader.GOAL}", met=False, missing=missing)]
