"""What a result means for whoever has to decide: nothing, look into it, or take it back. Pure.

Passing is exact. Up to one row in a hundred damaged asks for a look; more of them, in any one table, advises a rollback.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

OK, INVESTIGATE, ROLLBACK = "ok", "investigate", "rollback"

EXIT_CODES = {OK: 0, INVESTIGATE: 3, ROLLBACK: 4}
"""What a command ends with. 1 is kept for a validation that could not be done, 2 for how it was asked for."""

MOST_DAMAGED = 0.01
"""The largest share of a table's rows that may be damaged before a rollback is advised."""


def verdict(result: Mapping[str, Any]) -> dict[str, Any]:
    """`outcome`, `exit_code`, and `reasons` in sentences."""
    tables: Mapping[str, Mapping[str, Any]] = result["tables"]
    reasons = [reason for label, table in tables.items() for reason in _reasons(label, table)]
    worst = max((float(table["damaged"]) for table in tables.values()), default=0.0)
    outcome = ROLLBACK if worst > MOST_DAMAGED else INVESTIGATE if reasons or not result["clean"] else OK
    return {"outcome": outcome, "exit_code": EXIT_CODES[outcome], "reasons": reasons}


def _reasons(label: str, table: Mapping[str, Any]) -> Iterator[str]:
    if table["findings"]:
        checks = ", ".join(f"{name} {count}" for name, count in table["checks"].items() if count)
        share = f"{100 * table['damaged']:.3g} % of the rows looked at are damaged"
        yield f"{label}: {table['findings']} finding(s) ({checks}); {share}"
    if table["unsettled"]:
        yield f"{label}: {table['unsettled']} difference(s) neither passed by nor stood still: validate again"
    if table["changed_since"]:
        yield f"{label}: {table['changed_since']} row(s) changed in PostgreSQL since they were carried, and nobody carries them"
    if "skipped" in table:
        yield f"{label}: not compared ({table['skipped']})"
    for name, why in table.get("undone", {}).items():
        yield f"{label}: the check {name} could not be done: {why}"
