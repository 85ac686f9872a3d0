"""What a run takes up where the last one left it: floors, stopped tables, resyncs, and what has changed while nobody watched."""

from __future__ import annotations

import logging

from bridge.keeper import GONE, KEYLESS, NO_KEY, NO_KEY_REMEDY
from bridge.ledger import MIGRATED, RESYNC_ASKED, RESYNC_BEHIND, Ledger, known_too
from bridge.wiring import Plan, changed_columns, column_facts, links_fact, unfit
from bridge.workshop import Workshop

logger = logging.getLogger(__name__)


def begin_after_migration(ledger: Ledger, plan: Plan) -> None:
    """What a one-shot migration has carried is loaded again by the first run: what changed since came by no stream.

    Rows that are as the ledger says are not written again. To be called before there is a slot.
    """
    facts = ledger.facts()
    if MIGRATED not in facts or "slot" in facts:
        return
    begun = 0
    for record in ledger.tables():
        table_plan = plan.mapping.plans.get(record.label)
        if record.state != "new" and table_plan is not None and unfit(table_plan) is None:
            ledger.begin_again(record.number, column_facts(table_plan.table))
            begun += 1
    # Whatever is streamed ranks above what was migrated, also where a backup was restored since and positions come again.
    ledger.put_facts({"source_epoch": str(int(facts.get("source_epoch", "1")) + 1)})
    logger.info("tables that were migrated are compared, and followed from here on", extra={"count": begun})


def begin_resyncs(ledger: Ledger, plan: Plan) -> None:
    """Tables that are asked to be loaded again are new ones from here on, stopped ones too if they can be carried now.

    What a stopped table has missed was committed before this start, but may not be visible yet: hence the barrier, once more.
    """
    facts = ledger.facts()
    for record in ledger.tables():
        table_plan = plan.mapping.plans.get(record.label)
        if facts.get(f"resync:{record.number}") not in (RESYNC_ASKED, RESYNC_BEHIND) or table_plan is None:
            continue
        reason = NO_KEY if table_plan.keyless else unfit(table_plan)
        if reason is not None:
            ledger.drop_fact(f"resync:{record.number}")
            hint = {"hint": NO_KEY_REMEDY.format(label=record.label)} if table_plan.keyless else {}
            logger.error("a table cannot be loaded again: %s: %s", record.label, reason, extra={"table": record.label} | hint)
            continue
        ledger.drop_fact("barrier")
        ledger.drop_fact(f"shape:{record.number}")  # whatever it was: what is there now is read
        ledger.begin_again(record.number, column_facts(table_plan.table))
        logger.info("a table is loaded again", extra={"table": record.label})


def restore(ledger: Ledger, shop: Workshop, plan: Plan) -> set[int]:
    """Floors, stopped tables and unfinished resyncs from the ledger; tables that have changed while nobody watched."""
    facts = ledger.facts()
    resyncs = {int(name.split(":")[1]) for name in facts if name.startswith("resync:")}
    for record in ledger.generations():
        if record.floor:
            shop.take_up_floor(record.number, record.floor, facts)
        if record.state == "stopped":
            shop.stopped[record.number] = record.reason or ""
        table_plan = plan.mapping.numbered.get(record.number)
        if record.state == "stopped":
            continue
        if table_plan is None:
            reason = f"{GONE}, or the configuration leaves it out (engram-bridge remove forgets its memories)"
            ledger.set_table(record.number, state="stopped", reason=reason)
            logger.error("a table is stopped: %s: %s", record.label, reason, extra={"table": record.label})
            continue
        if record.state == "new":
            continue
        broken, changed = changed_columns(record, table_plan)
        broken = broken or unfit(table_plan) or (KEYLESS if changed and table_plan.keyless else None)
        if broken is not None:
            ledger.set_table(record.number, state="stopped", reason=broken)
            shop.stopped[record.number] = broken
            logger.error("a table is stopped: %s: %s", record.label, broken, extra={"table": record.label})
        elif changed:
            logger.info("carried columns are other ones", extra={"table": record.label, "columns": sorted(changed)})
            name = f"resync:{record.number}"
            ledger.put_facts({name: known_too(facts.get(name))})  # first: a kill between must not forget it
            ledger.set_table(record.number, columns=column_facts(table_plan.table))
            resyncs.add(record.number)
    return resyncs | _relinked(ledger, plan)


def _relinked(ledger: Ledger, plan: Plan) -> set[int]:
    """Tables whose foreign keys, or the values they are found by, are others than those of the last run."""
    facts = ledger.facts()
    states = {record.number: record.state for record in ledger.generations()}
    changed = set()
    for table_plan in plan.mapping.numbered.values():
        known, now = facts.get(f"links:{table_plan.number}"), links_fact(table_plan)
        if known == now:
            continue
        news = {f"links:{table_plan.number}": now}
        if known is not None and states[table_plan.number] in ("loading", "loaded") and not table_plan.keyless:
            logger.info("foreign keys are other ones", extra={"table": table_plan.table.label})
            news[f"resync:{table_plan.number}"] = known_too(facts.get(f"resync:{table_plan.number}"))
            changed.add(table_plan.number)
        ledger.put_facts(news)
    return changed
