"""The source's side of `check`: server, role, slot, publication and tables, asked with SELECT alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bridge.check import OLDEST
from bridge.facts import FailoverFacts, PublicationFacts, RoleFacts, ServerFacts, SlotFacts, TableFacts
from bridge.postgres import translated
from bridge.schema import Catalog, Table
from bridge.spaces import TableOptions
from cdc import slot as slots
from snapshot import catalog as catalogs
from snapshot.counting import count_rows

COUNTED_BYTES = 32_000_000
"""Tables without statistics are counted when they are not larger; of larger ones the rows are guessed."""

GUESSED_ROW_BYTES = 100

SERVER = """
    select current_setting('server_version_num')::int, current_database()::text, current_setting('wal_level'),
           pg_is_in_recovery(), current_setting('server_encoding'),
           (select count(*) from pg_replication_slots)::int, current_setting('max_replication_slots')::int,
           (select count(*) from pg_stat_replication)::int, current_setting('max_wal_senders')::int
"""

# The roles by which managed services give the right to replicate.
ROLE = """
    select r.rolname::text, r.rolsuper,
           r.rolreplication or exists (
               select from pg_roles p where p.rolname in ('rds_replication', 'rds_superuser')
               and pg_has_role(current_user, p.oid, 'member')
           ),
           has_database_privilege(current_database(), 'CREATE')
      from pg_roles r where r.rolname = current_user
"""

# Managed services may take these functions away; then another server is found at the start of `run`, by the walsender.
IDENTITY_ALLOWED = """
    select has_function_privilege('pg_control_system()', 'EXECUTE')
       and has_function_privilege('pg_control_checkpoint()', 'EXECUTE')
"""

# The same for a role by its name, whoever asks; `hidden`: policies of the table apply to it.
RIGHTS_OF = """
    select c.oid, has_table_privilege(r.oid, c.oid, 'SELECT'), has_schema_privilege(r.oid, c.relnamespace, 'USAGE'),
           pg_has_role(r.oid, c.relowner, 'USAGE'),
           c.relrowsecurity and not (r.rolsuper or r.rolbypassrls
               or (pg_has_role(r.oid, c.relowner, 'USAGE') and not c.relforcerowsecurity))
      from pg_class c, pg_roles r where c.oid = any (%s::oid[]) and r.rolname = %s
"""

ROLE_OF = """
    select r.rolname::text, r.rolsuper,
           r.rolreplication or exists (
               select from pg_roles p where p.rolname in ('rds_replication', 'rds_superuser')
               and pg_has_role(r.oid, p.oid, 'member')
           ),
           has_database_privilege(r.oid, current_database(), 'CREATE')
      from pg_roles r where r.rolname = %s
"""

RIGHTS = """
    select c.oid, has_table_privilege(c.oid, 'SELECT'), has_schema_privilege(c.relnamespace, 'USAGE'),
           pg_has_role(c.relowner, 'USAGE')
      from pg_class c where c.oid = any (%s::oid[])
"""

# As JSON, because the columns differ by version: pubviaroot came with 13, pg_publication_namespace, prqual and prattrs with 15.
PUBLICATION = """
    select to_jsonb(p), pg_has_role(p.pubowner, 'USAGE'),
           coalesce((select jsonb_agg(jsonb_build_object('schema', n.nspname, 'table', c.relname,
                        'filtered', coalesce(to_jsonb(r) ->> 'prqual', to_jsonb(r) ->> 'prattrs') is not null))
                       from pg_publication_rel r
                       join pg_class c on c.oid = r.prrelid
                       join pg_namespace n on n.oid = c.relnamespace
                      where r.prpubid = p.oid), '[]')
      from pg_publication p where p.pubname = %s
"""

SCHEMA_MEMBERS = "select count(*) from pg_publication_namespace s join pg_publication p on p.oid = s.pnpubid where p.pubname = %s"


@dataclass(frozen=True, slots=True)
class SourceAnswers:
    """What the source said. `rights` is by table oid: SELECT on it, USAGE on its schema, ownership."""

    server: ServerFacts
    role: RoleFacts
    slot: SlotFacts | None
    publication: PublicationFacts | None
    catalog: Catalog
    rights: dict[int, tuple[bool, bool, bool]]

    def table_facts(self, table: Table, options: TableOptions | None, spaces: tuple[str, ...]) -> TableFacts:
        """The facts of one table; the rows are the catalogue's estimate, -1 where it has none."""
        readable, usable, owned = self.rights.get(table.oid, (False, False, False))
        return TableFacts(table, options or TableOptions(), readable, usable, owned, table.rows, spaces)

    def with_rows(self, connection: psycopg.Connection, tables: Sequence[TableFacts]) -> list[TableFacts]:
        """The same tables, with rows counted or guessed from the size where there are no statistics."""
        return [facts if facts.rows >= 0 else _with_rows(connection, facts) for facts in tables]


def collect_source(connection: psycopg.Connection, slot: str, publication: str, plugin: str = slots.PLUGIN) -> SourceAnswers:
    """All facts of the source; of one that is too old, its version alone. Raises SourceUnavailable."""
    info = connection.info
    if info.server_version < OLDEST:
        nothing = Catalog({}, {}, info.server_version, "", info.dbname)
        return SourceAnswers(ServerFacts(info.server_version, info.dbname), RoleFacts(info.user), None, None, nothing, {})
    catalog = catalogs.load(connection, sizes=True)
    with translated():
        server = _server(connection)
        found = connection.execute(ROLE).fetchone()
        assert found is not None, "the current user is a role"
        rights = connection.execute(RIGHTS, [[table.oid for table in catalog.tables.values()]]).fetchall()
        member = _publication(connection, publication, server.version)
    role, known = RoleFacts(*found), _slot(slots.inspect_slot(connection, slot))
    if plugin != slots.PLUGIN and (known is None or known.plugin != plugin):
        server = replace(server, lacks_plugin=_lacks(connection, plugin, server, role))
    return SourceAnswers(
        server,
        role,
        known,
        member,
        catalog,
        {oid: (readable, usable, owned) for oid, readable, usable, owned in rights},
    )


