"""Spaces that are not ours alone: refused, taken over, or emptied; and nothing of others is destroyed in silence."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time

import httpx

from bridge.adoption import ADOPTED, ADOPTING
from bridge.memories import read_stamp
from bridge.sandbox import shop
from bridge.wiring import open_target
from tests import ready
from tests.acceptance.conftest import MakeRig
from tests.acceptance.traces import configure, refused, spaces
from tests.patience import PATIENCE
from tests.rig import Rig

NOTES = (
    "create table notes (id int primary key, body text)",
    "insert into notes select n, 'note ' || n from generate_series(1, 300) n",
    "create table marks (id int primary key, note int references notes on delete cascade, word text unique)",
    "insert into marks select n, n, 'mark ' || n from generate_series(1, 60) n",
)


def ledger_lost(rig: Rig) -> None:
    """A bridge has worked, and its ledger is gone; the rows have changed since."""
    rig.sql(*NOTES)
    rig.catch_up()
    for path in rig.folder.glob("ledger.db*"):
        path.unlink()
    rig.sql(
        "delete from notes where id between 50 and 99",
        "update notes set body = 'changed' where id <= 20",
        "insert into notes select n, 'new ' || n from generate_series(301, 320) n",
    )
    refused(rig, 1, "this ledger did not make it", f"pg_drop_replication_slot('{rig.slot}')")
    rig.sql(f"select pg_drop_replication_slot('{rig.slot}')")


def stamps(rig: Rig, space: str) -> dict[str, str]:
    """The ledger that each memory of a space says it belongs to; empty for one without a stamp."""
    target = open_target(rig.config)
    try:
        target.open(space)
        found = {stored.memory_id: read_stamp(stored.content) for stored in target.scan(space)}
        return {name: stamp.ledger if stamp else "" for name, stamp in found.items()}
    finally:
        target.close()


def remember(rig: Rig, space: str, name: str, content: str = "theirs") -> None:
    """Somebody else writes a memory."""
    httpx.post(
        f"{rig.engram.http}/api/v1/memories/remember",
        json={
            "id": name,
            "content": content,
            "memory_space_id": space,
            "embedding": [1.0 if n == len(name) else 0.0 for n in range(768)],
        },
        headers={"X-Memory-Space": space},
    ).raise_for_status()


def facts(rig: Rig) -> dict[str, str]:
    ledger = rig.ledger()
    try:
        return ledger.facts()
    finally:
        ledger.close()


def loaded(rig: Rig) -> bool:
    """Whether every table is."""
    records = rig.ledger().tables()
    return bool(records) and all(record.state == "loaded" for record in records)


def test_a_lost_ledger_is_followed_by_one_that_takes_over(make_rig: MakeRig) -> None:
    """`run` refuses with both remedies; `--adopt` ends proven: what is gone is forgotten, all bears the new stamp."""
    rig = make_rig(tables={"log": {"duplicates": "collapse"}, "marks": {"shards": 2}})
    rig.sql("create table log (line text)", "alter table log replica identity full", "insert into log values ('a'), ('a'), ('b')")
    ledger_lost(rig)
    rig.sql("delete from log where line = 'b'", "insert into log values ('c')")
    old = set(stamps(rig, "notes").values())
    assert len(old) == 1
    refused(rig, 1, "holds memories of another ledger", "run --adopt", "run --wipe")
    assert set(stamps(rig, "notes").values()) == old
    rig.catch_up_with("--adopt")
    evidence = {one.table: one for one in rig.prove()}
    assert (evidence["public.notes"].rows, evidence["public.log"].rows) == (270, 2)
    mine = facts(rig)
    for space in ("notes", "marks-0", "marks-1", "log"):
        assert set(stamps(rig, space).values()) == {mine["ledger_id"]}
    assert json.loads(mine[ADOPTED]) == sorted(old)
    assert ADOPTING not in mine
    assert "notes_50" not in stamps(rig, "notes")
    rig.sql("update notes set body = 'later' where id = 1")
    rig.catch_up()  # and goes on without the flag
    rig.prove()


def test_what_comes_back_from_the_dead_is_known(make_rig: MakeRig) -> None:
    """A restart of Engram brings back what was forgotten, under the old stamp: it is compared and forgotten again."""
    rig = make_rig()
    ledger_lost(rig)
    rig.catch_up_with("--adopt")
    rig.engram.kill()
    rig.engram.start()
    back = stamps(rig, "notes")
    assert [back["notes_50"]] == json.loads(facts(rig)[ADOPTED]), "Engram keeps what its first run wrote"
    rig.catch_up()
    rig.prove()


def test_killed_while_it_takes_over(make_rig: MakeRig) -> None:
    """Killed at any moment, started again without the flag: the same end. A truncated table leaves no old memory behind."""
    rig = make_rig()
    ledger_lost(rig)
    begun = rig.said("a run begins")
    for number, seconds in enumerate((0.0, 0.3, 0.6)):
        rig.start("--adopt")
        rig.wait_for("a run begins", more_than=begun + number)
        time.sleep(seconds)
        rig.kill()
    rig.engram.faults([{"on": "*", "do": "slow", "seconds": 0.2}])  # so that it is not over before it is seen
    rig.start("--adopt")
    rig.until(lambda: rig.has_ledger and ADOPTING in facts(rig))
    rig.kill()
    rig.engram.faults()
    rig.sql("truncate notes cascade", "insert into notes values (7, 'after')")
    for seconds in (1.0, 1.5):
        rig.start()
        time.sleep(seconds)
        rig.kill()
    rig.catch_up()
    evidence = {one.table: one.rows for one in rig.prove()}
    assert evidence == {"public.notes": 1, "public.marks": 0}
    assert set(stamps(rig, "notes")) == {"notes_7"}
    assert stamps(rig, "marks") == {}


def test_what_no_bridge_wrote_is_not_destroyed_by_adopting(make_rig: MakeRig) -> None:
    """Strangers are named and everything is left as it was, also where a stranger's id is the one that a row would have."""
    rig = make_rig()
    ledger_lost(rig)
    remember(rig, "notes", "diary")
    remember(rig, "notes", "notes_305")
    before = stamps(rig, "notes")
    refused(rig, 1, "holds memories of something else (", "diary", "run --wipe")
    said = refused(rig, 1, "cannot be taken over", "diary", "notes_305", command=("run", "--adopt", "--until-caught-up"))
    assert "theirs" not in said
    assert stamps(rig, "notes") == before
    assert ADOPTED not in facts(rig)


