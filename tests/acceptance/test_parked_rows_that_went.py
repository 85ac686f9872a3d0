"""A parked row of a table without a key is settled when it is gone, though nobody can read it again by its key."""

from __future__ import annotations

from tests.acceptance.conftest import MakeRig
from tests.acceptance.test_failing_rows import parked
from tests.patience import PATIENCE


def test_a_parked_row_without_a_key_is_settled_when_it_is_gone(make_rig: MakeRig) -> None:
    """Two rows too large for Engram are parked; one is deleted: a retry settles that one, and leaves the other parked."""
    rig = make_rig(tables={"notes": {"duplicates": "collapse"}})
    rig.sql("create table notes (n int, body text)", "alter table notes replica identity full")
    rig.sql("insert into notes select n, 'small' from generate_series(1, 20) n")
    rig.start()
    rig.wait_until_proven()
    rig.sql(
        *(
            f"insert into notes values ({n}, (select string_agg(md5(i::text), '') from generate_series(1, 140000) i))"
            for n in (21, 22)
        )
    )
    rig.wait_until_proven()
    assert sorted(parked(rig).values()) == ["too_large", "too_large"]
    rig.sql("delete from notes where n = 21")
    rig.wait_until_proven()
    assert len(parked(rig)) == 2
    for key in parked(rig):
        done = rig.command("parked", "retry", f"public.notes/{key}")
        assert done.returncode == 0, done.stderr
    rig.until(lambda: len(parked(rig)) == 1, timeout=PATIENCE, what="the row that is gone stays parked")
    rig.sql("delete from notes where n = 22")
    rig.wait_until_proven()
    for key in parked(rig):  # none, when the first reading had not ended yet
        rig.command("parked", "retry", f"public.notes/{key}")
    rig.until(lambda: not parked(rig), timeout=PATIENCE)
    assert rig.stop() == 0, rig.tail()
    rig.prove()
