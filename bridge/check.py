"""What would go wrong later, told now: rules from facts to findings, each with what, where and the remedy. Pure.

An *error* would stop the run, or lose something; a *warning* will be regretted; an *info* is good to know. The rules about
capacity, target and ledger are in `check_places`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.errors import RENEW, START_AGAIN
from bridge.facts import Facts, PublicationFacts, RoleFacts, ServerFacts, SlotFacts, TableFacts

Level = Literal["error", "warning", "info"]
OLDEST = 120000
YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
ACTIONS = "insert, update, delete, truncate"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. `code` is stable, for machines; `where` names a table, setting or key; `remedy` what to run or change."""

    level: Level
    code: str
    where: str
    what: str
    remedy: str = ""


def quoted(*names: str) -> str:
    """An SQL identifier, quoted."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def setting(label: str, option: str) -> str:
    """A table's option as it can be copied into the configuration: names that YAML would read otherwise are quoted."""
    name = label.removeprefix("public.") if label.count(".") == 1 else label
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?", name) or name.lower() in YAML_WORDS:
        name = "'" + name.replace("'", "''") + "'"
    return f"tables: {{{name}: {{{option}}}}}"


def other_spaces(label: str, known: Sequence[str], configured: Sequence[str]) -> Finding:
    """The memories of a table are elsewhere than the configuration wants them: `check` and `run` say it alike."""
    return Finding(
        "error",
        "ledger.spaces",
        label,
        f"{label} is in the space(s) {', '.join(known)}, the configuration says {', '.join(configured)}",
        f"Put the old space or number of shards back. To spread it over {len(configured)}: "
        f"engram-bridge reshard {label} {len(configured)}. For other names: {START_AGAIN}",
    )


def source_findings(facts: Facts) -> list[Finding]:
    """All findings about server, role, slot, publication and tables."""
    findings: list[Finding] = []
    if facts.server is None or facts.role is None:
        return findings
    findings += _server(facts.server, facts.slot is not None)
    findings += _role(facts.role)
    if facts.slot is not None:
        findings += _slot(facts.slot_name, facts.slot, facts)
    for table in facts.tables:
        findings += _table(table, facts.server, facts.role)
    findings += _publication(facts, facts.server, facts.role)
    return findings


def _server(server: ServerFacts, slot_exists: bool) -> Iterator[Finding]:
    if server.version < OLDEST:
        yield Finding(
            "error",
            "source.version",
            "source",
            f"PostgreSQL {server.version // 10000} is too old",
            "Upgrade the source to PostgreSQL 12 or later.",
        )
    if server.standby:
        yield Finding(
            "error",
            "source.standby",
            "source",
            "the server is a standby; rows are read again from the primary",
            "Connect to the primary.",
        )
    if server.wal_level != "logical":
        yield Finding(
            "error",
            "source.wal_level",
            "wal_level",
            f"wal_level is {server.wal_level}, and changes can only be streamed with logical",
            "ALTER SYSTEM SET wal_level = 'logical'; then restart PostgreSQL.",
        )
    used, most = server.slots
    if used >= most and not slot_exists:
        yield Finding(
            "error",
            "source.slots",
            "max_replication_slots",
            f"no replication slot is free: {used} of {most} are in use",
            f"Drop a slot that nobody needs (SELECT slot_name, active FROM pg_replication_slots;), or "
            f"ALTER SYSTEM SET max_replication_slots = {most + 4}; then restart PostgreSQL.",
        )
    used, most = server.senders
    if used >= most:
        yield Finding(
            "error",
            "source.senders",
            "max_wal_senders",
            f"no walsender is free: {used} of {most} are in use",
            f"End one (SELECT pid, application_name FROM pg_stat_replication;), or "
            f"ALTER SYSTEM SET max_wal_senders = {most + 4}; then restart PostgreSQL.",
        )
    if server.encoding == "SQL_ASCII":
        yield Finding(
            "warning",
            "source.encoding",
            server.database,
            "the database is SQL_ASCII: rows whose bytes are not UTF-8 will be parked",
            "Correct such rows, or move the data to a database with ENCODING 'UTF8'.",
        )


def _role(role: RoleFacts) -> Iterator[Finding]:
    if not role.replication and not role.superuser:
        yield Finding(
            "error",
            "role.replication",
            role.name,
            f"the role {role.name} may not replicate",
            f"As a superuser: ALTER ROLE {quoted(role.name)} REPLICATION; "
            f"(on Amazon RDS: GRANT rds_replication TO {quoted(role.name)};)",
        )


