"""The gates: what is not known is closed, what must stay good begins anew after a gap, and each closed one says what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gates import (
    COMMON,
    GAP,
    OWN,
    Gate,
    Inputs,
    Kept,
    TableInputs,
    Thresholds,
    Validated,
    closed,
    judge,
    keep,
    raises,
)
from bridge.reads import Mode, Route

NOW = 1_000_000.0
LABEL = "public.users"
THRESHOLDS = Thresholds(steady=300.0, max_round_age=3600.0)

GOOD_TABLE = TableInputs(
    label=LABEL,
    rows=5000,
    proven=5000,
    shadow=1000,
    target_p99=20.0,
    reads=5000,
    validated=Validated(7, NOW - 3600, clean=True, rows=5000, sampled=1000, epoch="e"),
)
GOOD = Inputs(
    now=NOW,
    running=True,
    lag_bytes=100,
    heartbeat_p99=0.2,
    wire_silence=0.4,
    slot_exists=True,
    slot_active=True,
    wal_status="reserved",
    epoch="e",
    epoch_seen=NOW - 301,
    repaired=True,
    reachable=True,
    tables=(GOOD_TABLE,),
    round_began=NOW - 3500,
)
STEADY = Kept(NOW - 5, {}, {"lag": NOW - 300, "heartbeat": NOW - 300})


def table(**changes: object) -> Inputs:
    """The good inputs with another table."""
    return replace(GOOD, tables=(replace(GOOD_TABLE, **changes),))  # type: ignore[arg-type]  # names are those of the test


def shut(inputs: Inputs, kept: Kept = STEADY) -> list[str]:
    """The names of the closed gates."""
    return [gate.name for gate in closed(judge(inputs, THRESHOLDS, kept), LABEL)]


def test_all_gates_are_open_when_all_is_well() -> None:
    """Every gate there is, in its order, and none closed."""
    gates = judge(GOOD, THRESHOLDS, STEADY)
    assert [gate.name for gate in gates] == [*COMMON, *OWN]
    assert closed(gates, LABEL) == []


BAD: dict[str, list[Inputs]] = {
    "lag": [replace(GOOD, lag_bytes=THRESHOLDS.max_lag_bytes + 1), replace(GOOD, lag_bytes=None)],
    "heartbeat": [replace(GOOD, heartbeat_p99=2.1), replace(GOOD, heartbeat_p99=None)],
    "wire": [replace(GOOD, wire_silence=61.0), replace(GOOD, wire_silence=None)],
    "slot": [
        replace(GOOD, seconds_to_loss=3600.0),
        replace(GOOD, slot_exists=None),
        replace(GOOD, slot_exists=False),
        replace(GOOD, slot_active=False),
        replace(GOOD, wal_status="lost"),
    ],
    "epoch": [
        replace(GOOD, repaired=False),
        replace(GOOD, reachable=False),
        replace(GOOD, epoch_seen=NOW - 10),
        replace(GOOD, epoch_seen=None),
    ],
    "round": [replace(GOOD, round_began=NOW - 3601), replace(GOOD, round_began=None), replace(GOOD, unmended=1)],
    "snapshot": [table(state="loading"), table(state="stopped"), table(passed=False), table(resync=True), table(state="new")],
    "parked": [table(parked=1)],
    "edges": [table(pending_edges=1)],
    "proof": [table(proven=4999)],
    "mismatches": [table(mismatches=1)],
    "validation": [
        table(validated=None),
        table(validated=replace(GOOD_TABLE.validated, ended=NOW - 86401)),  # type: ignore[type-var]  # it is one
        table(validated=replace(GOOD_TABLE.validated, clean=False)),  # type: ignore[type-var]
        table(validated=replace(GOOD_TABLE.validated, epoch="older")),  # type: ignore[type-var]
        table(validated=replace(GOOD_TABLE.validated, sampled=999)),  # type: ignore[type-var]
    ],
    "shadow": [table(shadow=999)],
    "target": [table(target_p99=101.0), table(target_p99=None), table(target_p99=float("inf"))],
    "errors": [table(failed=51)],
}


@pytest.mark.parametrize(("name", "inputs"), [(name, one) for name, many in BAD.items() for one in many])
def test_each_gate_closes_alone_and_says_what_to_do(name: str, inputs: Inputs) -> None:
    """What is bad, or not known, closes its own gate and no other."""
    gates = closed(judge(inputs, THRESHOLDS, STEADY), LABEL)
    assert [gate.name for gate in gates] == [name]
    assert gates[0].remedy


def test_every_gate_is_tried() -> None:
    """The cases above name each gate."""
    assert set(BAD) == {*COMMON, *OWN}


def test_a_round_is_asked_for_only_where_somebody_wants_one() -> None:
    """Without a bound in the configuration there is no such gate."""
    gates = judge(replace(GOOD, round_began=None, unmended=3), replace(THRESHOLDS, max_round_age=None), STEADY)
    assert "round" not in [gate.name for gate in gates]
    assert closed(gates, LABEL) == []


def test_without_a_running_bridge_nothing_stays_good() -> None:
    """Old figures do not hold the gates open."""
    assert {"lag", "heartbeat", "wire"} <= set(shut(replace(GOOD, running=False)))


def test_a_gap_in_which_nobody_measured_proves_nothing() -> None:
    """What must have stayed under its bound begins anew when nobody watched."""
    assert shut(GOOD, replace(STEADY, at=NOW - GAP - 1)) == ["lag", "heartbeat"]


def test_a_small_table_is_validated_whole() -> None:
    """Fewer rows than the sample: all of them are enough."""
    small = replace(GOOD_TABLE.validated, rows=10, sampled=10)  # type: ignore[type-var]  # it is one
    assert shut(table(validated=small)) == []


looks = st.lists(st.tuples(st.floats(0.1, 60), st.booleans()), min_size=1, max_size=60)


@given(looks)
def test_a_gate_that_must_stay_good_is_open_after_that_long_without_a_break(looks: list[tuple[float, bool]]) -> None:
    """By the law itself: open if and only if all looks of the last `steady` seconds were good and close together."""
    kept, now, good_since, before = Kept(), NOW, None, None
    for pause, good in looks:
        now += pause
        inputs = replace(GOOD, now=now, lag_bytes=0 if good else THRESHOLDS.max_lag_bytes + 1)
        gates = judge(inputs, THRESHOLDS, kept)
        kept = Kept.of(keep(gates, inputs, THRESHOLDS, kept).as_gauge())
        watched = before is not None and now - before <= GAP
        good_since = None if not good else good_since if good_since is not None and watched else now
        before = now
        lag = next(gate for gate in gates if gate.name == "lag")
        assert lag.open == (good_since is not None and now - good_since >= THRESHOLDS.steady)


@given(st.lists(st.booleans(), min_size=2, max_size=20))
def test_since_when_is_the_moment_of_the_last_change(states: list[bool]) -> None:
    """Across looks, and across processes, as the record goes through JSON in between."""
    kept, now, changed, last = Kept(), NOW, NOW, None
    for parked in states:
        now += 5
        changed = now if parked != last else changed
        last = parked
        inputs = replace(table(parked=int(parked)), now=now)
        gates = judge(inputs, THRESHOLDS, kept)
        kept = Kept.of(keep(gates, inputs, THRESHOLDS, kept).as_gauge())
        assert _named(gates, "parked").since == changed


def test_what_turned_while_nobody_measured_is_dated_by_the_last_look() -> None:
    """The bridge has died: what its last record calls open is closed since then, at the latest."""
    gates = judge(GOOD, THRESHOLDS, STEADY)
    record = keep(gates, GOOD, THRESHOLDS, STEADY)
    later = replace(GOOD, now=NOW + 3600, running=False)
    assert _named(judge(later, THRESHOLDS, record), "wire").since == NOW
    assert _named(judge(later, THRESHOLDS, Kept()), "wire").since == NOW + 3600


def _named(gates: list[Gate], name: str) -> Gate:
    return next(gate for gate in gates if gate.name == name)


@pytest.mark.parametrize(
    ("now", "wanted", "up"),
    [
        (Route(), Route(Mode.ENGRAM, 1), True),
        (Route(), Route(Mode.SHADOW, 100), False),
        (Route(Mode.ENGRAM, 5), Route(Mode.ENGRAM, 6), True),
        (Route(Mode.ENGRAM, 5), Route(Mode.ENGRAM, 5), False),
        (Route(Mode.ENGRAM, 50), Route(Mode.ENGRAM, 5), False),
        (Route(Mode.ENGRAM, 100), Route(Mode.ENGRAM_ONLY, 100), True),
        (Route(Mode.ENGRAM_ONLY, 100), Route(Mode.ENGRAM, 100), False),
        (Route(Mode.ENGRAM, 100), Route(), False),
    ],
)
def test_only_what_lets_engram_answer_more_needs_gates(now: Route, wanted: Route, up: bool) -> None:
    """Back and a smaller share are always free."""
    assert raises(now, wanted) is up