def for_role(
    connection: psycopg.Connection, tables: Sequence[TableFacts], name: str
) -> tuple[RoleFacts | None, list[TableFacts]]:
    """The tables as another role would find them, and that role; None for one that is not there. Raises SourceUnavailable."""
    with translated():
        found = connection.execute(ROLE_OF, [name]).fetchone()
        rights = connection.execute(RIGHTS_OF, [[facts.table.oid for facts in tables], name]).fetchall()
        hidden = connection.execute(
            "select oid from pg_class where relrowsecurity and oid = any (%s::oid[])", [[facts.table.oid for facts in tables]]
        ).fetchall()
    known = {oid: (readable, usable, owned, hides) for oid, readable, usable, owned, hides in rights}
    guarded = {row[0] for row in hidden}
    seen = []
    for facts in tables:
        oid = facts.table.oid
        readable, usable, owned, hides = known.get(oid, (False, False, False, oid in guarded))
        table = replace(facts.table, row_security=hides)
        seen.append(replace(facts, table=table, readable=readable, schema_usable=usable, owned=owned))
    return RoleFacts(*found) if found is not None else None, seen


def _server(connection: psycopg.Connection) -> ServerFacts:
    row = connection.execute(SERVER).fetchone()
    assert row is not None
    version, database, wal_level, standby, encoding, used_slots, slots_at_most, used_senders, senders_at_most = row
    system, timeline = None, None
    allowed = connection.execute(IDENTITY_ALLOWED).fetchone()
    if allowed is not None and allowed[0]:
        identity = connection.execute(
            "select s.system_identifier::text, c.timeline_id from pg_control_system() s, pg_control_checkpoint() c"
        ).fetchone()
        assert identity is not None
        system, timeline = identity
    slots_used, senders_used = (used_slots, slots_at_most), (used_senders, senders_at_most)
    return ServerFacts(version, database, wal_level, standby, encoding, slots_used, senders_used, system, timeline)


def _lacks(connection: psycopg.Connection, plugin: str, server: ServerFacts, role: RoleFacts) -> bool:
    """Whether a slot with this plugin could not be made: told by a temporary one, where we may make one, gone at once.

    No catalogue tells it. The plugin is loaded before the server waits for others' transactions: after a timeout it is there.
    """
    used, most = server.slots
    if not (role.replication or role.superuser) or server.wal_level != "logical" or server.standby or used >= most:
        return False
    name = f"engram_bridge_check_{connection.info.backend_pid}"
    with translated():
        try:
            connection.execute("set statement_timeout = '1s'")
            connection.execute("select pg_create_logical_replication_slot(%s, %s, true)", [name, plugin])
            connection.execute("select pg_drop_replication_slot(%s)", [name])
        except psycopg.errors.UndefinedFile:
            return True
        except psycopg.errors.QueryCanceled:
            return False
        finally:
            connection.execute("set statement_timeout = 0")
    return False


def failover_facts(connection: psycopg.Connection, url: str, *, wanted: bool) -> FailoverFacts:
    """What address and server say about standbys. Raises SourceUnavailable."""
    given = conninfo_to_dict(url)
    with translated():
        row = connection.execute("select current_setting('synchronized_standby_slots', true)").fetchone()
    hosts = str(given.get("host") or given.get("hostaddr") or "").count(",") + 1
    return FailoverFacts(wanted, hosts, str(given.get("target_session_attrs") or "any"), (row[0] or "") if row else "")


def _slot(found: slots.SlotInfo | None) -> SlotFacts | None:
    if found is None:
        return None
    holder = str(found.holder) if found.holder is not None else f"pid {found.active_pid}" if found.active else None
    return SlotFacts(found.plugin or "none (physical)", found.database, found.confirmed_flush_lsn, found.lost, holder)


def _publication(connection: psycopg.Connection, name: str, version: int) -> PublicationFacts | None:
    row = connection.execute(PUBLICATION, [name]).fetchone()
    if row is None:
        return None
    facts, owned, members = row
    extent = "all tables" if facts["puballtables"] else None
    if extent is None and version >= 150000:
        schemas = connection.execute(SCHEMA_MEMBERS, [name]).fetchone()
        extent = "all tables of a schema" if schemas is not None and schemas[0] else None
    return PublicationFacts(
        owned=owned,
        extent=extent,
        lacking=tuple(action for action in ("insert", "update", "delete", "truncate") if not facts[f"pub{action}"]),
        via_root=facts.get("pubviaroot", False),
        filtered=tuple(f"{member['schema']}.{member['table']}" for member in members if member["filtered"]),
        members=frozenset((member["schema"], member["table"]) for member in members),
    )


def _with_rows(connection: psycopg.Connection, facts: TableFacts) -> TableFacts:
    table = facts.table
    readable = facts.readable and facts.schema_usable and not table.row_security
    if not readable or table.size > COUNTED_BYTES:
        return replace(facts, rows=table.size // GUESSED_ROW_BYTES)
    with translated():
        rows = count_rows(connection, table)
    return replace(facts, rows=rows, counted=True)
