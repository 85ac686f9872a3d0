"""What a rollback takes and what it leaves, for any history of the memories and however often it is broken off."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import ConfigError, TargetUnavailable
from bridge.gate import Entry
from bridge.ledger import Batch, Generations, Ledger, Migrations, Outcome
from bridge.ledger.migrations import MIGRATE
from bridge.lsn import LOWEST, make_version
from bridge.memories import Stored, Write, digest, stamp_content
from bridge.ports import Kept, SpaceState
from bridge.rollback.judging import Judge, Verdict
from bridge.rollback.report import Made, document, exit_code, text, write_id_map
from bridge.rollback.taking_back import Rollback

TABLES = {"public.a": (("a-0", "a-1"), "a_"), "app.b": (("b",), "app_b_")}
VERSION, LATER = make_version(1, 100, 1), make_version(1, 200, 1)


@dataclass(slots=True)
class Memories:
    """An Engram in memory. `fails`: which of its calls do, by number; `restarts`: after which of them it was restarted."""

    spaces: dict[str, dict[str, str]] = field(default_factory=dict)
    fails: frozenset[int] = frozenset()
    restarts: frozenset[int] = frozenset()
    calls: int = 0
    starts: int = 1
    dead: dict[str, dict[str, str]] = field(default_factory=dict)
    deaf: bool = False

    def _call(self) -> None:
        self.calls += 1
        if self.calls in self.restarts:  # what was forgotten comes back
            self.starts += 1
            for space, memories in self.dead.items():
                self.spaces[space] |= memories
            self.dead = {}
        if self.calls in self.fails:
            raise TargetUnavailable

    def open(self, space: str) -> SpaceState:
        self._call()
        return SpaceState(space, len(self.spaces.setdefault(space, {})), "")

    def forget(self, space: str, memory_ids: Sequence[str]) -> None:
        self._call()
        for memory_id in memory_ids:
            if memory_id in self.spaces[space] and not self.deaf:
                self.dead.setdefault(space, {})[memory_id] = self.spaces[space].pop(memory_id)
        self._call()  # done, and the answer may be lost

    def read(self, space: str, memory_ids: Sequence[str]) -> list[Stored | None]:
        self._call()
        found = self.spaces[space]
        return [Stored(memory_id, found[memory_id]) if memory_id in found else None for memory_id in memory_ids]

    def scan(self, space: str) -> Iterator[Stored]:
        self._call()
        yield from [Stored(memory_id, content) for memory_id, content in self.spaces[space].items()]

    def epoch(self) -> str:
        self._call()
        return str(self.starts)

    def healthy(self) -> bool:
        return True

    def remember(self, space: str, writes: Sequence[Write]) -> list[Kept | Exception]:
        raise AssertionError("a rollback writes nothing")


FATES = ("written", "older", "missing", "row", "refs", "stamp", "note", "deleted", "returned", "unrecorded", "over", "grave")
"""As it was written; an older or a lost version of it; gone; its row or references changed; of another migration, or nobody's;
deleted at the source; deleted and back; written by a killed run: where the ledger knows nothing, over a memory of the other
migration, over a tombstone of it."""

UNRECORDED = ("unrecorded", "over", "grave")

STAYS = {"row", "refs", "stamp", "note"}


def body(key: int) -> str:
    return f'{{"id":{key}}}'


def content(
    label: str, key: int, ledger: str, migration: str, version: str, *, text_of: int | None = None, refs: str = "[]"
) -> str:
    fixed = f'"table":"{label}","ledger":"{ledger}","migration":"{migration}"'
    made = stamp_content(body(key), version=version, body_digest=digest(body(key)), fixed=fixed, key=str(key), references=refs)
    return made if text_of is None else made.replace(body(key)[1:-1], body(text_of)[1:-1], 1)


@dataclass(slots=True)
class World:
    """A ledger with two migrations, and what Engram has of them."""

    ledger: Ledger
    target: Memories
    doomed: set[tuple[str, str]] = field(default_factory=set)
    left: set[tuple[str, str]] = field(default_factory=set)

    def put(self, label: str, key: int, migration: str, fate: str) -> None:
        spaces, prefix = TABLES[label]
        shard, memory_id = key % len(spaces), f"{prefix}{key}"
        space = spaces[shard]
        number = 1 + list(TABLES).index(label)
        mine = self.ledger.facts()["ledger_id"]
        of = Migrations(self.ledger).find(migration)
        assert of is not None
        live = fate not in ("deleted", "returned", "grave")
        last = 3 - of.number if fate in ("over", "grave") else of.number
        entry = Entry(LATER, digest(body(key)) if live else "", digest("[]") if live else "", live, shard, migration=last)
        if fate != "unrecorded":
            self.ledger.record(Batch([Outcome((number, str(key)), entry)]))
        found = {
            "written": content(label, key, mine, migration, LATER),
            "older": content(label, key, mine, migration, VERSION),
            "row": content(label, key, mine, migration, LATER, text_of=key + 1000),
            "refs": content(label, key, mine, migration, LATER, refs='[{"to":"a_1"}]'),
            "stamp": content(label, key, mine, "three", LATER),
            "note": "remember the milk",
            "returned": content(label, key, mine, "three", VERSION),
            **dict.fromkeys(UNRECORDED, content(label, key, mine, migration, LATER)),
        }
        if fate in found:
            self.target.spaces[space][memory_id] = found[fate]
        if migration == "two":
            (self.left if fate in STAYS else self.doomed).add((space, memory_id))
        elif fate == "over":
            self.left.add((space, memory_id))
        elif fate == "grave":  # whatever stands where the ledger has a tombstone has come back
            self.doomed.add((space, memory_id))


def world(folder: str, histories: list[tuple[str, int, str, str]]) -> World:
    ledger = Ledger(str(Path(folder) / "ledger.db"))
    for label, (spaces, _prefix) in TABLES.items():
        ledger.register(label, spaces, [], 0)
    for name in ("one", "two"):
        Migrations(ledger).begin(name, MIGRATE, {"tables": list(TABLES)})
    made = World(ledger, Memories({space: {} for spaces, _prefix in TABLES.values() for space in spaces}))
    for history in histories:
        made.put(*history)
    return made


def rollback(at: World, tables: Sequence[str] = tuple(TABLES)) -> Rollback:
    migration = Migrations(at.ledger).find("two")
    assert migration is not None
    return Rollback(at.ledger, at.target, migration, tables, who="test")


histories = st.lists(
    st.tuples(st.sampled_from(list(TABLES)), st.integers(1, 40), st.sampled_from(["one", "two"]), st.sampled_from(FATES)),
    unique_by=lambda history: history[:2],
    max_size=25,
)


@given(histories=histories, fails=st.frozensets(st.integers(1, 60), max_size=6))
@settings(max_examples=30)
def test_it_takes_what_is_its_own_and_nothing_else(histories: list[tuple[str, int, str, str]], fails: frozenset[int]) -> None:
    """Whatever became of the memories, and at whatever calls Engram is lost, with or without having done what it was asked."""
    with tempfile.TemporaryDirectory() as folder:
        at = world(folder, histories)
        before = {space: dict(memories) for space, memories in at.target.spaces.items()}
        at.target.fails = fails
        for _attempt in range(len(fails) + 1):
            deed = rollback(at)
            try:
                assert deed.carry_out()
            except TargetUnavailable:
                for begin in (
                    lambda: Migrations(at.ledger).begin("two", MIGRATE, {}),
                    lambda: Generations(at.ledger).readmit(["app.b"]),
                ):
                    with pytest.raises(ConfigError, match="is being rolled back"):
                        begin()
                continue
            break
        for space, memories in before.items():
            kept = {memory_id: text for memory_id, text in memories.items() if (space, memory_id) not in at.doomed}
            assert at.target.spaces[space] == kept
        assert {(one.space, one.memory_id) for tally in deed.tallies.values() for one in tally.left} == at.left
        assert exit_code(list(deed.tallies.values())) == (3 if at.left else 0)
        two = Migrations(at.ledger).find("two")
        assert two is not None
        for (migration, _table), (live, _gone) in Migrations(at.ledger).counts().items():
            if migration == two.number:
                assert live <= len(at.left)
        ones = [
            history for history in histories if history[2] == "one" and history[3] not in ("deleted", "returned", *UNRECORDED)
        ]
        assert two.number == 2
        for label, key, _migration, _fate in histories:
            spaces, prefix = TABLES[label]
            place = (spaces[key % len(spaces)], f"{prefix}{key}")
            if place in at.doomed and place[1] in before[place[0]]:  # a restart of Engram may bring it back
                entry = at.ledger.entries(1 + list(TABLES).index(label), [str(key)])[str(key)]
                assert (entry.live, entry.migration, entry.shard) == (False, two.number, key % len(spaces))
        assert sum(live for (number, _t), (live, _gone) in Migrations(at.ledger).counts().items() if number == 1) == len(ones)
        assert Generations(at.ledger).choices().rolled_back == set(TABLES)
        assert Migrations(at.ledger).begin("two", MIGRATE, {}) == two.number  # it may begin anew
        at.ledger.close()


@given(restarts=st.frozensets(st.integers(1, 40), max_size=3))
@settings(max_examples=15)
def test_what_a_restart_meanwhile_brings_back_goes_too(restarts: frozenset[int]) -> None:
    """Everything is looked at again when the target was restarted while it went on."""
    with tempfile.TemporaryDirectory() as folder:
        at = world(folder, [("public.a", key, ("one", "two")[key % 2], "written") for key in range(1, 20)])
        at.target.restarts = restarts
        assert rollback(at).carry_out()
        left = {memory_id for memories in at.target.spaces.values() for memory_id in memories}
        assert left == {f"a_{key}" for key in range(2, 20, 2)}
        at.ledger.close()


def test_a_rehearsal_writes_nothing_anywhere(tmp_path: Path) -> None:
    """It counts the same as the rollback does, and ledger and target are as they were."""
    at = world(str(tmp_path), [("public.a", 1 + number, "two", fate) for number, fate in enumerate(FATES)])
    before, facts = {space: dict(found) for space, found in at.target.spaces.items()}, at.ledger.facts()
    rehearsed = rollback(at)
    rehearsed.rehearse()
    assert at.target.spaces == before
    assert at.ledger.facts() == facts
    assert [record.state for record in at.ledger.tables()] == ["new", "new"]
    done = rollback(at)
    done.carry_out()
    assert rehearsed.tallies == done.tallies
    tally = done.tallies["public.a"]
    assert (tally.forgotten, tally.missing, tally.returned, tally.unrecorded, len(tally.left)) == (2, 1, 1, 3, 4)
    assert tally.others == 0, "what it had written over goes with it"
    at.ledger.close()


def test_tombstones_yield_to_whoever_brings_the_row_again(tmp_path: Path) -> None:
    """They have the lowest version: a migration at the very same position of the source is not taken for a late delivery."""
    at = world(str(tmp_path), [("public.a", 1, "two", "written")])
    rollback(at).carry_out()
    entry = at.ledger.entries(1, ["1"])["1"]
    assert (entry.live, entry.version) == (False, LOWEST)
    assert entry.digest == digest(body(1))
    Generations(at.ledger).readmit(["public.a"])
    assert [(record.label, record.state) for record in at.ledger.tables()] == [("public.a", "new"), ("app.b", "stopped")]
    assert Generations(at.ledger).choices().removed == {"app.b"}
    at.ledger.close()


def test_a_second_generation_goes_with_the_first(tmp_path: Path) -> None:
    """A table that is being spread anew: what its filling has written by now is the migration's, too."""
    at = world(str(tmp_path), [("app.b", 1, "two", "written")])
    record = next(record for record in at.ledger.tables() if record.label == "app.b")
    filling = Generations(at.ledger).begin(record, ("b-0", "b-1"), {})
    mine = at.ledger.facts()["ledger_id"]
    two = Migrations(at.ledger).find("two")
    assert two is not None
    entry = Entry(LATER, digest(body(1)), digest("[]"), True, 1, migration=two.number)
    at.ledger.record(Batch([Outcome((filling.number, "1"), entry)]))
    at.target.spaces["b-1"] = {"app_b_1": content("app.b", 1, mine, "two", LATER)}
    deed = rollback(at)
    deed.carry_out()
    assert at.target.spaces["b"] == at.target.spaces["b-1"] == {}
    assert (deed.tallies["app.b"].forgotten, deed.tallies["app.b"].spaces) == (2, ("b", "b-0", "b-1"))
    at.ledger.close()


