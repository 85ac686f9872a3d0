"""What comes into a table without a message is missed by nobody: shapes are kept before the rows of a table are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from bridge import lookout
from bridge.choices import ADDED
from bridge.config import Config
from bridge.keeper import TableKeeper
from bridge.ledger import RESYNC_ASKED, Generations, Ledger
from bridge.lookout import Lookout
from bridge.mapping import Mapping
from bridge.replanning import replan
from bridge.shapes import Shape
from bridge.wiring import make_plan

ATTACHED = (
    "create table parts_b (like parts including all)",
    "insert into parts_b select 1000 + n, 'not sent' from generate_series(1, 5) n",
    "alter table parts attach partition parts_b for values from (1000) to (2000)",
)


@dataclass
class Carried:
    """A partitioned table and a plain one in a publication, a ledger, and what looks at the catalogue."""

    url: str
    ledger: Ledger
    config: Config
    shop: Any = field(default_factory=lambda: SimpleNamespace(mapping=Mapping({}, {}), stopped={}))

    def __post_init__(self) -> None:
        self.keeper = TableKeeper(self.config, self.ledger, self.shop, "p", set())

    def sql(self, *statements: str) -> None:
        """Run statements, each a transaction of its own."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def plan(self, *, register: bool = True, joining: tuple[str, ...] = ()) -> Mapping:
        """The plans as the ledger and the catalogue are now."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return make_plan(self.config, self.ledger, connection, register=register, joining=joining).mapping

    def replan(self) -> None:
        """Put in force what the ledger says is carried."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            replan(self.keeper, connection)


@pytest.fixture
def carried(database: str, tmp_path: Path) -> Iterator[Carried]:
    """Nothing is in force yet."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    ledger.acquire()
    ledger.put_facts({"ledger_id": "0123456789abcdef", "created": "1700000000.0"})
    keys: dict[str, Any] = {"include": ["parts", "notes"], "tables": {"notes": {"text": ["body"]}}}
    config = Config.model_validate({"source": database, "target": "http://127.0.0.1:9", "ledger": ledger.location, **keys})
    made = Carried(database, ledger, config)
    made.sql(
        "create table parts (id int primary key, body text) partition by range (id)",
        "create table parts_a partition of parts for values from (0) to (1000)",
        "create table notes (id int primary key, body text)",
        "create publication p for table parts, notes with (publish_via_partition_root = true)",
    )
    yield made
    ledger.close()


def test_a_generation_is_loaded_again_when_rows_were_attached_after_it_was_begun(carried: Carried) -> None:
    """Its chunks may have been read before the first look that knows it."""
    carried.shop.mapping = carried.plan()
    lookout = Lookout(carried.keeper, 1)
    lookout.look()
    record = next(one for one in carried.ledger.tables() if one.label == "public.parts")
    filling = Generations(carried.ledger).begin(record, ["parts-g2"], {})
    carried.shop.mapping = carried.shop.mapping.filled(filling.number, record.label, filling.spaces, None)
    carried.sql(*ATTACHED)
    lookout.look()
    facts = carried.ledger.facts()
    assert [facts.get(f"resync:{number}") for number in (record.number, filling.number)] == [RESYNC_ASKED, RESYNC_ASKED]


def test_an_added_table_is_loaded_again_when_rows_were_attached_after_its_plan_was_in_force(carried: Carried) -> None:
    """Before that, nothing of it is read."""
    lookout = Lookout(carried.keeper, 1)
    Generations(carried.ledger).choose("public.parts", ADDED, {})
    carried.plan(register=False, joining=("public.parts",))
    carried.replan()
    carried.sql(*ATTACHED)
    lookout.look()
    (record,) = carried.ledger.tables()
    assert carried.ledger.facts().get(f"resync:{record.number}") == RESYNC_ASKED


def test_the_shape_of_a_table_that_was_begun_anew_is_kept_again(carried: Carried) -> None:
    """It looks as it did when it was stopped: what is attached while the bridge is down is found all the same."""
    carried.shop.mapping = carried.plan()
    lookout = Lookout(carried.keeper, 1)
    lookout.look()
    number = next(one.number for one in carried.ledger.tables() if one.label == "public.parts")
    carried.ledger.drop_fact(f"shape:{number}")
    lookout.look()
    carried.sql(*ATTACHED)
    Lookout(carried.keeper, 1).look()
    assert carried.ledger.facts().get(f"resync:{number}") == RESYNC_ASKED


def test_a_table_that_is_dropped_during_the_look_was_dropped(carried: Carried, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one statement tells of a table comes from several moments: the drop shows first in what the publication holds."""
    carried.shop.mapping = carried.plan()
    looked = lookout.load_shapes

    def late(connection: psycopg.Connection[Any], oids: Any, publication: str) -> dict[int, Shape]:
        shapes = looked(connection, oids, publication)
        carried.sql("drop table notes")
        return {oid: replace(shape, membership=None) if shape.name == "notes" else shape for oid, shape in shapes.items()}

    monkeypatch.setattr(lookout, "load_shapes", late)
    stopped: dict[str, str] = {}
    monkeypatch.setattr(TableKeeper, "stop_table", lambda _keeper, plan, reason: stopped.update({plan.table.name: reason}))
    Lookout(carried.keeper, 1).look()
    assert stopped == {"notes": "it was dropped"}
