"""`add`, `remove` and `reshard` while an application writes: each ends with what is carried proven and nothing else left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing

import psycopg

from bridge.alterations import KEPT
from bridge.ledger import FILLING, RETIRED, SERVING, Generations, Ledger
from bridge.models import model_fact
from bridge.sandbox import shop
from bridge.sandbox.postgres import SandboxPostgres
from bridge.wiring import open_target
from tests.acceptance.conftest import MakeRig
from tests.acceptance.traces import configure, refused
from tests.embedding_endpoint import EmbeddingEndpoint
from tests.patience import PATIENCE
from tests.rig import Rig


def asked(rig: Rig, *command: str) -> str:
    """A command that must be accepted; answers what it says."""
    done = rig.command(*command)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def open_ends(rig: Rig) -> bool:
    """Something that was asked of a table is not over."""
    ledger = rig.ledger()
    try:
        unrefused = [one for one in Generations(ledger).asked() if one.refused is None]
        return bool(unrefused or ledger.generations(FILLING, RETIRED))
    finally:
        ledger.close()


def until_over(rig: Rig, timeout: float = PATIENCE) -> None:
    """Until everything that was asked of tables is done, and all is proven."""
    rig.until(lambda: not open_ends(rig), timeout)
    rig.wait_until_proven(timeout)


def spaces_of(rig: Rig, label: str) -> tuple[str, ...]:
    """The spaces that a table is served from; empty when it is not carried."""
    ledger = rig.ledger()
    try:
        return next((record.spaces for record in ledger.tables() if record.label == label), ())
    finally:
        ledger.close()


def held(rig: Rig, *spaces: str) -> int:
    """How many memories these spaces answer: found by their list pages, confirmed by GET."""
    target = open_target(rig.config)
    count = 0
    try:
        for space in spaces:
            target.open(space)
            ids = list({stored.memory_id for stored in target.scan(space)})
            count += sum(stored is not None for stored in target.read(space, ids))
    finally:
        target.close()
    return count


def make_notes(rig: Rig, rows: int = 300) -> None:
    """Two tables with keys, one that points at the other."""
    rig.sql(
        "create table notes (id int primary key, code text unique, body text)",
        f"insert into notes select n, 'c' || n, 'note ' || n from generate_series(1, {rows}) n",
        "create table marks (id int primary key, note int references notes, code text references notes (code) on update cascade)",
        f"insert into marks select n, n, 'c' || n from generate_series(1, {rows}, 3) n",
    )


def test_a_table_is_spread_over_more_spaces_and_over_fewer_again(make_rig: MakeRig) -> None:
    """Up and down under writes: served from the old spaces until the new ones are complete, then the old ones hold nothing."""
    rig = make_rig()
    shop.create(rig.source)
    shop.seed(rig.source, 1_500)
    rig.start()
    rig.wait_until_proven()
    with shop.Application(rig.source, seed=7, rate=20.0) as application:
        asked(rig, "reshard", "orders", "3")
        until_over(rig)
        assert spaces_of(rig, "public.orders") == ("orders-g2-0", "orders-g2-1", "orders-g2-2")
        asked(rig, "reshard", "order_items", "2")
        asked(rig, "reshard", "public.orders", "1")
        until_over(rig)
        assert spaces_of(rig, "public.orders") == ("orders-g3",)
        application.stop()
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    evidence = {one.table: one for one in rig.prove()}
    assert evidence["public.orders"].rows > 250
    old = ("orders", "orders-g2-0", "orders-g2-1", "orders-g2-2", "order_items")
    assert held(rig, *old) == 0
    rig.engram.kill()
    rig.engram.start()  # what was forgotten comes back with its log
    assert held(rig, *old) > 500
    rig.catch_up()
    rig.prove()
    assert held(rig, *old) == 0
    assert held(rig, "orders-g3") == evidence["public.orders"].rows


def test_references_and_changes_of_keys_hold_across_the_switch(make_rig: MakeRig) -> None:
    """Keys, alternate keys, truncates and added columns while a generation is filled: both generations get them."""
    rig = make_rig()
    make_notes(rig, 600)
    rig.start()
    rig.wait_until_proven()
    rig.engram.faults([{"on": "*", "do": "slow", "seconds": 0.05}])
    asked(rig, "reshard", "notes", "4")
    rig.until(lambda: bool(rig.ledger().generations(FILLING)))
    rig.sql(
        "update notes set id = id + 10000 where id % 50 = 0 and not exists (select from marks where note = notes.id)",
        "update notes set code = 'd' || id where id % 7 = 0",
        "update marks set note = note + 1 where id % 2 = 0",
        "alter table notes add column colour text default 'red'",
        "update notes set colour = 'blue' where id % 5 = 0",
        "truncate notes cascade",
        "insert into notes select n, 'e' || n, 'again ' || n, 'green' from generate_series(200, 500) n",
        "insert into marks select n, n, 'e' || n from generate_series(200, 500, 4) n",
        "delete from marks where id % 3 = 0",
    )
    rig.engram.faults()
    until_over(rig)
    assert "a table was truncated" in rig.log.read_text()
    rig.sql("update notes set code = 'f' || id where id % 2 = 0", "update marks set note = 300, code = 'f300' where id < 300")
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    evidence = {one.table: one for one in rig.prove()}
    assert evidence["public.notes"].rows == 301
    assert evidence["public.marks"].edges > 100
    assert held(rig, "notes") == 0


def test_the_configuration_may_name_the_old_number_or_the_new_one(make_rig: MakeRig) -> None:
    """After a reshard while the bridge was down: both are accepted, any other is refused with the command that would do it."""
    rig = make_rig(target={"limit": 250}, tables={"notes": {"shards": 2}})
    make_notes(rig)
    rig.catch_up()
    assert "with the next run" in asked(rig, "reshard", "notes", "3")
    rig.catch_up()
    assert spaces_of(rig, "public.notes") == ("notes-g2-0", "notes-g2-1", "notes-g2-2")
    rig.prove()
    rig.catch_up()
    assert "Write tables: {notes: {shards: 3}}" in rig.tail()
    assert rig.command("check").returncode == 0
    configure(rig, tables={"notes": {"shards": 3}})
    rig.sql("insert into notes values (1000, 'x', 'y')")
    rig.catch_up()
    rig.prove()
    configure(rig, tables={"notes": {"shards": 4}})
    refused(rig, 2, "public.notes", "engram-bridge reshard public.notes 4")
    refused(rig, 2, "spread over 3", command=("reshard", "notes", "3"))
    configure(rig, tables={"notes": {"shards": 2}})
    asked(rig, "reshard", "notes", "1")
    rig.catch_up()
    assert "reshard was refused: 301 rows in 1 space(s): one may hold 250" in rig.command("status").stdout
    assert len(spaces_of(rig, "public.notes")) == 3


def test_a_table_is_added_while_the_bridge_runs_and_stays_so(make_rig: MakeRig) -> None:
    """It is loaded and followed, children find it, and at the next start it beats `include`; what cannot be is refused."""
    rig = make_rig(include=["marks"])
    make_notes(rig)
    rig.sql("create table keyless (n int)", "create table later (id int primary key)")
    rig.start()
    rig.wait_until_proven()
    refused(rig, 1, "public.keyless has no primary key", command=("add", "keyless"))
    refused(rig, 2, "there is no table 'nots'", "notes", command=("add", "nots"))
    rig.sql("insert into notes values (1000, 'before', 'it is carried')")
    assert "now, by the running bridge" in asked(rig, "add", "notes")
    rig.sql("update notes set body = 'while' where id < 50", "insert into notes values (1001, 'after', 'it is carried')")
    until_over(rig)
    rig.sql("update notes set body = 'follows' where id > 250")
    rig.wait_until_proven()
    refused(rig, 2, "public.notes is carried already", command=("add", "notes"))
    assert rig.stop() == 0, rig.tail()
    evidence = {one.table: one for one in rig.prove()}
    assert (evidence["public.notes"].rows, evidence["public.marks"].edges) == (302, 200)
    asked(rig, "add", "public.later")
    rig.catch_up()
    assert {one.table for one in rig.prove()} == {"public.marks", "public.notes", "public.later"}


def test_a_removed_table_is_forgotten_or_kept_and_can_come_back(make_rig: MakeRig) -> None:
    """Its changes are ignored, children let go of it, its memories go or stay as asked; `add` carries it again."""
    rig = make_rig()
    make_notes(rig)
    rig.start()
    rig.wait_until_proven()
    refused(rig, 2, "--yes", "--keep-memories", command=("remove", "notes"))
    asked(rig, "remove", "notes", "--yes")
    until_over(rig)
    rig.sql("insert into notes values (1000, 'x', 'y')", "insert into marks values (1000, 1000, 'x')")
    rig.wait_until_proven()
    assert held(rig, "notes") == 0
    asked(rig, "remove", "marks", "--keep-memories")
    until_over(rig)
    rig.sql("delete from marks where id < 100")
    assert held(rig, "marks") == 101
    assert rig.stop() == 0, rig.tail()
    with_both = json.loads(rig.command("status", "--json").stdout)
    assert [(table["name"], table["state"]) for table in with_both["tables"]] == [("public.marks", "stopped")]
    rig.start()
    asked(rig, "add", "notes", "marks")
    until_over(rig)
    rig.sql("delete from marks where id < 200")
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    evidence = {one.table: one for one in rig.prove()}
    assert (evidence["public.notes"].rows, evidence["public.notes"].proven) == (301, True)
    assert evidence["public.marks"].edges == 2 * evidence["public.marks"].rows


def killed_when(rig: Rig, seen: Callable[[Ledger], bool], timeout: float = PATIENCE) -> None:
    """Start the bridge, and kill -9 it at the moment when its ledger shows this."""
    rig.start()
    ledger = rig.ledger()
    try:
        deadline = time.monotonic() + timeout
        while not seen(ledger):
            assert rig.process is not None
            assert rig.process.poll() is None, rig.tail()
            assert time.monotonic() < deadline, rig.tail()
            time.sleep(0.005)
    finally:
        ledger.close()
    rig.kill()


def state_of(ledger: Ledger, label: str, role: str) -> str:
    """The state of a table's generation of this role, and `read` once a chunk is done; empty when there is none."""
    record = next((one for one in ledger.generations(role) if one.label == label), None)
    if record is None:
        return ""
    done = any(chunk.done for chunk in ledger.chunks(record.number))
    return "read" if record.state == "loading" and done else record.state