def test_what_was_removed_otherwise_is_not_taken_in_again(tmp_path: Path) -> None:
    """`engram-bridge remove` is a decision that no migration undoes."""
    at = world(str(tmp_path), [])
    Generations(at.ledger).remove("public.a", keep=True, reason="so")
    Generations(at.ledger).readmit(["public.a"])
    choices = Generations(at.ledger).choices()
    assert choices.removed == choices.readmitted.removed == {"public.a"}
    at.ledger.close()


def test_the_report_and_the_map_of_ids_say_it_all(tmp_path: Path) -> None:
    """Every memory of the migration, once; what is left and why; what cannot be undone. No content of any."""
    at = world(str(tmp_path), [("app.b", 1 + number, "two", fate) for number, fate in enumerate(FATES)])
    deed = rollback(at)
    deed.carry_out()
    report = document(deed, Made(1.0, 2.5, acted=True), {"url": "http://engram", "epoch": "1"})
    assert (report["outcome"], report["exit_code"], report["seconds"]) == ("investigate", 3, 1.5)
    shown = text(report)
    assert "app.b (b): 2 forgotten and proven gone, 1 that Engram had not any more, 1 that had come back" in shown
    assert "stays: app_b_7 in b: it bears no stamp of a bridge" in shown
    assert "A restart of Engram brings forgotten memories back" in shown
    assert "milk" not in shown + str(report)
    migration = Migrations(at.ledger).find("two")
    assert migration is not None
    assert write_id_map(at.ledger, migration, tmp_path / "ids.csv") == len(FATES)
    with (tmp_path / "ids.csv").open(encoding="utf-8") as file:
        states = {line["memory_id"]: line["state"] for line in csv.DictReader(file)}
    assert states == {
        **dict.fromkeys(("app_b_1", "app_b_2", "app_b_3", "app_b_10", "app_b_11", "app_b_12"), "gone"),
        **dict.fromkeys(("app_b_4", "app_b_5", "app_b_6", "app_b_7"), "live"),
        **dict.fromkeys(("app_b_8", "app_b_9"), "deleted"),
    }
    at.ledger.close()