def _slot(name: str, slot: SlotFacts, facts: Facts) -> Iterator[Finding]:
    drop = f"SELECT pg_drop_replication_slot('{name}');"
    other = f"Name another slot in source.slot, or drop this one if nobody needs it: {drop}"
    database = facts.server.database if facts.server else None
    own = facts.ledger is not None and facts.ledger.slot == name
    plugin = facts.ledger.plugin if own and facts.ledger is not None and facts.ledger.plugin else facts.plugin
    if slot.database != database or slot.plugin != plugin:
        yield Finding(
            "error",
            "slot.other",
            name,
            f"the slot {name} is of the plugin {slot.plugin} in the database {slot.database}; ours is {plugin} in {database}",
            other,
        )
    elif slot.lost is not None:
        yield Finding(
            "error",
            "slot.lost",
            name,
            f"the slot {name} is lost ({slot.lost}): what it held back cannot be streamed any more",
            RENEW if facts.ledger is not None and facts.ledger.slot == name else f"It is of no use any more: {drop}",
        )
    elif facts.ledger is not None and not facts.ledger.failure and name not in (facts.ledger.slot, facts.ledger.making):
        user = f"; it is in use by {slot.holder}" if slot.holder is not None else ""
        yield Finding(
            "error",
            "slot.unknown",
            name,
            f"the slot {name} exists, but this ledger did not make it{user}",
            f"Use the ledger it belongs to. {other} If that ledger is lost, drop the slot and start `run --adopt`.",
        )
    ours = facts.ledger is not None and facts.ledger.holder is not None and facts.ledger.slot == name
    if slot.holder is not None and not ours:
        yield Finding(
            "warning",
            "slot.active",
            name,
            f"the slot {name} is in use by {slot.holder}",
            "Stop that one before you start another.",
        )


def _table(facts: TableFacts, server: ServerFacts, role: RoleFacts) -> Iterator[Finding]:
    table, label = facts.table, facts.table.label
    name, who = quoted(table.schema, table.name), quoted(role.name)
    if not facts.schema_usable:
        yield Finding(
            "error",
            "schema.usage",
            label,
            f"the role {role.name} may not use the schema {table.schema}",
            f"GRANT USAGE ON SCHEMA {quoted(table.schema)} TO {who};",
        )
    if not facts.readable:
        yield Finding(
            "error",
            "table.select",
            label,
            f"the role {role.name} may not read {label}",
            f"GRANT SELECT ON TABLE {name} TO {who};",
        )
    if table.row_security:
        yield Finding(
            "error",
            "table.row_security",
            label,
            f"row-level security hides rows of {label} from the role {role.name}",
            f"ALTER ROLE {who} BYPASSRLS; or exclude the table.",
        )
    if table.persistence == "u":
        yield Finding(
            "error",
            "table.unlogged",
            label,
            f"{label} is unlogged: its changes are not in the WAL and cannot be streamed",
            f"ALTER TABLE {name} SET LOGGED; or exclude the table.",
        )
    if table.kind == "p" and server.version < 130000:
        yield Finding(
            "error",
            "table.partitioned",
            label,
            f"{label} is partitioned, and PostgreSQL 12 cannot publish it by its root",
            "Upgrade to 13 or later, or exclude the table.",
        )
    yield from key_findings(facts)
    yield from _good_to_know(facts)


def key_findings(facts: TableFacts) -> Iterator[Finding]:
    """The memory key must be contained in what an UPDATE or DELETE sends of the old row; `run` stops the table otherwise."""
    table, label = facts.table, facts.table.label
    name = quoted(table.schema, table.name)
    if not table.key:
        if facts.options.collapse and table.identity == "f":
            yield Finding(
                "warning",
                "table.duplicates",
                label,
                f"{label} has no primary key: rows that are equal become one memory",
                "Add a primary key if each row counts.",
            )
            return
        yield Finding(
            "error",
            "table.no_key",
            label,
            f"{label} has no primary key, so its rows have no identity",
            f"Add a primary key; or ALTER TABLE {name} REPLICA IDENTITY FULL; and in the configuration "
            f"{setting(label, 'duplicates: collapse')}; or exclude the table.",
        )
    elif table.key_deferrable:
        yield Finding(
            "error",
            "table.deferrable_key",
            label,
            f"the primary key of {label} is deferrable, which is no replica identity: publishing the table would make "
            "the application's UPDATEs fail",
            "Make the key NOT DEFERRABLE, or exclude the table.",
        )
    elif table.identity == "n":
        yield Finding(
            "error",
            "table.identity_nothing",
            label,
            f"{label} has REPLICA IDENTITY NOTHING: publishing the table would make the application's UPDATEs fail",
            f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT;",
        )
    elif not set(table.key) <= set(table.identity_columns):
        yield Finding(
            "error",
            "table.identity",
            label,
            f"the replica identity of {label} does not hold its primary key, so that deletes would not name the memory",
            f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT;",
        )


