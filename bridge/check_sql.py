"""`check --sql`: what the source lacks, as one script for whoever may change it. Pure.

Only what is missing stands in it as a statement; what somebody has to decide first stands in it as a comment. To run it a second
time does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.check import ACTIONS, Finding, quoted, source_findings
from bridge.check_plugin import plugin_findings
from bridge.check_server import ABSENCE_SECONDS, proposed_limit
from bridge.facts import Facts, PublicationFacts, RoleFacts, ServerFacts, TableFacts
from bridge.schema import Table

DECIDED = (
    "source.wal_level",
    "source.slots",
    "source.senders",
    "role.",
    "schema.usage",
    "table.select",
    "table.row_security",
    "table.unlogged",
    "table.identity",
    "publication.actions",
    "publication.root",
    "publication.filtered",
    "publication.owner",
    "publication.members",
)
"""Findings that the script mends; every other error needs a decision."""


def script(facts: Facts, *, make_role: bool = False) -> str:
    """The whole script. `make_role`: the role of the facts is not there yet."""
    assert facts.server is not None, "a script is made for a source that answered"
    assert facts.role is not None
    server, role = facts.server, facts.role
    parts = [
        list(_settings(facts, server)),
        list(_role(role, facts.tables, make_role=make_role)),
        list(_grants(role, facts.tables)),
        list(_tables(facts.tables)),
        list(_publication(facts, server)),
        list(_decisions(facts)),
    ]
    head = [
        f"-- What engram-bridge lacks in the database {_line(server.database)} for the role {_line(role.name)}.",
        f"-- Run it there as a superuser, or as the owner of the tables: psql -X -d {_line(server.database)} -f FILE",
        "",
    ]
    if not any(parts):
        return "\n".join([*head, "-- Nothing is missing.", ""])
    return "\n".join([*head, *(line for part in parts if part for line in [*part, ""])])


def _settings(facts: Facts, server: ServerFacts) -> Iterator[str]:
    restart = []
    if server.wal_level != "logical":
        restart.append("ALTER SYSTEM SET wal_level = 'logical';")
    if server.slots[0] >= server.slots[1] and facts.slot is None:
        restart.append(f"ALTER SYSTEM SET max_replication_slots = {server.slots[1] + 4};")
    if server.senders_taken:
        restart.append(f"ALTER SYSTEM SET max_wal_senders = {server.senders[1] + 4};")
    if restart:
        yield "-- Settings that take effect when PostgreSQL is started again. As a superuser."
        yield from restart
    wal = facts.wal
    if wal is not None and wal.can_limit and wal.keep_limit is None:
        limit = proposed_limit(wal.rate * ABSENCE_SECONDS)
        yield "-- To be decided: how much WAL a slot may keep while the bridge is away."
        yield "-- Beyond it the slot is lost; without a limit the disk fills."
        yield f"-- ALTER SYSTEM SET max_slot_wal_keep_size = '{limit}'; SELECT pg_reload_conf();"


def _role(role: RoleFacts, tables: Sequence[TableFacts], *, make_role: bool) -> Iterator[str]:
    name = quoted(role.name)
    hidden = [table.table.label for table in tables if table.table.row_security]
    if make_role:
        yield "-- The role that the bridge connects as. Give it a password of its own: \\password"
        yield f"CREATE ROLE {name} LOGIN REPLICATION;"
    elif not (role.replication or role.superuser):
        yield f"-- The right to stream changes. On Amazon RDS instead: GRANT rds_replication TO {_line(name)};"
        yield f"ALTER ROLE {name} REPLICATION;"
    if hidden:
        yield f"-- Policies hide rows of {_line(', '.join(hidden))} from it."
        yield f"ALTER ROLE {name} BYPASSRLS;"


def _grants(role: RoleFacts, tables: Sequence[TableFacts]) -> Iterator[str]:
    name = quoted(role.name)
    schemas = dict.fromkeys(table.table.schema for table in tables if not table.schema_usable)
    lacking = [table.table for table in tables if not table.readable]
    if schemas or lacking:
        yield "-- The right to read what is carried."
    yield from (f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {name};" for schema in schemas)
    yield from (f"GRANT SELECT ON TABLE {_name(table)} TO {name};" for table in lacking)


def _tables(tables: Sequence[TableFacts]) -> Iterator[str]:
    for facts in tables:
        table = facts.table
        if table.persistence == "u":
            yield f"-- The changes of {_line(table.label)} are not in the WAL. This writes the table anew, under a lock."
            yield f"ALTER TABLE {_name(table)} SET LOGGED;"
        if not table.key and facts.options.collapse and table.identity != "f":
            yield f"-- {_line(table.label)} has no key: with the whole old row in the WAL its changes can be told."
            yield f"ALTER TABLE {_name(table)} REPLICA IDENTITY FULL;"
        elif table.key and not table.key_deferrable and not set(table.key) <= set(table.identity_columns):
            yield f"-- The old row in the WAL has to hold the primary key of {_line(table.label)}."
            yield f"ALTER TABLE {_name(table)} REPLICA IDENTITY DEFAULT;"


def _publication(facts: Facts, server: ServerFacts) -> Iterator[str]:
    """Tables that cannot be published yet are left out: to publish one without an identity makes its UPDATEs fail."""
    name, found = facts.publication_name, facts.publication
    fit = [table.table for table in facts.tables if _identified(table)]
    if found is None and fit:
        root = ", publish_via_partition_root = true" if server.version >= 130000 else ""
        yield "-- Which tables are streamed. A role that owns them all and has CREATE on the database makes it by itself."
        yield f"CREATE PUBLICATION {quoted(name)} FOR TABLE {_members(fit)}"
        yield f"    WITH (publish = '{ACTIONS}'{root});"
    elif found is not None and found.extent is None:
        yield from _publication_changed(name, found, fit, server)


def _publication_changed(name: str, found: PublicationFacts, fit: Sequence[Table], server: ServerFacts) -> Iterator[str]:
    missing = [table for table in fit if (table.schema, table.name) not in found.members]
    options = [f"publish = '{ACTIONS}'"] if found.lacking else []
    if not found.via_root and server.version >= 130000:
        options.append("publish_via_partition_root = true")
    if options:
        yield "-- What is streamed of them: everything, under the names of the partitioned tables."
        yield f"ALTER PUBLICATION {quoted(name)} SET ({', '.join(options)});"
    if found.filtered:
        others = sorted(found.members - {(table.schema, table.name) for table in fit})
        listed = ", ".join([_members(fit), *(f"ONLY {quoted(*other)}" for other in others)])
        yield f"-- Rows or columns of {_line(', '.join(found.filtered))} are left out: all members are set again, whole."
        yield f"ALTER PUBLICATION {quoted(name)} SET TABLE {listed};"
    elif missing:
        yield "-- Tables that are carried and not streamed."
        yield f"ALTER PUBLICATION {quoted(name)} ADD TABLE {_members(missing)};"


def _identified(facts: TableFacts) -> bool:
    return facts.options.collapse if not facts.table.key else not facts.table.key_deferrable


def _decisions(facts: Facts) -> Iterator[str]:
    open_ones = [
        found for found in source_findings(facts) + plugin_findings(facts) if found.level == "error" and not _decided(found)
    ]
    if open_ones:
        yield "-- No statement can decide these; `engram-bridge check` tells more."
    for found in open_ones:
        yield f"-- {_line(found.what)}"
        yield f"--   {_line(found.remedy)}"


def _decided(found: Finding) -> bool:
    return found.code.startswith(DECIDED)


def _name(table: Table) -> str:
    return quoted(table.schema, table.name)


def _members(tables: Sequence[Table]) -> str:
    return ", ".join(f"ONLY {_name(table)}" for table in tables)


def _line(text: str) -> str:
    """Text that stays within its comment: names may hold line breaks."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
