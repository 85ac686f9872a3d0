"""Works of two definitions of one table in one step: each row is read by the definition that it is encoded by."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from bridge.batch import StepBatch
from bridge.gate import Action, Entry
from bridge.items import Item, Results
from bridge.lsn import make_version
from bridge.mapping import TablePlan
from bridge.schema import Table
from bridge.works import Kind, Work
from tests.unit.test_mapping import INT8, TEXT, mapping, table

OLD = mapping(table("notes", ("id", INT8), ("body", TEXT))).plans["public.notes"]
NEW = mapping(table("notes", ("id", INT8), ("body", TEXT), ("added", TEXT))).plans["public.notes"]


class Reader:
    """Answers rows as wide as the definition that it is asked by."""

    def read(self, asked: Table, keys: Sequence[tuple[str, ...]]) -> Any:
        rows = {key: (*key, *("text" for _column in asked.columns[1:])) for key in keys}
        return SimpleNamespace(rows=rows, lsn=5, visible=lambda _xid: True)


def item(plan: TablePlan, key: str) -> Item:
    """A row that is to be read again."""
    version = make_version(1, 1, 1)
    work = Work(plan, key, Kind.NOTHING, refresh=True)
    return Item(work, Entry(version, "", "", True, 0), None, Action.REFRESH, version, None)


def test_a_row_is_read_by_the_definition_that_it_is_encoded_by() -> None:
    """A column is added while rows wait in the lane: some of them know it, and some do not."""
    assert OLD.number == NEW.number
    shop: Any = SimpleNamespace(reader=Reader(), visible_below="", last_truncate=lambda _table: ("", None))
    items = [item(OLD, "1"), item(NEW, "2"), item(OLD, "3"), item(NEW, "4")]
    StepBatch([one.work for one in items], Results(shop, "notes"))._refresh(items)
    for one in items:
        assert one.row is not None
        assert one.work.plan.memory(one.row, one.work.key).key == one.work.key
