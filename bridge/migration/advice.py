"""What the migration guide advises: rows of a batch by the size of a table, workers by the mix of tables. Pure.

A batch is what is read by one statement and what is read again after a crash. Workers are connections that read at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SMALL_TABLE = 100_000
"""Rows from which a table is not small any more."""

LARGE_TABLE = 10_000_000
"""Rows beyond which a table is very large."""

FEW = 3
"""Large tables that are few."""

MIXES = {(1, 2): "few large tables", (4, 8): "small tables", (4, 6): "this mix of tables"}

VALIDATION_SHARE = (0.10, 0.15)
"""The share of the whole time that the guide tells one to plan for validation."""


def batch_range(rows: int) -> tuple[int, int]:
    """The least and the most rows of a batch that are advised for a table of so many rows."""
    if rows < SMALL_TABLE:
        return 1_000, 1_000
    return (5_000, 10_000) if rows <= LARGE_TABLE else (10_000, 20_000)


def advise_batch(rows: int) -> int:
    """The batch size to begin with: the least of what is advised, since what is held in memory grows with it."""
    return batch_range(rows)[0]


def worker_range(tables: Sequence[int]) -> tuple[int, int]:
    """The least and the most workers that are advised for tables of so many rows each.

    Few large tables: 1 to 2, which share a table by ranges of its key. Small tables only: 4 to 8. Anything else: 4 to 6.
    """
    large = sum(rows >= SMALL_TABLE for rows in tables)
    if large == 0:
        return 4, 8
    return (1, 2) if large == len(tables) <= FEW else (4, 6)


def advise_workers(tables: Sequence[int]) -> int:
    """The number of workers to begin with."""
    least, most = worker_range(tables)
    return most if most == 2 else least


def advice(tables: Mapping[str, int], batch: int, workers: int) -> list[str]:
    """Sentences about settings outside of what is advised for these tables, rows by label; none when all are inside."""
    if not tables:
        return []
    told = []
    largest = max(tables, key=lambda label: tables[label])
    least, most = batch_range(tables[largest])
    if not least <= batch <= most:
        span = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        told.append(
            f"--batch-size is {batch:,}; for the largest table, {largest} with about {tables[largest]:,} rows, "
            f"{span} is advised: --batch-size {least}"
        )
    fewest, many = worker_range(list(tables.values()))
    if not fewest <= workers <= many:
        told.append(
            f"--parallel-workers is {workers}; for {MIXES[fewest, many]} {fewest} to {many} are advised: "
            f"--parallel-workers {advise_workers(list(tables.values()))}"
        )
    return told
