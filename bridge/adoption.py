"""Spaces that hold what this ledger has not written: refused, taken over (`--adopt`) or emptied (`--wipe`).

Engram keeps no vector that could be read back, so to take a memory over is to write its row again under this ledger's stamp: the
snapshot does that anyway, row by row, and until then the old memory goes on answering. What is special is what PostgreSQL has not
any more. It is forgotten before the load, so that it takes no room from rows; and once all tables are loaded every space is
compared, because a key can go in between (TRUNCATE) without the ledger ever having known it.

The other ledger's id is kept for good: a restart of Engram can bring back what was forgotten, under its old stamp.
"""

from __future__ import annotations

import enum
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.errors import Fatal
from bridge.ledger import Ledger
from bridge.mapping import Mapping
from bridge.memories import Stored
from bridge.ports import Target
from bridge.watch import TargetWatch
from bridge.workshop import Workshop

logger = logging.getLogger(__name__)

ADOPTED, ADOPTING = "adopted", "adopting"
"""Facts of the ledger: ids of ledgers whose memories count as ours; spaces whose old memories are not all dealt with yet."""

PAGE = 500
NAMED = 5
ROUNDS = 4
OTHER_SPACES = "name other spaces (target.space_prefix or tables.<table>.space)"


class Occupied(enum.Enum):
    """What to do about spaces that hold memories which this ledger has not written."""

    REFUSE = "refuse"
    ADOPT = "adopt"
    WIPE = "wipe"


@dataclass(slots=True)
class Occupants:
    """What a space holds. `counted`: rows that count against its capacity.

    `ledgers` are the others that have written here of tables that are carried, `keys` by table what they have written;
    `strangers` are ids of memories that no bridge wrote, or one that carries other tables.
    """

    space: str
    counted: int
    ledgers: set[str] = field(default_factory=set)
    keys: dict[int, list[str]] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)

    @property
    def foreign(self) -> bool:
        """Something in it is not ours."""
        return bool(self.keys or self.strangers)


def survey(target: Target, mapping: Mapping, ledger_id: str, space: str) -> Occupants:
    """Open a space and tell whose memories it holds. List pages are hints: a stranger is one only if a GET finds it."""
    found = Occupants(space, target.open(space).counted)
    suspects = []
    plans = {plan.table.label: plan for plan in mapping.numbered.values() if space in plan.spaces}
    if found.counted:
        for stored in target.scan(space):
            stamp = stored.stamp()
            if stamp is not None and stamp.ledger == ledger_id:
                continue
            plan = plans.get(stamp.table) if stamp is not None else None
            if stamp is not None and plan is not None and plan.prefix + stamp.key == stored.memory_id:
                found.ledgers.add(stamp.ledger)
                found.keys.setdefault(plan.number, []).append(stamp.key)
            else:
                suspects.append(stored.memory_id)
    for start in range(0, len(suspects), PAGE):
        page = suspects[start : start + PAGE]
        read = target.read(space, page)
        found.strangers += [name for name, stored in zip(page, read, strict=True) if stored is not None]
    return found


def settle(occupants: Sequence[Occupants], wanted: Occupied, ledger: Ledger, target: Target) -> None:
    """Deal with spaces that this ledger does not know yet, before it does. Raises Fatal for what is refused."""
    foreign = sorted((one for one in occupants if one.foreign), key=lambda one: not one.strangers)
    facts = ledger.facts()
    begun = set(json.loads(facts.get(ADOPTING, "[]")))  # a run was told to, and was killed before it had noted that it knows them
    known = set(json.loads(facts.get(ADOPTED, "[]")))
    if wanted is Occupied.REFUSE:
        _refuse([one for one in foreign if one.strangers or one.space not in begun or not one.ledgers <= known])
    elif wanted is Occupied.ADOPT:
        _refuse_strangers(foreign)
    if not foreign:
        return
    news = {ADOPTED: json.dumps(sorted(known.union(*(one.ledgers for one in foreign))))}
    if wanted is Occupied.ADOPT:
        spaces = begun | {one.space for one in foreign}
        news[ADOPTING] = json.dumps(sorted(spaces))
    ledger.put_facts(news)
    for one in foreign if wanted is Occupied.WIPE else ():
        logger.info("a space was emptied", extra={"space": one.space, "count": wipe(target, one.space)})


