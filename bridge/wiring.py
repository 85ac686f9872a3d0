"""The composition root: makes the parts of a bridge from a configuration and puts them together.

Imports everything; only the command line, the demo, the benches and `bridge.running` import it.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection, Iterator
from collections.abc import Mapping as Facts
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import psycopg

from bridge.check import key_findings, other_spaces
from bridge.choices import Choices
from bridge.compiling import compile_mapping
from bridge.config import Config
from bridge.embedding import Embedders, open_cache
from bridge.engram.client import Address, EngramTarget
from bridge.errors import BridgeError, ConfigError, LedgerError
from bridge.facts import TableFacts
from bridge.ledger import FILLING, Generations, Ledger, TableRecord
from bridge.mapping import Identity, Mapping, TablePlan
from bridge.postgres import connect, flush_position, translated
from bridge.schema import Catalog, Table
from bridge.selection import loosened, select, table_options
from bridge.spaces import TableOptions
from bridge.status import SlotFigures
from cdc import slot as slots
from snapshot import catalog as catalogs

logger = logging.getLogger(__name__)


def open_ledger(config: Config) -> Ledger:
    """The ledger of the configuration. Raises LedgerError."""
    return Ledger(config.ledger)


def open_target(config: Config) -> EngramTarget:
    """The Engram server of the configuration; nothing is sent yet."""
    key = config.target.api_key
    address = Address(config.target.http, config.target.grpc_address, key.get_secret_value() if key else None)
    return EngramTarget(address, capacity=config.target.capacity)


def open_embedders(config: Config) -> Embedders:
    """The models that the configuration names, loaded and found fit for the target.

    Raises ConfigError for one that is not, EmbedderUnavailable when an endpoint does not answer.
    """
    given = config.embedding
    made = Embedders(given.model, given.options(), open_cache(config.vector_cache, given.cache_mb))
    try:
        made.load_all(config.models)
    except BaseException:
        made.close()
        raise
    return made


@dataclass(slots=True)
class Plan:
    """What is carried, and where: made from catalogue, configuration and ledger."""

    catalog: Catalog
    mapping: Mapping
    records: dict[str, TableRecord]
    identity: Identity
    migration: int = 0
    """The number of the migration that writes by this plan (`bridge.ledger.migrations`), once it has begun."""


def identity_of(ledger: Ledger, config: Config) -> Identity:
    """Whose memories these are."""
    facts = ledger.facts()
    created = datetime.fromtimestamp(float(facts["created"]), UTC)
    return Identity(
        ledger=facts["ledger_id"],
        migration=config.migration or facts["ledger_id"][:12],
        migrated_at=created.isoformat(timespec="seconds"),
        space_prefix=config.target.space_prefix,
    )


def make_plan(
    config: Config,
    ledger: Ledger,
    connection: psycopg.Connection,
    *,
    leave_out: Collection[str] = (),
    register: bool = True,
    joining: Collection[str] = (),
    strictly: str | None = None,
) -> Plan:
    """The plan of all carried tables, registered in the ledger, and of the generations that are being filled.

    `leave_out` are labels of tables that are not begun to be carried, if the ledger does not know them yet; without `register`
    no other table is either, save those that are `joining`.

    Raises ConfigError for names that cannot be, and for spaces or shards other than those the ledger's memories are in. What
    the configuration says of columns of tables that are stopped is passed over when none are registered; with `strictly`, what
    it says of all tables but that one.
    """
    with translated():
        catalog = catalogs.load(connection)
    everything = list(catalog.tables.values())
    known = {record.label: record for record in ledger.tables()}
    if not register:
        loose = [one.label for one in known.values() if one.state == "stopped" or strictly not in (None, one.label)]
        config = loosened(config, everything, loose)
    choices = Generations(ledger).choices()
    options = table_options(config, everything, choices)
    options |= chosen_models(config, options, choices)
    tables = [
        table
        for table in select(config, everything, choices)
        if table.label in known or table.label in joining or (register and table.label not in leave_out)
    ]
    identity = identity_of(ledger, config)
    trial = {table.label: number for number, table in enumerate(tables, 1)}
    draft = compile_mapping(tables, options, identity, trial)
    for label, plan in draft.plans.items():
        if label in known and not choices.accepts(label, known[label].spaces, plan.spaces):
            found = other_spaces(label, known[label].spaces, plan.spaces)
            raise ConfigError(found.what, hint=found.remedy)
    records = {
        label: known.get(label) or ledger.register(label, plan.spaces, column_facts(plan.table), plan.table.rows)
        for label, plan in draft.plans.items()
    }
    mapping = compile_mapping(
        tables,
        options,
        identity,
        {label: record.number for label, record in records.items()},
        origins={label: record.origin for label, record in records.items()},
        homes={label: record.spaces for label, record in records.items()},
    )
    for record in ledger.generations(FILLING):
        if record.label in mapping.plans:
            filling = choices.filling.get(record.label)
            mapping = mapping.filled(record.number, record.label, record.spaces, filling.name if filling else None)
    return Plan(catalog, mapping, records, identity)


def chosen_models(config: Config, options: dict[str, TableOptions], choices: Choices) -> dict[str, TableOptions]:
    """The options of tables that were given another model by `reshard`, while the configuration names the old one or the new."""
    chosen = {}
    for label, model in choices.models.items():
        given = options.get(label, TableOptions())
        if (given.model or config.embedding.model) in model.accepted:
            chosen[label] = replace(given, model=model.name)
    return chosen


def unfit(plan: TablePlan) -> str | None:
    """Why the changes of a carried table do not name its rows any more, in the sentence of `check`; None when they do."""
    return next((found.what for found in key_findings(TableFacts(plan.table, plan.options)) if found.level == "error"), None)


def column_facts(table: Table) -> list[dict[str, Any]]:
    """A table's definition as the ledger keeps it, to be compared at the next start."""
    places = {name: place for place, name in enumerate(table.key)}
    return [
        {
            "name": column.name,
            "number": column.number,
            "type": column.type.oid,
            "declared": column.declared,
            "key": places.get(column.name),
        }
        for column in table.columns
    ]