def left_of(ledger: Ledger, label: str) -> int | None:
    """Memories that a retired generation has left; None when there is none."""
    record = next((one for one in ledger.generations(RETIRED) if one.label == label), None)
    live = ledger.live_counts()
    return None if record is None else sum(live.get((record.number, shard), 0) for shard in range(len(record.spaces)))


def test_killed_at_each_step_of_an_act_the_next_run_goes_on(make_rig: MakeRig) -> None:
    """kill -9 as soon as the ledger shows a step of reshard, remove and add, while an application writes: all ends proven."""
    rig = make_rig(snapshot={"workers": 2, "chunk_rows": 100}, exclude=["reviews"])
    shop.create(rig.source)
    shop.seed(rig.source, 3_000)
    rig.start()
    rig.wait_until_proven()
    rig.kill()
    with shop.Application(rig.source, seed=11, rate=15.0) as application:
        rig.engram.faults([{"on": "*", "do": "slow", "seconds": 0.01}])
        asked(rig, "reshard", "orders", "3")
        for wanted in ("new", "loading", "read", "loaded"):
            order = ["new", "loading", "read", "loaded"]
            killed_when(rig, lambda book, w=wanted, o=order: state_of(book, "public.orders", FILLING) in o[o.index(w) :])
        killed_when(rig, lambda book: left_of(book, "public.orders") is not None)
        many = left_of(rig.ledger(), "public.orders")
        killed_when(rig, lambda book: (left_of(book, "public.orders") or 0) < (many or 0))
        asked(rig, "remove", "public.users", "--yes")
        killed_when(rig, lambda book: left_of(book, "public.users") is not None)
        killed_when(rig, lambda book: (left_of(book, "public.users") or 0) == 0)
        asked(rig, "add", "public.reviews")
        for wanted in ("new", "loading", "read"):
            order = ["new", "loading", "read", "loaded"]
            killed_when(rig, lambda book, w=wanted, o=order: state_of(book, "public.reviews", SERVING) in o[o.index(w) :])
        rig.engram.faults()
        rig.start()
        until_over(rig)
        application.stop()
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    evidence = {one.table: one for one in rig.prove()}
    assert len(spaces_of(rig, "public.orders")) == 3
    assert "public.users" not in evidence
    assert evidence["public.reviews"].edges > 0
    assert held(rig, "orders", "users") == 0


