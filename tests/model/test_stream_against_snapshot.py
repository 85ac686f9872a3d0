"""Law 2 on a model: any interleaving of chunks, changes, second deliveries, crashes, restarts and repairs ends right."""

from __future__ import annotations

import os
import shutil
import tempfile
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bridge.gate import Entry
from bridge.ledger import Batch, Outcome
from bridge.memories import Edge
from tests.model.servers import Killed, Op
from tests.model.world import World

IDS = st.integers(1, 6)
TEXTS = st.sampled_from(["a", "b", "c", "same"])
OPS = st.builds(
    Op,
    kind=st.sampled_from(["insert", "insert", "update", "update", "delete", "rekey", "truncate"]),
    id=IDS,
    name=TEXTS,
    big=st.one_of(st.none(), st.sampled_from(["B1", "B2"])),
    parent=st.one_of(st.none(), IDS),
    new_id=IDS,
    code=st.one_of(st.none(), st.integers(1, 4)),
    ref=st.one_of(st.none(), st.integers(1, 4)),
    untold=st.sampled_from([False, False, False, True]),
)


class Interleavings(RuleBasedStateMachine):
    """Every rule is something that can happen at any time."""

    def __init__(self, ledger: str | None = None) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.folder, ledger)

    @initialize(ops=st.lists(OPS, max_size=6))
    def rows_before_the_slot(self, ops: list[Op]) -> None:
        """Rows that are there when the slot is made: no change of theirs is streamed."""
        self.world.postgres.commit(ops)
        self.world.postgres.base = dict(self.world.postgres.rows)
        self.world.postgres.wal.clear()

    @rule(ops=st.lists(OPS, min_size=1, max_size=4), visible=st.booleans())
    def the_application_commits(self, ops: list[Op], visible: bool) -> None:
        self.world.postgres.commit(ops)
        if visible:
            self.world.postgres.visible = len(self.world.postgres.wal)

    @rule()
    def commits_become_visible(self) -> None:
        self.world.postgres.visible = len(self.world.postgres.wal)

    @rule(changes=st.integers(1, 4))
    def the_stream_delivers(self, changes: int) -> None:
        self.world.deliver(changes)

    @rule(number=st.integers(0, 1))
    def a_chunk_is_read(self, number: int) -> None:
        if not self.world.ledger.chunks(self.world.record.number)[number].done:
            self.world.read_chunk(number)

    @rule(number=st.integers(0, 1), count=st.integers(1, 3))
    def a_chunk_is_being_read(self, number: int, count: int) -> None:
        if number in self.world.reading:
            self.world.go_on_with_chunk(number, count)
        elif not self.world.ledger.chunks(self.world.record.number)[number].done:
            self.world.begin_chunk(number)

    @rule(number=st.sampled_from([None, 0, 1]))
    def a_lane_steps(self, number: int | None) -> None:
        self.world.step(number)

    @rule()
    def the_stream_is_connected_again(self) -> None:
        self.world.reconnect()

    @rule(seconds=st.sampled_from([0.0, 50.0, 1_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.time += seconds
        self.world.tick()

    @rule(after=st.integers(1, 6))
    def the_bridge_is_killed_between_write_and_record(self, after: int) -> None:
        self.world.target.kill_at = self.world.target.calls + after
        try:
            for _ in range(3):
                self.world.step()
        except Killed:
            pass
        self.world.target.kill_at = None
        self.world.kill()

    @rule(after=st.integers(1, 4))
    def a_reply_is_lost(self, after: int) -> None:
        self.world.target.fail_at = self.world.target.calls + after
        self.world.step()
        self.world.target.fail_at = None

    @rule(drops=st.sets(st.integers(0, 6), max_size=3))
    def the_target_drops_what_it_acknowledges(self, drops: set[int]) -> None:
        self.world.target.drop = drops

    @rule(keep=st.integers(0, 3), seen=st.booleans())
    def the_target_is_restarted(self, keep: int, seen: bool) -> None:
        self.world.target.restart(keep)
        if seen:
            self.world.look()

    @rule()
    def the_watch_looks(self) -> None:
        self.world.look()

    @rule()
    def the_spaces_are_written_through(self) -> None:
        self.world.rewrite()

    @rule(key=IDS, suspect=st.booleans())
    def a_repair_puts_a_key(self, key: int, suspect: bool) -> None:
        self.world.put(key, suspect=suspect)

    @precondition(lambda self: self.world.waiting == 0)
    @rule()
    def tombstones_are_collected(self) -> None:
        self.world.collect()

    @invariant()
    def confirmed_never_passes_the_ledger(self) -> None:
        self.world.confirmed_is_durable()

    def teardown(self) -> None:
        try:
            self.world.settle()
            self.world.check()
        finally:
            self.world.ledger.close()
            shutil.rmtree(self.folder)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "150")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_any_interleaving_with_the_ledger_in_postgresql(database: str) -> None:
    """The same rules; each example has a schema of its own, and the right to write it."""
    schemas = (f"{database}?schema=example_{number}" for number in count())

    def machine() -> Interleavings:
        made = Interleavings(next(schemas))
        made.world.ledger.acquire()
        return made

    examples = int(os.environ.get("MODEL_EXAMPLES", "150")) // 15
    run_state_machine_as_test(machine, settings=settings(TestInterleavings.settings, max_examples=examples))


def test_a_truncate_that_was_seen_and_not_done_is_done_by_the_next_process(tmp_path: Path) -> None:
    """Killed between the raised floor and the sweep: the second delivery sweeps, though the floor is there already."""
    world = World(tmp_path)
    world.postgres.commit([Op("insert", 1, "a")])
    world.deliver(9)
    world.step()
    world.postgres.commit([Op("truncate", 0)])
    world.deliver(9)
    world.kill()
    world.settle()
    world.check()
    world.ledger.close()


def test_a_deleted_row_does_not_come_back_with_a_chunk_that_began_before(tmp_path: Path) -> None:
    """The delete is applied while the chunk that saw the row is still being sent: its tombstone keeps the row away."""
    world = World(tmp_path)
    world.postgres.commit([Op("insert", 1, "a")])
    world.postgres.base = dict(world.postgres.rows)
    world.postgres.wal.clear()
    world.begin_chunk(0)
    world.postgres.commit([Op("delete", 1)])
    world.deliver(9)
    world.step()
    world.go_on_with_chunk(0, 9)
    world.settle()
    world.check()
    world.ledger.close()


def test_a_write_that_was_acknowledged_and_dropped_is_found_by_reading_it_back(tmp_path: Path) -> None:
    """Law 6: the answer was in order, the memory is not there: it is sent again before anything is recorded."""
    world = World(tmp_path)
    world.postgres.commit([Op("insert", 1, "a")])
    world.deliver(9)
    world.target.drop = {world.target.calls % 7}
    world.step()
    assert world.target.memories
    world.settle()
    world.check()
    world.ledger.close()


def test_what_may_have_been_sent_is_looked_for_when_a_truncate_comes_between(tmp_path: Path) -> None:
    """The reply was lost after the row was stored, then its table is truncated: the ledger knows nothing of the row, and it is
    forgotten nevertheless."""
    world = World(tmp_path)
    world.postgres.commit([Op("insert", 1, "a")])
    world.deliver(9)
    world.target.fail_at = world.target.calls + 1
    world.step()
    assert world.target.memories
    world.postgres.commit([Op("truncate", 0)])
    world.settle()
    world.check()
    world.ledger.close()


def test_a_chunk_is_done_when_its_last_row_is_recorded(tmp_path: Path) -> None:
    """Killed after the chunk was read and before its rows were written: the next process reads it again."""
    world = World(tmp_path)
    world.postgres.commit([Op("insert", 1, "a")])
    world.postgres.base = dict(world.postgres.rows)
    world.postgres.wal.clear()
    world.read_chunk(0)
    world.recorder.step()
    world.kill()
    world.settle()
    world.check()
    world.ledger.close()


def test_a_child_that_was_resolved_before_its_parent_was_recorded_is_refreshed(tmp_path: Path) -> None:
    """Two lanes at once: the child's references were made while the parent was not in the ledger yet, and it is recorded last."""
    world = World(tmp_path)
    number, entry = world.record.number, Entry("0001:1:1", "", "", True, 0)
    parent = Outcome((number, "1"), entry=entry, fresh=True, edges=(), alternates=(("code", "[1]"),))
    child = Outcome((number, "2"), entry=entry, fresh=True, edges=(Edge("ref", number, None, ("code", "[1]")),), alternates=())
    assert world.ledger.record(Batch([parent])) == []
    assert world.ledger.record(Batch([child])) == [(number, "2")]
    world.ledger.close()


def test_a_transaction_cut_off_by_a_new_connection_does_not_hold_up_the_frontier(tmp_path: Path) -> None:
    """Half of it had come; it is delivered again from its beginning, and the half is forgotten by the frontier."""
    world = World(tmp_path)
    world.postgres.commit([Op("insert", 1, "a"), Op("insert", 2, "b")])
    world.deliver(1)
    world.step()
    world.reconnect()
    world.settle()
    world.check()
    world.ledger.close()


def test_a_row_that_moved_to_a_key_takes_nothing_from_the_row_that_was_there(tmp_path: Path) -> None:
    """A change of the key leaves the large column alone: its value is the old key's, never an earlier row's of the new key."""
    world = World(tmp_path)
    world.postgres.commit([Op("insert", 6, "old", big="of the old six")])
    world.postgres.commit([Op("truncate", 0)])
    world.postgres.commit([Op("insert", 5, "a", big="of five")])
    world.postgres.commit([Op("rekey", 5, new_id=6)])
    world.settle()
    world.check()
    world.ledger.close()


def test_a_value_that_the_stream_does_not_tell_is_not_the_earlier_one(tmp_path: Path) -> None:
    """wal2json sends NaN as it sends NULL: nothing is carried over from an earlier waiting change, the row is read again."""
    world = World(tmp_path)
    world.postgres.commit([Op("insert", 1, "a", big="B1")])
    world.postgres.commit([Op("update", 1, "b", big="B2", untold=True)])
    world.postgres.commit([Op("update", 1, "c")])
    world.settle()
    world.check()
    assert '"big":"B2"' in world.target.memories["things_1"]
    world.ledger.close()


def test_a_parked_change_is_waited_for_however_often_it_is_tried_again(tmp_path: Path) -> None:
    """Law 11: a key parked since its commit is not visible keeps its transaction over every retry: no older row passes."""
    world = World(tmp_path)
    world.postgres.commit([Op("insert", 1, "a", big="B1")])
    world.postgres.visible = 1
    world.deliver(5)
    world.step()
    world.postgres.commit([Op("update", 1, "b", big=None)])
    world.deliver(5)
    for _ in range(60):
        world.step()
        world.time += 30.0
        world.tick()
    ((_key, parked),) = world.ledger.parked_keys()
    assert (parked.reason, parked.xid) == ("not_visible", world.postgres.wal[1].xid)
    assert '"name":"a"' in world.target.memories["things_1"], "the row that was proven last stays"
    assert parked.attempts >= 2
    world.settle()
    world.check()
    world.ledger.close()


def test_what_a_killed_run_wrote_is_found_by_search_behind_a_restart_that_nobody_saw() -> None:
    """It came back by replay and is not stored again as it is: recall would never have known it."""
    state = Interleavings()
    insert = {"kind": "insert", "name": "a", "big": None, "parent": None, "new_id": 1, "code": None, "ref": None, "untold": False}
    state.rows_before_the_slot(ops=[Op(id=5, **insert), Op(id=3, **insert)])
    state.a_repair_puts_a_key(key=3, suspect=False)
    state.a_chunk_is_read(number=0)
    state.the_target_is_restarted(keep=0, seen=True)
    state.the_bridge_is_killed_between_write_and_record(after=3)
    state.the_target_is_restarted(keep=3, seen=False)
    state.teardown()


def test_a_row_that_a_truncate_took_away_is_not_read_again_before_that_is_visible() -> None:
    """The TRUNCATE was delivered, and what is read again still shows the row: written under its version, it would stay."""
    state = Interleavings()
    common = {"name": "a", "big": None, "parent": None, "new_id": 1, "code": None, "ref": None, "untold": False}
    state.rows_before_the_slot(ops=[])
    state.the_application_commits(ops=[Op("insert", 1, **common), Op("insert", 4, **common)], visible=True)
    state.the_application_commits(ops=[Op("truncate", 1, **common), Op("insert", 2, **common)], visible=False)
    state.a_repair_puts_a_key(key=4, suspect=False)
    state.the_stream_delivers(changes=2)
    state.the_stream_delivers(changes=1)
    state.the_bridge_is_killed_between_write_and_record(after=5)
    state.teardown()
