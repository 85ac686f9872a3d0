"""Laws of the mapping: ids, spaces, shards, contents, references."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.compiling import compile_mapping
from bridge.errors import ConfigError
from bridge.keys import join_key, split_key
from bridge.mapping import Identity, Mapping, epoch_seconds
from bridge.memories import Edge, bears, digest, read_stamp, split_content
from bridge.schema import Column, ForeignKey, Table, TypeInfo
from bridge.spaces import SPACE_NAME, TableOptions, space_name

INT8 = TypeInfo(20, "pg_catalog", "int8", category="N")
TEXT = TypeInfo(25, "pg_catalog", "text", category="S")
BOOL = TypeInfo(16, "pg_catalog", "bool", category="B")
NUMERIC = TypeInfo(1700, "pg_catalog", "numeric", category="N")
STAMP = TypeInfo(1184, "pg_catalog", "timestamptz", category="D")
WHO = Identity("ledger-1", "migration-1", "2026-01-01T00:00:00+00:00")


def table(
    name: str, *columns: tuple[str, TypeInfo], key: tuple[str, ...] = ("id",), schema: str = "public", **more: object
) -> Table:
    """A table with these columns."""
    made = tuple(Column(column, type_, type_.name, number) for number, (column, type_) in enumerate(columns, 1))
    return Table(oid=hash((schema, name)) % 10**6, schema=schema, name=name, columns=made, key=key, **more)  # type: ignore[arg-type]


def mapping(*tables: Table, **options: TableOptions) -> Mapping:
    """The plans of these tables; options by table name."""
    numbers = {each.label: number for number, each in enumerate(tables, 1)}
    return compile_mapping(tables, {each.label: options[each.name] for each in tables if each.name in options}, WHO, numbers)


USERS = table("users", ("id", INT8), ("name", TEXT), ("bio", TEXT), ("created_at", STAMP))


def test_a_row_is_the_memory_of_its_table_and_key() -> None:
    """Requirement 6: row 123 of users is users_123, its content the row in column order, its text the text columns."""
    plan = mapping(USERS).plans["public.users"]
    row = ("123", "Ann", None, "2023-11-14 22:13:20+00")
    memory = plan.memory(row, plan.key_of(row))
    assert memory.memory_id == "users_123"
    assert memory.body == '{"id":123,"name":"Ann","bio":null,"created_at":"2023-11-14 22:13:20+00"}'
    assert memory.text == "name: Ann"
    assert memory.when == 1_700_000_000


def test_a_row_without_text_embeds_itself() -> None:
    """Requirement 86: a table of numbers has a text all the same, the row's JSON."""
    plan = mapping(table("points", ("id", INT8), ("x", NUMERIC))).plans["public.points"]
    assert plan.memory(("1", "2.50"), "1").text == '{"id":1,"x":"2.50"}'


@given(
    st.integers(),
    st.one_of(st.none(), st.text()),
    st.booleans(),
    st.decimals(),
    st.one_of(st.none(), st.just("2023-11-14 22:13:20+00")),
)
def test_what_is_read_back_has_the_text_and_time_it_was_written_with(
    number: int, name: str | None, flag: bool, price: Decimal, when: str | None
) -> None:
    """The same vector and the same moment, whether a memory comes from its row or from its own body."""
    options = TableOptions(text=("name", "flag", "price", "id"))
    things = table("things", ("id", INT8), ("name", TEXT), ("flag", BOOL), ("price", NUMERIC), ("created_at", STAMP))
    plan = mapping(things, things=options).plans["public.things"]
    memory = plan.memory((str(number), name, "t" if flag else "f", str(price), when), str(number))
    again = plan.recalled(memory.key, memory.body)
    assert again is not None
    assert (again.memory_id, again.text, again.when, again.digest) == (memory.memory_id, memory.text, memory.when, memory.digest)


def test_a_text_that_its_json_does_not_show_is_not_made_up() -> None:
    """An array's bounds are lost in JSON: the row has to be read again, if it has a key to read it by."""
    tags = TypeInfo(1009, "pg_catalog", "_text", category="A", element=TEXT)
    keyed = mapping(table("a", ("id", INT8), ("tags", tags)), a=TableOptions(text=("tags",))).plans["public.a"]
    assert keyed.recalled("1", '{"id":1,"tags":["x"]}') is None
    keyless = mapping(table("b", ("tags", tags), key=()), b=TableOptions(text=("tags",), collapse=True)).plans["public.b"]
    again = keyless.recalled("d", '{"tags":["x"]}')
    assert again is not None
    assert again.text == 'tags: ["x"]'


