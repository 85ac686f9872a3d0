"""Law 7 of the issue: a second schema, with everything that is legal and unusual, is carried over while it changes."""

from __future__ import annotations

import time

from tests.acceptance.conftest import MakeRig
from tests.schemas import odd

COLLAPSED = {"keyless.log_lines": {"duplicates": "collapse"}}


def test_everything_legal_and_unusual_is_carried_over_under_changes(make_rig: MakeRig) -> None:
    """All types, composite and text keys, cycles, partitions, quoted and non-ASCII names, reserved words, a twin in another
    schema, a table without a key: loaded and streamed while two applications write, with a kill -9 and a restart of the target
    in the middle, and proven at the end."""
    rig = make_rig(tables=COLLAPSED)
    odd.create(rig.source, keyless=True)
    odd.seed(rig.source, 1_500)
    rig.sql(
        "insert into keyless.log_lines select '2024-01-01', 'seeded', n % 90 from generate_series(1, 300) n",
        "insert into keyless.log_lines values (null, null, null), (null, null, null), (null, '', null)",
    )
    rig.start()
    with odd.Application(rig.source, seed=5, rate=25.0) as changes, odd.KeylessApplication(rig.source, seed=6, rate=5.0) as lines:
        time.sleep(3.0)
        rig.kill()
        time.sleep(1.0)
        rig.start()
        time.sleep(4.0)
        rig.engram.kill()
        time.sleep(0.5)
        rig.engram.start()
        time.sleep(6.0)
        counts = changes.stop() + lines.stop()
    assert counts["transactions"] > 100
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    evidence = {one.table: one for one in rig.prove()}
    assert len(evidence) >= 24
    assert sum(one.rows > 0 for one in evidence.values()) >= 22
    assert sum(one.edges for one in evidence.values()) > 500
    assert evidence["keyless.log_lines"].rows >= 70


def test_rows_without_a_key_are_mended_after_a_restart_of_the_target(make_rig: MakeRig) -> None:
    """Rows of a keyless table that vanish at the target's restart are read whole again; those that come back from the dead are
    forgotten; equal rows are one memory until the last of them goes."""
    rig = make_rig(tables=COLLAPSED)
    odd.create(rig.source, keyless=True)
    rig.sql("insert into keyless.log_lines select '2024-01-01', 'line', n % 50 from generate_series(1, 100) n")
    rig.start()
    rig.wait_until_proven()
    rig.sql(
        "delete from keyless.log_lines where n < 10",
        "delete from keyless.log_lines where ctid = (select min(ctid) from keyless.log_lines where n = 20)",
        "update keyless.log_lines set line = 'changed' where n between 30 and 35",
        "insert into keyless.log_lines values (null, null, null)",
    )
    rig.wait_until_proven()
    rig.engram.kill()
    rig.engram.start()
    time.sleep(2.0)
    rig.sql("insert into keyless.log_lines values ('2024-01-01', 'line', 3)")
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    (one,) = [one for one in rig.prove() if one.rows]
    assert (one.rows, one.memories, one.deleted) == (42, 42, 15)