def test_wiping(make_rig: MakeRig) -> None:
    """Nothing goes without a confirmation; then everything in the spaces of the mapping does, and nothing in any other."""
    rig = make_rig()
    ledger_lost(rig)
    remember(rig, "notes", "diary")
    remember(rig, "elsewhere", "letter")
    before = stamps(rig, "notes")
    refused(rig, 2, "nobody is there to confirm", "--yes", command=("run", "--wipe", "--until-caught-up"))
    refused(rig, 2, "keeps what --wipe forgets", command=("run", "--wipe", "--adopt", "--yes"))
    assert stamps(rig, "notes") == before
    rig.catch_up_with("--wipe", "--yes")
    evidence = {one.table: one for one in rig.prove()}
    assert evidence["public.notes"].rows == 270
    assert "diary" not in stamps(rig, "notes")
    assert stamps(rig, "elsewhere") == {"letter": ""}
    assert json.loads(facts(rig)[ADOPTED]) == sorted(set(before.values()) - {""})
    rig.sql("delete from notes where id = 1")
    rig.catch_up_with("--wipe", "--yes")  # the ledger knows its spaces now: nothing is wiped any more
    assert "a space was emptied" not in rig.tail().split("a run begins")[-1]
    rig.prove()


def test_the_command_that_wipes(make_rig: MakeRig) -> None:
    """Refused while a ledger counts on it; asks for the target's name; proves that all is gone."""
    rig = make_rig()
    rig.sql(*NOTES)
    rig.catch_up()
    refused(rig, 2, "says what is in these spaces", "Move the ledger away", command=("wipe", "--yes"))
    rig.prove()
    for path in rig.folder.glob("ledger.db*"):
        path.unlink()
    remember(rig, "elsewhere", "letter")
    rig.sql(f"select pg_drop_replication_slot('{rig.slot}')")
    refused(rig, 1, "holds memories of another ledger")  # a ledger that has not begun is none that counts on them
    refused(rig, 2, "360 memories that the ledger", "--foreign", command=("wipe", "--yes"))
    name = rig.config.target.http.removeprefix("http://")
    code, said = _typed(rig, "something")
    assert (code, "not confirmed: nothing was forgotten" in said) == (2, True), said
    assert len(stamps(rig, "notes")) == 300
    code, said = _typed(rig, name)
    assert (code, "360 memories in 2 space(s) were forgotten" in said) == (0, True), said
    assert "360 memories that the ledger" in said
    assert (stamps(rig, "notes"), stamps(rig, "marks")) == ({}, {})
    assert stamps(rig, "elsewhere") == {"letter": ""}
    assert rig.command("wipe", "--yes").returncode == 0


def _typed(rig: Rig, answer: str) -> tuple[int, str]:
    """Run `wipe` on a terminal and type an answer."""
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode() + b"\n")
    done = subprocess.run(
        [*ready.command(), "wipe", "--config", str(rig.file)],
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    return done.returncode, done.stdout + done.stderr


def test_a_space_of_another_bridge(make_rig: MakeRig) -> None:
    """What another bridge wrote of a table that we do not carry is a stranger: it is not ours to judge."""
    rig = make_rig()
    rig.sql(*NOTES, "create table letters (id int primary key)", "insert into letters values (1), (2)")
    configure(rig, include=["letters"], tables={"letters": {"space": "shared"}})
    rig.catch_up()
    rig.sql(f"select pg_drop_replication_slot('{rig.slot}')", f"drop publication {rig.slot}")
    configure(rig, include=["notes"], tables={"notes": {"space": "shared"}}, ledger=str(rig.folder / "second.db"))
    said = refused(rig, 1, "cannot be taken over", "letters_1", command=("run", "--adopt", "--until-caught-up"))
    assert "letters_2" in said
    assert set(stamps(rig, "shared")) == {"letters_1", "letters_2"}
    assert "shared" in spaces(rig)


def test_taken_over_while_an_application_writes(make_rig: MakeRig) -> None:
    """Rows come, change and go during the whole of it."""
    rig = make_rig()
    shop.create(rig.source)
    shop.seed(rig.source, 600)
    rig.catch_up()
    for path in rig.folder.glob("ledger.db*"):
        path.unlink()
    rig.sql(f"select pg_drop_replication_slot('{rig.slot}')")
    with shop.Application(rig.source, seed=5):
        rig.start("--adopt")
        rig.until(lambda: rig.has_ledger and loaded(rig))
        time.sleep(3.0)
    rig.wait_until_proven()
    rig.until(lambda: ADOPTING not in facts(rig))
    assert rig.stop() == 0
    rig.prove()
    assert "nothing of another ledger is left" in rig.tail()


def test_nothing_to_take_over(make_rig: MakeRig) -> None:
    """On empty spaces the flag changes nothing."""
    rig = make_rig()
    rig.sql(*NOTES)
    rig.catch_up_with("--adopt")
    rig.prove()
    assert not {ADOPTED, ADOPTING} & set(facts(rig))
