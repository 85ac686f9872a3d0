"""A table that was removed and dropped: what the configuration still says of it keeps nobody else from going on."""

from __future__ import annotations

from pathlib import Path

import psycopg

from bridge.admission import admit
from bridge.config import Config
from bridge.ledger import Generations, Ledger
from bridge.wiring import make_plan


def test_others_are_planned_and_admitted_beside_a_table_that_was_removed_and_dropped(database: str, tmp_path: Path) -> None:
    """At a new column of another table, and at the next start; and an `include` of nothing else does not mean everything."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    keys = {
        "include": ["orders", "customers", "inv*"],
        "tables": {"orders": {"text": ["body"]}, "invoices": {"text": ["body"]}},
    }
    config = Config.model_validate({"source": database, "target": "http://127.0.0.1:9", "ledger": ledger.location, **keys})
    with psycopg.connect(database, autocommit=True) as connection:
        for name in ("orders", "customers", "invoices", "others"):
            connection.execute(f"create table {name} (id int primary key, body text)")
        assert len(make_plan(config, ledger, connection).mapping.plans) == 3
        generations = Generations(ledger)
        for label in ("public.orders", "public.invoices"):
            generations.remove(label, keep=False, reason="removed")
        connection.execute("drop table orders, invoices")
        connection.execute("alter table customers add column more text")
        for register in (False, True):
            (plan,) = make_plan(config, ledger, connection, register=register).mapping.plans.values()
            assert [column.name for column in plan.table.columns] == ["id", "body", "more"]
        assert admit(config) == {}
        generations.remove("public.customers", keep=False, reason="removed")
        connection.execute("drop table customers")
        assert make_plan(config, ledger, connection).mapping.plans == {}
    ledger.close()
