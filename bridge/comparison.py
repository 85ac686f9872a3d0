"""A whole space against the ledger: after a restart of the target, or after a run that did not end in order.

List pages are hints. They are read while the space's lane does nothing else, so they do not shift; each difference becomes a
suspicion, which the lane settles by a GET and, if it is true, by a refresh. What the ledger does not know but bears our stamp was
written by a run that died before it could record it, or came back from the dead: it is looked at and forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Container

from bridge.forgetting import existing, forget_all
from bridge.gate import Entry
from bridge.mapping import TablePlan
from bridge.memories import Stored
from bridge.works import Work
from bridge.workshop import Workshop

logger = logging.getLogger(__name__)


def compare_space(shop: Workshop, space: str) -> tuple[list[Work], list[TablePlan]]:
    """A suspicion for every key of the space that the list pages show unlike the ledger, and keyless tables to be read whole.

    A row without a key cannot be read again by what the ledger knows of it, so what should be there and is not is left to a
    reading of its whole table. What should not be there needs no reading: it is a suspicion like any other.
    Raises TargetUnavailable.
    """
    expected = _expected(shop, space)
    unseen = {memory_id for memory_id, (_plan, _key, entry) in expected.items() if entry.live}
    suspects: dict[str, Work] = {}
    foreign = 0
    strays: list[str] = []
    here = {record.label: record.number for record in shop.ledger.generations() if space in record.spaces}
    resting = {label: number for label, number in here.items() if _rests(shop, number)}
    asleep: dict[str, dict[str, str]] = {}
    for stored in shop.target.scan(space):
        unseen.discard(stored.memory_id)
        known = expected.get(stored.memory_id)
        if known is not None:
            if not shop.holds(*known, stored):
                suspects[stored.memory_id] = _suspicion(known[0], known[1])
            continue
        stamp = stored.stamp()
        if stamp is not None and stamp.ledger == shop.ledger_id and stamp.table in resting:
            asleep.setdefault(stamp.table, {})[stamp.key] = stored.memory_id
            continue
        work = _unknown(shop, space, stored)
        if work is None and _vacated(shop, stored, here):
            strays.append(stored.memory_id)
        elif work is None:
            foreign += 1
        else:
            suspects[stored.memory_id] = work
    if foreign:
        logger.warning("a space holds memories that the bridge did not write", extra={"space": space, "count": foreign})
    for label, keys in asleep.items():
        strays += _buried(shop, resting[label], keys)
    _forget_strays(shop, space, strays)
    for memory_id in unseen:
        plan, key, _entry = expected[memory_id]
        suspects[memory_id] = _suspicion(plan, key)
    alive = {memory_id for memory_id, (plan, _key, entry) in expected.items() if plan.keyless and entry.live}
    reload = {work.plan.number: work.plan for memory_id, work in suspects.items() if memory_id in alive}
    return [work for memory_id, work in suspects.items() if memory_id not in alive], list(reload.values())


def _expected(shop: Workshop, space: str) -> dict[str, tuple[TablePlan, str, Entry]]:
    """Everything that the ledger says of the space, by memory id."""
    return {
        plan.prefix + key: (plan, key, entry)
        for plan in shop.mapping.numbered.values()
        if space in plan.spaces and plan.number not in shop.stopped
        for key, entry in shop.ledger.scan(plan.number, plan.spaces.index(space))
    }


def _rests(shop: Workshop, number: int) -> bool:
    """Nothing of this generation is taken in now: it is stopped, or not carried any more while its memories are kept."""
    return number in shop.stopped or number not in shop.mapping.numbered


def _buried(shop: Workshop, number: int, keys: dict[str, str]) -> list[str]:
    """The ids of those that the ledger has a tombstone of, and that a restart has brought back: of a migration that was rolled
    back, or of rows that were deleted before their table was stopped. All others of such a table stay where they are."""
    known = shop.ledger.entries(number, list(keys))
    return [memory_id for key, memory_id in keys.items() if key in known and not known[key].live]


def _vacated(shop: Workshop, stored: Stored, here: Container[str]) -> bool:
    """A memory of ours whose table is not `here`: it was removed or lives in other spaces now, and this has come back.

    A table that is stopped has its memories where they are.
    """
    stamp = stored.stamp()
    return stamp is not None and stamp.ledger == shop.ledger_id and stamp.table not in here


def _forget_strays(shop: Workshop, space: str, memory_ids: list[str]) -> None:
    """They belong nowhere: they are forgotten here and now, in the lane of their space."""
    alive = existing(shop, space, memory_ids)
    if not alive:
        return
    left = forget_all(shop, space, alive)
    logger.info("forgot memories that had come back", extra={"space": space, "count": len(alive) - len(left)})
    if left:
        logger.warning("Engram still answers memories that it was told to forget", extra={"space": space, "count": len(left)})


def _suspicion(plan: TablePlan, key: str) -> Work:
    return Work(plan=plan, key=key, suspect=True, background=True)


def _unknown(shop: Workshop, space: str, stored: Stored) -> Work | None:
    """A suspicion for a memory that the ledger does not know, if it is one of ours."""
    stamp = stored.stamp()
    if stamp is None or (stamp.ledger != shop.ledger_id and stamp.ledger not in shop.adopted):
        return None
    plan = next((one for one in shop.mapping.generations(stamp.table) if space in one.spaces), None)
    if plan is None or plan.prefix + stamp.key != stored.memory_id:
        return None
    return _suspicion(plan, stamp.key)
