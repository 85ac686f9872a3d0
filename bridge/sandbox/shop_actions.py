"""What the shop's application does, one transaction each: among it everything that a replica can get wrong.

Inserts, updates with and without texts, foreign keys moved and set to NULL, deletes with their cascades, a key deleted and
inserted again, keys changed, large values left alone, roll-backs, savepoints, TRUNCATE, many rows in one transaction.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence

import psycopg
from psycopg.types.json import Jsonb

from bridge.sandbox.writing import Action, Connection, pick

NAMES = ("Ann", "Björn", "Chloé", "Dmitri", "Emre", "Fatima", "Grace", "Hiro", "Inés", "Jürgen", "Kofi", "Łucja")
CITIES = ("Oslo", "Kraków", "Lagos", "São Paulo", "Osaka", "Zürich", "Reno")
NOUNS = ("lamp", "chair", "teapot", "bicycle", "keyboard", "jacket", "knife", "globe", "tent", "piano", "drill", "mirror")
STATES = ("new", "paid", "sent", "done")
BODIES = ("Great!", "Great!", "Arrived late.", "Broken on arrival, money back.", "As described.", "Would buy again.", None)


def manual(chance: random.Random) -> str:
    """A text that is stored out of line: some 4 to 12 kB."""
    return " ".join(f"{chance.choice(NOUNS)}{chance.randint(0, 999)}" for _ in range(chance.randint(500, 1200)))


def register(connection: Connection, chance: random.Random) -> None:
    """A new user."""
    connection.execute(
        "insert into users (email, name, bio, prefs, referrer_id) values (%s, %s, %s, %s, %s)",
        [_email(chance), chance.choice(NAMES), chance.choice(BODIES), Jsonb({}), pick(connection, chance, "users")],
    )


def order(connection: Connection, chance: random.Random) -> None:
    """An order with its lines, and the stock of what was bought: several tables in one transaction."""
    with connection.transaction():
        user = pick(connection, chance, "users")
        made = connection.execute("insert into orders (user_id) values (%s) returning id", [user]).fetchone()
        assert made is not None
        for line in range(1, chance.randint(2, 5)):
            product = pick(connection, chance, "products")
            connection.execute("insert into order_items values (%s, %s, %s, %s, 9.99)", [made[0], line, product, line])
            connection.execute("update products set stock = stock - %s where id = %s", [line, product])


def edit_profile(connection: Connection, chance: random.Random) -> None:
    """Texts change."""
    values = [chance.choice(NAMES), f"Moved to {chance.choice(CITIES)}.", pick(connection, chance, "users")]
    connection.execute("update users set name = %s, bio = %s where id = %s", values)


def edit_and_revert(connection: Connection, chance: random.Random) -> None:
    """A row is changed, and changed back to what it was."""
    user = pick(connection, chance, "users")
    with connection.transaction():
        connection.execute("update users set name = name || '!' where id = %s", [user])
    connection.execute("update users set name = left(name, -1) where id = %s and name like '%%!'", [user])


def set_preference(connection: Connection, chance: random.Random) -> None:
    """JSON changes, no text does."""
    value = Jsonb({chance.choice(CITIES): [chance.randint(0, 10**18), None, True]})
    connection.execute("update users set prefs = prefs || %s where id = %s", [value, pick(connection, chance, "users")])


def touch(connection: Connection, chance: random.Random) -> None:
    """An update that changes nothing."""
    connection.execute("update products set name = name where id = %s", [pick(connection, chance, "products")])


def reword(connection: Connection, chance: random.Random) -> None:
    """The description changes, the large manual is left alone and not sent."""
    values = [f"A {chance.choice(NOUNS)} from {chance.choice(CITIES)}.", pick(connection, chance, "products")]
    connection.execute("update products set description = %s where id = %s", values)


def reprice(connection: Connection, chance: random.Random) -> None:
    """A number changes, in a row that may have a large manual."""
    values = [chance.randint(1, 10**6) / 100, pick(connection, chance, "products")]
    connection.execute("update products set price = %s where id = %s", values)


def rewrite_manual(connection: Connection, chance: random.Random) -> None:
    """The large value itself changes, or goes."""
    values = [manual(chance) if chance.random() < 0.8 else None, pick(connection, chance, "products")]
    connection.execute("update products set manual = %s where id = %s", values)


def move_product(connection: Connection, chance: random.Random) -> None:
    """A foreign key moves, or becomes NULL."""
    category = pick(connection, chance, "categories") if chance.random() < 0.8 else None
    connection.execute("update products set category_id = %s where id = %s", [category, pick(connection, chance, "products")])


def move_category(connection: Connection, chance: random.Random) -> None:
    """The tree changes; a category can become its own parent or close a circle."""
    parent = pick(connection, chance, "categories") if chance.random() < 0.8 else None
    values = [parent, pick(connection, chance, "categories")]
    connection.execute("update categories set parent_id = %s where id = %s", values)


def advance_orders(connection: Connection, chance: random.Random) -> None:
    """Many rows in one statement."""
    first = pick(connection, chance, "orders") or 0
    connection.execute("update orders set status = %s where id between %s and %s", [chance.choice(STATES), first, first + 30])


def reassign_order(connection: Connection, chance: random.Random) -> None:
    """An order goes to another user, or to none."""
    user = pick(connection, chance, "users") if chance.random() < 0.7 else None
    connection.execute("update orders set user_id = %s where id = %s", [user, pick(connection, chance, "orders")])


def cancel_order(connection: Connection, chance: random.Random) -> None:
    """A delete that cascades to the lines and sets the shipments' two columns to NULL."""
    connection.execute("delete from orders where id = %s", [pick(connection, chance, "orders")])


