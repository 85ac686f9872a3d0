"""What a table's memories were made by: the options that change a memory's text, time or stamp, but not its row.

A change of them is applied to every write from then on. The rows that were written before keep the old form, and nothing in the
ledger's digests shows it: so it is said, at each start and in `status`, until a resync has written all of them anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping

from bridge.ledger import RESYNC_LOADING, Ledger
from bridge.mapping import TablePlan

logger = logging.getLogger(__name__)

MIXED = "mixed"
OFFER = "mapping changed: rows written before have the old one; engram-bridge resync {} writes them anew"
OFFER_KEYLESS = "mapping changed: rows written before have the old one, until the table is removed and added again"


def making_fact(number: int) -> str:
    """The name of the fact: the options that all memories of a generation were made by, or MIXED."""
    return f"making:{number}"


def _remaking(number: int) -> str:
    """The name of the fact: the options that a resync writes the rows by."""
    return f"remaking:{number}"


def making(plan: TablePlan) -> str:
    """The options, to be compared."""
    options = plan.options
    return json.dumps([options.text, options.timestamp, options.confidence])


def made_so(facts: Mapping[str, str], plan: TablePlan) -> bool:
    """Whether all memories of a generation were made by the options in force, as far as the ledger knows."""
    return facts.get(making_fact(plan.number), making(plan)) == making(plan)


def note_makings(ledger: Ledger, plans: Iterable[TablePlan]) -> set[int]:
    """Compare with what the memories were made by; answers the generations that have rows of both, having offered a resync.

    To be called at a start, before a resync is begun: one that was begun by other options does not count.
    """
    facts = ledger.facts()
    begun = {record.number for record in ledger.generations() if record.state != "new"}
    news, mixed = {}, set()
    for plan in plans:
        number, now = plan.number, making(plan)
        known = facts.get(making_fact(number), now)
        if known != now and number in begun:
            mixed.add(number)
            known = MIXED
            label = plan.table.label
            logger.warning("%s: %s", label, (OFFER_KEYLESS if plan.keyless else OFFER).format(label), extra={"table": label})
            if not facts.get(f"resync:{number}", "").startswith(RESYNC_LOADING):
                news[_remaking(number)] = now
        news[making_fact(number)] = known if number in mixed else now
    changed = {name: value for name, value in news.items() if facts.get(name) != value}
    if changed:
        ledger.put_facts(changed)
    return mixed


def made_anew(ledger: Ledger, plan: TablePlan) -> bool:
    """A resync is through: whether all memories are of one making now."""
    if ledger.facts().get(_remaking(plan.number)) != making(plan):
        return False
    ledger.put_facts({making_fact(plan.number): making(plan)})
    return True
