"""The shop of the demo and of the tests: its schema, its first rows, and the application that keeps writing to it."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, ClassVar

import psycopg
from psycopg import sql

from bridge.sandbox import shop_actions
from bridge.sandbox.shop_actions import BODIES, CITIES, NAMES, NOUNS, STATES, manual
from bridge.sandbox.writing import Action, Connection, Writer

TABLES = (
    "categories",
    "users",
    "departments",
    "employees",
    "products",
    "orders",
    "order_items",
    "shipments",
    "reviews",
    "coupons",
    "visits",
)

KEYS = dict.fromkeys(TABLES, ("id",)) | {"order_items": ("order_id", "line_no"), "coupons": ("code",)}
"""The columns of their primary keys."""

_START = datetime(2024, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)


class Application(Writer):
    """The shop in business: orders, edits, moves, cancellations, roll-backs; see `shop_actions`."""

    actions: ClassVar[Sequence[tuple[int, Action]]] = shop_actions.ACTIONS


def create(url: str) -> None:
    """Make the shop's tables in an empty database."""
    with psycopg.connect(url) as connection:
        connection.execute((resources.files("bridge.sandbox") / "shop.sql").read_bytes())


def seed(url: str, rows: int) -> int:
    """Fill the empty tables with about `rows` rows in all, the same ones each time; answers how many there are."""
    chance = random.Random(rows)
    users, products, orders = max(5, rows // 10), max(5, rows // 20), max(5, rows // 5)
    with psycopg.connect(url) as connection:
        _copy(connection, "categories", "id parent_id name", _categories())
        _copy(connection, "users", "id email name bio prefs referrer_id created_at", _users(chance, users))
        _copy(connection, "departments", "id name manager_id", ((n, f"Department {n}", n * 2) for n in range(1, 6)))
        _copy(connection, "employees", "id name department_id hired", _employees(chance))
        fields = "id sku category_id name description price stock specs manual created_at"
        _copy(connection, "products", fields, _products(chance, products))
        _copy(connection, "orders", "id user_id status note placed_at", _orders(chance, orders, users))
        items = list(_items(chance, orders, products, max(10, rows // 2)))
        _copy(connection, "order_items", "order_id line_no product_id quantity price", items)
        _copy(connection, "shipments", "id order_id line_no carrier sent_at", _shipments(chance, items, rows // 20))
        _copy(
            connection, "reviews", "id product_sku user_id stars body created_at", _reviews(chance, rows // 20, products, users)
        )
        _copy(connection, "coupons", "code user_id percent expires", _coupons(chance, rows // 50, users))
        _copy(connection, "visits", "id user_id path seen_at", _visits(chance, rows // 100, users))
        return sum(_settle(connection, table) for table in TABLES)


def _copy(connection: Connection, table: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
    names = sql.SQL(",").join(map(sql.Identifier, columns.split()))
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("copy {} ({}) from stdin").format(sql.Identifier(table), names)) as copy,
    ):
        for row in rows:
            copy.write_row(row)


def _settle(connection: Connection, table: str) -> int:
    """Set the sequence behind the highest id, bring the statistics up to date, and count."""
    name = sql.Identifier(table)
    if table not in ("order_items", "shipments", "coupons"):
        connection.execute(
            sql.SQL("select setval(pg_get_serial_sequence({}, 'id'), (select coalesce(max(id), 0) + 1 from {}), false)").format(
                sql.Literal(table), name
            )
        )
    connection.execute(sql.SQL("analyze {}").format(name))
    counted = connection.execute(sql.SQL("select count(*) from {}").format(name)).fetchone()
    assert counted is not None
    return int(counted[0])


def _categories() -> Iterator[tuple[Any, ...]]:
    for number, name in enumerate(NOUNS, 1):
        yield number, number // 3 or None, f"{name}s".capitalize()


def _users(chance: random.Random, count: int) -> Iterator[tuple[Any, ...]]:
    for number in range(1, count + 1):
        name = f"{chance.choice(NAMES)} {chance.choice(NAMES)}son"
        # Every third has one of a few texts, so that many rows are alike but for their keys.
        bio = (
            None
            if number % 7 == 0
            else f"Lives in {chance.choice(CITIES)}."
            if number % 3 == 0
            else f"{name} likes {chance.choice(NOUNS)}s."
        )
        prefs = {"news": chance.random() < 0.5, "city": chance.choice(CITIES), "limit": 1e3 * chance.randint(0, 9)}
        referrer = chance.randint(1, number - 1) if number > 1 and chance.random() < 0.3 else None
        yield number, f"user{number}@example.com", name, bio, json.dumps(prefs), referrer, _START + number * _MINUTE


def _employees(chance: random.Random) -> Iterator[tuple[Any, ...]]:
    for number in range(1, 31):
        yield number, f"{chance.choice(NAMES)} {chance.choice(NAMES)}", (number - 1) % 5 + 1, _START.date()


def _products(chance: random.Random, count: int) -> Iterator[tuple[Any, ...]]:
    for number in range(1, count + 1):
        noun = chance.choice(NOUNS)
        specs = json.dumps({"weight": number / 8, "colours": ["red", "grün"][: number % 3]}) if number % 4 else None
        text = f"A {noun} for {chance.choice(CITIES)}." if number % 5 else None
        large = manual(chance) if number % 10 == 0 else None
        price = f"{number % 90 + 0.99:.2f}"
        yield (
            number,
            f"SKU-{number:06}",
            chance.randint(1, len(NOUNS)),
            noun,
            text,
            price,
            1000,
            specs,
            large,
            _START.replace(tzinfo=None),
        )


def _orders(chance: random.Random, count: int, users: int) -> Iterator[tuple[Any, ...]]:
    for number in range(1, count + 1):
        user = None if number % 20 == 0 else chance.randint(1, users)
        yield number, user, chance.choice(STATES), chance.choice((None, "Leave it at the door.")), _START + number * _MINUTE


def _items(chance: random.Random, orders: int, products: int, count: int) -> Iterator[tuple[Any, ...]]:
    for number in range(count):
        product = chance.randint(1, products)
        yield number % orders + 1, number // orders + 1, product, chance.randint(1, 5), f"{product % 90 + 0.99:.2f}"


def _shipments(chance: random.Random, items: Sequence[tuple[Any, ...]], count: int) -> Iterator[tuple[Any, ...]]:
    for number in range(count):
        order, line = chance.choice(items)[:2] if number % 9 else (None, None)
        yield uuid.UUID(int=chance.getrandbits(128), version=4), order, line, chance.choice(("Post", "Bike")), _START


def _reviews(chance: random.Random, count: int, products: int, users: int) -> Iterator[tuple[Any, ...]]:
    for number in range(1, count + 1):
        sku = f"SKU-{chance.randint(1, products):06}"
        yield number, sku, chance.randint(1, users), chance.randint(1, 5), chance.choice(BODIES), _START + number * _MINUTE


def _coupons(chance: random.Random, count: int, users: int) -> Iterator[tuple[Any, ...]]:
    for number in range(count):
        yield f"SAVE_{number}%", chance.randint(1, users), 2.5 * chance.randint(1, 9), _START.date()


def _visits(chance: random.Random, count: int, users: int) -> Iterator[tuple[Any, ...]]:
    for number in range(1, count + 1):
        yield number, chance.randint(1, users), f"/{chance.choice(NOUNS)}", _START + number * _MINUTE
