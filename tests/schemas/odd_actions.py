"""What the application of the second schema does, one transaction each."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from bridge.sandbox.writing import Action, Connection, pick, pick_row
from tests.schemas.odd_values import SIGNS, TYPE_ROWS


def identity(chance: random.Random) -> uuid.UUID:
    """A random key."""
    return uuid.UUID(int=chance.getrandbits(128), version=4)


def large(chance: random.Random) -> str:
    """A text that is stored out of line."""
    return "".join(chance.choices("äbcdé \n", k=6000))


def _word(chance: random.Random) -> str:
    return "".join(chance.choices("ab_%/ é'\"\\東.", k=chance.randint(1, 6)))


def change_types(connection: Connection, chance: random.Random) -> None:
    """Some columns of a row of all types take the values of another one's."""
    source = chance.choice(TYPE_ROWS[1:])
    names = chance.sample(sorted(source), min(3, len(source)))
    settings = sql.SQL(",").join(sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(source[name])) for name in names)
    connection.execute(
        sql.SQL("update all_types set {} where id = {}").format(settings, sql.Literal(pick(connection, chance, "all_types")))
    )


def null_types(connection: Connection, chance: random.Random) -> None:
    """A value becomes NULL."""
    name = sql.Identifier(chance.choice(sorted(TYPE_ROWS[1])))
    key = sql.Literal(pick(connection, chance, "all_types"))
    connection.execute(sql.SQL("update all_types set {} = null where id = {}").format(name, key))


def rename_place(connection: Connection, chance: random.Random) -> None:
    """A composite text key changes; its children follow."""
    row = pick_row(connection, chance, sql.SQL("places"), "region", "code")
    if row is not None:
        connection.execute("update places set code = %s where region = %s and code = %s", [_word(chance), *row])


def replace_place(connection: Connection, chance: random.Random) -> None:
    """The same composite key is deleted and inserted again; children lose their parent, and one finds it again."""
    for table in (sql.SQL("places"), sql.SQL("twin.places")):
        row = pick_row(connection, chance, table, "region", "code")
        if row is None:
            continue
        with connection.transaction():
            where = sql.SQL("delete from {} where region = %s and code = %s").format(table)
            connection.execute(where, row)
            connection.execute(sql.SQL("insert into {} values (%s, %s, %s)").format(table), [*row, _word(chance)])
    visit = pick(connection, chance, "visits_of")
    parent = pick_row(connection, chance, sql.SQL("places"), "region", "code")
    if parent is not None:
        connection.execute("update visits_of set place_region = %s, place_code = %s where id = %s", [*parent, visit])


def add_place(connection: Connection, chance: random.Random) -> None:
    """A new place in both schemas, under the same key; sometimes it is rolled back."""
    values = [_word(chance), _word(chance), SIGNS]
    with connection.transaction():
        connection.execute("insert into places values (%s, %s, %s) on conflict do nothing", values)
        connection.execute("insert into twin.places values (%s, %s, %s) on conflict do nothing", values)
        if chance.random() < 0.3:
            raise psycopg.Rollback


def reserved_words(connection: Connection, chance: random.Random) -> None:
    """Insert, rename, refer, delete, in tables whose names are reserved words."""
    with connection.transaction():
        made = connection.execute(
            'insert into "order" ("from", "where") values (%s, %s) returning "select"',
            [_word(chance), f"w{chance.getrandbits(40)}"],
        ).fetchone()
        assert made is not None
        connection.execute('insert into "select" ("order") values (%s)', made)
    old = pick(connection, chance, "order", "select")
    if chance.random() < 0.5:
        connection.execute('update "order" set "where" = %s where "select" = %s', [f"w{chance.getrandbits(40)}", old])
    else:
        connection.execute('delete from "order" where "select" = %s', [old])


def odd_names(connection: Connection, chance: random.Random) -> None:
    """Columns with spaces, quotes, dots and letters beyond ASCII change; so does a text key."""
    key = pick(connection, chance, "Mixed Case", "User Id")
    parent = pick(connection, chance, "Mixed Case", "User Id")
    values = [_word(chance), SIGNS, chance.choice((parent, key, None)), key]
    connection.execute('update "Mixed Case" set "naïve ✓" = %s, "quo""ted" = %s, "a.b" = %s where "User Id" = %s', values)
    row = pick_row(connection, chance, sql.SQL('"Größe 表"'), "schlüssel")
    if row is not None:
        new = f"{_word(chance)} {chance.randrange(10**6)}"
        connection.execute('update "Größe 表" set "schlüssel" = %s, "User Id" = %s where "schlüssel" = %s', [new, parent, row[0]])


