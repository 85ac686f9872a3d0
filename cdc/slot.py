"""The replication slot: made, inspected, verified against the ledger (law 4), dropped; and what the stream is asked for.

Publication and barrier, the two other steps before the first chunk, have modules of their own and are offered from here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from bridge.errors import RENEW, BridgeError, ConfigError, Fatal, SlotLost, SourceChanged
from bridge.lsn import Lsn, format_lsn, parse_lsn
from bridge.postgres import translated
from cdc.barrier import Waiting, barrier
from cdc.publication import drop_publication, ensure_publication, has_publication, published

__all__ = [
    "Holder",
    "LedgerFacts",
    "SlotInfo",
    "SystemIdentity",
    "Waiting",
    "barrier",
    "create_slot",
    "drop_publication",
    "drop_slot",
    "ensure_publication",
    "has_publication",
    "inspect_slot",
    "logical_slots",
    "published",
    "server_options",
    "start_statement",
    "system_identity",
    "verify",
]

PLUGIN: Final = "pgoutput"
WAL2JSON: Final = "wal2json"
NO_PLUGIN: Final = (
    "Install wal2json on the PostgreSQL server (Debian and Ubuntu: apt install postgresql-<version>-wal2json; RPM: "
    "wal2json_<version>), which needs no restart; or take source.plugin: pgoutput, which every server has."
)
MOVED: Final = RENEW.replace("--new-slot", "--new-slot --new-source")
NEW_SLOT: Final = f"What the slot held back cannot be streamed any more. {RENEW}"


@dataclass(frozen=True, slots=True)
class Holder:
    """The session that uses a slot. `address` is None for a Unix socket, or when we may not see it."""

    pid: int
    application_name: str
    address: str | None
    user: str | None

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.application_name or 'no application_name'} at {self.address or 'this host'})"


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """A row of `pg_replication_slots`. Bytes and positions; None where the server has no value, or its version no column.

    `safe_wal_size` (13) is how many bytes may be written before the slot is lost, `invalidation_reason` (17) why it was;
    on 16 that is `conflicting`. From 17 on: `failover`, `synced` (copied here from a primary), `idle_seconds` without a reader.
    """

    name: str
    plugin: str | None
    database: str | None
    active: bool
    active_pid: int | None
    restart_lsn: Lsn | None
    confirmed_flush_lsn: Lsn | None
    wal_status: str | None
    safe_wal_size: int | None
    invalidation_reason: str | None
    holder: Holder | None
    failover: bool = False
    synced: bool = False
    idle_seconds: float | None = None

    @property
    def lost(self) -> str | None:
        """Why it cannot be streamed from any more; None when it can."""
        if self.invalidation_reason is not None:
            return self.invalidation_reason
        if self.wal_status == "lost" or self.restart_lsn is None:
            return "wal_removed"
        return None


@dataclass(frozen=True, slots=True)
class SystemIdentity:
    """What tells one history of a server from another. `flushed`: where its WAL is flushed to."""

    system_identifier: str
    timeline: int
    database: str
    flushed: Lsn


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """What the ledger remembers of its source. `confirmed` is the last end position that the slot was, or may have been, told."""

    system_identifier: str
    timeline: int
    database: str
    slot: str
    confirmed: Lsn
    plugin: str = PLUGIN


WAL2JSON_OPTIONS: Final = {
    "format-version": "2",
    "include-transaction": "true",
    "include-lsn": "true",
    "include-xids": "true",
    "include-timestamp": "true",
    "include-type-oids": "true",
    "include-types": "false",
    "actions": "insert,update,delete,truncate",
}
"""No `add-tables` and no `filter-tables`: a list of names would leave out partitions that are made later and tables that are
renamed, and ordinals would not repeat when the list changes between two deliveries (law 2)."""


def server_options(server_version: int, publication: str, plugin: str = PLUGIN) -> dict[str, str]:
    """The options of START_REPLICATION for a server of this `server_version_num`.

    pgoutput: protocol 1, never streaming (law 2). `messages` came with 14; below, a heartbeat needs a table. The list of
    publications is itself a list of SQL identifiers, hence the double quotes.
    """
    if plugin == WAL2JSON:
        return dict(WAL2JSON_OPTIONS)
    quoted = publication.replace('"', '""')
    options = {"proto_version": "1", "publication_names": f'"{quoted}"'}
    if server_version >= 140000:
        options["messages"] = "true"
    return options


def start_statement(slot: str, start: Lsn, options: dict[str, str]) -> sql.Composed:
    """START_REPLICATION. The replication grammar knows no E'' strings: its literals are quoted here, not by the composer."""
    listed = ", ".join(f'"{name}" ' + "'" + value.replace("'", "''") + "'" for name, value in options.items())
    return sql.SQL("START_REPLICATION SLOT {} LOGICAL {} ({})").format(
        sql.Identifier(slot), sql.SQL(format_lsn(start)), sql.SQL(listed)
    )


def create_slot(walsender: psycopg.Connection, name: str, plugin: str = PLUGIN, *, failover: bool = False) -> Lsn:
    """Make the slot on a replication connection; answers its consistent point, from which on it streams.

    Waits, inside the server, for transactions that are running and have written. Raises ConfigError when the server does not
    allow it (wal_level, the role, the number of slots) or lacks the plugin, Fatal when the name is taken.
    """
    option = slot_options(walsender.info.server_version, failover=failover)
    statement = sql.SQL("CREATE_REPLICATION_SLOT {} LOGICAL {} {}").format(
        sql.Identifier(name), sql.Identifier(plugin), sql.SQL(option)
    )
    with translated():
        try:
            row = walsender.execute(statement).fetchone()
        except psycopg.Error as error:
            refusal = _refusal(error, name)
            if refusal is None:
                raise
            raise refusal from error
    if row is None:
        raise Fatal(f"PostgreSQL did not say where the slot {name!r} begins")
    return parse_lsn(str(row[1]))


def slot_options(server_version: int, *, failover: bool) -> LiteralString:
    """How a slot is made on a server of this `server_version_num`: without a snapshot, which would hold back vacuum.

    `failover`, from 17 on: standbys may keep a copy of it. Raises ConfigError below.
    """
    if failover and server_version < 170000:
        raise ConfigError(f"PostgreSQL {server_version // 10000} has no slots with FAILOVER", hint="Set source.failover: false.")
    if server_version < 150000:
        return "NOEXPORT_SNAPSHOT"
    return "(SNAPSHOT 'nothing', FAILOVER true)" if failover else "(SNAPSHOT 'nothing')"


def _refusal(error: psycopg.Error, name: str) -> BridgeError | None:
    message = f"the replication slot {name!r} cannot be made: {error.diag.message_primary}"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return ConfigError(message, hint="ALTER ROLE <the bridge's role> REPLICATION;")
    if isinstance(error, psycopg.errors.ConfigurationLimitExceeded):
        return ConfigError(message, hint="Drop slots that nobody uses, or raise max_replication_slots and restart PostgreSQL.")
    if isinstance(error, psycopg.errors.ObjectNotInPrerequisiteState):
        return ConfigError(message, hint="ALTER SYSTEM SET wal_level = logical; and restart PostgreSQL.")
    if isinstance(error, psycopg.errors.DuplicateObject):
        return Fatal(message, hint="Name another slot in source.slot, or drop that one if nobody needs it.")
    if isinstance(error, psycopg.errors.InvalidName):
        return ConfigError(message, hint="A slot's name has lower-case letters, digits and underscores only, 63 at most.")
    if isinstance(error, psycopg.errors.UndefinedFile):
        return ConfigError(message, hint=NO_PLUGIN)
    return None


def inspect_slot(connection: psycopg.Connection, name: str) -> SlotInfo | None:
    """What the server says about the slot now, and who uses it; None when there is none. Raises SourceUnavailable."""
    with translated():
        row = connection.execute(sql.SQL(_SLOTS).format(sql.SQL("slot_name = %s")), (name,)).fetchone()
        return None if row is None else _slot_info(connection, row[0])


def logical_slots(connection: psycopg.Connection) -> list[SlotInfo]:
    """All slots of the connection's database, by name. Raises SourceUnavailable."""
    with translated():
        rows = connection.execute(sql.SQL(_SLOTS).format(sql.SQL("database = current_database()"))).fetchall()
        return [_slot_info(connection, row[0]) for row in rows]