def model_of(rig: Rig, label: str) -> str:
    """The name of the model by which the serving generation was embedded."""
    ledger = rig.ledger()
    try:
        number = next(record.number for record in ledger.tables() if record.label == label)
        return str(json.loads(ledger.facts()[model_fact(number)])[0])
    finally:
        ledger.close()


def test_a_table_is_embedded_by_another_model_beside_the_old_one(make_rig: MakeRig) -> None:
    """The vectors of both models are never in one space; afterwards the configuration may name either, and a third is refused."""
    with EmbeddingEndpoint() as endpoint:
        rig = make_rig(embedding={"endpoint": {"name": "served"}})
        make_notes(rig)
        rig.start()
        rig.wait_until_proven()
        assert model_of(rig, "public.notes") == "hashing-512"
        refused(rig, 2, "engram-bridge reshard", command=("reshard", "notes"))
        refused(rig, 2, "is no folder with a model in it", command=("reshard", "notes", "--model", "/nowhere/at/all"))
        asked(rig, "reshard", "notes", "--model", endpoint.url)
        rig.sql(
            "update notes set body = 'while it is embedded anew' where id < 40", "delete from notes where id % 3 = 0 and id > 250"
        )
        until_over(rig)
        assert (model_of(rig, "public.notes"), model_of(rig, "public.marks")) == ("served", "hashing-512")
        assert any("while it is embedded anew" in text for text in endpoint.texts)
        assert spaces_of(rig, "public.notes") == ("notes-g2",)
        assert rig.stop() == 0, rig.tail()
        rig.sql("insert into notes values (2000, 'later', 'after a new start')")
        rig.catch_up()
        configure(rig, tables={"notes": {"model": endpoint.url}})
        rig.catch_up()
        rig.prove()
        assert any("after a new start" in text for text in endpoint.texts)
        assert held(rig, "notes") == 0
        asked(rig, "reshard", "notes", "2", "--model", "hashing")
        rig.catch_up()
        assert (model_of(rig, "public.notes"), len(spaces_of(rig, "public.notes"))) == ("hashing-512", 2)
        rig.prove()


