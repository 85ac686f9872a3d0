"""Check `counts`: every key of PostgreSQL is live in the ledger, and no other; so their numbers are equal, exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.lsn import Lsn
from bridge.mapping import TablePlan
from bridge.validation.findings import COUNTS, SINCE, Finding, Tally
from bridge.validation.settling import Look, settle
from bridge.validation.sides import Sides, pages


def compare_keys(sides: Sides, plan: TablePlan, parked: set[str], tally: Tally) -> set[str]:
    """Compare, and answer PostgreSQL's keys. Raises SourceUnavailable and LedgerUnavailable."""
    here, without, _lsn = sides.keys(plan)
    there = {key for page in sides.ledger.live_keys(plan.number) for key in page}
    tally.rows, tally.live, tally.parked = len(here) + without, len(there), len(parked)
    if without:
        tally.findings.append(Finding(COUNTS, "without a key", plan.table.label, "", detail=f"{without} row(s)"))

    def look(keys: Sequence[str]) -> tuple[Mapping[str, Look[str]], Lsn]:
        fence = 0
        looks: dict[str, Look[str]] = {}
        for page in pages(keys):
            rows, lsn = sides.rows(plan, page)
            entries = sides.ledger.entries(plan.number, page)
            fence = max(fence, lsn)
            for key in page:
                entry = entries.get(key)
                live = entry is not None and entry.live
                wrong = () if (key in rows) == live else ("not in the ledger" if key in rows else "only in the ledger",)
                looks[key] = Look((key in rows, entry.version if entry is not None else None, live), wrong)
        return looks, fence

    settled = settle(sorted((here ^ there) - parked), look, sides.passed)
    tally.lag += settled.lag
    tally.unsettled += len(settled.unsettled)
    check = SINCE if sides.gone_on(plan) else COUNTS
    tally.note(Finding(check, kind, plan.table.label, plan.prefix + key) for key, (kind,) in settled.true.items())
    return here