def _refuse(foreign: Sequence[Occupants]) -> None:
    for one in foreign:
        whose = f"something else ({_named(one.strangers)})" if one.strangers else "another ledger"
        adopt = "" if one.strangers else "take them over (engram-bridge run --adopt), "
        remedy = f"{adopt}have everything in them forgotten (engram-bridge run --wipe), or {OTHER_SPACES}."
        raise Fatal(f"the space {one.space!r} holds memories of {whose}", hint=remedy[0].upper() + remedy[1:])


def _refuse_strangers(foreign: Sequence[Occupants]) -> None:
    for one in foreign:
        if one.strangers:
            raise Fatal(
                f"the space {one.space!r} holds memories that cannot be taken over, since no bridge wrote them of a table that "
                f"is carried: {_named(one.strangers)}",
                hint=f"Remove them, have everything in the space forgotten (engram-bridge run --wipe), or {OTHER_SPACES}.",
            )


def _named(ids: Sequence[str]) -> str:
    """Ids of memories; they can hold keys of rows, which are names and not contents."""
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


def wipe(target: Target, space: str, ledger_id: str | None = None) -> int:
    """Forget everything in an opened space, and prove it gone; answers how many memories there were. Raises Fatal, Transient.

    With a ledger's id, only what bears its stamp.
    """
    total = 0
    for _round in range(ROUNDS):
        listed = list(dict.fromkeys(one.memory_id for one in target.scan(space) if ledger_id in (None, _ledger_of(one))))
        alive = _alive(target, space, listed)
        if not alive:
            return total
        total += len(alive)
        for start in range(0, len(alive), PAGE):
            target.forget(space, alive[start : start + PAGE])
    left = _alive(target, space, alive)
    if left:
        raise Fatal(f"Engram still answers {len(left)} memories of the space {space!r} after it was told to forget them")
    return total


def _ledger_of(stored: Stored) -> str | None:
    stamp = stored.stamp()
    return stamp.ledger if stamp is not None else None


def _alive(target: Target, space: str, ids: Sequence[str]) -> list[str]:
    found: list[str] = []
    for start in range(0, len(ids), PAGE):
        page = ids[start : start + PAGE]
        found += [name for name, stored in zip(page, target.read(space, page), strict=True) if stored is not None]
    return found


@dataclass(slots=True)
class Adoption:
    """The old memories of the spaces that are being taken over, from the start until none is left."""

    shop: Workshop
    watch: TargetWatch
    spaces: list[str]
    _asked: bool = False

    @classmethod
    def of(cls, shop: Workshop, watch: TargetWatch) -> Adoption:
        """The one that the ledger remembers, begun or interrupted; one that has ended if there is none."""
        return cls(shop, watch, json.loads(shop.ledger.facts().get(ADOPTING, "[]")))

    @property
    def ended(self) -> bool:
        """Nothing is left of it."""
        return not self.spaces

    def begin(self) -> None:
        """Forget what PostgreSQL does not have any more. After slot and barrier: whatever comes back later is in the stream."""
        for space in self.spaces:
            for number, keys in survey(self.shop.target, self.shop.mapping, self.shop.ledger_id, space).keys.items():
                gone = sum(self._forget_gone(space, number, keys[start : start + PAGE]) for start in range(0, len(keys), PAGE))
                facts = {"space": space, "table": self.shop.mapping.numbered[number].table.label}
                logger.info("memories of another ledger are taken over", extra=facts | {"count": len(keys), "forgotten": gone})

    def _forget_gone(self, space: str, number: int, keys: Sequence[str]) -> int:
        plan = self.shop.mapping.numbered[number]
        if plan.keyless:
            return 0  # a row without a key cannot be asked for: left to the comparison
        try:
            reading = self.shop.reader.read(plan.table, [plan.key_values(key) for key in keys])
        except Fatal:
            return 0  # keys of another type than ours: left to the comparison, which needs no reading
        gone = [plan.prefix + key for key in keys if plan.key_values(key) not in reading.rows]
        if gone:
            self.shop.target.forget(space, gone)
        return len(gone)

    def step(self) -> None:
        """Once all tables are loaded, have the spaces compared: what is left of other ledgers is nobody's. Raises LedgerError."""
        if self.ended or not self.watch.repaired:
            return
        if self._asked:
            self.shop.ledger.drop_fact(ADOPTING)
            logger.info("taken over: nothing of another ledger is left", extra={"spaces": len(self.spaces)})
            self.spaces = []
        elif all(record.state in ("loaded", "stopped") for record in self.shop.ledger.generations()):
            self._asked = True
            self.watch.compare(self.spaces)
