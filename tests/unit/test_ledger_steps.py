"""The ledger's schema: made by its steps it is the one of `tables.py`, and ledgers of all earlier versions are brought there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, select

from bridge.errors import LedgerError
from bridge.ledger import Ledger, steps, tables
from bridge.ledger.place import place_of
from tests.ledgers.kept import kept, restore, versions

NEWEST = tables.SCHEMA_VERSION


def schema(engine: Engine) -> dict[str, Any]:
    """Tables with columns, keys and indexes, as far as both databases and all versions say them alike."""
    looking = inspect(engine)
    return {
        name: {
            "columns": [(c["name"], c["nullable"], str(c["type"]._type_affinity)) for c in looking.get_columns(name)],
            "key": looking.get_pk_constraint(name)["constrained_columns"],
            "unique": [one["column_names"] for one in looking.get_unique_constraints(name)],
            "indexes": sorted(
                (str(one["name"]), one["column_names"])
                for one in looking.get_indexes(name)
                if not str(one["name"]).startswith("sqlite_autoindex") and "duplicates_constraint" not in one
            ),
        }
        for name in sorted(looking.get_table_names())
    }


def columns(engine: Engine) -> dict[str, list[str]]:
    """The columns of all tables that there are."""
    looking = inspect(engine)
    return {name: [column["name"] for column in looking.get_columns(name)] for name in looking.get_table_names()}


def contents(engine: Engine, wanted: dict[str, list[str]]) -> dict[str, list[Any]]:
    """All rows of these columns of these tables, but for the schema's version."""
    with engine.connect() as connection:
        found = {
            table.name: sorted(map(repr, connection.execute(select(*(table.c[name] for name in wanted[table.name])))))
            for table in tables.metadata.sorted_tables
            if table.name in wanted
        }
    found["facts"] = [row for row in found["facts"] if "schema_version" not in row]
    return found


def test_what_the_steps_make_is_what_the_code_works_with(tmp_path: Path) -> None:
    """Whoever changes the one without the other is told here, and not by a ledger in the field."""
    Ledger(str(tmp_path / "ledger.db")).close()
    described = create_engine("sqlite://")
    tables.metadata.create_all(described)
    assert schema(place_of(str(tmp_path / "ledger.db")).engine()) == schema(described)


def test_a_ledger_of_every_version_is_kept() -> None:
    """`python -m tests.ledgers.make` writes the one of the newest version."""
    assert versions() == list(range(1, NEWEST + 1))
    assert sorted(steps.STEPS) == versions()


@pytest.mark.parametrize("version", versions())
def test_an_earlier_ledger_is_brought_up_to_date_step_by_step(tmp_path: Path, version: int) -> None:
    """At the end it has the newest schema, and everything that it knew."""
    restore(version, tmp_path / "ledger.db")
    engine = place_of(str(tmp_path / "ledger.db")).engine()
    earlier = columns(engine)
    before = contents(engine, earlier)
    assert before["memories"]
    assert before["parked"]
    assert len(before["epochs"]) == 2
    for step in range(version + 1, NEWEST + 1):
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            steps.take(connection, step)
    fresh = Ledger(str(tmp_path / "fresh.db"))
    assert schema(engine) == schema(fresh.engine)
    assert contents(engine, earlier) == before


@pytest.mark.parametrize("version", versions())
def test_opening_an_earlier_ledger_does_the_same_at_once(tmp_path: Path, version: int) -> None:
    """It says its new version, once and for all, and is not taken for a new ledger."""
    restore(version, tmp_path / "ledger.db")
    ledger = Ledger(str(tmp_path / "ledger.db"))
    assert not ledger.is_new
    assert ledger.facts()["schema_version"] == str(NEWEST)
    assert [record.label for record in ledger.tables()] == [
        "public.customers",
        "public.lines",
        "public.notes",
        "public.orders",
    ]
    assert len(ledger.parked_keys()) == 1
    ledger.close()
    assert Ledger(str(tmp_path / "ledger.db")).facts()["ledger_id"] in kept(version).read_text(encoding="utf-8")


def test_a_step_that_fails_leaves_the_ledger_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps of an upgrade are one transaction."""
    restore(1, tmp_path / "ledger.db")
    broken = {**steps.STEPS, NEWEST: ("create table left_behind (n integer)", "insert into nothing values (1)")}
    monkeypatch.setattr(steps, "STEPS", broken)
    with pytest.raises(LedgerError):
        Ledger(str(tmp_path / "ledger.db"))
    engine = place_of(str(tmp_path / "ledger.db")).engine()
    assert "left_behind" not in inspect(engine).get_table_names()
    assert "('schema_version', '1')" in {str(row) for row in engine.connect().execute(select(tables.facts))}
