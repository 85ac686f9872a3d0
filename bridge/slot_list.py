"""Every logical slot of the database: whose it is, who reads it, what it keeps, and which one is this ledger's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bridge.config import Config
from bridge.lsn import format_lsn
from bridge.postgres import connect, flush_position
from cdc import slot as slots


@dataclass(frozen=True, slots=True)
class ListedSlot:
    """A slot. Bytes and seconds; None where the server does not say. `idle_seconds`: since when nobody reads it (from 17 on)."""

    name: str
    plugin: str | None
    ours: bool
    holder: str | None
    active: bool
    retained_wal_bytes: int | None
    safe_wal_bytes: int | None
    wal_status: str | None
    lost: str | None
    idle_seconds: float | None
    failover: bool
    confirmed: str | None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def listed(config: Config, ours: str | None) -> list[ListedSlot]:
    """The logical slots of the source's database, by name; `ours` is the ledger's. Raises SourceUnavailable."""
    with connect(config.source.url, application_name="engram-bridge slots") as connection:
        flush = flush_position(connection)
        return [_listed(found, flush, ours) for found in slots.logical_slots(connection)]


def _listed(found: slots.SlotInfo, flush: int, ours: str | None) -> ListedSlot:
    return ListedSlot(
        name=found.name,
        plugin=found.plugin,
        ours=found.name == ours,
        holder=str(found.holder) if found.holder is not None else None,
        active=found.active,
        retained_wal_bytes=max(flush - found.restart_lsn, 0) if found.restart_lsn else None,
        safe_wal_bytes=found.safe_wal_size,
        wal_status=found.wal_status,
        lost=found.lost,
        idle_seconds=found.idle_seconds,
        failover=found.failover,
        confirmed=format_lsn(found.confirmed_flush_lsn) if found.confirmed_flush_lsn is not None else None,
    )
