"""What is wrong is told in the order of its urgency, with since when, what to do, and a heading of the runbook that is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bridge.fullness import Fullness
from bridge.ledger.serving import Mismatch
from bridge.measured import HeartbeatFigures, TableReads, reads_of
from bridge.reconciled import Recent, ReconcileFigures
from bridge.status import Status, TableFigures
from bridge.trouble import SEVERITIES, Seen, Trouble, told, troubles
from bridge.under_way import UnderWay
from tests.unit.test_docs import ROOT, anchors

NOW = 10_000.0
SLOT = {
    "known": True,
    "exists": True,
    "active": True,
    "wal_status": "reserved",
    "seconds_to_loss": None,
    "warning": None,
}


def table(name: str = "public.users", **changes: Any) -> TableFigures:
    figures = TableFigures(name, "loaded", None, ["users"], 10, 1, 1, 10, 10, 10, 0, 0, searchable=True, search_rows=10)
    return replace(figures, **changes)


def status(**changes: Any) -> Status:
    healthy = Status(
        ledger="ledger.db",
        held_by="host, process 1",
        source={"slot": "s", "trouble": None, "wire_silence_seconds": 1.0},
        positions={},
        lag={"covered": NOW - 1},
        slot=dict(SLOT),
        target={"health": "repaired", "trouble": None, "starts_seen": 1},
        tables=[table()],
        phase="consistent",
    )
    return replace(healthy, **changes)


def reads(mode: str = "engram", **counts: int) -> dict[str, TableReads]:
    found = reads_of({name.replace("__", ":").replace("_", "-"): many for name, many in counts.items()})
    return {"public.users": TableReads("public.users", mode, 100, 1.0, {"5m": found})}


def seen(**changes: Any) -> Seen:
    beat = HeartbeatFigures(running=True, p99_ms=40.0, waiting_seconds=0.1, clock_offset_seconds=0.001)
    healthy = Seen(status(), beat, reads(served__engram=100), [], {}, {}, NOW - 1, now=NOW)
    return replace(healthy, **changes)


EVERYTHING: list[tuple[str, Seen]] = [
    ("bridge-down", seen(status=status(held_by=None))),
    ("bridge-silent", seen(heartbeat=HeartbeatFigures())),
    ("paused", seen(paused=True, since={"paused": 5.0})),
    ("source-unreachable", seen(source_error="PostgreSQL is not available")),
    ("source", seen(status=status(source={"slot": "s", "trouble": "gone"}), since={"source": 7.0})),
    ("wire-silence", seen(status=status(source={"slot": "s", "wire_silence_seconds": 61.0}))),
    ("slot-lost", seen(status=status(slot=SLOT | {"exists": False}))),
    ("slot-lost", seen(status=status(slot=SLOT | {"wal_status": "lost"}))),
    ("slot-loss", seen(status=status(slot=SLOT | {"wal_status": "unreserved"}))),
    ("slot-loss", seen(status=status(slot=SLOT | {"seconds_to_loss": 600.0}))),
    ("wal-kept", seen(status=status(slot=SLOT | {"warning": "half of it"}))),
    ("slot-inactive", seen(status=status(slot=SLOT | {"active": False}))),
    ("target-unreachable", seen(status=status(target={"health": "unreachable", "starts_seen": 1}), since={"unreachable": 3.0})),
    ("target", seen(status=status(target={"health": "repaired", "trouble": "503", "starts_seen": 1}))),
    ("target-epoch", seen(status=status(target={"health": "being compared", "starts_seen": 2}), target_epoch_seen=9.0)),
    ("table-stopped", seen(status=status(tables=[table(state="stopped", reason="gone", remedy="resync")]))),
    ("parked", seen(status=status(tables=[table(parked=2)]), parked={"public.users": 4.0})),
    ("capacity", seen(status=status(crowded=[Fullness("public.users", 1, 90, 3, "users", 90, 100, 2)]))),
    ("refused", seen(status=status(under_way=[UnderWay("public.users", "refused", "reshard was refused: why")]))),
    ("mismatch", seen(mismatches=[Mismatch("public.users", "1", ("name",), 8.0, 9.0, 1)])),
    ("proxy-errors", seen(reads=reads(served__engram=10, error__503=2))),
    ("fallback", seen(reads=reads(served__engram=10, served__postgres=40, reason__stale=40))),
    ("validation", seen(unclean=6.0)),
    ("heartbeat", seen(heartbeat=HeartbeatFigures(running=True, p99_ms=9000.0, waiting_seconds=0.0), since={"late": 2.0})),
    ("heartbeat", seen(heartbeat=HeartbeatFigures(running=True, p99_ms=9.0, waiting_seconds=30.0))),
    ("heartbeat-off", seen(heartbeat=HeartbeatFigures(running=True, refused="permission denied"))),
    ("unmended", seen(reconciliation=ReconcileFigures(open={"public.users": 2}, open_since=3.0))),
    (
        "damage-repeats",
        seen(reconciliation=ReconcileFigures(recent=[Recent("public.users", "missing", "the target was full", 3, 3)])),
    ),
    ("clock", seen(heartbeat=HeartbeatFigures(running=True, clock_offset_seconds=-90.0))),
]


def test_nothing_is_wrong_with_what_is_healthy() -> None:
    """A list that is never empty is read by nobody. What the operator wishes is no fallback."""
    assert troubles(seen()) == []
    wished = reads("postgres", served__postgres=500, reason__mode=500)
    assert troubles(seen(reads=wished)) == []
    shared = reads(served__engram=100, served__postgres=900, reason__share=900)
    assert troubles(seen(reads=shared)) == []


def test_each_trouble_is_told_with_a_remedy_and_a_heading_that_exists() -> None:
    """By itself each makes one line, no more."""
    headings = anchors(ROOT / "docs" / "runbook.md")
    for name, what in EVERYTHING:
        found = troubles(what)
        assert [one.name for one in found] == [name], name
        assert found[0].do
        assert found[0].runbook in headings, f"{name}: the runbook has no {found[0].runbook}"
        assert found[0].what in told(found[0])


def test_the_most_urgent_comes_first_and_of_those_the_oldest() -> None:
    """A lost slot before rows that are set aside, those before a clock."""
    many = seen(
        status=status(
            slot=SLOT | {"exists": False},
            target={"health": "unreachable", "starts_seen": 1},
            tables=[table(parked=1), table("public.notes", parked=1)],
        ),
        heartbeat=HeartbeatFigures(running=True, refused="permission denied"),
        since={"unreachable": 50.0},
        parked={"public.users": 40.0, "public.notes": 30.0},
    )
    found: list[Trouble] = troubles(many)
    assert [one.name for one in found] == ["target-unreachable", "slot-lost", "parked", "parked", "heartbeat-off"]
    assert [one.table for one in found if one.name == "parked"] == ["public.notes", "public.users"]
    assert [SEVERITIES.index(one.severity) for one in found] == sorted(SEVERITIES.index(one.severity) for one in found)


def test_since_when_is_told_where_it_is_known() -> None:
    """Silence is reckoned back; what the bridge has seen begin is its word."""
    by_name = {name: troubles(what)[0] for name, what in EVERYTHING}
    assert by_name["wire-silence"].since == NOW - 61.0
    assert (by_name["source"].since, by_name["parked"].since, by_name["mismatch"].since) == (7.0, 4.0, 8.0)
    assert by_name["target-epoch"].since == 9.0