def renumber_line(connection: Connection, chance: random.Random) -> None:
    """A composite key changes; shipments follow."""
    order_id = pick(connection, chance, "order_items", "order_id")
    connection.execute(
        "update order_items set line_no = 100 + line_no %% 100 + %s where order_id = %s and line_no = "
        "(select min(line_no) from order_items where order_id = %s)",
        [100 * chance.randint(0, 200), order_id, order_id],
    )


def ship(connection: Connection, chance: random.Random) -> None:
    """A shipment of the first line of some order; sometimes half of the reference is NULL, which is then none."""
    order_id = pick(connection, chance, "order_items", "order_id")
    found = connection.execute("select min(line_no) from order_items where order_id = %s", [order_id]).fetchone()
    line = found[0] if found and chance.random() < 0.9 else None
    identity = uuid.UUID(int=chance.getrandbits(128), version=4)
    connection.execute(
        "insert into shipments values (%s, %s, %s, 'Post', now()) on conflict do nothing", [identity, order_id, line]
    )


def forget_user(connection: Connection, chance: random.Random) -> None:
    """A delete whose foreign keys cascade here and set to NULL there."""
    connection.execute("delete from users where id = %s", [pick(connection, chance, "users")])


def replace_user(connection: Connection, chance: random.Random) -> None:
    """The same key is deleted and inserted again, in one transaction or in two."""
    user = pick(connection, chance, "users")
    if user is None:
        return
    insert = "insert into users (id, email, name) values (%s, %s, %s)"
    values = [user, _email(chance), chance.choice(NAMES)]
    if chance.random() < 0.5:
        with connection.transaction():
            connection.execute("delete from users where id = %s", [user])
            connection.execute(insert, values)
    else:
        connection.execute("delete from users where id = %s", [user])
        connection.execute(insert, values)


def review(connection: Connection, chance: random.Random) -> None:
    """A row that refers to a product by its sku, with a text that others have too."""
    connection.execute(
        "insert into reviews (product_sku, user_id, stars, body) values ((select sku from products where id = %s), %s, %s, %s)",
        [pick(connection, chance, "products"), pick(connection, chance, "users"), chance.randint(1, 5), chance.choice(BODIES)],
    )


