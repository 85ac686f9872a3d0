"""Where a ledger is: a file, or a schema in a PostgreSQL database; and what differs between the two."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection, Engine

from bridge.errors import ConfigError
from bridge.ledger.file import FilePlace
from bridge.ledger.holder import Holder
from bridge.ledger.server import SCHEMES, ServerPlace


class Place(Protocol):
    """A place for a ledger."""

    @property
    def shown(self) -> str:
        """The place as it may be shown: without a password."""

    def exists(self) -> bool:
        """Whether there is a ledger. Raises LedgerUnavailable and LedgerError."""

    def engine(self) -> Engine:
        """An engine with the durability of law 4: what is committed is on the disk. Raises LedgerError."""

    def holder(self) -> Holder:
        """The right to write it, not taken yet."""

    def prepare(self, connection: Connection) -> None:
        """In the transaction that makes or upgrades the ledger, before its first statement."""

    def tables(self, connection: Connection) -> set[str]:
        """The names of the tables that are there, a ledger's or others."""

    def columns(self, connection: Connection, table: str) -> set[str]:
        """The columns of one of them."""

    def settle(self, connection: Connection) -> None:
        """After rows were put in with numbers of their own: new ones are to be counted on from there."""

    def reads(self, engine: Engine) -> Connection:
        """A connection whose transaction has one consistent view."""


def place_of(location: str) -> FilePlace | ServerPlace:
    """The place that `ledger:` names. Raises ConfigError."""
    scheme, separator, _rest = location.partition("://")
    if not separator or scheme == "sqlite":
        return FilePlace.of(location)
    if scheme in SCHEMES:
        return ServerPlace(location)
    raise ConfigError(
        f"ledger: {scheme} is not supported",
        hint="Write a file's path (ledger: engram-bridge.db), or ledger: postgresql://user@host/database.",
    )


def ledger_exists(location: str) -> bool:
    """Whether there is a ledger at this place. Raises ConfigError, LedgerUnavailable and LedgerError."""
    return place_of(location).exists()