def links_fact(plan: TablePlan) -> str:
    """The references that a table's memories carry, and the values its rows are found by, to be compared like its columns."""
    links = [[link.constraint, [name for _index, name, _encode in link.columns], link.parent, link.lookup] for link in plan.links]
    return json.dumps([links, sorted(name for name, _columns in plan.alternates)])


def links_fact_of(facts: Facts[str, str], plan: TablePlan) -> str:
    """The references that the table's memories carry as far as the ledger knows; those of the plan when it does not."""
    return facts.get(f"links:{plan.number}") or links_fact(plan)


def linked_by(fact: str) -> dict[str, list[Any]]:
    """By constraint: columns, parent and lookup of what `links_fact` has made."""
    links, _alternates = json.loads(fact)
    return {constraint: more for constraint, *more in links}


def changed_columns(record: TableRecord, plan: TablePlan) -> tuple[str | None, list[str]]:
    """What has changed since the ledger last saw the table: a sentence part for what breaks it, and columns that came or went.

    A column goes without breaking anything when the configuration leaves it out: it is still there.
    """
    table = plan.table
    now = {column.name: column.type.oid for column in table.columns}
    numbers = {column.name: column.number for column in table.columns}
    excluded = []
    for column in record.columns:
        if column["name"] in plan.left_out:
            excluded.append(column["name"])
        elif column["name"] not in now:
            return f"its column {column['name']!r} was dropped or renamed", []
        elif now[column["name"]] != column["type"]:
            return f"its column {column['name']!r} has another type", []
    if {column["name"]: column.get("key") for column in record.columns if column.get("key") is not None} != {
        name: place for place, name in enumerate(table.key)
    } and any("key" in column for column in record.columns):
        return "its primary key has other columns", []
    before = {column["name"]: column.get("number") for column in record.columns}
    renewed = [name for name, number in before.items() if name in numbers and number not in (None, numbers[name])]
    for name in renewed:
        if name in table.key:
            return f"its key column {name!r} is another one now", []
    return None, [name for name in now if name not in before] + renewed + excluded


@dataclass(slots=True)
class SourceFacts:
    """Where the stream comes from, as the ledger remembers it."""

    slot: str
    publication: str
    consistent_point: int
    epoch: int


def source_identity(config: Config) -> slots.SystemIdentity:
    """Which server and history the source URL leads to now. Raises SourceUnavailable."""
    with connect(config.source.url, application_name="engram-bridge setup", replication=True) as walsender:
        return slots.system_identity(walsender)


def verify_source(config: Config, connection: psycopg.Connection, ledger: slots.LedgerFacts) -> slots.SlotInfo:
    """Law 4, for what the ledger says of its source; answers its slot. Raises SourceChanged and SlotLost."""
    return slots.verify(ledger, slots.inspect_slot(connection, ledger.slot), source_identity(config))


