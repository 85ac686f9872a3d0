"""The configuration's table and column names held against the catalogue."""

from __future__ import annotations

import pytest

from bridge.config import Config
from bridge.errors import ConfigError
from bridge.schema import Column, Table, TypeInfo
from bridge.selection import select, table_options

TEXT = TypeInfo(25, "pg_catalog", "text")


def _table(schema: str, name: str, *columns: str, generated: tuple[str, ...] = ()) -> Table:
    made = tuple(Column(column, TEXT, "text", number) for number, column in enumerate(columns or ("id",), 1))
    return Table(1, schema, name, made, key=("id",), generated=generated)


CATALOGUE = [
    _table("public", "users", "id", "name", "bio", generated=("full_name",)),
    _table("public", "Users"),
    _table("public", "audit_2024"),
    _table("app", "users"),
    _table("app", "orders"),
    _table("a", "b.c"),
    _table("a.b", "c"),
]


def _config(**keys: object) -> Config:
    return Config.model_validate({"source": "dbname=x", "target": "http://h", **keys})


def test_all_tables_by_default() -> None:
    """Without patterns everything is carried, in its order."""
    assert select(_config(), CATALOGUE[:-1]) == CATALOGUE[:-1]


def test_two_tables_that_read_alike_are_refused() -> None:
    """`a`.`b.c` and `a.b`.`c`: one of them would be carried under the name of the other. Both can be left out."""
    with pytest.raises(ConfigError, match=r"two tables are called a\.b\.c"):
        select(_config(), CATALOGUE)
    assert select(_config(exclude=["a.b.c"]), CATALOGUE) == CATALOGUE[:-2]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["users"], [], ["public.users"]),
        (["app.*"], [], ["app.users", "app.orders"]),
        (["*sers"], ["Users"], ["public.users", "app.users"]),
        ([], ["app.*", "audit_*", "a*", "nothing_*"], ["public.users", "public.Users"]),
        (["public.audit_????"], [], ["public.audit_2024"]),
    ],
)
def test_patterns_choose_tables(include: list[str], exclude: list[str], expected: list[str]) -> None:
    """Bare names mean `public`, patterns are held against `schema.table` too, and case counts."""
    assert [table.label for table in select(_config(include=include, exclude=exclude), CATALOGUE)] == expected


@pytest.mark.parametrize(
    ("keys", "message", "hint"),
    [
        ({"include": ["user"]}, "include: no table matches 'user'", "Did you mean 'users'?"),
        ({"include": ["zz*"]}, "include: no table matches 'zz*'", "There is: "),
        ({"exclude": ["orders"]}, "exclude: no table matches 'orders'", "Did you mean 'app.orders'?"),
    ],
)
def test_patterns_without_a_table_are_told(keys: dict[str, object], message: str, hint: str) -> None:
    """A misspelt table would else be left out, or carried, in silence."""
    with pytest.raises(ConfigError) as caught:
        select(_config(**keys), CATALOGUE)
    assert str(caught.value) == message
    assert hint in caught.value.hint


def test_options_are_by_label() -> None:
    """`users` and `app.users` are two tables; a generated column may be excluded, though it is never carried."""
    tables = {"users": {"text": ["bio"], "exclude": ["name", "full_name"]}, "app.users": {"shards": 2}}
    options = table_options(_config(tables=tables), CATALOGUE)
    assert options["public.users"].exclude == ("name",)
    assert options["app.users"].shards == 2


@pytest.mark.parametrize(
    ("tables", "message", "hint"),
    [
        ({"user": {}}, "tables.user: there is no such table", "Did you mean 'users'?"),
        ({"orders": {}}, "tables.orders: there is no such table", "Did you mean 'app.orders'?"),
        ({"users": {}, "public.users": {}}, "tables.public.users: public.users stands twice", "Keep one"),
        ({"a.b.c": {}}, "tables.a.b.c: the name fits 'a'.'b.c' and 'a.b'.'c'", "in full"),
        ({"users": {"text": ["nam"]}}, "tables.users.text: there is no column 'nam'", "Did you mean 'name'?"),
        ({"users": {"timestamp": "x"}}, "tables.users.timestamp: there is no column 'x'", "There is: bio, id, name."),
        ({"users": {"columns": {"include": ["ID"]}}}, "tables.users.columns.include: there is no column 'ID'", "'id'"),
        ({"users": {"exclude": ["boi"]}}, "tables.users.columns.exclude: there is no column 'boi'", "'bio'"),
        ({"users": {"text": ["full_name"]}}, "'full_name' is a generated column", "Leave it out"),
    ],
)
def test_names_that_do_not_exist_are_told(tables: dict[str, object], message: str, hint: str) -> None:
    """The nearest real name stands in the hint, schema and case included."""
    with pytest.raises(ConfigError) as caught:
        table_options(_config(tables=tables), CATALOGUE)
    assert message in str(caught.value)
    assert hint in caught.value.hint
