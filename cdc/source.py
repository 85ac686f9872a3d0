"""The stream of changes: walsender, decoder and assembler put together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Self

import psycopg

from bridge.changes import Event
from bridge.errors import ConfigError
from bridge.lsn import Lsn, parse_lsn
from bridge.postgres import translated
from cdc.assembler import Assembler
from cdc.pgoutput import decode
from cdc.walsender import BATCH, WalReader

WAKE_UP = 0.5
"""Seconds after which iteration yields an empty batch, so that the consumer can look around."""

MESSAGES_FROM = 140000


class StreamSource:
    """One connection's stream of a slot, from the end position `start` on: events in commit order, at least once.

    After SourceUnavailable it is used up: a new one, started at what was confirmed, delivers what was not, whole transactions
    again from their beginning, with the same ordinals and therefore versions. Used by one thread, but for `received` and
    `silence`. Opening raises SourceUnavailable, SlotLost, ConfigError.
    """

    def __init__(
        self,
        url: str,
        slot: str,
        publication: str,
        *,
        start: Lsn = 0,
        server_version: int | None = None,
        status_interval: float = 5.0,
        batch: int = BATCH,
    ) -> None:
        self._reader = WalReader(
            url, slot, publication, start=start, server_version=server_version, status_interval=status_interval
        )
        self._assembler = Assembler()
        self._batch = batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[list[Event]]:
        """Batches for ever, empty ones when nothing came for half a second."""
        while True:
            yield self.read(WAKE_UP)

    def read(self, timeout: float) -> list[Event]:
        """The next events; none after `timeout` seconds, and sometimes none at once, when all that came makes no event.

        Raises SourceUnavailable when the stream breaks, SlotLost, and ProtocolError for what cannot be understood.
        """
        events: list[Event] = []
        append, assemble, keepalive = events.append, self._assembler.assemble, self._assembler.keepalive
        for _start, end, payload in self._reader.read(timeout, self._batch):
            event = keepalive(end) if payload is None else assemble(decode(payload))
            if event is not None:
                append(event)
        return events

    def confirm(self, lsn: Lsn) -> None:
        """Everything up to this end position is durable with us: the slot may let it go. Never moves back."""
        self._reader.confirm(lsn)

    def tend(self) -> None:
        """Let the server hear from us without reading on; at least once a second while there is no room for more."""
        self._reader.tend()

    def close(self) -> None:
        """Tell the server the confirmed position and end the stream. Raises SourceUnavailable when it was broken already."""
        self._reader.close()

    def abandon(self) -> None:
        """End without telling the slot anything."""
        self._reader.abandon()

    @property
    def received(self) -> Lsn:
        """The highest position read off the wire."""
        return self._reader.received

    @property
    def silence(self) -> float:
        """Seconds since something came."""
        return time.monotonic() - self._reader.last_byte_at


def emit_heartbeat(connection: psycopg.Connection, prefix: str, content: bytes) -> Lsn:
    """Write a message of our own into the WAL, outside of any transaction; answers its position. It comes back as Heartbeat.

    Raises ConfigError before PostgreSQL 14, where pgoutput does not send messages and the heartbeat needs a table.
    """
    if connection.info.server_version < MESSAGES_FROM:
        raise ConfigError("PostgreSQL sends no messages before version 14", hint="Name a table for the heartbeat.")
    with translated():
        row = connection.execute("select pg_logical_emit_message(false, %s::text, %s::bytea)::text", (prefix, content)).fetchone()
    assert row is not None
    return parse_lsn(row[0])