def test_what_the_target_goes_on_answering_is_no_success(tmp_path: Path) -> None:
    """Law 6: told to forget is not forgotten."""
    at = world(str(tmp_path), [("public.a", 1, "two", "written")])
    at.target.deaf = True
    deed = rollback(at)
    assert not deed.carry_out()
    assert exit_code(list(deed.tallies.values())) == 1
    assert at.ledger.entries(1, ["1"])["1"].live
    with pytest.raises(ConfigError, match="is being rolled back"):
        Migrations(at.ledger).begin("two", MIGRATE, {})
    at.ledger.close()


def test_nobody_s_memory_is_judged_ours() -> None:
    """Another ledger's is left, also where a tombstone stands: its restart is not our business."""
    judge = Judge("mine", "two")
    other = Stored("a_1", content("public.a", 1, "theirs", "two", VERSION))
    for entry in (None, Entry(LATER, "", "", False, 0), Entry(LATER, "", "", True, 0)):
        assert judge.judge(entry, other) == (Verdict.CHANGED, "another ledger has written it")


def test_a_later_migration_s_unrecorded_memory_is_not_what_came_back(tmp_path: Path) -> None:
    """Where the ledger has a tombstone: one that began when this one had ended wrote there since, and was killed."""
    at = world(str(tmp_path), [("public.a", 1, "two", "written"), ("public.a", 2, "two", "written")])
    two = Migrations(at.ledger).find("two")
    assert two is not None
    rollback(at).carry_out()
    Migrations(at.ledger).begin("later", MIGRATE, {})
    mine = at.ledger.facts()["ledger_id"]
    at.target.spaces["a-1"]["a_1"] = content("public.a", 1, mine, "later", LATER)
    at.target.spaces["a-0"]["a_2"] = content("public.a", 2, mine, "one", VERSION)
    deed = rollback(at)
    deed.carry_out()
    assert [(one.memory_id, one.reason) for one in deed.tallies["public.a"].left] == [("a_1", "another migration has written it")]
    assert (set(at.target.spaces["a-1"]), set(at.target.spaces["a-0"])) == ({"a_1"}, set())
    at.ledger.close()