def test_a_changed_mapping_is_said_and_a_resync_writes_all_rows_anew(make_rig: MakeRig) -> None:
    """Another choice of text columns and another class hold for new writes at once, and for all rows after a resync."""
    with EmbeddingEndpoint() as endpoint:
        rig = make_rig(embedding={"model": endpoint.url, "endpoint": {"name": "served"}, "cache_mb": 0}, exclude=["marks"])
        make_notes(rig, 100)
        rig.catch_up()
        configure(rig, tables={"notes": {"text": ["code"], "confidence": "derived"}})
        endpoint.calls.clear()
        rig.start()
        rig.wait_until_proven()
        rig.sql("update notes set code = 'new17' where id = 17")
        rig.wait_until_proven()
        assert endpoint.texts == ["code: new17"]
        offer = "engram-bridge resync public.notes"
        assert offer in rig.log.read_text()
        assert offer in rig.command("status").stdout
        asked(rig, "resync", "public.notes")
        rig.until(lambda: "mixed" not in rig.ledger().facts().values())
        rig.wait_until_proven()
        assert rig.stop() == 0, rig.tail()
        assert sorted(endpoint.texts) == sorted(["code: new17"] * 2 + [f"code: c{n}" for n in range(1, 101) if n != 17])
        rig.prove()
        target = open_target(rig.config)
        target.open("notes")
        (stored,) = target.read("notes", ["notes_50"])
        target.close()
        assert stored is not None
        assert '"class":"derived"' in stored.content
        endpoint.calls.clear()
        rig.catch_up()
        assert offer not in rig.command("status").stdout
        assert endpoint.texts == []


