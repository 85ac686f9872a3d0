"""The second schema, beside the shop: legal and unusual; its rows, and an application that keeps changing them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from psycopg import sql

from bridge.sandbox.writing import Action, Connection, Writer
from tests.schemas import odd_actions
from tests.schemas.odd_values import PLACES, SIGNS, TYPE_ROWS

HERE = Path(__file__).parent


class Application(Writer):
    """Changes every table of the schema; see `odd_actions`."""

    actions: ClassVar[Sequence[tuple[int, Action]]] = odd_actions.ACTIONS


class KeylessApplication(Writer):
    """Changes the table without a key."""

    actions: ClassVar[Sequence[tuple[int, Action]]] = odd_actions.KEYLESS_ACTIONS


def create(url: str, *, keyless: bool = False) -> None:
    """Make the tables in an empty database."""
    with psycopg.connect(url) as connection:
        connection.execute((HERE / "odd.sql").read_bytes())
        if keyless:
            connection.execute((HERE / "odd_keyless.sql").read_bytes())


def seed(url: str, rows: int) -> int:
    """Fill the empty tables with about `rows` rows in all (at least some 150), the same each time; how many there are."""
    chance = random.Random(rows)
    share = max(5, rows // 24)
    with psycopg.connect(url) as connection:
        for number, values in enumerate(TYPE_ROWS):
            columns = sql.SQL(",").join(map(sql.Identifier, ["id", *values]))
            literals = sql.SQL(",").join(map(sql.Literal, [number, *values.values()]))
            connection.execute(sql.SQL("insert into all_types ({}) values ({})").format(columns, literals))
        connection.execute(
            "insert into all_types (id, c_int8, c_text) select n, n * 10::int8 ^ 12, 'row ' || n "
            "from generate_series(1000, 1000 + %s) n",
            [share],
        )
        _places(connection, share)
        _names(connection, share)
        _cycles(connection, share)
        _partitions(connection, share, chance)
        _keys(connection, share)
        _documents(connection, share, chance)
    return count(url)


def count(url: str) -> int:
    """All rows of all tables, partitions counted once."""
    total = 0
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where c.relkind in ('r', 'p') and not c.relispartition and n.nspname in ('public', 'twin', 'keyless')"
        ).fetchall()
        for schema, table in tables:
            row = connection.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))).fetchone()
            assert row is not None
            total += row[0]
    return total


def _many(connection: Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)


def _places(connection: Connection, share: int) -> None:
    rows = [(region, code, f"{region} and {code}") for region, code in PLACES]
    rows += [(f"region_{number % 7}", f"{number}%", "many have this label") for number in range(share)]
    for table in ("places", "twin.places"):
        _many(connection, f"insert into {table} values (%s, %s, %s)", rows)
    references = [rows[number % len(rows)][:2] if number % 6 else (rows[number % len(rows)][0], None) for number in range(share)]
    _many(connection, "insert into visits_of (place_region, place_code, note) values (%s, %s, 'been there')", references)


def _names(connection: Connection, share: int) -> None:
    connection.execute(
        'insert into "order" ("from", "where") select %s, \'w\' || n from generate_series(1, %s) n', [SIGNS, share]
    )
    connection.execute(
        'insert into "select" ("order", "group") select "select", case when "select" % 3 > 0 then "where" end from "order"'
    )
    connection.execute(
        'insert into "Mixed Case" ("naïve ✓", "quo""ted", "a.b") select \'ñandú \' || n, %s, nullif(n / 2, 0) '
        "from generate_series(1, %s) n",
        [SIGNS, share],
    )
    connection.execute(
        "insert into \"Größe 表\" select 'Straße ' || n || ' 東京', nullif(n %% 4, 0), n / 7.0 from generate_series(1, %s) n",
        [share],
    )


def _cycles(connection: Connection, share: int) -> None:
    connection.execute("insert into chickens select n, n, 'hen ' || n from generate_series(1, %s) n", [share])
    connection.execute("insert into eggs select n, n %% %s + 1, n / 3.0 from generate_series(1, %s) n", [share, share])
    folders = ["/"] + [f"/dir_{number}/50%" for number in range(share)]
    rows = [(path, folders[number // 3] if number else None, number * 10**12) for number, path in enumerate(folders)]
    _many(connection, "insert into folders values (%s, %s, %s)", rows)


def _partitions(connection: Connection, share: int, chance: random.Random) -> None:
    connection.execute("insert into devices select md5(n::text)::uuid, 'device ' || n from generate_series(1, 20) n")
    connection.execute(
        "insert into readings "
        "select (array['north', 'far north', 'south', 'it''s_%%'])[n %% 4 + 1], date '2023-06-01' + n %% 900, n, "
        "case when n %% 5 > 0 then md5((n %% 20 + 1)::text)::uuid end, n / 3.0 from generate_series(1, %s) n",
        [share * 2],
    )
    connection.execute(
        "insert into remarks (region, day, n, body) select region, case when n % 4 > 0 then day end, n, 'noted' from readings "
        "where n % 2 = 0"
    )
    connection.execute("insert into spans select n * 37, 'span' from generate_series(1, %s) n", [share])
    connection.execute("update spans set label = %s where id = 37", [str(chance.random())])


def _keys(connection: Connection, share: int) -> None:
    connection.execute("insert into prices (amount, label) select n * 1.1, 'Label ' || n from generate_series(1, %s) n", [share])
    connection.execute(
        "insert into price_notes (amount, label, body) select amount, case when id % 3 > 0 then label end, 'same' from prices"
    )
    _many(
        connection, "insert into currencies values (%s, %s)", [("eu", "Euro"), ("usd", "Dollar"), ("a b", "odd"), ("zloty", "z")]
    )
    connection.execute(
        "insert into rates (currency, rate) select (array['eu', 'usd', 'a b', null])[n %% 4 + 1], n / 9.0 "
        "from generate_series(1, %s) n",
        [share],
    )
    connection.execute("insert into accounts select n * 1.50, 'owner ' || n from generate_series(1, %s) n", [share])
    connection.execute(
        "insert into bookings select timestamptz '2024-03-31 00:00:00.123456+00' + n * interval '7 minutes', n * 1.5000, n * 3.3 "
        "from generate_series(1, %s) n",
        [share],
    )
    _many(
        connection,
        "insert into bookings values (%s, %s, 1)",
        [
            ("infinity", 1.5),
            ("-infinity", None),
            ("0044-03-15 12:00 BC", None),
            ("2024-10-27 00:30+00", None),
            ("12024-01-01", None),
        ],
    )
    connection.execute(
        'insert into twin."order" select n, at from (select row_number() over (order by at) n, at from bookings) x'
    )
    connection.execute(
        "insert into badges (holder, year) select 'holder ' || n, 2000 + n %% 20 from generate_series(1, %s) n", [share]
    )


def _documents(connection: Connection, share: int, chance: random.Random) -> None:
    rows = [
        (odd_actions.identity(chance), "same title", odd_actions.large(chance), chance.randbytes(3000) if number % 2 else None)
        for number in range(min(share, 300))
    ]
    _many(connection, "insert into documents values (%s, %s, %s, %s)", rows)