_SLOTS: Final = """
    select to_jsonb(slot) || jsonb_build_object(
        'idle_seconds', extract(epoch from clock_timestamp() - (to_jsonb(slot) ->> 'inactive_since')::timestamptz)::float8
    )
    from pg_catalog.pg_replication_slots slot where {} order by slot_name
"""
"""As JSON, because the columns differ by version."""


def _slot_info(connection: psycopg.Connection, facts: dict[str, Any]) -> SlotInfo:
    return SlotInfo(
        name=facts["slot_name"],
        plugin=facts["plugin"],
        database=facts["database"],
        active=facts["active"],
        active_pid=facts["active_pid"],
        restart_lsn=_lsn(facts["restart_lsn"]),
        confirmed_flush_lsn=_lsn(facts["confirmed_flush_lsn"]),
        wal_status=facts.get("wal_status"),
        safe_wal_size=facts.get("safe_wal_size"),
        invalidation_reason=facts.get("invalidation_reason") or ("conflicting" if facts.get("conflicting") else None),
        holder=_holder(connection, facts["active_pid"]),
        failover=bool(facts.get("failover")),
        synced=bool(facts.get("synced")),
        idle_seconds=facts["idle_seconds"],
    )


def _lsn(text: str | None) -> Lsn | None:
    return None if text is None else parse_lsn(text)


