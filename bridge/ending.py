"""`down`: everything that a ledger has made is taken away again, what keeps WAL first; killed in the middle, it is begun again.

Each step looks at what is still there, and the ledger, which knows what there is to be done, goes last.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import psycopg

from bridge.adoption import ROUNDS, wipe
from bridge.check import quoted
from bridge.config import Config
from bridge.errors import ConfigError, Fatal, SourceChanged, SourceUnavailable
from bridge.ledger import FILLING, RETIRED, SERVING, Generations, Ledger, TableRecord
from bridge.ledger.removal import remove
from bridge.ledger.renewal import BEGUN
from bridge.ports import Target
from bridge.postgres import connect
from bridge.wiring import open_target, source_identity
from cdc import slot as slots

logger = logging.getLogger(__name__)

PAGE = 500


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken away at the source. `left`: a publication that we did not make, or do not know to have made."""

    dropped: tuple[str, ...]
    publication: str | None
    left: str | None


def take_down_source(config: Config, ledger: Ledger) -> Taken:
    """Drop the ledger's slots, and the publication if it made that. Raises SourceChanged, SourceUnavailable, ConfigError."""
    facts = ledger.facts()
    names = slot_names(facts)
    if not names:
        return Taken((), None, None)
    identity = source_identity(config)
    noted = (facts.get("system_identifier", identity.system_identifier), facts.get("database", identity.database))
    if (identity.system_identifier, identity.database) != noted:  # a first start that was killed has not noted them yet
        raise SourceChanged(
            "this is another server or database than the one in which the ledger's slot was made",
            hint="Point source.url at the ledger's server: its slot keeps WAL until it is dropped.",
        )
    publication = facts.get("publication", config.source.publication)
    with connect(config.source.url, application_name="engram-bridge down") as connection:
        found = [one for name in names if (one := slots.inspect_slot(connection, name)) is not None]
        plugins = (facts.get("plugin", slots.PLUGIN), config.source.plugin)
        ours = [one for one in found if one.plugin in plugins and one.database == identity.database]
        for one in ours:
            if one.active:
                raise SourceUnavailable(
                    f"the slot {one.name!r} is used by {one.holder or 'somebody'}", hint="Stop that reader first."
                )
        for one in ours:
            slots.drop_slot(connection, one.name)
        there = slots.has_publication(connection, publication)
        made = facts.get("publication_made") == publication
        if there and made:
            _drop_publication(connection, publication)
        if made:
            ledger.drop_fact("publication_made")  # one of that name that comes later is somebody else's
    left = publication if there and not made else None
    return Taken(tuple(one.name for one in ours), publication if there and made else None, left)


def slot_names(facts: Mapping[str, str]) -> list[str]:
    """The ledger's slot, and another that a killed run was making in its place, on the same server."""
    elsewhere = "slot" in facts and "consistent_point" not in facts and json.loads(facts.get(BEGUN, "{}")).get("moved", False)
    making = None if elsewhere else facts.get("making_slot")
    return [name for name in dict.fromkeys((facts.get("slot"), making)) if name]


def _drop_publication(connection: psycopg.Connection, name: str) -> None:
    try:
        slots.drop_publication(connection, name)
    except Fatal as error:
        statement = f"DROP PUBLICATION {quoted(name)};"
        raise ConfigError(f"the publication {name!r} cannot be dropped: {error}", hint=f"As its owner: {statement}") from error


def forget_everything(config: Config, ledger: Ledger) -> Iterator[tuple[str, int]]:
    """Forget every memory that this ledger has written, and prove it gone, space by space: its name, and how many there were.

    What is proven gone leaves the ledger at once, so that another start goes on behind it. Raises TargetUnavailable, Fatal.
    """
    target = open_target(config)
    generations = Generations(ledger)
    ledger_id = ledger.facts()["ledger_id"]
    try:
        counts: dict[str, int] = {}
        for record in ledger.generations(SERVING, FILLING, RETIRED):
            for shard, space in enumerate(record.spaces):
                target.open(space)
                counts.setdefault(space, 0)
                for page in _pages(ledger, record, shard):
                    counts[space] += _forget(target, space, record, page)
                    generations.erase(record.number, page)
        for space in ledger.spaces():  # emptied ones too: what was forgotten in them can have come back
            target.open(space)
            counts.setdefault(space, 0)
        for space, count in counts.items():
            yield space, count + wipe(target, space, ledger_id)
    finally:
        target.close()


def _pages(ledger: Ledger, record: TableRecord, shard: int) -> Iterator[list[str]]:
    """The keys that are known of a shard, tombstones too: a restart of the target can have brought them back."""
    while page := [key for key, _entry in islice(ledger.scan(record.number, shard), PAGE)]:
        yield page


def _forget(target: Target, space: str, record: TableRecord, keys: Sequence[str]) -> int:
    """Forget these keys' memories and prove them gone; answers how many there were."""
    ids = [prefix + key for prefix in prefixes(record.label) for key in keys]
    alive = _alive(target, space, ids)
    count = len(alive)
    for _round in range(ROUNDS):
        if not alive:
            return count
        target.forget(space, alive)
        alive = _alive(target, space, alive)
    raise Fatal(f"Engram still answers {len(alive)} memories of the space {space!r} after it was told to forget them")


def _alive(target: Target, space: str, ids: Sequence[str]) -> list[str]:
    return [name for name, stored in zip(ids, target.read(space, ids), strict=True) if stored is not None]


def prefixes(label: str) -> list[str]:
    """What the ids of a table's memories can begin with. A dot inside a name leaves it open where the schema ends."""
    parts = label.split(".")
    names = [(".".join(parts[:at]), ".".join(parts[at:])) for at in range(1, len(parts))]
    return [f"{name}_" if schema == "public" else f"{schema}_{name}_" for schema, name in names]


def remove_ledger(ledger: Ledger) -> None:
    """The last step."""
    remove(ledger)
