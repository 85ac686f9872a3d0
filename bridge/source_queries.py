"""What a running bridge asks PostgreSQL itself, beside the stream and the reading of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

import psycopg

from bridge.errors import SourceUnavailable
from bridge.postgres import connect, translated


@dataclass(slots=True)
class Source:
    """What housekeeping asks PostgreSQL itself."""

    url: str

    def shutting_down(self) -> bool:
        """Whether the server is on its way down: it refuses new connections, but waits for its walsenders."""
        try:
            connect(self.url, application_name="engram-bridge housekeeping").close()
        except SourceUnavailable as error:
            return "shutting down" in str(error)
        return False

    def mark(self) -> int:
        """A new transaction id: higher than that of everything committed so far. Raises SourceUnavailable."""
        return self._number("select txid_current()")

    def oldest(self) -> int:
        """All transactions below this id have ended, and are visible. Raises SourceUnavailable."""
        return self._number("select txid_snapshot_xmin(txid_current_snapshot())")

    def snapshot(self) -> str:
        """What a statement that begins now sees, as PostgreSQL prints snapshots. Raises SourceUnavailable."""
        with connect(self.url, application_name="engram-bridge housekeeping") as connection, translated():
            row = connection.execute("select txid_current_snapshot()::text").fetchone()
        return str(row[0]) if row else ""

    def _number(self, query: LiteralString) -> int:
        with connect(self.url, application_name="engram-bridge housekeeping") as connection, translated():
            row = connection.execute(query).fetchone()
        return int(row[0]) if row else 0

    def flush(self) -> None:
        """Have the WAL flushed up to here, by an empty message of our own. Raises SourceUnavailable.

        Where messages are refused an empty transaction does it too, a moment later: the server's WAL writer comes by.
        """
        with connect(self.url, application_name="engram-bridge housekeeping") as connection, translated():
            try:
                connection.execute("select pg_logical_emit_message(true, 'engram-bridge', '')")
            except psycopg.errors.InsufficientPrivilege:
                connection.execute("select txid_current()")
