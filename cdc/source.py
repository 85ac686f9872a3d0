"""The stream of changes: walsender, decoder and assembler put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, Self

import psycopg

from bridge.changes import Event
from bridge.errors import ConfigError
from bridge.lsn import Lsn, parse_lsn
from bridge.postgres import translated
from cdc import wal2json
from cdc.assembler import Assembler
from cdc.definitions import Definitions
from cdc.pgoutput import Begin, decode
from cdc.slot import PLUGIN, WAL2JSON
from cdc.wal2json_assembler import Wal2JsonAssembler
from cdc.walsender import BATCH, Raw, WalReader

WAKE_UP = 0.5
"""Seconds after which iteration yields an empty batch, so that the consumer can look around."""

MESSAGES_FROM = 140000

MANY = 2000
"""Names of tables that are remembered while wal2json sends their changes."""


class Interpreter(Protocol):
    """Makes events of what a plugin sends."""

    def events(self, raw: Sequence[Raw]) -> list[Event]:
        """The events of some messages, in their order. Raises ProtocolError."""

    def close(self) -> None:
        """Nothing more comes."""


class _PgOutput:
    def __init__(self) -> None:
        self._assembler = Assembler()

    def events(self, raw: Sequence[Raw]) -> list[Event]:
        events: list[Event] = []
        append, assemble, keepalive = events.append, self._assembler.assemble, self._assembler.keepalive
        for _start, end, payload in raw:
            event = keepalive(end) if payload is None else assemble(decode(payload))
            if event is not None:
                append(event)
        return events

    def close(self) -> None:
        pass


class _Wal2Json:
    """All of a batch is decoded before the first of it is assembled, so that the catalogue is asked once for all of it."""

    def __init__(self, url: str, tend: Callable[[], None]) -> None:
        self._decoder = wal2json.Decoder()
        self._assembler = Wal2JsonAssembler()
        self._definitions = Definitions(url, tend=tend)

    def events(self, raw: Sequence[Raw]) -> list[Event]:
        if len(self._definitions) > MANY:
            self._forget()
        decode, xid = self._decoder.decode, self._assembler.xid
        names, again, xids = set(), set(), {xid} if xid is not None else set()
        messages: list[tuple[Lsn, wal2json.Message | None]] = []
        for _start, end, payload in raw:
            message = None if payload is None else decode(payload)
            if isinstance(message, wal2json.Change):
                form = message.form
                names.add((form.schema, form.table))
                if form.bound is None:
                    again.add((form.schema, form.table))
            elif isinstance(message, Begin):
                xids.add(message.xid)
            elif isinstance(message, wal2json.Truncate):
                names.add((message.schema, message.table))
            messages.append((end, message))
        if names:
            self._assembler.define(self._definitions.of(names, xids, again=again))
        events: list[Event] = []
        append, assemble = events.append, self._assembler.assemble
        for end, message in messages:
            if message is not None:
                assemble(message, append)
            elif (keepalive := self._assembler.keepalive(end)) is not None:
                append(keepalive)
        return events

    def close(self) -> None:
        self._definitions.close()

    def _forget(self) -> None:
        """Begin anew with the tables, though not with the transaction: an application may make tables without end."""
        self._decoder = wal2json.Decoder()
        self._assembler.forget()
        self._definitions.clear()


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
        plugin: str = PLUGIN,
        start: Lsn = 0,
        server_version: int | None = None,
        status_interval: float = 5.0,
        batch: int = BATCH,
    ) -> None:
        self._reader = WalReader(
            url,
            slot,
            publication,
            plugin=plugin,
            start=start,
            server_version=server_version,
            status_interval=status_interval,
        )
        self._interpreter: Interpreter = _Wal2Json(url, self._reader.tend) if plugin == WAL2JSON else _PgOutput()
        self._batch = batch
        self._begins = start

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
        return self._interpreter.events(self._reader.read(timeout, self._batch))

    def confirm(self, lsn: Lsn) -> None:
        """Everything up to this end position is durable with us: the slot may let it go. Never moves back."""
        self._reader.confirm(lsn)

    def tend(self) -> None:
        """Let the server hear from us without reading on; at least once a second while there is no room for more."""
        self._reader.tend()

    def close(self) -> None:
        """Tell the server the confirmed position and end the stream. Raises SourceUnavailable when it was broken already."""
        self._interpreter.close()
        self._reader.close()

    def abandon(self) -> None:
        """End without telling the slot anything."""
        self._interpreter.close()
        self._reader.abandon()

    @property
    def begins(self) -> Lsn:
        """Where it begins."""
        return self._begins

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
