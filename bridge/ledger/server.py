"""A ledger in a schema of its own inside a PostgreSQL database, which it may share.

Every transaction commits with `synchronous_commit = on`: it is on the server's disk when it returns, and on that of its
synchronous standby where there is one, which law 4 needs for everything that precedes a confirm. Reading sees one snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, create_engine

from bridge import postgres
from bridge.errors import ConfigError, LedgerError
from bridge.ledger.failure import reached, translated
from bridge.ledger.holder import Holder
from bridge.ledger.locking import ServerHolder, lock_number
from bridge.ledger.tables import metadata

SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
SCHEMA = "engram_bridge"
SCHEMA_COMMENT = "ledger of engram-bridge"

SETTINGS = {
    "synchronous_commit": "on",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
"""Durability; and the server must notice, too, when our machine is gone, or it would keep our lock for hours."""

TABLES: Final = """
    select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = %s and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""

COLUMNS: Final = """
    select a.attname::text from pg_attribute a
     where a.attrelid = (quote_ident(%s) || '.' || quote_ident(%s))::regclass and a.attnum > 0 and not a.attisdropped
"""

SETTLE: Final = """
    select setval(pg_get_serial_sequence({literal}, {column}), (select coalesce(max({name}), 0) + 1 from {table}), false)
"""

POOL_SIZE = 10


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """`postgresql://user@host/database`, with `?schema=` for another schema than `engram_bridge`."""

    location: str = field(repr=False)

    def __post_init__(self) -> None:
        try:
            conninfo_to_dict(self.url)
        except psycopg.Error as error:
            raise ConfigError(
                "ledger: not a PostgreSQL URL", hint="Write ledger: postgresql://user@host:5432/database."
            ) from error

    @property
    def url(self) -> str:
        """What libpq is given."""
        _scheme, _separator, behind = self.location.partition("://")
        address, _mark, _query = behind.partition("?")
        options = urlencode({name: value for name, value in self._options.items() if name != "schema"}, quote_via=quote)
        return f"postgresql://{address}?{options}" if options else f"postgresql://{address}"

    @property
    def _options(self) -> dict[str, str]:
        return dict(parse_qsl(self.location.partition("?")[2], keep_blank_values=True))

    @property
    def schema(self) -> str:
        """The schema that the ledger has for itself."""
        return self._options.get("schema") or SCHEMA

    @property
    def shown(self) -> str:
        """User, host, database and schema."""
        known = conninfo_to_dict(self.url)
        user = f"{known['user']}@" if known.get("user") else ""
        port = f":{known['port']}" if known.get("port") else ""
        address = f"postgresql://{user}{known.get('host', '')}{port}/{known.get('dbname', '')}"
        return address if self.schema == SCHEMA else f"{address}?schema={self.schema}"

    def connect(self, application_name: str = "engram-bridge ledger") -> psycopg.Connection:
        """An autocommit connection that sees the ledger's schema. Raises LedgerUnavailable, LedgerError and ConfigError."""
        with reached(self.shown):
            connection = postgres.connect(self.url, application_name=application_name, settings=SETTINGS)
            try:
                path = sql.SQL("set search_path to {}, pg_catalog").format(sql.Identifier(self.schema))
                connection.execute(path)
                if connection.info.server_version >= 14_00_00:
                    connection.execute("set idle_session_timeout to 0")
            except BaseException:
                connection.close()
                raise
        return connection

    def _connect(self) -> psycopg.Connection:
        connection = self.connect()
        connection.autocommit = False
        return connection

    def exists(self) -> bool:
        """Whether there is a ledger in the schema. Raises LedgerUnavailable, LedgerError and ConfigError."""
        connection = self.connect()
        with translated(self.shown), connection:
            row = connection.execute("select to_regclass(%s)", (f"{quoted(self.schema)}.facts",)).fetchone()
        return row is not None and row[0] is not None

    def engine(self) -> Engine:
        """An engine; no connection is made yet. Threads take as many connections as there are threads."""
        return create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            pool_size=POOL_SIZE,
            max_overflow=-1,
            pool_use_lifo=True,
            use_native_hstore=False,
        )

    def holder(self) -> Holder:
        """A lock of the server, and a fence for whoever has lost it."""
        return ServerHolder(self)

    def prepare(self, connection: Connection) -> None:
        """One at a time; and the schema, if it is not there. Raises LedgerError where it cannot hold every text."""
        connection.exec_driver_sql("select pg_advisory_xact_lock(%s)", (lock_number(f"{self.schema} is made"),))
        encoding = connection.exec_driver_sql("show server_encoding").scalar()
        if encoding != "UTF8":
            raise LedgerError(
                f"the ledger's database {self.shown} has the encoding {encoding}, and keys can be any text",
                hint="Make a database for it: CREATE DATABASE bridge TEMPLATE template0 ENCODING 'UTF8';",
            )
        there = connection.exec_driver_sql("select from pg_namespace where nspname = %s", (self.schema,)).first()
        if there is None:
            connection.exec_driver_sql(f"create schema {quoted(self.schema)}")
            connection.exec_driver_sql(f"comment on schema {quoted(self.schema)} is '{SCHEMA_COMMENT}'")

    def tables(self, connection: Connection) -> set[str]:
        """Those of the schema."""
        return {row[0] for row in connection.exec_driver_sql(TABLES, (self.schema,))}

    def names(self, connection: psycopg.Connection) -> set[str]:
        """The same, on a connection of the driver's."""
        return {row[0] for row in connection.execute(TABLES, (self.schema,))}

    def columns(self, connection: Connection, table: str) -> set[str]:
        """The columns of one of them."""
        return {row[0] for row in connection.exec_driver_sql(COLUMNS, (self.schema, table))}

    def settle(self, connection: Connection) -> None:
        """The sequences know nothing of numbers that were given to their columns."""
        for table in metadata.sorted_tables:
            counted = table.autoincrement_column
            if counted is not None:
                names = {"literal": sql.Literal(table.name), "column": sql.Literal(counted.name)}
                statement = sql.SQL(SETTLE).format(**names, name=sql.Identifier(counted.name), table=sql.Identifier(table.name))
                connection.exec_driver_sql(statement.as_string(None))

    def reads(self, engine: Engine) -> Connection:
        """One snapshot for the whole transaction."""
        return engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def quoted(name: str) -> str:
    """A name as an identifier of a statement that has to be text."""
    return sql.Identifier(name).as_string(None)