def hatch(connection: Connection, chance: random.Random) -> None:
    """A hen and her egg refer to each other; the constraints look only at the commit."""
    number = chance.randrange(10**6, 2 * 10**9)
    with connection.transaction():
        connection.execute("insert into chickens values (%s, %s, %s)", [number, number, _word(chance)])
        connection.execute("insert into eggs values (%s, %s, 1.5)", [number, number])
    connection.execute("delete from chickens where id = %s", [pick(connection, chance, "chickens")])


def swap_eggs(connection: Connection, chance: random.Random) -> None:
    """References move around the cycle, a parent is deleted and inserted again under deferred constraints."""
    first, second = pick(connection, chance, "chickens"), pick(connection, chance, "chickens")
    connection.execute("update eggs set chicken_id = %s where chicken_id = %s", [second, first])
    connection.execute("update chickens set egg_id = null where id = %s", [second])


def move_folder(connection: Connection, chance: random.Random) -> None:
    """A text key of a tree changes; the folders below follow by cascade."""
    row = pick_row(connection, chance, sql.SQL("folders"), "path")
    parent = pick_row(connection, chance, sql.SQL("folders"), "path")
    if row is None or parent is None:
        return
    new = f"/{_word(chance)}{chance.randrange(10**6)}"
    connection.execute("update folders set path = %s where path = %s", [new, row[0]])
    connection.execute("insert into folders values (%s, %s, 1) on conflict do nothing", [f"{new}/sub", new])


def drop_folder(connection: Connection, chance: random.Random) -> None:
    """A leaf goes."""
    connection.execute(
        "delete from folders where path = (select path from folders f where not exists "
        "(select from folders c where c.parent = f.path) order by path offset %s limit 1)",
        [chance.randrange(5)],
    )


def read_device(connection: Connection, chance: random.Random) -> None:
    """Rows into several partitions, by way of the root and of a partition itself."""
    number = chance.randrange(10**6, 2 * 10**9)
    rows: list[tuple[Any, ...]] = [
        ("north", "2023-12-31"),
        ("north", "2024-01-01"),
        ("far north", "2031-01-01"),
        (_word(chance), "2024-01-01"),
    ]
    with connection.transaction():
        for region, day in rows:
            connection.execute("insert into readings (region, day, n) values (%s, %s, %s)", [region, day, number])
        connection.execute("insert into readings_north_2024 values ('north', '2024-12-31', %s)", [number])
        connection.execute("insert into remarks (region, day, n, body) values ('north', '2024-12-31', %s, 'new')", [number])


def move_reading(connection: Connection, chance: random.Random) -> None:
    """A row moves from one partition to another: for the stream a delete and an insert."""
    row = pick_row(connection, chance, sql.SQL("readings"), "region", "day", "n")
    if row is None:
        return
    day = f"{chance.choice((2023, 2024, 2029))}-{chance.randint(1, 12):02}-01"
    connection.execute(
        "update readings set region = %s, day = %s where region = %s and day = %s and n = %s",
        [chance.choice(("north", "south", "far north")), day, *row],
    )


def change_device(connection: Connection, chance: random.Random) -> None:
    """A uuid parent appears, is referred to, and one goes."""
    device = identity(chance)
    connection.execute("insert into devices values (%s, %s)", [device, _word(chance)])
    connection.execute("update readings set device_id = %s where n = %s", [device, pick(connection, chance, "readings", "n")])
    row = pick_row(connection, chance, sql.SQL("devices"), "id")
    if row is not None and chance.random() < 0.5:
        connection.execute("delete from devices where id = %s", row)


def delete_reading(connection: Connection, chance: random.Random) -> None:
    """Rows go from partitions; remarks with them."""
    connection.execute("delete from readings where n = %s", [pick(connection, chance, "readings", "n")])


def move_span(connection: Connection, chance: random.Random) -> None:
    """A key changes across the border of two ranges."""
    key = pick(connection, chance, "spans")
    connection.execute("update spans set id = %s where id = %s", [chance.randrange(3000), key])
    connection.execute("insert into spans values (%s, %s) on conflict do nothing", [chance.randrange(3000), _word(chance)])


def clear_spans(connection: Connection, chance: random.Random) -> None:
    """TRUNCATE of a partitioned table, or of two tables at once."""
    with connection.transaction():
        if chance.random() < 0.5:
            connection.execute("truncate spans")
        else:
            connection.execute("truncate spans, visits_of")
        connection.execute("insert into spans values (%s, 'after')", [chance.randrange(3000)])