def test_a_kept_table_comes_back_though_it_was_made_again_but_not_without_a_key(make_rig: MakeRig) -> None:
    """Its shape of before says nothing: it is read anew, and the look at the catalogue does not stop it. What a table without a
    key has missed could not be found, so that it is refused."""
    rig = make_rig(tables={"bare": {"duplicates": "collapse"}})
    rig.sql("create table bare (n int)", "alter table bare replica identity full", "create table made (id int primary key)")
    rig.sql("insert into bare select generate_series(1, 50)", "insert into made select generate_series(1, 50)")
    rig.start()
    rig.wait_until_proven()
    asked(rig, "remove", "bare", "made", "--keep-memories")
    until_over(rig)
    rig.sql("delete from bare where n > 40", "drop table made", "create table made (id int primary key)")
    rig.sql("insert into made select generate_series(11, 70)")
    asked(rig, "add", "bare", "made")
    until_over(rig)
    rig.wait_for_a_look()
    assert "add was refused: it has no key" in rig.command("status").stdout
    asked(rig, "remove", "bare", "--yes")
    until_over(rig)
    asked(rig, "add", "bare")
    until_over(rig)
    assert rig.stop() == 0, rig.tail()
    assert {one.table: one.rows for one in rig.prove()} == {"public.bare": 40, "public.made": 60}


def test_an_act_goes_on_without_a_restart_after_an_error_that_passes(make_rig: MakeRig, own_postgres: SandboxPostgres) -> None:
    """PostgreSQL restarts while `add`, `reshard`, `resync` or `remove` waits for it: what is decided is done when it is back."""
    rig = make_rig(source=own_postgres.url(), exclude=["late"])
    rig.sql("create table things (id int primary key)", "insert into things select generate_series(1, 100)")
    rig.sql("create table late (id int primary key, extra int)", "insert into late select generate_series(1, 50)")
    rig.start()
    rig.wait_until_proven()

    def interrupted(lock: str, seen: Callable[[Ledger], bool], *command: str) -> None:
        with closing(psycopg.connect(own_postgres.url())) as holder:
            holder.execute("select pg_current_xact_id()")
            holder.execute(lock)
            asked(rig, *command)
            rig.until(lambda: seen(rig.ledger()))
            time.sleep(1.0)  # it waits now
            own_postgres.restart("fast")
        until_over(rig)

    late, things = "public.late", "public.things"
    interrupted("select 1", lambda book: state_of(book, late, SERVING) == "new", "add", "late")
    interrupted("select 1", lambda book: state_of(book, things, FILLING) == "new", "reshard", "things", "2")
    rig.sql("alter table late drop column extra", "insert into late values (100)")
    rig.until(lambda: state_of(rig.ledger(), late, SERVING) == "stopped")
    interrupted("select 1", lambda book: state_of(book, late, SERVING) == "new", "resync", "late")
    rig.until(lambda: state_of(rig.ledger(), late, SERVING) == "loaded")
    locked = "lock table late in share update exclusive mode"
    interrupted(locked, lambda book: late in Generations(book).choices().removed, "remove", "late", "--yes")
    published = "select count(*) from pg_publication_tables where tablename = 'late'"
    with psycopg.connect(own_postgres.url()) as connection:
        assert connection.execute(published).fetchone() == (0,)
    assert rig.stop() == 0, rig.tail()
    assert {one.table: one.rows for one in rig.prove()} == {things: 100}
    assert len(spaces_of(rig, things)) == 2


def test_a_kept_table_is_not_added_with_another_model_than_its_memories_have(make_rig: MakeRig) -> None:
    """It is refused before anything is written: it stays removed and kept, and comes back when its model does."""
    with EmbeddingEndpoint() as endpoint:
        rig = make_rig()
        make_notes(rig, 50)
        rig.start()
        rig.wait_until_proven()
        asked(rig, "remove", "notes", "--keep-memories")
        until_over(rig)
        assert rig.stop() == 0, rig.tail()
        configure(rig, tables={"notes": {"model": endpoint.url}}, embedding={"endpoint": {"name": "served"}})
        rig.start()
        asked(rig, "add", "notes")
        rig.until(lambda: any(one.refused for one in Generations(rig.ledger()).asked()))
        assert "was embedded by hashing-512" in rig.command("status").stdout
        ledger = rig.ledger()
        (notes,) = [record for record in ledger.tables() if record.label == "public.notes"]
        assert (notes.state, notes.reason) == ("stopped", KEPT)
        assert f"resync:{notes.number}" not in ledger.facts()
        assert Generations(ledger).choices().removed == {"public.notes"}
        rig.wait_until_proven()
        assert rig.stop() == 0, rig.tail()
        configure(rig, tables={"notes": {"model": "hashing"}})
        rig.start()
        asked(rig, "add", "notes")
        until_over(rig)
        assert rig.stop() == 0, rig.tail()
        assert {one.table: one.rows for one in rig.prove()} == {"public.marks": 17, "public.notes": 50}