@given(st.lists(st.text(alphabet=st.sampled_from("ab_%5F2é/ ")), min_size=2, max_size=4))
def test_composite_keys_can_be_taken_apart_again(components: list[str]) -> None:
    """A composite key is joined so that its components come back: two keys never share an id."""
    assert split_key(join_key(components)) == tuple(components)


@given(st.text(min_size=1, max_size=80), st.sampled_from(["public", "app", "Ünïted"]))
def test_every_table_gets_a_valid_space(name: str, schema: str) -> None:
    """C1: whatever a table is called, its space is a valid name with room for shard numbers."""
    made = space_name(replace(USERS, name=name, schema=schema))
    assert SPACE_NAME.match(made)
    assert SPACE_NAME.match(f"{made}-255")


def test_tables_get_spaces_of_their_own() -> None:
    """Requirement 3: twins in two schemas, and names that differ in case only, do not share a space by default."""
    tables = [
        table("users", ("id", INT8)),
        table("Users", ("id", INT8)),
        table("b", ("id", INT8), schema="a"),
        table("a_b", ("id", INT8)),
    ]
    plans = mapping(*tables).plans.values()
    assert len({space for plan in plans for space in plan.spaces}) == len(tables)
    assert mapping(*tables).plans["public.users"].spaces == ("users",)


def test_tables_that_could_share_an_id_in_one_space_are_refused() -> None:
    """Two tables whose ids could be the same in one space are a configuration error, not a surprise."""
    first, second = table("a", ("id", TEXT)), table("a_b", ("id", INT8))
    with pytest.raises(ConfigError, match="same memory id"):
        mapping(first, second, a=TableOptions(space="both"), a_b=TableOptions(space="both"))
    mapping(table("a", ("id", INT8)), second, a=TableOptions(space="both"), a_b=TableOptions(space="both"))


@pytest.mark.parametrize("name", ["AB", "x", "with space", "a" * 65, "ümlaut"])
def test_an_invalid_space_is_refused_with_what_is_valid(name: str) -> None:
    """A space name that Engram would refuse is told before anything is written."""
    with pytest.raises(ConfigError, match="no valid space name"):
        mapping(USERS, users=TableOptions(space=name))


def test_shards_are_chosen_alike_everywhere() -> None:
    """The shard of an id is a stable function of the id: these values must never change."""
    plan = mapping(USERS, users=TableOptions(shards=4)).plans["public.users"]
    assert plan.spaces == ("users-0", "users-1", "users-2", "users-3")
    assert [plan.shard_of(str(key)) for key in range(1, 9)] == [3, 1, 3, 0, 2, 0, 2, 3]


def test_a_column_named_like_the_stamp_is_refused() -> None:
    """`_bridge` belongs to the stamp; the remedy is to exclude the column."""
    odd = table("odd", ("id", INT8), ("_bridge", TEXT))
    with pytest.raises(ConfigError, match="_bridge"):
        mapping(odd)
    assert mapping(odd, odd=TableOptions(exclude=("_bridge",))).plans["public.odd"].left_out == ("_bridge",)


def test_key_columns_cannot_be_excluded() -> None:
    """A memory cannot be named without its key."""
    with pytest.raises(ConfigError, match="key column"):
        mapping(USERS, users=TableOptions(exclude=("id",)))


ORDERS = table(
    "orders",
    ("id", INT8),
    ("user_id", INT8),
    ("price", NUMERIC),
    foreign_keys=(
        ForeignKey("orders_user_fkey", ("user_id",), ("public", "users"), ("id",)),
        ForeignKey("orders_price_fkey", ("price",), ("public", "prices"), ("amount",)),
        ForeignKey("orders_gone_fkey", ("id",), ("public", "elsewhere"), ("id",)),
    ),
)
PRICES = table("prices", ("id", INT8), ("amount", NUMERIC))


def test_foreign_keys_become_references() -> None:
    """Requirements 11-13: child to parent, weight 0.8, the columns named; a table that is not carried is external."""
    plan = mapping(USERS, ORDERS, PRICES).plans["public.orders"]
    memory = plan.memory(("5", "123", "1.50"), "5")
    by_name = {reference.constraint: reference for reference in memory.references}
    assert set(by_name) == {"orders_user_fkey", "orders_price_fkey"}
    assert by_name["orders_user_fkey"].to == "123"
    edges = [Edge(r.constraint, r.parent, r.to, r.lookup) for r in memory.references]
    references = json.loads(plan.references_json(memory.references, edges))
    assert {
        "type": "references",
        "constraint": "orders_user_fkey",
        "columns": {"user_id": 123},
        "to": "users_123",
        "weight": 0.8,
    } in references
    assert plan.memory(("5", None, None), "5").references == ()


