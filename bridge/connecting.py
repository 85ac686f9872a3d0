"""Opening the stream: law 4's checks on every connection, and the proof of history before anything is read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.config import Config
from bridge.continuity import ContinuedStream, KnownCommit
from bridge.ledger import Ledger
from bridge.lsn import Lsn, format_lsn
from bridge.postgres import connect
from bridge.wiring import SourceFacts, SourceSetup
from cdc.source import StreamSource

logger = logging.getLogger(__name__)

READ_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Connector:
    """Opens the stream of a ledger's slot."""

    config: Config
    ledger: Ledger
    source: SourceFacts
    tables: Sequence[tuple[str, str]]

    def open(self, start: Lsn) -> ContinuedStream:
        """The stream from where the slot stands; `start` is where the ledger does, which is never behind it.

        Raises SourceChanged, SlotLost, SourceUnavailable, ConfigError.
        """
        with connect(self.config.source.url, application_name="engram-bridge setup") as connection:
            setup = SourceSetup(self.config, self.ledger, connection, list(self.tables))
            begin = min(start, setup.verify().confirmed_flush_lsn or start)
            source, plugin = self.source, self.config.source.plugin
            stream = StreamSource(self.config.source.url, source.slot, source.publication, plugin=plugin, start=begin)
            try:
                held = setup.verify()  # again, now that we hold the slot: nobody can have made another one in between
                known = self._known(max(begin, held.confirmed_flush_lsn or begin), start)
            except BaseException:
                stream.abandon()
                raise
        return ContinuedStream(stream, known)

    def prove(self, start: Lsn) -> None:
        """See the ledger's last commit come again, if the slot is behind it: before that no row may be read either.

        Nothing is confirmed. Raises what `open` raises.
        """
        with connect(self.config.source.url, application_name="engram-bridge setup") as connection:
            slot = SourceSetup(self.config, self.ledger, connection, list(self.tables)).verify()
        if self._known(slot.confirmed_flush_lsn or start, start) is None:
            return
        logger.info("waiting for the last known commit to come again", extra={"lsn": format_lsn(start)})
        stream = self.open(start)
        try:
            while not stream.proven:
                stream.read(READ_SECONDS)
        finally:
            stream.close()

    def _known(self, begin: Lsn, start: Lsn) -> KnownCommit | None:
        """The last commit that has to come again, when the stream begins there."""
        found = self.ledger.last_commit(self.source.epoch, begin, start) if begin < start else None
        return KnownCommit(*found) if found is not None else None