def _holder(connection: psycopg.Connection, pid: int | None) -> Holder | None:
    if pid is None:
        return None
    row = connection.execute(
        "select application_name, host(client_addr), usename from pg_catalog.pg_stat_activity where pid = %s", (pid,)
    ).fetchone()
    return Holder(pid, "", None, None) if row is None else Holder(pid, row[0] or "", row[1], row[2])


def system_identity(walsender: psycopg.Connection) -> SystemIdentity:
    """Which server and history a replication connection leads to (IDENTIFY_SYSTEM needs no superuser)."""
    with translated():
        row = walsender.execute("IDENTIFY_SYSTEM").fetchone()
    if row is None:
        raise Fatal("PostgreSQL did not say which system it is")
    return SystemIdentity(str(row[0]), int(row[1]), str(row[3]), parse_lsn(str(row[2])))


def verify(ledger: LedgerFacts, slot: SlotInfo | None, identity: SystemIdentity) -> SlotInfo:
    """Law 4: the source is the ledger's, and its slot has not gone further than the ledger.

    PostgreSQL would otherwise start later than it was asked to without a word, or give new changes positions below our versions.
    Answers the slot. Raises SourceChanged or SlotLost, with the remedy.
    """
    if identity.system_identifier != ledger.system_identifier:
        raise SourceChanged(
            f"this PostgreSQL is another system ({identity.system_identifier}) than the ledger's ({ledger.system_identifier})",
            hint=f"Point source.url at the ledger's server. If the data was moved or upgraded to this one: {MOVED}",
        )
    if identity.database != ledger.database:
        raise SourceChanged(
            f"this is the database {identity.database!r}, the ledger's is {ledger.database!r}",
            hint=f"Correct source.url. If the data was moved to this one: {MOVED}",
        )
    if identity.timeline != ledger.timeline:
        raise SourceChanged(
            f"the server is on timeline {identity.timeline}, the ledger on {ledger.timeline}: it was promoted or restored",
            hint=f"Commits may be gone that Engram has, and positions repeat. {RENEW}",
        )
    if identity.flushed < ledger.confirmed:
        raise SourceChanged(
            f"its WAL ends at {format_lsn(identity.flushed)}, and the ledger has confirmed {format_lsn(ledger.confirmed)}",
            hint=f"An older copy was put back: commits are gone that Engram has, and positions will repeat. {RENEW}",
        )
    if slot is None:
        raise SlotLost(f"the replication slot {ledger.slot!r} is not there", hint=NEW_SLOT)
    if slot.plugin != ledger.plugin:
        raise SourceChanged(
            f"the slot {slot.name!r} has the plugin {slot.plugin!r}, the ledger's had {ledger.plugin!r}",
            hint=f"Somebody made another slot of that name. Name another one (source.slot). {RENEW}",
        )
    if slot.database != ledger.database:
        raise SourceChanged(
            f"the slot {slot.name!r} belongs to the database {slot.database!r}",
            hint=f"Somebody made another slot of that name. Name another one (source.slot). {RENEW}",
        )
    if slot.lost is not None:
        raise SlotLost(f"the replication slot {slot.name!r} was invalidated ({slot.lost})", hint=NEW_SLOT)
    if slot.confirmed_flush_lsn is not None and slot.confirmed_flush_lsn > ledger.confirmed:
        raise SourceChanged(
            f"the slot {slot.name!r} was moved on to {format_lsn(slot.confirmed_flush_lsn)},"
            f" the ledger has confirmed {format_lsn(ledger.confirmed)}",
            hint=f"Something else reads this slot, or the ledger is an old copy. What is between was missed. {RENEW}",
        )
    return slot


def drop_slot(connection: psycopg.Connection, name: str) -> None:
    """Drop the slot if it is there. Raises SourceUnavailable while somebody uses it."""
    with translated():
        connection.execute(
            "select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots where slot_name = %s",
            (name,),
        )
