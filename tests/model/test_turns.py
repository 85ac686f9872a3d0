"""Whose turn it is in a lane: comparisons, the stream, and the rewriting of rows that a restart made recall forget."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.lane import Lane
from bridge.rewriting import REST_SECONDS, Rewriting
from bridge.works import Comparison
from tests.model.servers import Op
from tests.model.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Six rows, proven and recorded."""
    made = World(tmp_path)
    made.postgres.commit([Op("insert", key, "a") for key in range(1, 7)])
    made.postgres.visible = 1
    made.limit = made.shop.limit = 100
    made.settle()
    made.check()
    yield made
    made.ledger.close()


def busy_lane(world: World) -> Lane:
    """A lane with rows, after the target has restarted and the watch has seen it."""
    world.target.restart(3)
    world.look()
    return max(world.lanes, key=lambda lane: lane.live)


def known(world: World) -> int:
    """How many rows recall by embedding knows."""
    return world.ledger.search_progress()[world.record.number].known


def test_comparisons_of_restart_after_restart_do_not_pile_up(world: World) -> None:
    """One waits, however often the target has restarted before its turn."""
    for _ in range(5):
        lane = busy_lane(world)
    assert lane.waiting == 1


def test_a_comparison_that_has_had_its_turn_lets_the_stream_go_first(world: World) -> None:
    """The target restarts after each comparison: changes are applied all the same, in between."""
    lane = busy_lane(world)
    key = next(int(name.removeprefix("things_")) for name, space in world.target.home.items() if space == lane.space)
    lane.step()
    world.postgres.commit([Op("update", key, "new")])
    world.postgres.visible = len(world.postgres.wal)
    world.deliver(9)
    lane.put_job(Comparison(lane.space, "again"))
    lane.step()
    assert '"name":"new"' in world.target.memories[f"things_{key}"]
    lane.step()
    assert lane.waiting == 0


def test_rewriting_waits_for_everything_else_and_takes_its_share(world: World) -> None:
    """Nothing is rewritten while a work or a comparison waits; then it is, and rests in proportion to what it took."""
    lane = busy_lane(world)
    lane.rewriting = Rewriting(lane.space, world.shop.epoch, 0.2)
    lane.step()
    assert known(world) == 0, "the comparison comes first"
    world.put(next(int(n.removeprefix("things_")) for n, space in world.target.home.items() if space == lane.space), suspect=True)
    lane.step()
    assert known(world) == 0, "so does a work of the background"
    assert lane.due()
    lane.step()
    assert known(world) == lane.live
    lane.rewriting.took(1.0, 1, world.time)
    assert not lane.rewriting.due(world.time + 3.9)
    assert lane.rewriting.due(world.time + 4.1)


def test_a_space_is_through_when_nothing_is_left_behind(world: World) -> None:
    """Then it costs nothing any more, and the ledger knows it over a new start of the bridge."""
    lane = busy_lane(world)
    for each in world.lanes:
        each.rewriting = Rewriting(each.space, world.shop.epoch, 1.0)
    for _ in range(6):
        world.step()
    assert lane.rewriting is not None
    assert lane.rewriting.done
    assert not lane.due()
    assert world.ledger.rewritten(lane.space) == world.shop.epoch
    assert set(world.target.memories) == world.target.recall


def test_a_row_that_cannot_be_written_now_is_looked_for_again(world: World) -> None:
    """The pass ends without it, rests, and the next one finds it."""
    lane = busy_lane(world)
    lane.step()
    lane.rewriting = job = Rewriting(lane.space, world.shop.epoch, 1.0)
    works = job.next_works(world.shop)
    assert works, "a few rows are taken, and nothing becomes of them"
    assert job.next_works(world.shop) == []
    assert not job.done
    assert not job.due(world.time + REST_SECONDS / 2)
    world.time += REST_SECONDS
    assert job.due(world.time)
    assert {work.key for work in job.next_works(world.shop)} == {work.key for work in works}
