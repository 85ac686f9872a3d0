"""What a restart forgets, and what it remembers wrongly."""

from __future__ import annotations

from pathlib import Path

from tests.contract.target import Target, direction, fresh


def test_a_restart_reverts_updates_and_undoes_forgetting(restartable: Target) -> None:
    """Only what the first run wrote into a space is ever there again, in its first version, forgotten rows included."""
    space = fresh("amnesia")
    vectors = [direction() for _ in range(4)]
    for name, vector in zip(("k1", "k2", "k3"), vectors, strict=False):
        restartable.remember(space, name, f"{name} v1", vector)
    restartable.remember(space, "k1", "k1 v2", direction())
    restartable.forget(space, "k2")
    restartable.forget(space, "k3")
    restartable.remember(space, "k3", "k3 v2", vectors[3])
    assert [restartable.content(space, name) for name in ("k1", "k2", "k3")] == ["k1 v2", None, "k3 v2"]
    restartable.restart()
    assert [restartable.content(space, name) for name in ("k1", "k2", "k3")] == ["k1 v1", "k2 v1", "k3 v1"]
    restartable.forget(space, "k1")
    restartable.remember(space, "k1", "k1 v3", direction())
    restartable.remember(space, "k4", "k4 v1", direction())
    assert restartable.content(space, "k1") == "k1 v3"
    restartable.restart()
    assert restartable.content(space, "k1") == "k1 v1"
    assert restartable.content(space, "k4") is None


def test_recall_by_vector_is_empty_after_a_restart_and_search_is_not(restartable: Target) -> None:
    """A replayed row is found by text but by no vector; storing it again does not help, Forget and Remember does."""
    space = fresh("recall")
    vector = direction()
    restartable.remember(space, "r", "a walrus in the rain", vector)
    restartable.restart()
    assert restartable.content(space, "r") == "a walrus in the rain"
    assert restartable.recall(space, vector) == {}
    assert restartable.search(space, "walrus")["r"] == 1.0
    assert restartable.search(space, "r")["r"] == 1.0
    restartable.remember(space, "r", "a walrus in the rain", vector)
    assert restartable.recall(space, vector) == {}
    restartable.forget(space, "r")
    restartable.remember(space, "r", "a walrus in the rain", vector)
    for _ in range(100):
        if restartable.recall(space, vector):
            break
    assert "r" in restartable.recall(space, vector)


def test_a_restart_shows_in_when_spaces_were_made(restartable: Target) -> None:
    """Every space has a new created_at after a restart, and all but `default` are loaded when they are touched."""
    space = fresh("lazy")
    restartable.remember(space, "x", "row", direction())
    before = _created(restartable)
    restartable.restart()
    after = _created(restartable)
    assert after["default"] != before["default"]
    assert space not in after
    assert restartable.content(space, "x") == "row"
    assert _created(restartable)[space] != before[space]


def test_a_run_that_wrote_nothing_does_not_count(restartable: Target) -> None:
    """The first run that writes into a space is the one whose writes survive."""
    space = fresh("second")
    restartable.read(space, "x")
    restartable.restart()
    restartable.remember(space, "x", "row", direction())
    restartable.restart()
    assert restartable.content(space, "x") == "row"


def test_a_kill_loses_the_tail_of_the_log_and_no_more(sandbox: Target, tmp_path: Path) -> None:
    """After kill -9 the first run's rows are there but for those of the last moments."""
    victim = Target(tmp_path)
    try:
        assert victim.sandbox is not None
        for n in range(300):
            victim.remember("killed", f"k{n:03}", "row", direction())
        victim.sandbox.kill()
        victim.sandbox.start()
        victim._connect()
        victim.read("killed", "k000")
        there = sorted(victim.listed("killed"))
        assert there == [f"k{n:03}" for n in range(len(there))]
        assert len(there) > 150
    finally:
        victim.close()


def _created(engram: Target) -> dict[str, str]:
    return {entry["id"]: entry["created_at"] for entry in engram.client.get("/api/v1/spaces").json()["spaces"]}