def test_a_copy_under_another_id_is_not_the_memory_of_its_stamp(tmp_path: Path) -> None:
    """Nobody but somebody else wrote that, and the row whose stamp it bears is another migration's."""
    at = world(str(tmp_path), [("public.a", 1, "one", "written")])
    copied = content("public.a", 1, at.ledger.facts()["ledger_id"], "two", LATER)
    at.target.spaces["a-1"]["mine"] = copied
    rollback(at).carry_out()
    assert set(at.target.spaces["a-1"]) == {"a_1", "mine"}
    assert at.ledger.entries(1, ["1"])["1"].live
    at.ledger.close()


def test_who_removed_a_table_is_not_overruled_by_a_rollback(tmp_path: Path) -> None:
    """`engram-bridge remove --keep-memories` stands: no later migration takes the table in again."""
    at = world(str(tmp_path), [("public.a", 1, "two", "written")])
    Generations(at.ledger).remove("public.a", keep=True, reason="so")
    for _again in range(2):
        rollback(at).carry_out()
    choices = Generations(at.ledger).choices()
    assert (choices.removed, choices.rolled_back) == (set(TABLES), {"app.b"})
    assert {record.label: record.reason for record in at.ledger.tables()}["public.a"] == "so"
    Generations(at.ledger).readmit(list(TABLES))
    assert Generations(at.ledger).choices().removed == {"public.a"}
    at.ledger.close()


def test_it_began_when_what_is_left_of_it_began(tmp_path: Path) -> None:
    """A migration that was taken back in one of its tables goes on; one that was taken back whole begins anew."""
    at = world(str(tmp_path), [("public.a", 1, "two", "written"), ("app.b", 1, "two", "written")])
    migrations = Migrations(at.ledger)
    before = migrations.find("two")
    assert before is not None
    rollback(at, ["public.a"]).carry_out()
    migrations.begin("two", MIGRATE, {"tables": list(TABLES)})
    same = migrations.find("two")
    assert same is not None
    assert same.began == before.began
    rollback(at, ["app.b"]).carry_out()
    migrations.begin("two", MIGRATE, {"tables": list(TABLES)})
    anew = migrations.find("two")
    assert anew is not None
    assert anew.began > before.began
    at.ledger.close()
