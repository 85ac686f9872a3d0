"""A database with a slot of a plugin, streams of it, and what is asked of their events."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg

from bridge.changes import Begin, Commit, Event, RowChange, Truncated
from bridge.errors import SourceUnavailable
from bridge.lsn import Lsn, make_version, parse_lsn
from bridge.postgres import connect
from cdc import slot as slots
from cdc.source import StreamSource

SCHEMA = """
create table item (id int primary key, name text, body text);
create table noted (id int primary key, name text, body text);
alter table noted replica identity full;
create table event (id int, day date, name text, primary key (id, day)) partition by range (day);
create table event_2024 partition of event for values from ('2024-01-01') to ('2025-01-01');
create table quiet (id int);
alter table item alter body set storage external;
alter table noted alter body set storage external;
"""


CARRIED = [("public", "item"), ("public", "noted"), ("public", "event")]


@dataclass
class Stage:
    """A database with a publication and a slot, a connection to write with, and streams that are closed at the end."""

    url: str
    slot: str
    writer: psycopg.Connection
    point: Lsn
    plugin: str
    open_streams: list[StreamSource] = field(default_factory=list)

    def stream(self, start: Lsn = 0, **options: float) -> StreamSource:
        """A new stream of the slot."""
        source = StreamSource(self.url, self.slot, "bridge", plugin=self.plugin, start=start, **options)  # type: ignore[arg-type]
        self.open_streams.append(source)
        return source

    def flush_lsn(self) -> Lsn:
        """What has been written until now."""
        row = self.writer.execute("select pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        return parse_lsn(row[0])

    def close(self) -> None:
        """End all streams, broken or not."""
        for source in self.open_streams:
            with contextlib.suppress(SourceUnavailable):
                source.close()
        self.writer.close()


class Proxy:
    """A TCP proxy that, once `deaf`, takes bytes and passes none on, and keeps its connections open."""

    def __init__(self, host: str, port: int) -> None:
        self.deaf = threading.Event()
        self._upstream = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _address = self._listener.accept()
                outer = socket.create_connection(self._upstream)
                self._sockets += [inner, outer]
                for here, there in ((inner, outer), (outer, inner)):
                    threading.Thread(target=self._pass, args=(here, there), daemon=True).start()

    def _pass(self, here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(65536):
                if not self.deaf.is_set():
                    there.sendall(data)

    def close(self) -> None:
        """End all connections."""
        for each in self._sockets:
            each.close()


def prepare(url: str, slot: str, plugin: str = "pgoutput") -> Stage:
    """Tables, publication, slot."""
    writer = psycopg.connect(url, autocommit=True)
    for statement in SCHEMA.strip().split(";"):
        if statement.strip():
            writer.execute(statement.encode())
    slots.ensure_publication(writer, "bridge", CARRIED, server_version=writer.info.server_version)
    with contextlib.closing(connect(url, replication=True)) as walsender:
        point = slots.create_slot(walsender, slot, plugin)
    return Stage(url, slot, writer, point, plugin)


def read_until(source: StreamSource, done: Callable[[Sequence[Event]], bool], seconds: float = 20) -> list[Event]:
    """The events until `done`."""
    events: list[Event] = []
    deadline = time.monotonic() + seconds
    while not done(events):
        assert time.monotonic() < deadline, "the stream did not bring what was waited for"
        events += source.read(0.2)
    return events


def commits(count: int) -> Callable[[Sequence[Event]], bool]:
    """Done after so many commits of transactions that changed something: wal2json sends those that did not, too."""

    def done(events: Sequence[Event]) -> bool:
        found, changed = 0, False
        for event in events:
            changed = changed or isinstance(event, RowChange | Truncated)
            if isinstance(event, Commit):
                found, changed = found + changed, False
        return found >= count

    return done


def changes(events: Sequence[Event]) -> list[RowChange]:
    """The row changes among the events."""
    return [event for event in events if isinstance(event, RowChange)]


def versions(events: Sequence[Event]) -> list[tuple[str, str, object]]:
    """Version, kind and new row of every change."""
    found: list[tuple[str, str, object]] = []
    begin: Begin | None = None
    for event in events:
        if isinstance(event, Begin):
            begin = event
        elif isinstance(event, RowChange):
            assert begin is not None
            found.append((make_version(1, begin.commit_lsn, event.ordinal), event.kind, event.new))
    return found