def test_an_alternate_key_is_found_by_equal_values() -> None:
    """A foreign key to another unique key meets its parent though the two write the same number differently."""
    plans = mapping(USERS, ORDERS, PRICES).plans
    (_user, reference) = sorted(plans["public.orders"].memory(("5", "1", "1.5"), "5").references, key=lambda r: r.constraint)[
        ::-1
    ]
    (alternate,) = plans["public.prices"].memory(("9", "1.50"), "9").alternates
    assert reference.to is None
    assert reference.lookup == alternate


@given(st.text(), st.text(alphabet=st.sampled_from('abc",_bridge:{}refs\\')))
def test_a_stamp_is_read_back_whatever_the_row_holds(name: str, bio: str) -> None:
    """Body and stamp are told apart even when the row's text looks like a stamp."""
    plan = mapping(USERS).plans["public.users"]
    memory = plan.memory(("1", name, bio, None), "1")
    content = plan.content(memory, "0001:0000000000000010:00000001", '[{"columns":{"a":1,"refs":2}}]')
    assert json.loads(content)["name"] == name
    parts = split_content(content)
    assert parts is not None
    assert parts[0] == memory.body
    stamp = read_stamp(content)
    assert stamp is not None
    assert stamp.intact
    assert stamp.references == '[{"columns":{"a":1,"refs":2}}]'
    assert (stamp.table, stamp.key, stamp.ledger) == ("public.users", "1", "ledger-1")
    changed = read_stamp(content.replace('"id":1', '"id":2', 1))
    assert changed is not None
    assert not changed.intact


@given(st.text(), st.data())
def test_what_plainly_bears_a_stamp_is_the_content_that_was_written(name: str, data: st.DataObject) -> None:
    """The cheap look at a list page says yes to a content as it was written, and to no other."""
    plan = mapping(USERS).plans["public.users"]
    memory = plan.memory(("1", name, ',"refs":[]', None), "1")
    version, references = "0001:0000000000000010:00000001", '[{"columns":{"a":1,"refs":2}}]'
    content = plan.content(memory, version, references)
    place = data.draw(st.integers(0, len(content) - 1))
    damaged = content[:place] + data.draw(st.sampled_from(["", "x", '"', "}", "1"])) + content[place + 1 :]

    def plainly(given: str, fixed: str = plan.fixed) -> bool:
        digests = {"body_digest": memory.digest, "references_digest": digest(references)}
        return bears(given, version=version, fixed=fixed, key="1", **digests)

    assert plainly(content)
    assert plainly(damaged) is (damaged == content)
    assert not plainly(content, plan.fixed.replace("ledger-1", "ledger-2"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01 00:00:00+00", 0.0),
        ("2023-11-14 22:13:20.5+00", 1_700_000_000.5),
        ("2023-11-14", 1_699_920_000.0),
        ("0044-03-15 00:00:00+00 BC", 0.0),
        ("-infinity", 0.0),
        ("1901-01-01 00:00:00", 0.0),
        ("infinity", 253_402_300_799.0),
        ("12345-01-01 00:00:00+00", 253_402_300_799.0),
    ],
)
def test_times_stay_where_engram_can_count(text: str, seconds: float) -> None:
    """Trap 19: times outside 1970-9999 are held at its ends; the content keeps the value itself."""
    assert epoch_seconds(text) == seconds


def test_the_stamp_names_class_and_reasoning() -> None:
    """Requirement 76: confidence with a reason; the class stands in the stamp, not in the stored confidence."""
    fixed = mapping(USERS, users=TableOptions(confidence="derived")).plans["public.users"].fixed
    assert re.search(r'"class":"derived","confidence":0\.6,"why":"Migrated from authoritative PostgreSQL database"', fixed)


def test_a_plan_that_has_gone_is_not_put_back_by_a_change() -> None:
    """Its generation was retired while another definition of it was looked up: nothing is written by it again."""
    both = mapping(USERS, table("notes", ("id", INT8)))
    users, notes = both.plans["public.users"], both.plans["public.notes"]
    changed = both.without(users.number).changed([replace(users, links=()), replace(notes, links=())])
    assert (list(changed.plans), list(changed.numbered)) == (["public.notes"], [notes.number])
    assert changed.plans["public.notes"] is changed.numbered[notes.number] is not notes
