"""The wire: a logical replication stream over libpq, without psycopg2.

After START_REPLICATION the connection carries COPY messages both ways (PostgreSQL's manual, "Streaming Replication Protocol"):
`w` is data with 24 bytes of positions before it, `k` a keepalive that may ask for a reply, and `r`, ours, tells the server what
we have received and what it may let go. Two rules come from experience:

- The server ends a stream from which it hears nothing for `wal_sender_timeout`. So a status goes out in time whatever the
  consumer does: `tend` sends it without reading, because reading on while the queue is full would only fill memory.
- What is reported as flushed is gone for good. Only `confirm` moves it, and never back.

One thread uses a reader; `received` and `last_byte_at` may be read from others.
"""

from __future__ import annotations

import logging
import re
import select
import time
from struct import Struct
from typing import Final, TypeAlias

import psycopg
from psycopg import pq

from bridge.errors import RENEW, BridgeError, ConfigError, ProtocolError, SlotLost, SourceUnavailable
from bridge.lsn import Lsn
from bridge.postgres import connect, send_as_it_is, translate, translated
from cdc.slot import NEW_SLOT, PLUGIN, inspect_slot, server_options, start_statement

logger = logging.getLogger(__name__)

Raw: TypeAlias = "tuple[Lsn, Lsn, bytes | None]"
"""Start, end, payload of one message of the plugin; a keepalive has no payload and one position twice."""

BATCH: Final = 500
_DATA, _KEEPALIVE = b"wk"
_DATA_HEAD: Final = Struct(">xQQ").unpack_from
_DATA_SIZE: Final = 25
_KEEPALIVE_BODY: Final = Struct(">xQqB")
_STATUS: Final = Struct(">cQQQqB")
_EPOCH_2000: Final = 946_684_800
_CLOSING: Final = 2.0
"""Seconds that `close` waits for the server's last word."""

PATIENCE: Final = 300.0
"""Seconds of silence, of which the server was asked for a sign for half, after which a connection counts as dead.

A dead peer is found sooner, by the kernel (`tcp_user_timeout`). This is for what answers in its place: a proxy or a firewall that
takes our bytes and passes nothing on. A server that decodes a huge transaction of other tables can be silent for long as well.
"""

_LOST: Final = re.compile(
    r"can no longer (get changes from|access) replication slot|requested WAL segment .* has already been removed"
    r"|cannot read from logical replication slot|replication slot .* (does not exist|has been invalidated|was invalidated)"
)