@dataclass(slots=True)
class SourceSetup:
    """Publication, slot and barrier (law 2), resumable at every step."""

    config: Config
    ledger: Ledger
    connection: psycopg.Connection
    tables: list[tuple[str, str]]
    notes: list[str] = field(default_factory=list)

    def prepare(self) -> SourceFacts:
        """The slot of this ledger: verified when it has one, made when it has none. Raises SourceChanged and SlotLost."""
        facts = self.ledger.facts()
        if "consistent_point" not in facts:
            self._make(facts)
        else:
            self.verify()
            self._join(facts["publication"])
        facts = self.ledger.facts()
        if "barrier" not in facts:
            self._barrier()
        return SourceFacts(
            facts["slot"], facts["publication"], int(facts["consistent_point"]), int(facts.get("source_epoch", "1"))
        )

    def verify(self) -> slots.SlotInfo:
        """Law 4: system, timeline and slot are the ledger's, and the slot is not ahead of it."""
        facts = self.ledger.facts()
        return verify_source(
            self.config,
            self.connection,
            slots.LedgerFacts(
                system_identifier=facts["system_identifier"],
                timeline=int(facts["timeline"]),
                database=facts["database"],
                slot=facts["slot"],
                confirmed=int(facts["confirmed"]),
                plugin=facts.get("plugin", slots.PLUGIN),
            ),
        )

    def _make(self, facts: dict[str, str]) -> None:
        name, publication = self.config.source.slot, self.config.source.publication
        existing = slots.inspect_slot(self.connection, name)
        if existing is not None and facts.get("making_slot") != name:
            raise LedgerError(
                f"the slot {name!r} exists, but this ledger did not make it",
                hint=f"Use the ledger it belongs to, name another slot, or drop it: SELECT pg_drop_replication_slot('{name}');",
            )
        published = slots.has_publication(self.connection, publication)
        if not published:
            self.ledger.put_facts({"publication_made": publication})  # ours to drop again (`down`)
        with translated():
            version = self.connection.info.server_version
            slots.ensure_publication(self.connection, publication, self.tables, server_version=version)
        if not published:
            logger.info("made the publication", extra={"publication": publication})
        self.ledger.put_facts({"making_slot": name})
        if existing is not None:
            slots.drop_slot(self.connection, name)  # made by a start that was killed before it could note the position
        identity = source_identity(self.config)
        replicating = connect(self.config.source.url, application_name="engram-bridge setup", replication=True)
        with replicating as walsender, self._holders_named():
            point = slots.create_slot(walsender, name, self.config.source.plugin, failover=self.config.source.failover)
        self.ledger.put_facts(
            {
                "slot": name,
                "plugin": self.config.source.plugin,
                "publication": publication,
                "consistent_point": str(point),
                "confirmed": str(point),
                "proven": str(point),
                "written": str(point),
                "source_epoch": facts.get("source_epoch", "1"),
                "system_identifier": str(identity.system_identifier),
                "timeline": str(identity.timeline),
                "database": identity.database,
            }
        )
        logger.info("made the slot", extra={"slot": name, "publication": publication})

    def _join(self, publication: str) -> None:
        """Tables that came since join the publication, and the barrier is passed again before they are read (law 2).

        One that was carried and is not published any more does not: its changes since then are lost, and it will be stopped.
        """
        new = {record.label for record in self.ledger.tables() if record.state == "new"}
        joining = [table for table in self.tables if ".".join(table) in new]
        with translated():
            members = slots.published(self.connection, publication)
        if set(joining) - members:
            self.ledger.drop_fact("barrier")
            version = self.connection.info.server_version
            slots.ensure_publication(self.connection, publication, joining, server_version=version)

    @contextmanager
    def _holders_named(self) -> Iterator[None]:
        """While the server waits, without a word, for transactions that must end before there can be a slot: tell whose."""
        done = threading.Event()
        watcher = connect(self.config.source.url, application_name="engram-bridge setup")

        def look() -> None:
            with suppress(BridgeError, psycopg.Error):  # the connection is closed when the slot is there
                while not done.wait(0.1):
                    slots.barrier(watcher, on_wait=self._waits)

        thread = threading.Thread(target=look, name="slot-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            watcher.close()
            thread.join()

    def _barrier(self) -> None:
        """Every transaction that ran when the slot was made has ended: what it wrote is in a chunk or in the stream."""
        slots.barrier(self.connection, on_wait=self._waits)
        self.ledger.put_facts({"barrier": "passed"})

    def _waits(self, who: Any) -> None:
        logger.warning("waiting for transactions that began before the slot was made: %s", who)
        self.notes.append(str(who))


def slot_figures(config: Config, name: str) -> SlotFigures:
    """What PostgreSQL says about the slot now. Raises SourceUnavailable."""
    with connect(config.source.url, application_name="engram-bridge status") as connection:
        slot = slots.inspect_slot(connection, name)
        flush = flush_position(connection)
    if slot is None:
        return SlotFigures(exists=False, flush_lsn=flush)
    return SlotFigures(
        exists=True,
        active=slot.active,
        retained_bytes=flush - slot.restart_lsn if slot.restart_lsn else None,
        safe_wal_bytes=slot.safe_wal_size,
        wal_status=slot.wal_status,
        flush_lsn=flush,
        restart_lsn=slot.restart_lsn or 0,
        confirmed_lsn=slot.confirmed_flush_lsn or 0,
    )
