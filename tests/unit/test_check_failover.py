"""What `check` says about several hosts, and about slots that standbys keep a copy of."""

from __future__ import annotations

import pytest

from bridge.check_failover import failover_findings
from bridge.facts import Facts, FailoverFacts, ServerFacts


@pytest.mark.parametrize(
    ("version", "failover", "codes"),
    [
        (180000, FailoverFacts(), []),
        (180000, FailoverFacts(hosts=2), ["source.hosts"]),
        (180000, FailoverFacts(hosts=2, session_attributes="read-write"), []),
        (160000, FailoverFacts(wanted=True), ["source.failover"]),
        (180000, FailoverFacts(wanted=True), ["source.failover_behind", "source.failover_standby"]),
        (180000, FailoverFacts(wanted=True, standby_slots="one"), ["source.failover_standby"]),
    ],
)
def test_findings(version: int, failover: FailoverFacts, codes: list[str]) -> None:
    """Each has what is wrong and what to do; an address of one host without failover has none."""
    found = failover_findings(Facts("s", "p", server=ServerFacts(version, "shop"), failover=failover))
    assert [one.code for one in found] == codes
    assert all(one.what and one.remedy for one in found)
