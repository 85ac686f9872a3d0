"""What the server is asked for by version, and law 4's checks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.errors import ConfigError, SlotLost, SourceChanged
from cdc.slot import LedgerFacts, SlotInfo, SystemIdentity, server_options, slot_options, start_statement, verify

LEDGER = LedgerFacts("7000000000000000001", 1, "shop", "bridge", 1000)
IDENTITY = SystemIdentity("7000000000000000001", 1, "shop", 1000)
SLOT = SlotInfo("bridge", "pgoutput", "shop", False, None, 900, 1000, "reserved", None, None, None)


@pytest.mark.parametrize("major", [12, 13, 14, 15, 16, 17, 18])
def test_options_fit_the_version(major: int) -> None:
    """Protocol 1 everywhere, messages from 14, and never streaming, whatever the version offers (law 2)."""
    options = server_options(major * 10000 + 3, "bridge")
    expected = {"proto_version": "1", "publication_names": '"bridge"'}
    assert options == (expected | {"messages": "true"} if major >= 14 else expected)


@pytest.mark.parametrize(
    ("version", "failover", "options"),
    [
        (120000, False, "NOEXPORT_SNAPSHOT"),
        (150000, False, "(SNAPSHOT 'nothing')"),
        (180000, False, "(SNAPSHOT 'nothing')"),
        (170000, True, "(SNAPSHOT 'nothing', FAILOVER true)"),
    ],
)
def test_a_slot_is_made_as_the_version_has_it(version: int, failover: bool, options: str) -> None:
    """Never with a snapshot, which would hold back vacuum; with FAILOVER where that is wanted."""
    assert slot_options(version, failover=failover) == options


def test_failover_is_refused_where_there_is_none() -> None:
    """A slot that is silently made without it would be missed when it is needed."""
    with pytest.raises(ConfigError, match="PostgreSQL 16 has no slots with FAILOVER"):
        slot_options(160000, failover=True)


def test_names_are_quoted() -> None:
    """A publication or slot with quotes in its name cannot break out of the statement."""
    statement = start_statement('s"lot', 0x16B374D848, server_options(120000, 'it\'s "mine"'))
    assert statement.as_string(None) == (
        'START_REPLICATION SLOT "s""lot" LOGICAL 16/B374D848 ("proto_version" \'1\', "publication_names" \'"it\'\'s ""mine"""\')'
    )


@pytest.mark.parametrize("confirmed", [None, 0, 999, 1000])
def test_the_ledgers_own_source_passes(confirmed: int | None) -> None:
    """The same system, timeline, database and slot, not ahead of the ledger, is streamed from."""
    verify(LEDGER, replace(SLOT, confirmed_flush_lsn=confirmed), IDENTITY)


@pytest.mark.parametrize(
    ("slot", "identity", "error", "says"),
    [
        (SLOT, replace(IDENTITY, system_identifier="7"), SourceChanged, "another system"),
        (SLOT, replace(IDENTITY, timeline=2), SourceChanged, "timeline 2"),
        (SLOT, replace(IDENTITY, database="other"), SourceChanged, "'other'"),
        (SLOT, replace(IDENTITY, flushed=999), SourceChanged, "its WAL ends at 0/3E7, and the ledger has confirmed 0/3E8"),
        (None, IDENTITY, SlotLost, "not there"),
        (replace(SLOT, plugin="wal2json"), IDENTITY, SourceChanged, "wal2json"),
        (replace(SLOT, database="other"), IDENTITY, SourceChanged, "'other'"),
        (replace(SLOT, confirmed_flush_lsn=1001), IDENTITY, SourceChanged, "moved on to 0/3E9"),
        (replace(SLOT, wal_status="lost"), IDENTITY, SlotLost, "wal_removed"),
        (replace(SLOT, restart_lsn=None), IDENTITY, SlotLost, "wal_removed"),
        (replace(SLOT, invalidation_reason="idle_timeout"), IDENTITY, SlotLost, "idle_timeout"),
    ],
)
def test_another_source_is_refused_with_a_remedy(
    slot: SlotInfo | None, identity: SystemIdentity, error: type[SourceChanged | SlotLost], says: str
) -> None:
    """Law 4: each way in which the source is not the ledger's any more stops the run, and says what to do."""
    with pytest.raises(error, match=says) as refused:
        verify(LEDGER, slot, identity)
    assert "engram-bridge resync --new-slot" in refused.value.hint
    moved = "another system" in str(refused.value) or "this is the database" in str(refused.value)
    assert ("--new-source" in refused.value.hint) == moved  # where the data may be another, that has to be said


def test_a_slot_that_is_about_to_be_lost_is_still_read() -> None:
    """`unreserved` and `extended` can still be streamed from: only what is lost is lost."""
    for status in ("reserved", "extended", "unreserved"):
        verify(LEDGER, replace(SLOT, wal_status=status), IDENTITY)