def change_price(connection: Connection, chance: random.Random) -> None:
    """Unique keys that are not primary ones change; children of another scale and type follow."""
    values = [chance.randrange(10**9) / 100, f"Label {chance.getrandbits(40)}", pick(connection, chance, "prices")]
    connection.execute("update prices set amount = %s::numeric(10, 2), label = %s where id = %s", values)


def note_price(connection: Connection, chance: random.Random) -> None:
    """A child whose numeric text is not its parent's; or the parent goes."""
    price = pick(connection, chance, "prices")
    connection.execute(
        "insert into price_notes (amount, label, body) select amount, label, 'same' from prices where id = %s", [price]
    )
    if chance.random() < 0.3:
        connection.execute("delete from prices where id = %s", [price])
        connection.execute(
            "insert into prices (amount, label) values (%s::numeric(10, 2), %s)",
            [chance.randrange(10**9) / 100, f"Label {chance.getrandbits(40)}"],
        )


def renumber_account(connection: Connection, chance: random.Random) -> None:
    """A numeric key changes its scale and nothing else, or its value; bookings follow."""
    row = pick_row(connection, chance, sql.SQL("accounts"), "number")
    if row is not None:
        new = sql.SQL("number * 1.00") if chance.random() < 0.5 else sql.Literal(chance.randrange(10**6))
        connection.execute(sql.SQL("update accounts set number = {} where number = %s").format(new), row)


def book(connection: Connection, chance: random.Random) -> None:
    """A timestamptz key is inserted and another one moved."""
    row = pick_row(connection, chance, sql.SQL("accounts"), "number")
    at = f"20{chance.randint(10, 40)}-03-{chance.randint(1, 28):02} 01:02:03.{chance.randrange(10**6):06}+02:30"
    connection.execute("insert into bookings values (%s, %s, 5) on conflict do nothing", [at, row[0] if row else None])
    old = pick_row(connection, chance, sql.SQL("bookings"), "at")
    if old is not None and "infinity" not in old[0]:
        connection.execute("update bookings set at = at + interval '1 microsecond', amount = amount * 2 where at = %s", old)


def exchange(connection: Connection, chance: random.Random) -> None:
    """A padded key is renamed, children follow."""
    row = pick_row(connection, chance, sql.SQL("currencies"), "code")
    if row is not None:
        connection.execute("update currencies set code = %s where code = %s", [f"c{chance.randrange(1000)}", row[0]])
        connection.execute("insert into rates (currency, rate) select code, 1.10 from currencies limit 1")


def edit_document(connection: Connection, chance: random.Random) -> None:
    """Full identity: the title changes and the large values do not, or they do, or a row comes and one goes."""
    row = pick_row(connection, chance, sql.SQL("documents"), "id")
    if row is None or chance.random() < 0.3:
        values = [identity(chance), _word(chance), large(chance), chance.randbytes(3000)]
        connection.execute("insert into documents values (%s, %s, %s, %s)", values)
    elif chance.random() < 0.6:
        connection.execute("update documents set title = %s where id = %s", [_word(chance), row[0]])
    elif chance.random() < 0.7:
        connection.execute("update documents set body = %s where id = %s", [large(chance), row[0]])
    else:
        connection.execute("delete from documents where id = %s", row)


def award(connection: Connection, chance: random.Random) -> None:
    """A table whose identity is a wider index: holder and key change."""
    key = pick(connection, chance, "badges")
    connection.execute("update badges set holder = %s where id = %s", [_word(chance), key])
    connection.execute("insert into badges (holder, year) values (%s, 2024)", [_word(chance)])
    if chance.random() < 0.3:
        connection.execute("delete from badges where id = %s", [key])


def change_log(connection: Connection, chance: random.Random) -> None:
    """Rows without a key: equal ones come, are changed and go."""
    line = [chance.choice(("started", "stopped")), chance.randrange(5)]
    connection.execute("insert into keyless.log_lines select '2024-01-01', %s, %s from generate_series(1, 2)", line)
    connection.execute("update keyless.log_lines set n = n + 100 where n = %s and line = 'started'", [chance.randrange(5)])
    connection.execute("delete from keyless.log_lines where n > 100 + %s", [chance.randrange(5)])


ACTIONS: Sequence[tuple[int, Action]] = (
    (1, clear_spans),
    *(
        (2, action)
        for action in (
            change_types,
            null_types,
            rename_place,
            replace_place,
            add_place,
            reserved_words,
            odd_names,
            hatch,
            swap_eggs,
            move_folder,
            drop_folder,
            read_device,
            move_reading,
            change_device,
            delete_reading,
            move_span,
            change_price,
            note_price,
            renumber_account,
            book,
            exchange,
            edit_document,
            award,
        )
    ),
)

KEYLESS_ACTIONS: Sequence[tuple[int, Action]] = ((1, change_log),)
