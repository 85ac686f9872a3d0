"""Both paths give the same bytes (law 10): for each type and each odd table, and for keys of any characters."""

from __future__ import annotations

import random
from urllib.parse import quote

import psycopg
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bridge.reads import Mode
from tests.acceptance.conftest import MakeRig
from tests.integration.typed_values import COLUMNS, SETUP
from tests.reading import reader, route, running
from tests.rig import Rig
from tests.schemas import odd

PAIRS = """
create table "pairs of $ names" (a text, "b/c" text, n int, primary key (a, "b/c"));
"""
KEYS = [("x_y", "100%"), ("a/b", "é 🎈"), ("", ","), ("%2F", "_"), ("%5F", "?&#"), ("..", "."), (" ", "+"), ("%", "%25")]


def rows_of_all_types(url: str, count: int) -> None:
    """A wide table with a column of each type, and rows of generated values."""
    drawn: list[tuple[str | None, ...]] = []
    rows = st.tuples(*(st.none() | texts for texts in COLUMNS.values()))

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None, phases=[Phase.generate])
    @given(rows)
    def draw(row: tuple[str | None, ...]) -> None:
        drawn.append(row)

    draw()
    body = ", ".join(f"c{number} {declared}" for number, declared in enumerate(COLUMNS))
    with psycopg.connect(url, autocommit=True) as admin, admin.cursor() as cursor:
        cursor.execute(SETUP.encode())
        cursor.execute(f"create table public.wide (id int primary key, {body})".encode())
        places = ", ".join(["%s"] * (len(COLUMNS) + 1))
        values = [(str(number), *row) for number, row in enumerate(drawn)]
        cursor.executemany(f"insert into public.wide values ({places})".encode(), values)


def keys_of(rig: Rig) -> dict[str, list[str]]:
    """Some keys of each carried table that the ledger expects in Engram."""
    ledger, chance = rig.ledger(), random.Random(3)
    found = {}
    for record in ledger.tables():
        keys = [key for page in ledger.live_keys(record.number) for key in page]
        found[record.label] = chance.sample(keys, min(len(keys), 12))
    ledger.close()
    return found


def address(label: str, key: str) -> str:
    """The path of a row, or its query where a path cannot hold the key."""
    name = quote(label, safe="")
    return f"/v1/{name}?key={quote(key, safe='')}" if key in (".", "..") else f"/v1/{name}/{quote(key, safe='')}"


def test_every_type_has_the_same_bytes(make_rig: MakeRig) -> None:
    """Rows of generated values of every type."""
    rig = make_rig()
    rows_of_all_types(rig.source, 40)
    compare(rig, least=12)


def test_every_odd_table_and_key_has_the_same_bytes(make_rig: MakeRig) -> None:
    """Composite and text keys of any characters, partitions, quoted and non-ASCII names, a twin in another schema."""
    rig = make_rig()
    odd.create(rig.source)
    odd.seed(rig.source, 300)
    rig.sql(PAIRS)
    with psycopg.connect(rig.source, autocommit=True) as admin, admin.cursor() as cursor:
        cursor.executemany('insert into "pairs of $ names" values (%s, %s, 1)', KEYS)
    compare(rig, least=150)


def compare(rig: Rig, least: int) -> None:
    """Body, ETag and status of both are alike, for some rows of each table."""
    rig.start()
    rig.wait_until_proven()
    rig.stop()
    keys = keys_of(rig)
    asked = [address(label, key) for label, some in keys.items() for key in some]
    assert len(asked) >= least

    async def ask() -> None:
        async with reader(rig.config, max_staleness=1e9, engram_deadline=20.0) as client:
            answers = {}
            for mode in (Mode.POSTGRES, Mode.ENGRAM_ONLY):
                for label in keys:
                    route(rig.ledger_location, label, mode)
                answers[mode] = [await client.get(path) for path in asked]
            for path, ours, theirs in zip(asked, *answers.values(), strict=True):
                assert (ours.status_code, ours.headers.get("x-served-by")) == (200, "postgres"), (path, ours.text)
                assert (theirs.status_code, theirs.headers.get("x-served-by")) == (200, "engram"), (path, theirs.text)
                assert ours.content == theirs.content, path
                assert ours.headers["etag"] == theirs.headers["etag"], path

    running(ask)
