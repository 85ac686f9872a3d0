"""What `check` says of a server: its endpoint, its WAL, its clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.check_server import server_findings
from bridge.facts import (
    EndpointFacts,
    Facts,
    OtherRelations,
    WalFacts,
)
from tests.unit.good_facts import SERVER, facts_with

ENDPOINT = EndpointFacts(host="db.example", address="203.0.113.9", encrypted=True, verified=True)


WAL = WalFacts(keep_limit=10**12, rate=1_000_000.0)


def test_nothing_is_said_against_a_good_server() -> None:
    """Reached directly, encrypted and verified, with a clock and limits that serve."""
    facts = facts_with(endpoint=ENDPOINT, wal=WAL, others=OtherRelations())
    assert [finding.code for finding in server_findings(facts)] == ["storage.estimate"]
    for host in ("localhost", "127.0.0.1", "::1", ""):
        assert not list(server_findings(Facts("s", "p", endpoint=EndpointFacts(host=host, address=host))))


SERVER_RULES = [
    (replace(ENDPOINT, servers=2, probed=5), "source.balanced", "error", "5 connections reached 2 different"),
    (replace(ENDPOINT, pooled=True, moving=True), "source.pooler", "error", "transaction mode"),
    (replace(ENDPOINT, pooled=True), "source.pooler", "warning", "a pooler is in between"),
    (replace(ENDPOINT, walsender="no entry"), "source.walsender", "error", "is refused: no entry"),
    (replace(ENDPOINT, clock_offset=-4.0, clock_error=0.1), "source.clock", "warning", "4.0 s behind"),
    (replace(ENDPOINT, clock_offset=4.0, clock_error=0.1), "source.clock", "warning", "4.0 s ahead of"),
    (replace(ENDPOINT, encrypted=False), "source.plain", "warning", "not encrypted"),
    (replace(ENDPOINT, verified=False), "source.unverified", "info", "nothing proves"),
    (replace(WAL, keep_limit=None), "source.wal_unlimited", "warning", "without limit"),
    (replace(WAL, keep_limit=10**9), "source.wal_small", "warning", "behind by 17 min"),
    (replace(WAL, idle_timeout=7200), "source.idle_timeout", "warning", "away for 2.0 h"),
    (replace(WAL, sender_timeout=2.0), "source.sender_timeout", "warning", "is 2 s"),
]


@pytest.mark.parametrize(("given", "code", "level", "said"), SERVER_RULES, ids=[rule[1] + "-" + rule[2] for rule in SERVER_RULES])
def test_what_is_said_of_the_server(given: EndpointFacts | WalFacts, code: str, level: str, said: str) -> None:
    """Each flaw alone: its code, its level, what it is, and a remedy."""
    facts = facts_with(endpoint=given) if isinstance(given, EndpointFacts) else facts_with(wal=given)
    (finding,) = (one for one in server_findings(facts) if one.code != "storage.estimate")
    assert (finding.code, finding.level) == (code, level)
    assert said in finding.what
    assert finding.remedy


def test_a_clock_is_judged_only_beyond_what_is_certain() -> None:
    """A slow round trip says little about the clock; before 13 there was no limit to set; a standby writes no WAL of its own."""
    assert not list(server_findings(Facts("s", "p", endpoint=replace(ENDPOINT, clock_offset=4.0, clock_error=3.5))))
    for facts in (facts_with(wal=WalFacts(can_limit=False)), facts_with(wal=WalFacts(), server=replace(SERVER, standby=True))):
        assert [finding.code for finding in server_findings(facts)] == ["storage.estimate"]