def _good_to_know(facts: TableFacts) -> Iterator[Finding]:
    table, label = facts.table, facts.table.label
    if table.inheritance_parent:
        yield Finding(
            "warning",
            "table.inheritance",
            label,
            f"tables inherit from {label}: only rows of its own belong to it, each heir is carried as a table of its own",
            "Read the heirs under their own names, or exclude the tables.",
        )
    if table.generated:
        yield Finding(
            "info",
            "table.generated",
            label,
            f"generated columns of {label} are not carried, the stream does not send them: {', '.join(table.generated)}",
        )


def _publication(facts: Facts, server: ServerFacts, role: RoleFacts) -> Iterator[Finding]:
    name, found = facts.publication_name, facts.publication
    if found is None:
        yield from _publication_to_make(name, facts.tables, server, role)
        return
    yield from _publication_as_it_is(name, found, server)
    missing = [table for table in facts.tables if (table.table.schema, table.table.name) not in found.members]
    foreign = [table for table in missing if not table.owned]
    if missing and found.extent is None and not role.superuser and (foreign or not found.owned):
        yield Finding(
            "error",
            "publication.members",
            name,
            f"the publication {name} lacks {_labels(missing)}, and the role {role.name} does not own "
            + ("the publication" if not found.owned else _labels(foreign)),
            f"As the owner: ALTER PUBLICATION {quoted(name)} ADD TABLE {_only(missing)};",
        )


def _publication_as_it_is(name: str, found: PublicationFacts, server: ServerFacts) -> Iterator[Finding]:
    if found.extent is not None:
        yield Finding(
            "error",
            "publication.extent",
            name,
            f"the publication {name} is for {found.extent}, and would make updates of tables without a key fail",
            f"Name another publication in source.publication, or DROP PUBLICATION {quoted(name)};",
        )
    if found.lacking:
        yield Finding(
            "error",
            "publication.actions",
            name,
            f"the publication {name} does not publish {', '.join(found.lacking)}",
            f"ALTER PUBLICATION {quoted(name)} SET (publish = '{ACTIONS}');",
        )
    if not found.via_root and server.version >= 130000:
        yield Finding(
            "error",
            "publication.root",
            name,
            f"the publication {name} sends changes of partitions under the partitions' names",
            f"ALTER PUBLICATION {quoted(name)} SET (publish_via_partition_root = true);",
        )
    if found.filtered:
        yield Finding(
            "error",
            "publication.filtered",
            name,
            f"the publication {name} leaves out rows or columns of {', '.join(found.filtered)}",
            f"Name another publication in source.publication, or set it without WHERE and column lists: "
            f"ALTER PUBLICATION {quoted(name)} SET TABLE …;",
        )


def _publication_to_make(name: str, tables: Iterable[TableFacts], server: ServerFacts, role: RoleFacts) -> Iterator[Finding]:
    tables = list(tables)
    foreign = [table for table in tables if not table.owned]
    if not foreign and not role.may_create and tables:
        yield Finding(
            "error",
            "role.create",
            server.database,
            f"the role {role.name} may not make the publication: it lacks CREATE on the database {server.database}",
            f"GRANT CREATE ON DATABASE {quoted(server.database)} TO {quoted(role.name)};",
        )
    if foreign and not role.superuser:
        root = ", publish_via_partition_root = true" if server.version >= 130000 else ""
        yield Finding(
            "error",
            "publication.owner",
            name,
            f"the role {role.name} cannot make the publication {name}: it does not own {_labels(foreign)}",
            f"As their owner, who needs CREATE on the database: CREATE PUBLICATION {quoted(name)} FOR TABLE {_only(tables)} "
            f"WITH (publish = '{ACTIONS}'{root});",
        )


def _labels(tables: Iterable[TableFacts]) -> str:
    names = [table.table.label for table in tables]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _only(tables: Iterable[TableFacts]) -> str:
    return ", ".join(f"ONLY {quoted(table.table.schema, table.table.name)}" for table in tables)
