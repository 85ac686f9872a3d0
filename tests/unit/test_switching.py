"""When a filled generation takes the place of the one that serves, the plan in force is the one of that moment."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import keeper
from bridge.acts import Acts
from bridge.keeper import TableKeeper
from bridge.ledger import FILLING, Generations, Ledger, TableRecord
from bridge.spreading import Spreading
from tests.unit.test_mapping import INT8, TEXT, USERS, mapping, table

WIDER = table("users", *((column.name, column.type) for column in USERS.columns), ("colour", TEXT), identity_columns=("id",))


def test_a_column_that_is_added_just_before_the_switch_stays_in_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream's thread redefines the table while this one asks whether the generation is complete."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    serving = ledger.register("public.users", ["users"], [], 1)
    filling = Generations(ledger).begin(serving, ["users-g2"], {"configured": []})
    both = mapping(USERS).filled(filling.number, "public.users", filling.spaces)
    shop: Any = SimpleNamespace(mapping=both, stopped={})
    tables = TableKeeper(None, ledger, shop, "p", set(), threading.Lock())  # type: ignore[arg-type]  # no configuration is asked
    pool: Any = SimpleNamespace(refresh=lambda _lookups: None)
    acts = Spreading(Acts(None, ledger, shop, pool, None, tables), settled=lambda: True)  # type: ignore[arg-type]  # as above

    def complete(_self: Spreading, record: TableRecord, _serving: TableRecord) -> bool:
        wider = mapping(WIDER).filled(record.number, "public.users", record.spaces).numbered[record.number]
        shop.mapping = shop.mapping.changed([wider])
        return True

    monkeypatch.setattr(Spreading, "_complete", complete)
    acts.end(*ledger.generations(FILLING))
    assert [plan.table for plan in shop.mapping.numbered.values()] == [WIDER]
    assert shop.mapping.plans == {"public.users": shop.mapping.numbered[filling.number]}
    ledger.close()


def test_a_generation_that_is_retired_while_it_is_redefined_stays_retired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its plan comes back, nor is it to be read again."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    both = mapping(USERS, table("notes", ("id", INT8)))
    users = both.plans["public.users"]
    shop: Any = SimpleNamespace(mapping=both.without(users.number), stopped={users.number: "it is retired"})
    config: Any = SimpleNamespace(source=SimpleNamespace(url="nowhere"))
    tables = TableKeeper(config, ledger, shop, "p", set(), threading.Lock())
    monkeypatch.setattr(keeper, "connect", lambda *_args, **_named: _Open())
    monkeypatch.setattr(keeper, "reached", lambda _connection: 7)
    monkeypatch.setattr(TableKeeper, "_planned", lambda *_args: mapping(WIDER))
    assert tables.redefine(users) is None
    assert "public.users" not in shop.mapping.plans
    assert (tables.resyncs, ledger.facts().get(f"resync:{users.number}")) == (set(), None)
    ledger.close()


class _Open:
    """A connection that is only opened and closed."""

    def __enter__(self) -> _Open:
        return self

    def __exit__(self, *_error: object) -> None:
        return None