def rename_sku(connection: Connection, chance: random.Random) -> None:
    """The unique key that reviews refer to changes; they follow."""
    values = [f"SKU-{chance.randrange(10**9)}", pick(connection, chance, "products")]
    connection.execute("update products set sku = %s where id = %s", values)


def issue_coupon(connection: Connection, chance: random.Random) -> None:
    """A text key, or a change of what stands under it."""
    values = [f"SAVE_{chance.randrange(500)}%", pick(connection, chance, "users"), chance.randint(1, 99) / 4]
    connection.execute(
        "insert into coupons (code, user_id, percent) values (%s, %s, %s) "
        "on conflict (code) do update set percent = excluded.percent",
        values,
    )


def rename_coupon(connection: Connection, chance: random.Random) -> None:
    """A text key changes."""
    row = connection.execute("select code from coupons order by code offset %s limit 1", [chance.randrange(200)]).fetchone()
    if row is not None:
        new = f"{chance.choice(CITIES)}/{chance.randrange(10**6)} '{chance.choice(NOUNS)}'"
        connection.execute("update coupons set code = %s where code = %s", [new, row[0]])


def found_department(connection: Connection, chance: random.Random) -> None:
    """A department and its manager, who refer to each other, in one transaction."""
    with connection.transaction():
        made = connection.execute("insert into departments (name) values (%s) returning id", [chance.choice(NOUNS)]).fetchone()
        assert made is not None
        employee = connection.execute(
            "insert into employees (name, department_id) values (%s, %s) returning id", [chance.choice(NAMES), made[0]]
        ).fetchone()
        assert employee is not None
        connection.execute("update departments set manager_id = %s where id = %s", [employee[0], made[0]])


def browse(connection: Connection, chance: random.Random) -> None:
    """Some rows at once."""
    user = pick(connection, chance, "users")
    connection.execute(
        "insert into visits (user_id, path) select %s, '/' || n from generate_series(1, %s) n", [user, chance.randint(1, 20)]
    )


def clear_visits(connection: Connection, chance: random.Random) -> None:
    """TRUNCATE, sometimes with an insert before and behind it in the same transaction."""
    with connection.transaction():
        if chance.random() < 0.5:
            connection.execute("insert into visits (path) values ('/before')")
        connection.execute("truncate visits")
        if chance.random() < 0.5:
            connection.execute("insert into visits (path) values ('/after')")


def change_mind(connection: Connection, chance: random.Random) -> None:
    """A transaction that is rolled back: nothing of it may be seen."""
    with connection.transaction():
        connection.execute("update users set name = 'never' where id = %s", [pick(connection, chance, "users")])
        connection.execute("insert into visits (path) values ('/never')")
        raise psycopg.Rollback


def change_half_a_mind(connection: Connection, chance: random.Random) -> None:
    """A savepoint that is rolled back inside a transaction that commits."""
    user = pick(connection, chance, "users")
    with connection.transaction():
        connection.execute("update users set bio = 'first' where id = %s", [user])
        with connection.transaction():
            connection.execute("update users set bio = 'never' where id = %s", [user])
            connection.execute("delete from coupons where user_id = %s", [user])
            raise psycopg.Rollback
        connection.execute("update users set name = 'second' where id = %s", [user])


def _email(chance: random.Random) -> str:
    return f"u{chance.getrandbits(48):x}@example.com"


ACTIONS: Sequence[tuple[int, Action]] = (
    (12, order),
    (8, edit_profile),
    (6, register),
    (6, reword),
    (6, review),
    (5, reprice),
    (5, reassign_order),
    (4, set_preference),
    (4, move_product),
    (4, cancel_order),
    (4, ship),
    (4, browse),
    (4, change_mind),
    (4, change_half_a_mind),
    (3, advance_orders),
    (3, edit_and_revert),
    (3, rewrite_manual),
    (3, renumber_line),
    (3, replace_user),
    (3, issue_coupon),
    (2, touch),
    (2, move_category),
    (2, forget_user),
    (2, rename_sku),
    (2, rename_coupon),
    (1, found_department),
    (1, clear_visits),
)
