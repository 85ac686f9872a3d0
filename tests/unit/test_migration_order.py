"""The flags of `migrate-postgresql`: how they are read, and what they come to for the tables that there are."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.choices import Choices
from bridge.cli.command_lines import command_line
from bridge.config import Config
from bridge.errors import ConfigError
from bridge.migration import order as orders
from bridge.migration.order import Order, resolve
from bridge.schema import Column, Table, TypeInfo
from snapshot.plan import Restriction

TEXT = TypeInfo(25, "pg_catalog", "text")
NUMBER = TypeInfo(23, "pg_catalog", "int4")
TIME = TypeInfo(1184, "pg_catalog", "timestamptz")


def table(name: str, *columns: str, schema: str = "public", key: bool = True, time: str | None = "created_at") -> Table:
    """A table of text columns, with one of time."""
    made = [Column("id", NUMBER, "integer", 1)]
    made += [Column(column, TEXT, "text", number) for number, column in enumerate(columns, 2)]
    made += [Column(time, TIME, "timestamptz", len(made) + 1)] if time is not None else []
    return Table(1, schema, name, tuple(made), key=("id",) if key else ())


TABLES = [
    table("users", "name", "bio", "notes"),
    table("orders", "description", "comments", time="placed_at"),
    table("products", "title", time=None),
    table("users", "name", schema="app"),
]


def config(**keys: Any) -> Config:
    """A configuration with addresses."""
    return Config.model_validate({"source": "dbname=x", "target": "http://h", **keys})


def resolved(order: Order, **keys: Any) -> orders.Chosen:
    """Against the tables above."""
    return resolve(order, config(), TABLES, keys.get("rows", {}), keys.get("choices", Choices()), keys.get("known", ()))


def test_the_documented_values_are_read() -> None:
    """Those of the guide, as they stand there."""
    assert orders.pairs("f", "users:user_space,orders:order_space,products:product_space", "x:y") == {
        "users": "user_space",
        "orders": "order_space",
        "products": "product_space",
    }
    assert orders.texts("users:name,bio,notes;orders:description,comments") == {
        "users": ("name", "bio", "notes"),
        "orders": ("description", "comments"),
    }
    assert orders.names(["users,orders", " products "]) == ("users", "orders", "products")


@pytest.mark.parametrize("given_", ["users", "users:", ":space", "users:a,,orders:b", "users:a,users:b", ","])
def test_a_malformed_pair_is_refused(given_: str) -> None:
    """With an example in the hint; exit code 2."""
    with pytest.raises(ConfigError) as refused:
        orders.pairs("--table-to-space", given_, orders.NO_MAPPING)
    assert refused.value.exit_code == 2
    assert "users:user_space" in refused.value.hint


@pytest.mark.parametrize("given_", ["users", "users:", ":name", "users:name;users:bio", "users:,"])
def test_malformed_text_columns_are_refused(given_: str) -> None:
    """The same."""
    with pytest.raises(ConfigError):
        orders.texts(given_)


NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,10}", fullmatch=True)


@given(st.dictionaries(NAMES, NAMES, min_size=1))
def test_any_pairs_are_read_back(pairs: dict[str, str]) -> None:
    """Whatever is written as `table:space`, by commas, is read as that."""
    assert orders.pairs("f", ",".join(f"{table}:{space}" for table, space in pairs.items()), "x:y") == pairs


@given(st.dictionaries(NAMES, st.lists(NAMES, min_size=1, unique=True).map(tuple), min_size=1))
def test_any_text_columns_are_read_back(texts: dict[str, tuple[str, ...]]) -> None:
    """Whatever is written as `table:columns`, by semicolons, is read as that."""
    assert orders.texts(";".join(f"{table}:{','.join(columns)}" for table, columns in texts.items())) == texts


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("2025-06-30", "2025-06-30T00:00:00+00:00"),
        ("2025-06-30T12:00:00Z", "2025-06-30T12:00:00+00:00"),
        ("2025-06-30 12:00:00+02:00", "2025-06-30T10:00:00+00:00"),
    ],
)
def test_moments_are_utc(said: str, read: str) -> None:
    """Without a zone they are meant so."""
    assert orders.moment("--since", said) == read


def test_what_is_no_moment_is_refused() -> None:
    """Exit code 2."""
    with pytest.raises(ConfigError, match="--since"):
        orders.moment("--since", "yesterday")


def test_one_mapped_table_leaves_the_others_on_their_defaults() -> None:
    """`--table-to-space` and `--text-columns` are about the tables that they name."""
    found = resolved(Order(spaces={"users": "user_memories"}, texts={"users": ("name",)}))
    assert set(found.labels) == {"public.users", "public.orders", "public.products", "app.users"}
    options = {label: found.config.tables[label].options() for label in found.labels}
    assert (options["public.users"].space, options["public.users"].text) == ("user_memories", ("name",))
    assert all(one.space is None and one.text is None for label, one in options.items() if label != "public.users")


def test_a_space_for_all_leaves_those_that_are_named() -> None:
    """`--memory-space` is where everything else goes."""
    found = resolved(Order(spaces={"users": "user_memories"}, space="shop"))
    spaces = {label: found.config.tables[label].space for label in found.labels}
    assert spaces["public.users"] == "user_memories"
    assert {space for label, space in spaces.items() if label != "public.users"} == {"shop"}


@pytest.mark.parametrize(
    "order",
    [
        Order(spaces={"nobody": "space"}),
        Order(texts={"nobody": ("name",)}),
        Order(texts={"users": ("nothing",)}),
        Order(shards={"nobody": 2}),
        Order(timestamp="nothing"),
        Order(tables=("nobody",)),
        Order(tables=("users",), spaces={"orders": "elsewhere"}),
    ],
)
def test_names_that_are_not_there_are_refused(order: Order) -> None:
    """With the nearest in the hint, before anything is written."""
    with pytest.raises(ConfigError) as refused:
        resolved(order)
    assert refused.value.hint
    assert str(refused.value).startswith("--")


def test_tables_are_chosen_by_name_and_by_pattern() -> None:
    """Bare names mean `public`."""
    assert resolved(Order(tables=("users",))).labels == ("public.users",)
    assert resolved(Order(tables=("*users",))).labels == ("public.users", "app.users")
    assert resolved(Order(tables=("app.*", "orders"))).labels == ("public.orders", "app.users")


def test_tables_of_earlier_migrations_stay_in_the_mapping() -> None:
    """Edges lead to them; but they are not migrated again."""
    found = resolved(Order(tables=("orders",)), known=("public.users",))
    assert found.labels == ("public.orders",)
    assert set(found.config.include) == {"public.orders", "public.users"}


def test_what_was_said_of_a_table_holds_until_it_is_said_otherwise() -> None:
    """A second migration of it need not repeat the flags of the first."""
    kept = Choices(mapped={"public.users": {"space": "user_memories", "text": ["name"]}})
    again = resolved(Order(), choices=kept).config.tables["public.users"]
    assert (again.space, again.text) == ("user_memories", ("name",))
    other = resolved(Order(texts={"users": ("bio",)}), choices=kept).config.tables["public.users"]
    assert (other.space, other.text) == ("user_memories", ("bio",))


def test_a_timestamp_column_is_that_of_the_tables_that_have_it() -> None:
    """The others stay on created_at."""
    found = resolved(Order(timestamp="placed_at"))
    assert found.config.tables["public.orders"].timestamp == "placed_at"
    assert found.config.tables["public.users"].timestamp is None


def test_a_delta_reads_what_has_a_time() -> None:
    """Tables without the column are passed over by a delta, and read whole up to a date."""
    since = resolved(Order(since="2025-01-01T00:00:00+00:00"))
    assert since.labels == ("public.users", "app.users")
    assert set(since.passed_over) == {"public.orders", "public.products"}
    assert since.restrictions["public.users"] == Restriction("created_at", "2025-01-01T00:00:00+00:00", None, None)
    until = resolved(Order(until="2025-01-01T00:00:00+00:00"))
    assert len(until.labels) == 4
    assert set(until.restrictions) == {"public.users", "app.users"}
    limited = resolved(Order(limit=100))
    assert set(limited.restrictions.values()) == {Restriction(limit=100)}


def test_a_table_too_large_for_a_space_is_spread() -> None:
    """The documented command works on it, too; what was said by hand stands."""
    rows = {"public.users": 250_000}
    found = resolved(Order(), rows=rows)
    assert found.spread["public.users"] == found.config.tables["public.users"].shards > 2
    assert not resolved(Order(spaces={"users": "one_space"}), rows=rows).spread
    assert resolved(Order(shards={"users": 3}), rows=rows).config.tables["public.users"].shards == 3
    assert not resolved(Order(), rows=rows, known=("public.users",)).spread


def test_a_table_without_a_key_is_carried() -> None:
    """Rows that are equal are one memory: nobody had to prepare it."""
    loose = table("log", "line", key=False)
    found = resolve(Order(), config(), [loose], {}, Choices())
    assert found.config.tables["public.log"].duplicates == "collapse"


def test_an_order_is_the_same_after_json() -> None:
    """It is compared with what the checkpoint and the ledger have kept."""
    order = Order(tables=("users",), texts={"users": ("name", "bio")}, spaces={"users": "s_1"}, limit=3, edges=False)
    assert json.loads(json.dumps(order.as_dict())) == order.as_dict()


@pytest.mark.parametrize("confidence", ["0.99", "0.4", "sure"])
def test_a_confidence_out_of_the_band_is_refused(confidence: str) -> None:
    """0.95 can be reached, 0.99 cannot."""
    orders.require(Order(confidence="0.95"))
    with pytest.raises(ConfigError, match="--confidence"):
        orders.require(Order(confidence=confidence))


def test_the_command_that_is_kept_has_no_password() -> None:
    """It stands in the report, in the checkpoint's ledger and on the screen."""
    given_ = ["x", "--source", "postgresql://me:secret@host/db", "--target", "http://h:7432", "--batch-size", "10"]
    shown = command_line(given_)
    assert "secret" not in shown
    assert "--batch-size 10" in shown
    assert "http://h:7432" in shown
    assert "secret" not in command_line(["x", "--source=host=h password=secret dbname=d"])


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("postgresql://u:secret@h/db?schema=bridge", "postgresql://u@h/db?schema=bridge"),
        ("postgresql+psycopg://u:secret@h/db", "postgresql+psycopg://u@h/db"),
        ("postgresql://u:secret@h/db", "postgresql://u@h/db"),
        ("postgresql://h/db?user=u&password=secret", "postgresql://h/db?user=u"),
        ("https://me:secret@embeddings.example/v1", "https://me@embeddings.example/v1"),
        ("engram.db", "engram.db"),
    ],
)
def test_a_place_is_shown_as_a_place_and_without_its_password(given_: str, shown: str) -> None:
    """The command that is printed to go on must lead to the same ledger."""
    for arguments in (["x", "--ledger", given_], ["x", f"--ledger={given_}"]):
        told = shlex.split(command_line(arguments))
        assert told[-1].removeprefix("--ledger=") == shown


def test_a_table_that_is_spread_stays_so_when_a_file_names_it() -> None:
    """It was spread unasked; a file that says nothing of that must not refuse the same command when it goes on."""
    config = Config.model_validate(
        {"source": "dbname=x", "target": "http://h:1", "tables": {"users": {"text": ["bio"]}, "orders": {"shards": 4}}}
    )
    kept = {"shards": 3, "text": ["name"]}
    users = next(one for one in TABLES if one.name == "users")
    assert orders._table(Order(), config, users, kept) == {"text": ["bio"], "shards": 3}
    named = next(one for one in TABLES if one.name == "orders")
    assert orders._table(Order(), config, named, kept)["shards"] == 4
