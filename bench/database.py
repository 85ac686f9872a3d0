"""The PostgreSQL that the benches read, and the tables in it; contents follow from a fixed seed."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bridge.sandbox.postgres import SandboxPostgres

SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min", "autovacuum": "off"}
"""Nothing of the server's own shall begin in the middle of a measurement."""

SEED = 20_240_229
VOCABULARY = 20_000
WORDS_PER_TEXT = 300

NARROW = "create table {} (id bigint primary key, name text, city text, amount integer, active boolean)"
TEXT = "create table {} (id bigint primary key, title text, body text, created_at timestamptz)"
_WIDE_TYPES = ("integer", "text", "numeric(12,2)", "timestamptz", "bigint", "boolean", "varchar(40)", "double precision", "date")


@contextmanager
def server(plugin: str | None = None) -> Iterator[SandboxPostgres]:
    """A PostgreSQL of the bench's own, gone afterwards; one with this output plugin. Raises ConfigError when there is none."""
    with tempfile.TemporaryDirectory(prefix="engram-bridge-bench-", ignore_cleanup_errors=True) as folder:
        postgres = SandboxPostgres(Path(folder) / "data", plugin=plugin, settings=SETTINGS)
        postgres.start()
        try:
            yield postgres
        finally:
            postgres.stop("immediate")


def execute(url: str, *statements: str) -> None:
    """Run statements, each a transaction of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def make_narrow(url: str, table: str, rows: int) -> None:
    """Five short columns."""
    surnames = _words(5000, random.Random(SEED))
    names = _words(300, random.Random(SEED + 1))
    chance = random.Random(SEED + 2)
    _fill(
        url,
        NARROW.format(table),
        table,
        (
            (number, f"{chance.choice(names)} {chance.choice(surnames)}", chance.choice(names), number % 9973, number % 3 == 0)
            for number in range(1, rows + 1)
        ),
    )


def make_wide(url: str, table: str, rows: int) -> None:
    """Fifty columns of nine types."""
    columns = [(f"c{number}", _WIDE_TYPES[number % len(_WIDE_TYPES)]) for number in range(1, 50)]
    definition = ", ".join(f"{name} {kind}" for name, kind in columns)
    words = _words(5000, random.Random(SEED))
    chance = random.Random(SEED + 3)

    def value(kind: str, number: int) -> object:
        if kind == "text":
            return f"{chance.choice(words)} {chance.choice(words)}"
        if kind == "varchar(40)":
            return chance.choice(words)
        if kind == "timestamptz":
            return f"2024-02-{number % 28 + 1:02d} {number % 24:02d}:17:{number % 60:02d}.25+00"
        if kind == "date":
            return f"20{number % 30:02d}-03-{number % 28 + 1:02d}"
        return {"integer": number, "bigint": number * 4_000_000_007, "boolean": number % 2 == 0}.get(kind, number / 8)

    rows_of = ((number, *(value(kind, number + place) for place, (_n, kind) in enumerate(columns))) for number in range(rows))
    _fill(url, f"create table {table} (id bigint primary key, {definition})", table, rows_of)


def make_text(url: str, table: str, rows: int) -> None:
    """A text of 2 kB, its words as unevenly frequent as those of a language."""
    chance = random.Random(SEED + 4)
    words = _words(VOCABULARY, chance)
    total = 0.0
    cumulative = [total := total + 1 / rank for rank in range(1, VOCABULARY + 1)]
    texts = (" ".join(chance.choices(words, cum_weights=cumulative, k=WORDS_PER_TEXT))[:2000] for _ in range(rows))
    rows_of = ((number, text[:24], text, "2024-02-29 12:00:00+00") for number, text in enumerate(texts))
    _fill(url, TEXT.format(table), table, rows_of)


def _fill(url: str, definition: str, table: str, rows: Iterable[tuple[object, ...]]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(definition.encode())
        with connection.cursor() as cursor, cursor.copy(f"copy {table} from stdin".encode()) as copy:
            for row in rows:
                copy.write_row(row)
        connection.execute(f"vacuum (analyze, freeze) {table}".encode())


def _words(count: int, chance: random.Random) -> list[str]:
    syllables = [first + second for first in "bdfgklmnprstvz" for second in "aeiou"]
    made: dict[str, None] = {}
    while len(made) < count:
        made["".join(chance.choices(syllables, k=chance.choice((2, 3, 3, 4))))] = None
    return list(made)
