"""Engram takes rows with equal vectors for duplicates; none of ours is ever lost for it."""

from __future__ import annotations

from tests.acceptance.conftest import MakeRig


def test_rows_and_versions_that_look_alike_are_all_kept(make_rig: MakeRig) -> None:
    """Two rows with identical text, a row updated back to an earlier content, an update that changes no text: all are kept."""
    rig = make_rig()
    rig.sql(
        "create table notes (id int primary key, body text, stars int)",
        "insert into notes select n, 'the same text', 0 from generate_series(1, 300) n",
        "create table blank (id int primary key)",
        "insert into blank select generate_series(1, 300)",
    )
    rig.start()
    rig.wait_until_proven()
    rig.prove()
    rig.sql("update notes set body = 'another text' where id <= 100")
    rig.wait_until_proven()
    rig.sql("update notes set body = 'the same text' where id <= 100", "update notes set stars = stars + 1")
    for _ in range(3):
        rig.sql("update notes set stars = stars + 1 where id <= 50")
    rig.sql(
        "delete from notes where id <= 10",
        "insert into notes select n, 'the same text', 0 from generate_series(1, 10) n",
        "update blank set id = id + 1000",
    )
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    evidence = {one.table: one for one in rig.prove()}
    assert evidence["public.notes"].memories == 300
    assert evidence["public.blank"].deleted == 300


def test_a_row_too_large_for_the_target_is_parked_and_the_others_flow_on(make_rig: MakeRig) -> None:
    """A row over the target's limit is parked with its reason; later changes wait behind it; once it fits, a retry brings it."""
    rig = make_rig()
    rig.sql(
        "create table files (id int primary key, body text)",
        "insert into files select 1, string_agg(md5(n::text), '') from generate_series(1, 140000) n",
        "insert into files values (2, 'small')",
    )
    rig.start()
    rig.wait_until_proven()
    ledger = rig.ledger()
    (((_table, key), parked),) = ledger.parked_keys()
    assert (key, parked.reason) == ("1", "too_large")
    assert "texts_cut" not in ledger.counters(), "nothing of the parked row was embedded for Engram"
    assert "texts are longer than the model's window" not in rig.tail()
    rig.sql("update files set body = body || '!' where id = 1", "update files set body = 'changed' where id = 2")
    rig.wait_until_proven()
    (((_table, key), later),) = ledger.parked_keys()
    assert later.version > parked.version, "only the version of what waits moves"
    missing = {one.table: one for one in rig.evidence()}["public.files"]
    assert (missing.missing, missing.wrong, missing.memories) == (1, 0, 1)
    assert "too_large" in rig.command("parked", "list").stdout
    rig.sql("update files set body = 'fits' where id = 1")
    rig.wait_until_proven()
    assert rig.command("parked", "retry", "public.files/1").returncode == 0
    for _ in range(100):
        if not ledger.parked_keys():
            break
        rig.sql("select pg_sleep(0.1)")
    ledger.close()
    assert rig.stop() == 0, rig.tail()
    rig.prove()


def test_fifty_thousand_updates_in_one_transaction_flow_through(make_rig: MakeRig) -> None:
    """A transaction much larger than what may wait flows through; rows of one key collapse, and the end state is right."""
    rig = make_rig()
    rig.sql(
        "create table counters (id int primary key, n int)", "insert into counters select g, 0 from generate_series(1, 200) g"
    )
    rig.start()
    rig.wait_until_proven()
    rig.sql(
        "do $$ begin for i in 1..250 loop update counters set n = n + 1; end loop; end $$",
        "truncate counters",
        "insert into counters values (1, 1)",
    )
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    (one,) = rig.prove()
    assert (one.rows, one.deleted) == (1, 199)
