"""Documents of migrations for tests: one where everything is as it should be, and what tests change of it."""

from __future__ import annotations

from typing import Any

from bridge.report import Document, TableReport


def table(label: str = "public.users", **changed: Any) -> TableReport:
    """One table of a report."""
    whole = {
        "table": label,
        "spaces": [label.rpartition(".")[2]],
        "rows": 1_000,
        "loaded": 1_000,
        "unchanged": 0,
        "edges": 900,
        "external": 0,
        "orphans": 0,
        "parked": 0,
        "seconds": 4.0,
        "rows_per_second": 250.0,
        "note": "",
    }
    return whole | changed  # type: ignore[return-value]  # tests name members of it


def validated(**changed: Any) -> dict[str, Any]:
    """A clean validation of one table, by sample."""
    one = {
        "clean": True,
        "rows": 1_000,
        "ledger": 1_000,
        "sampled": 100,
        "listed": 1_000,
        "edges": 90,
        "orphans": 0,
        "parked": 0,
        "lag": 0,
        "unsettled": 0,
        "findings": 0,
        "checks": {"counts": 0, "rows": 0},
        "chance_to_miss": {"1": 0.9},
    }
    result = {
        "clean": True,
        "began": 100.0,
        "ended": 101.0,
        "seconds": 1.0,
        "version": "0.1.0",
        "frontier": ["0/1", "0/1"],
        "checks": {"counts": "every key is there", "rows": "sampled rows are there"},
        "tables": {"public.users": one},
        "findings": [],
        "not_named": 0,
    }
    return result | changed


def document(**changed: Any) -> Document:
    """A migration of two tables that went well."""
    whole = {
        "schema": 1,
        "tool": "engram-bridge 0.1.0",
        "migration_id": "m-1",
        "outcome": "ok",
        "exit_code": 0,
        "reasons": [],
        "source": {
            "system_identifier": "7000000000000000001",
            "timeline": 1,
            "database": "shop",
            "server_version": "16.4",
            "snapshots": [{"lsn": "0/16B3748", "at": 90.0, "tables": ["public.users", "public.orders"]}],
        },
        "target": {"url": "http://engram:7432", "version": "0.1.0", "epoch": "2026-01-01T00:00:00Z", "capacity": 100_000},
        "began": 90.0,
        "ended": 100.0,
        "seconds": 10.0,
        "resumed": False,
        "command": "migrate-postgresql --source … --target http://engram:7432",
        "tables": [table(), table("public.orders", rows=2_000, loaded=2_000)],
        "edges": 1_800,
        "edges_held_by": "ledger",
        "orphans": {"count": 0, "listed": [], "not_listed": 0},
        "parked": [],
        "writes": {"sent": 3_000, "dropped_and_recovered": 0, "target_restarts": 0},
        "validation": validated(),
        "environment": {"python": "3.11.2", "platform": "Linux"},
        "advice": [],
    }
    return whole | changed  # type: ignore[return-value]  # tests name members of it
