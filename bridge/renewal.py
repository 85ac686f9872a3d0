"""A new slot for a ledger that has begun (law 4): asked for by `resync --new-slot`, made by the next run.

The intention is one fact of the ledger, bound to the server and database that it was asked for. The run that finds it drops the
old slot if that is still there and ours, leaves the old history behind in one transaction of the ledger (`ledger.renewal`), and
then makes publication, slot and barrier as a first start does. Killed anywhere, the next run goes on from what the ledger says.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import psycopg

from bridge.config import Config
from bridge.errors import ConfigError, SourceChanged, SourceUnavailable
from bridge.facts import Facts
from bridge.ledger import Ledger
from bridge.ledger.renewal import ASKED, BEGUN, begin_epoch
from bridge.postgres import connect, translated
from bridge.wiring import Plan, column_facts, source_identity, unfit
from cdc import slot as slots

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Renewal:
    """Which source a new slot was asked for, and whether it is another one than that of the ledger's history."""

    system_identifier: str
    database: str
    moved: bool

    @classmethod
    def of(cls, facts: Mapping[str, str]) -> Renewal | None:
        """What the ledger's facts say; None when no new slot is asked for, nor one begun and not made."""
        noted = facts.get(ASKED) or (facts.get(BEGUN) if "consistent_point" not in facts else None)
        return cls(**json.loads(noted)) if noted else None

    def require(self, found: slots.SystemIdentity) -> None:
        """The source is the one that was asked for. Raises SourceChanged."""
        if (found.system_identifier, found.database) != (self.system_identifier, self.database):
            raise SourceChanged(
                f"a new slot was asked for in the database {self.database!r} of the system {self.system_identifier}, and this is"
                f" {found.database!r} of {found.system_identifier}",
                hint=f"Correct source.url. If the data was moved to this one: {slots.MOVED}",
            )


def ask(config: Config, ledger: Ledger, *, new_source: bool) -> Renewal:
    """Note durably that a new slot is wanted, here. The ledger must be held: no run works with it.

    Raises ConfigError for a ledger that never had a slot, SourceChanged for another system or database when that was not said to
    be meant, SourceUnavailable also for a standby.
    """
    facts = ledger.facts()
    if "slot" not in facts:
        raise ConfigError("this ledger never had a slot", hint="Start `engram-bridge run`.")
    identity = source_identity(config)
    with connect(config.source.url, application_name="engram-bridge setup") as connection, translated():
        standby = connection.execute("select pg_is_in_recovery()").fetchone()
    if standby is not None and standby[0]:
        raise SourceUnavailable("PostgreSQL is a standby here", hint="Connect to the primary, or promote it first.")
    moved = (identity.system_identifier, identity.database) != (facts["system_identifier"], facts["database"])
    if moved and not new_source:
        raise SourceChanged(
            f"source.url leads to the database {identity.database!r} of the system {identity.system_identifier}, the ledger's"
            f" memories are of {facts['database']!r} of {facts['system_identifier']}",
            hint="All memories would be made like what is there. If the same data lives there now, say so: --new-source.",
        )
    wanted = Renewal(str(identity.system_identifier), identity.database, moved)
    noted = {"system_identifier": wanted.system_identifier, "database": wanted.database, "moved": wanted.moved}
    ledger.put_facts({ASKED: json.dumps(noted)})
    return wanted


def renewed(facts: Facts) -> Facts:
    """The facts as `check` shall judge them when a new slot is asked for: nothing of the old history binds the ledger any more.

    The old slot is dropped before the new one is made; a slot of its name on another server is somebody else's.
    """
    ledger, slot, server = facts.ledger, facts.slot, facts.server
    if ledger is None or ledger.renewal is None:
        return facts
    ours = ledger.slot == facts.slot_name and not ledger.renewal_moved
    if ours and slot is not None and server is not None and slot.database == server.database:
        used, most = server.slots
        slot, server = None, replace(server, slots=(used - 1, most))
    free = replace(ledger, system_identifier=None, timeline=None, database=None, slot=None, confirmed=None, plugin=None)
    return replace(facts, slot=slot, server=server, ledger=free)


def begin(config: Config, ledger: Ledger, connection: psycopg.Connection, plan: Plan) -> None:
    """Leave the old history behind, if that is asked for. Raises SourceUnavailable while somebody uses the old slot."""
    facts = ledger.facts()
    wanted = Renewal.of(facts)
    if wanted is None:
        return
    wanted.require(source_identity(config))
    if ASKED not in facts:
        return  # a run before this one began it, and was ended before the slot was there
    if not wanted.moved:
        _drop_old(connection, facts["slot"], wanted.database)
    columns = {number: column_facts(one.table) for number, one in plan.mapping.numbered.items() if unfit(one) is None}
    epoch = begin_epoch(ledger, columns)
    logger.info("a new source epoch begins: all tables are compared", extra={"source_epoch": epoch, "count": len(columns)})


def _drop_old(connection: psycopg.Connection, name: str, database: str) -> None:
    """Drop the ledger's slot where it still is. One of that name that cannot be ours is left alone."""
    found = slots.inspect_slot(connection, name)
    if found is None or found.plugin is None or found.database != database:
        return
    if found.active:
        raise SourceUnavailable(
            f"the slot {name!r} is used by {found.holder or 'somebody'}, so that it cannot be dropped", hint="Stop that reader."
        )
    slots.drop_slot(connection, name)
    logger.info("dropped the old slot", extra={"slot": name})
