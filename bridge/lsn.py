"""WAL positions and the versions that are made of them.

An LSN is a byte position in PostgreSQL's write-ahead log: here an `int`, written `X/X` in hexadecimal where people read it.
Two kinds are never mixed up (law 5): a *version* is built on the **start** of a commit record (pgoutput's `final_lsn`), while
frontier, confirmed and fences are **end** positions.

A `Version` is a string of fixed width, `epoch:commit_lsn:ordinal` in hexadecimal, so that comparing strings compares versions,
in Python as in any SQL collation. `epoch` is the source epoch (raised when the source's history changes), `ordinal` the index of
the change among the row changes of its transaction, from 1; 0 is the snapshot, the lowest version there is.
"""

from __future__ import annotations

from typing import TypeAlias

Lsn: TypeAlias = int
Version: TypeAlias = str

PAGE = 8192
LONG_HEADER = 0x28
SHORT_HEADER = 0x18

LOWEST: Version = ""


def parse_lsn(text: str) -> Lsn:
    """Read `16/B374D848`. Raises ValueError when it is not of that form."""
    high, slash, low = text.partition("/")
    if not slash or not 0 < len(high) <= 8 or not 0 < len(low) <= 8:
        raise ValueError(f"not an LSN: {text!r}")
    return (int(high, 16) << 32) | int(low, 16)


def format_lsn(lsn: Lsn) -> str:
    """Write an LSN as PostgreSQL does."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def fence(lsn: Lsn) -> Lsn:
    """A position that the stream can reach: just behind a WAL page header counts as the page's start.

    After `pg_switch_wal()` on an idle server the insert position stands behind the header of a page that holds nothing yet, and
    keepalives stay at the page's start.
    """
    return lsn - lsn % PAGE if lsn % PAGE in (LONG_HEADER, SHORT_HEADER) else lsn


def make_version(epoch: int, commit_lsn: Lsn, ordinal: int) -> Version:
    """The version of a change: source epoch, start of its commit record, its index in the transaction."""
    return f"{epoch:04x}:{commit_lsn:016x}:{ordinal:08x}"


def is_snapshot(version: Version) -> bool:
    """The version of a snapshot's rows: no change has the ordinal 0."""
    return version.endswith(":00000000")


def split_version(version: Version) -> tuple[int, Lsn, int]:
    """The parts of a version. Raises ValueError when it is not one."""
    epoch, lsn, ordinal = version.split(":")
    return int(epoch, 16), int(lsn, 16), int(ordinal, 16)
