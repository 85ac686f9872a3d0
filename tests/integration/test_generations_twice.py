"""Generations with the ledger in PostgreSQL: the same tests, and every change of theirs made although its answer was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from bridge.errors import LedgerUnavailable
from bridge.ledger import FILLING, Generations, Ledger, tables
from bridge.ledger.store import Store
from tests.unit import test_generations as on_files

NAMES = [name for name in dir(on_files) if name.startswith("test_")]


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    """A fresh ledger, held."""
    made = Ledger(database)
    made.acquire()
    yield made
    made.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_in_postgresql(ledger: Ledger, name: str) -> None:
    """What holds for a file holds for a server."""
    getattr(on_files, name)(ledger)


def filling(generations: Generations, ledger: Ledger) -> Any:
    """The one generation that is being filled."""
    return ledger.generations(FILLING)[0]


CHANGES: dict[str, Callable[[Generations, Ledger], object]] = {
    "begin": lambda g, ledger: g.begin(ledger.tables()[1], ["b-g2"], {"model": None}),
    "switch": lambda g, ledger: g.switch(filling(g, ledger)),
    "abandon": lambda g, ledger: g.abandon(filling(g, ledger), "no more"),
    "remove": lambda g, ledger: g.remove("public.a", keep=False, reason="gone"),
    "remove and keep": lambda g, ledger: g.remove("public.a", keep=True, reason="gone"),
    "discard": lambda g, ledger: g.discard(1),
    "ask": lambda g, ledger: g.ask("public.b", "add", {}),
    "done": lambda g, ledger: g.done("public.a", "reshard"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_whose_answer_was_lost_is_made_once(tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commit came through and its connection broke: asked again, it leaves what the change alone would have left."""
    left = []
    for number, losing in enumerate((False, True)):
        ledger = Ledger(str(tmp_path / f"{number}.db"))
        generations = Generations(ledger)
        for label in ("public.a", "public.b"):
            ledger.register(label, [label[-1]], [], 1)
        generations.begin(ledger.tables()[0], ["a-g2"], {"model": None})
        generations.ask("public.a", "reshard", {"shards": 2})
        ledger.patience.begin()
        with monkeypatch.context() as broken:
            if losing:
                broken.setattr(Store, "writing", losing_one_answer(Store.writing))
            CHANGES[change](generations, ledger)
        left.append(contents(ledger))
        ledger.close()
    assert left[0] == left[1]


def losing_one_answer(writing: Any) -> Any:
    """The first transaction is committed, and then it is not known."""
    lost: list[bool] = []

    @contextmanager
    def lossy(self: Store) -> Iterator[Connection]:
        with writing(self) as connection:
            yield connection
        if not lost:
            lost.append(True)
            raise LedgerUnavailable("the answer was lost")

    return lossy


def contents(ledger: Ledger) -> dict[str, list[Any]]:
    """What generations consist of, but for times and identities."""
    watched = (tables.tables, tables.choices, tables.facts, tables.asked)
    with ledger.reading() as connection:
        found = {table.name: [tuple(row) for row in connection.execute(select(table))] for table in watched}
    found["facts"] = [row for row in found["facts"] if row[0] not in ("ledger_id", "created")]
    found["asked"] = [row[:3] for row in found["asked"]]
    return found
