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
        begun = rig.said("info streaming")
        rig.start()
        rig.wait_for("info streaming", more_than=begun)  # a target that is away ends a start
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


LABELS = """
create schema labels;
create type labels.label;
create function labels.label_in(cstring) returns labels.label language internal immutable strict as 'textin';
create function labels.label_out(labels.label) returns cstring language internal immutable strict as 'textout';
create type labels.label (input = labels.label_in, output = labels.label_out, like = text);
"""
COMPARED = """
create function labels.{name}(labels.label, labels.label) returns {returns} language internal immutable strict as '{internal}';
"""
OPERATOR = """
create operator labels.{sign} (leftarg = labels.label, rightarg = labels.label, function = labels.{name});
"""
ORDER = """
create operator class labels.label_ops default for type labels.label using btree as
    operator 1 labels.<, operator 2 labels.<=, operator 3 labels.=, operator 4 labels.>=, operator 5 labels.>,
    function 1 labels.label_cmp(labels.label, labels.label);
create table parents (id int primary key, name labels.label not null unique);
create table children (id int primary key, parent labels.label references parents (name) on update cascade);
create table lines (name labels.label references parents (name) on update cascade, parent int references parents, line text);
alter table lines replica identity full;
insert into parents select n, ('parent ' || n)::text::labels.label from generate_series(1, 5) n;
insert into children select n, ('parent ' || n)::text::labels.label from generate_series(1, 5) n;
insert into lines select ('parent ' || n % 4 + 1)::text::labels.label, nullif(n % 3, 0), 'line' from generate_series(1, 2500) n;
"""
SIGNS = {"<": ("label_lt", "bytealt"), "<=": ("label_le", "byteale"), "=": ("label_eq", "byteaeq")} | {
    ">=": ("label_ge", "byteage"),
    ">": ("label_gt", "byteagt"),
}


def test_edges_of_types_with_an_equality_of_their_own_and_of_rows_without_a_key(make_rig: MakeRig) -> None:
    """Foreign keys of a type whose operators lie in another schema, and those of a keyless table, by its parent's key and by
    another unique key: the edges are PostgreSQL's, also after the parents have moved."""
    rig = make_rig(tables={"lines": {"duplicates": "collapse"}})
    rig.sql(
        LABELS,
        "create cast (text as labels.label) without function",
        *(COMPARED.format(name=name, internal=internal, returns="bool") for name, internal in SIGNS.values()),
        COMPARED.format(name="label_cmp", internal="byteacmp", returns="int"),
        *(OPERATOR.format(sign=sign, name=name) for sign, (name, _internal) in SIGNS.items()),
        ORDER,
    )
    rig.start()
    rig.wait_until_proven()
    before = {one.table: one for one in rig.prove()}
    assert (before["public.lines"].rows, before["public.lines"].edges) == (12, 20)
    assert sum(one.orphans for one in before.values()) == 0
    rig.sql(
        "update parents set name = 'renamed'::text::labels.label where id = 1",
        "begin; set local session_replication_role = replica; update parents set id = id + 10 where id = 5; "
        "update parents set name = 'x'::text::labels.label where id = 2; "
        "update parents set name = 'parent 2'::text::labels.label where id = 4; "
        "update parents set name = 'parent 4'::text::labels.label where id = 2; commit",
    )
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    after = {one.table: one for one in rig.prove()}
    assert after["public.lines"].edges == 20