class WalReader:
    """An open stream of a slot from `start` on (an end position; the slot's own confirmed one if that is higher).

    `status_interval`: seconds after which the server hears from us at the latest; shortened where its `wal_sender_timeout`
    demands it. Raises SourceUnavailable (also while another session uses the slot: it is named), SlotLost, ConfigError.
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
        application_name: str = "engram-bridge",
        patience: float = PATIENCE,
    ) -> None:
        self.slot = slot
        self.received: Lsn = start
        self.confirmed: Lsn = start
        self._url = url
        self._patience = patience
        self._pinged_at: float | None = None
        self._connection = connect(url, application_name=application_name, replication=True)
        try:
            self._interval = self._fit(status_interval)
            version = server_version or self._connection.info.server_version
            self._start(start, server_options(version, publication, plugin))
        except BaseException:
            self._connection.close()
            raise
        self._pgconn = self._connection.pgconn
        self.last_byte_at = time.monotonic()
        self._sent_at = 0.0
        self._reported: Lsn = 0
        self._asked = True
        self._unflushed = False
        self._over = False

    def read(self, timeout: float, limit: int = BATCH) -> list[Raw]:
        """The messages that are there, at most `limit`, in order; none after `timeout` seconds of silence.

        Raises SourceUnavailable when the stream ends or breaks, SlotLost when the slot cannot go on, ProtocolError.
        """
        deadline = time.monotonic() + timeout
        while True:
            with translated():
                messages = self._drain(limit)
                now = time.monotonic()
                if not self._over:  # else nobody listens, and the server's last word would not be heard
                    self._report(now, at_least=self._interval)
                if messages:
                    self.last_byte_at, self._pinged_at = now, None
                    return messages
                if self._over:
                    continue
                self._require_life(now)
                if now >= deadline:
                    return []
                self._wait(min(deadline, self._sent_at + self._interval) - now)

    def _require_life(self, now: float) -> None:
        """Ask a silent server for a sign of life; one that gives none is not there. Raises SourceUnavailable."""
        if self._pinged_at is None:
            if now - self.last_byte_at > self._patience / 2:
                self._pinged_at = now
                self._send_status(now, wants_reply=True)
        elif now - self._pinged_at > self._patience / 2:
            raise SourceUnavailable(
                f"PostgreSQL has sent nothing for {now - self.last_byte_at:.0f} s, not even when asked to",
                hint="Something between here and PostgreSQL holds the connection open. A new one is made.",
            )

    def confirm(self, lsn: Lsn) -> None:
        """Everything up to this end position is durable: the next status, within a second of reading or tending, lets it go."""
        self.confirmed = max(self.confirmed, lsn)

    def tend(self) -> None:
        """Let the server hear from us without reading on: called, at least every second, while the consumer is busy.

        Nothing is taken off the wire, so a request for a reply is answered before it is seen. Raises SourceUnavailable.
        """
        with translated():
            self._report(time.monotonic(), at_least=min(self._interval, 1.0))

    def close(self) -> None:
        """Tell the last confirmed position, end the stream and the connection. Raises SourceUnavailable if it was broken."""
        try:
            if not self._connection.closed:
                with translated():
                    self._send_status(time.monotonic())
                    self._pgconn.put_copy_end()
                    self._discard(time.monotonic() + _CLOSING)
        finally:
            self._connection.close()

    def abandon(self) -> None:
        """End the connection without a word: nothing is told to a slot that is not ours."""
        self._connection.close()

    # opening

    def _fit(self, interval: float) -> float:
        with translated():
            row = self._connection.execute("SHOW wal_sender_timeout").fetchone()
        seconds = _seconds(str(row[0])) if row else 0.0
        return min(interval, seconds / 3) if seconds else interval

    def _start(self, start: Lsn, options: dict[str, str]) -> None:
        statement = start_statement(self.slot, start, options).as_bytes(self._connection)
        with translated():
            send_as_it_is(self._connection.pgconn)
            result = self._connection.pgconn.exec_(statement)
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise self._failure(psycopg.errors.error_from_result(result))

    # reading

    def _drain(self, limit: int) -> list[Raw]:
        """What libpq and the socket have now, without waiting."""
        if self._over:
            raise self._ended()
        messages: list[Raw] = []
        get, received, looked = self._pgconn.get_copy_data, self.received, False
        while len(messages) < limit:
            size, data = get(1)
            if size > 0:
                looked = False
                if data[0] == _DATA and size >= _DATA_SIZE:
                    start, end = _DATA_HEAD(data)
                    messages.append((start, end, bytes(data[_DATA_SIZE:])))
                else:
                    start = end = self._keepalive(data)
                    messages.append((start, end, None))
                if end > received:
                    received = end
            elif size < 0:
                self._over = True
                break
            elif looked:
                break
            else:
                self._pgconn.consume_input()
                looked = True
        self.received = received
        return messages

    def _keepalive(self, data: memoryview) -> Lsn:
        if data[0] != _KEEPALIVE or len(data) != _KEEPALIVE_BODY.size:
            raise ProtocolError(f"a message of the walsender is of no known kind ({len(data)} bytes)")
        end: Lsn
        end, _clock, reply = _KEEPALIVE_BODY.unpack_from(data)
        self._asked = self._asked or bool(reply)
        return end

    def _wait(self, seconds: float) -> None:
        poll = select.poll()  # select() takes no descriptors above 1023
        poll.register(self._pgconn.socket, select.POLLIN | (select.POLLOUT if self._unflushed else 0))
        if any(mask & select.POLLOUT for _, mask in poll.poll(max(seconds, 0.0) * 1000)):
            self._unflushed = self._pgconn.flush() == 1

    def _ended(self) -> BridgeError:
        result = self._pgconn.get_result()
        while result is not None:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                return self._failure(psycopg.errors.error_from_result(result))
            if result.status == pq.ExecStatus.COPY_IN:
                self._pgconn.put_copy_end()
            result = self._pgconn.get_result()
        return SourceUnavailable("PostgreSQL ended the stream", hint="It is probably being stopped or restarted.")

    def _discard(self, deadline: float) -> None:
        """Read to the end, so that the server takes the stream for finished and not for broken off."""
        self._unflushed = self._pgconn.flush() == 1
        while (now := time.monotonic()) < deadline:
            size, _ = self._pgconn.get_copy_data(1)
            if size < 0:
                return
            if size == 0:
                self._wait(deadline - now)
                self._pgconn.consume_input()

    # reporting

    def _report(self, now: float, *, at_least: float) -> None:
        """Send a status when the server asked, when it is time, or a second after something new was confirmed."""
        since = now - self._sent_at
        if self._asked or since >= at_least or (self.confirmed > self._reported and since >= 1.0):
            self._send_status(now)

    def _send_status(self, now: float, *, wants_reply: bool = False) -> None:
        written = max(self.received, self.confirmed)
        micros = int((time.time() - _EPOCH_2000) * 1e6)
        status = _STATUS.pack(b"r", written, self.confirmed, self.confirmed, micros, int(wants_reply))
        if self._pgconn.put_copy_data(status) == 1:
            self._sent_at, self._reported, self._asked = now, self.confirmed, False
        self._unflushed = self._pgconn.flush() == 1

    # failing

    def _failure(self, error: psycopg.Error) -> BridgeError:
        message = error.diag.message_primary or ""
        if error.sqlstate == "55006":
            return SourceUnavailable(
                f"the slot {self.slot!r} is used by {self._holder() or message}",
                hint="Stop the other reader. A session left by a run that was killed goes within wal_sender_timeout.",
            )
        if _LOST.search(message):
            return SlotLost(
                f"the replication slot {self.slot!r} cannot go on: {message}",
                hint=NEW_SLOT,
            )
        if message.startswith("publication ") and error.sqlstate == "42704":
            return ConfigError(f"{message}, or did not when a change was made", hint=f"Make the publication again. Or: {RENEW}")
        return translate(error)

    def _holder(self) -> str | None:
        try:
            with connect(self._url, application_name="engram-bridge setup") as connection:
                slot = inspect_slot(connection, self.slot)
        except BridgeError as error:
            logger.info("cannot look up who uses the slot: %s", error)
            return None
        return str(slot.holder) if slot is not None and slot.holder is not None else None


def _seconds(setting: str) -> float:
    """A duration as SHOW writes it (`1min`, `2500ms`, `0`), in seconds."""
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "": 1e-3}
    found = re.fullmatch(r"(\d+) ?([a-z]*)", setting)
    if found is None or found[2] not in units:
        raise ProtocolError(f"PostgreSQL shows a wal_sender_timeout that is no duration: {setting!r}")
    return int(found[1]) * units[found[2]]
