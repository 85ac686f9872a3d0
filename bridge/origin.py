"""Whoever is asked for rows is the ledger's source (law 4), on every connection: an address can lead to several servers.

The stream proves it by itself when it is opened. Rows are read over other connections, and a list of hosts or a load balancer in
between can lead those to a standby, which is behind, or to a server with another history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import psycopg

from bridge.errors import RENEW, SourceChanged, SourceUnavailable
from bridge.postgres import connect, translated

# A standby has no WAL of its own that could be named. Managed services may take pg_control_system away: the timeline has to do.
_FACTS = """
    select case when not pg_is_in_recovery() then substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) end,
           has_function_privilege('pg_control_system()', 'EXECUTE')
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """A source by its address, and by the system and timeline that the ledger's positions are of.

    `system_identifier` is empty where whoever began the ledger was not allowed to ask for it.
    """

    url: str
    system_identifier: str
    timeline: int

    def connect(self, application_name: str) -> psycopg.Connection:
        """A connection to it. Raises SourceUnavailable, also where a standby answers, and SourceChanged."""
        connection = connect(self.url, application_name=application_name)
        try:
            self._require(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _require(self, connection: psycopg.Connection) -> None:
        with translated():
            row = connection.execute(_FACTS).fetchone()
            name, allowed = row if row is not None else (None, False)
            found = connection.execute("select system_identifier::text from pg_control_system()").fetchone() if allowed else None
        if name is None:
            raise SourceUnavailable(
                "PostgreSQL is a standby here, and rows are read from the primary only",
                hint="Let source.url lead to the primary (target_session_attrs=read-write helps).",
            )
        if found is not None and self.system_identifier and found[0] != self.system_identifier:
            raise SourceChanged(
                f"a connection led to another system ({found[0]}) than the ledger's ({self.system_identifier})",
                hint="Let source.url lead to one server only.",
            )
        if int(name, 16) != self.timeline:
            raise SourceChanged(
                f"a connection led to a server on timeline {int(name, 16)}, the ledger's is {self.timeline}: it was promoted",
                hint=f"Let source.url lead to one server only. If it is the new primary: {RENEW}",
            )


class Opener(Protocol):
    """Where rows are read from, and how."""

    def connect(self, application_name: str) -> psycopg.Connection:
        """A connection to read rows over. Raises SourceUnavailable, ConfigError and SourceChanged."""
        ...


Rows: TypeAlias = "str | Opener"
"""Where rows are read from: an address that is believed, or one that is held to its identity, or to one snapshot of it."""


def open_rows(source: Rows, application_name: str) -> psycopg.Connection:
    """A connection to read rows over. Raises SourceUnavailable, ConfigError, and but for a plain address SourceChanged."""
    if isinstance(source, str):
        return connect(source, application_name=application_name)
    return source.connect(application_name)
