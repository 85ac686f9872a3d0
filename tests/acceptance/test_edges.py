"""Edges in the ledger and in Engram's content are exactly those of PostgreSQL, however they came about."""

from __future__ import annotations

import time

from tests.acceptance.conftest import MakeRig

SCHEMA = """
create table countries (id int primary key, code numeric(6,2) not null unique, name text);
create table cities (id int primary key, country numeric(8,4) references countries (code) on update cascade, name text);
create table people (
    id int primary key,
    name text,
    city int references cities (id),
    boss int references people (id) deferrable initially deferred
);
create table teams (id int primary key, lead int references people (id) deferrable initially deferred);
alter table people add team int references teams (id) deferrable initially deferred;
create table seats (room text, number int, holder int references people (id), primary key (room, number));
create table bookings (id int primary key, room text, number int,
    foreign key (room, number) references seats (room, number) on update cascade);
insert into countries values (1, 1.50, 'one'), (2, 2.25, 'two');
insert into cities values (1, 1.5, 'a'), (2, 2.2500, 'b'), (3, null, 'nowhere');
begin;
insert into people values (1, 'Ann', 1, null, 1), (2, 'Bob', 2, 1, 1), (3, 'Cid', 3, 3, null);
insert into teams values (1, 2), (2, null);
commit;
insert into seats values ('A_1', 1, 1), ('A', 11, 2), ('100%', 1, null);
insert into bookings values (1, 'A_1', 1), (2, 'A', 11), (3, null, 1), (4, '100%', 1);
"""

MOVES = [
    "update people set city = 2 where id = 1",
    "update people set city = null where id = 2",
    "update people set boss = 2 where id = 3",
    "begin; update people set boss = 2 where id = 1; update people set boss = 1 where id = 2; commit",
    (
        "begin; update people set team = 2 where id in (1, 2); delete from teams where id = 1; "
        "insert into teams values (1, 3); update people set team = 1 where id = 2; commit"
    ),
    "update countries set code = 9.75 where id = 2",
    "update countries set name = 'renamed' where id = 1",
    (
        "begin; update cities set country = null where country = 1.5; delete from countries where id = 1; "
        "insert into countries values (1, 3.00, 'again'); update cities set country = 3 where id = 1; commit"
    ),
    "update seats set room = 'B_%', number = 7 where room = 'A_1'",
    "update bookings set room = 'A', number = 11 where id = 4",
    "delete from bookings where id = 2",
    "insert into bookings values (2, 'B_%', 7)",
    "begin; delete from bookings; delete from seats where room = '100%'; commit",
    "insert into bookings values (9, 'A', 11)",
]


def test_edges_follow_every_move_of_a_foreign_key(make_rig: MakeRig) -> None:
    """Parent changed, set to NULL, parent deleted and reinserted, self-reference, cycle, composite, key of the parent changed,
    alternate key changed: after each move, and after all of them at once, the edges are those that PostgreSQL joins."""
    rig = make_rig()
    rig.sql(SCHEMA)
    rig.start()
    rig.wait_until_proven()
    rig.prove()
    for move in MOVES[:8]:
        rig.sql(move)
        rig.wait_until_proven()
        evidence = {one.table: one for one in rig.prove()}
        assert sum(one.orphans for one in evidence.values()) == 0, move
    for move in MOVES[8:]:
        rig.sql(move)
    rig.wait_until_proven()
    rig.prove()
    assert rig.stop() == 0, rig.tail()
    done = rig.command("status", "--json")
    assert '"pending_edges": 0' in done.stdout


def test_foreign_keys_added_and_dropped_while_running_and_while_down(make_rig: MakeRig) -> None:
    """ALTER TABLE ADD and DROP of a foreign key, to a primary key and to another unique key: the edges become those of
    PostgreSQL for all rows, not only for those that change afterwards."""
    rig = make_rig()
    rig.sql(
        "create table parents (id int primary key, code text unique)",
        "create table children (id int primary key, parent int, code text)",
        "insert into parents select n, 'c' || n from generate_series(1, 30) n",
        "insert into children select n, n % 30 + 1, 'c' || (n % 30 + 1) from generate_series(1, 90) n",
    )
    rig.start()
    rig.wait_until_proven()
    assert sum(one.edges for one in rig.prove()) == 0
    rig.sql(
        "alter table children add constraint by_id foreign key (parent) references parents",
        "alter table children add constraint by_code foreign key (code) references parents (code)",
        "update children set code = 'c1' where id <= 5",
    )
    time.sleep(7.0)
    rig.wait_until_proven()
    assert sum(one.edges for one in rig.prove()) == 180
    assert rig.stop() == 0, rig.tail()
    rig.sql("alter table children drop constraint by_id")
    rig.catch_up()
    assert sum(one.edges for one in rig.prove()) == 90
