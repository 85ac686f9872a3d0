"""docs/requirements.md: every number once, totals that are true; and the promises that no other test is about.

Run as a program (`python -m tests.unit.test_requirements`) it writes the page's totals anew.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from bridge.compiling import compile_mapping
from bridge.mapping import Identity
from bridge.memories import Edge, read_stamp
from bridge.schema import Column, ForeignKey, Table, TypeInfo
from bridge.spaces import CONFIDENCE_CLASSES, TableOptions

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "requirements.md"
GROUPS = {"A": range(1, 69), "B": range(69, 104), "C": range(104, 149)}
STATES = ("kept", "otherwise", "partly", "not", "open")
ROW = re.compile(
    r"^\| (?P<number>\d+) \| (?P<what>[^|]+) \| (?P<state>\w+) \|(?P<where>[^|]*)\|(?P<shown>[^|]*)\|$", re.MULTILINE
)
TOTALS = re.compile(r"(<!-- totals: begin[^>]*-->\n)(.*?)(<!-- totals: end -->)", re.DOTALL)

INT8 = TypeInfo(20, "pg_catalog", "int8", category="N")
TEXT = TypeInfo(25, "pg_catalog", "text", category="S")
JSONB = TypeInfo(3802, "pg_catalog", "jsonb", category="U")
WHO = Identity("ledger-1", "migration-1", "2026-01-01T00:00:00+00:00")


def rows() -> list[dict[str, str]]:
    """The rows of the page's three tables, in its order."""
    return [found.groupdict() for found in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


def totals() -> str:
    """The table of totals as it should be."""
    states = {int(row["number"]): row["state"] for row in rows()}
    lines = ["| | of | " + " | ".join(STATES) + " |", "|---|---|" + "---|" * len(STATES)]
    for name, numbers in GROUPS.items():
        count = Counter(states[number] for number in numbers)
        cells = " | ".join(str(count[state]) for state in STATES)
        lines.append(f"| {name} | {len(numbers)} | {cells} |")
    count = Counter(states.values())
    lines.append(f"| **all** | **{len(states)}** | " + " | ".join(f"**{count[state]}**" for state in STATES) + " |")
    return "\n".join(lines) + "\n"


def test_every_number_has_its_row_and_a_verdict() -> None:
    """1 to 148, in order, each with what became of it; what is kept says where, or by which test."""
    found = rows()
    assert [int(row["number"]) for row in found] == list(range(1, 149))
    for row in found:
        assert row["state"] in STATES, row
        if row["state"] == "kept":
            assert row["shown"].strip(), f"{row['number']} is kept, and nothing shows it"
        if row["state"] in ("otherwise", "partly", "not"):
            assert row["where"].strip() or row["shown"].strip(), f"{row['number']} is {row['state']}, and nobody says why"


def test_the_totals_are_those_of_the_rows() -> None:
    """What stands at the top is counted below."""
    found = TOTALS.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    assert found[2] == totals(), "python -m tests.unit.test_requirements writes them anew"


STEPS = {
    "extract": ("snapshot/chunks.py", "tests/integration/test_chunks.py", "docs/how-it-works.md", "Loading and following"),
    "embed": ("bridge/embedding/encoder.py", "tests/unit/test_encoder.py", "docs/embeddings.md", "What happens to a text"),
    "relate": ("bridge/compiling.py", "tests/unit/test_mapping.py", "docs/schema-mapping.md", "Foreign keys"),
    "set confidence": (
        "bridge/spaces.py",
        "tests/unit/test_requirements.py",
        "docs/schema-mapping.md",
        "confidence in the stamp",
    ),
    "validate": ("bridge/validation/run.py", "tests/acceptance/test_validation.py", "docs/cutover.md", "Validation"),
}


@pytest.mark.parametrize("step", STEPS)
def test_each_of_the_five_steps_has_code_tests_and_a_page(step: str) -> None:
    """Requirement 74: extract, embed, relate, set confidence, validate."""
    code, tests, page, heading = STEPS[step]
    assert (ROOT / code).is_file()
    assert (ROOT / tests).is_file()
    assert heading in (ROOT / page).read_text(encoding="utf-8")


BANDS = {"verified": (0.9, 0.95), "indexed": (0.8, 0.9), "user_content": (0.6, 0.8), "derived": (0.5, 0.7)}


@pytest.mark.parametrize("name", BANDS)
def test_confidence_classes_lie_in_their_bands(name: str) -> None:
    """Requirements 76, 88-92: each class in its band, the usual one within 0.7 to 0.9, and 0.95 can be had."""
    least, most = BANDS[name]
    assert least <= CONFIDENCE_CLASSES[name] <= most
    assert 0.7 <= CONFIDENCE_CLASSES[str(TableOptions().confidence)] <= 0.9
    assert '"class":"configured","confidence":0.95' in _plan(TableOptions(confidence=0.95)).fixed


def _plan(options: TableOptions | None = None):
    documents = Table(
        oid=1,
        schema="public",
        name="documents",
        columns=tuple(
            Column(name, kind, kind.name, place)
            for place, (name, kind) in enumerate((("id", INT8), ("content", TEXT), ("metadata", JSONB)), 1)
        ),
        key=("id",),
    )
    chosen = {} if options is None else {"public.documents": options}
    return compile_mapping([documents], chosen, WHO, {"public.documents": 1}).plans["public.documents"]


@pytest.mark.parametrize("metadata", ['{"lang": "en", "source": "forged", "key": "9", "_bridge": {"v": "x"}}', None])
def test_a_rows_own_metadata_stays_its_own(metadata: str | None) -> None:
    """Requirements 77 and 78: it stands under its column's name, NULL is null, and nothing in it overwrites the stamp."""
    plan = _plan()
    memory = plan.memory(("7", "a text", metadata), "7")
    content = json.loads(plan.content(memory, "0001:0000000000000010:00000001", "[]"))
    assert content["metadata"] == (None if metadata is None else json.loads(metadata))
    ours = content["_bridge"]
    assert (ours["source"], ours["table"], ours["key"]) == ("postgres", "public.documents", "7")
    assert ours["migrated_at"].endswith("+00:00")
    assert ours["migration"] == "migration-1"
    stamp = read_stamp(plan.content(memory, "0001:0000000000000010:00000001", "[]"))
    assert stamp is not None
    assert stamp.intact


def test_columns_that_are_not_chosen_never_reach_the_model() -> None:
    """Requirements 55 and 67: only the columns that are named make the text; the content is whole."""
    many = Table(
        oid=2,
        schema="public",
        name="products",
        columns=tuple(Column(name, TEXT, "text", place) for place, name in enumerate(("id", "title", "manual"), 1)),
        key=("id",),
    )
    options = {"public.products": TableOptions(text=("title",))}
    plan = compile_mapping([many], options, WHO, {"public.products": 1}).plans["public.products"]
    memory = plan.memory(("a", "A kettle", "long " * 1000), "a")
    assert memory.text == "title: A kettle"
    assert "long long" in memory.body


def test_a_composite_foreign_key_is_one_edge_with_all_its_columns() -> None:
    """Requirement 13: two columns, one edge, both named with their values."""
    columns = (("order_id", INT8), ("line_no", INT8), ("note", TEXT))
    made = tuple(Column(name, kind, kind.name, place) for place, (name, kind) in enumerate(columns, 1))
    items = Table(oid=3, schema="public", name="order_items", columns=made, key=("order_id", "line_no"))
    returns = Table(
        oid=4,
        schema="public",
        name="returns",
        columns=(Column("id", INT8, "int8", 1), Column("item_order", INT8, "int8", 2), Column("item_line", INT8, "int8", 3)),
        key=("id",),
        foreign_keys=(
            ForeignKey("returns_item_fkey", ("item_order", "item_line"), ("public", "order_items"), ("order_id", "line_no")),
        ),
    )
    plan = compile_mapping([items, returns], {}, WHO, {"public.order_items": 1, "public.returns": 2}).plans["public.returns"]
    memory = plan.memory(("1", "7", "2"), "1")
    (reference,) = memory.references
    edge = Edge(reference.constraint, reference.parent, reference.to, reference.lookup)
    (told,) = json.loads(plan.references_json(memory.references, [edge]))
    assert told == {
        "type": "references",
        "constraint": "returns_item_fkey",
        "columns": {"item_order": 7, "item_line": 2},
        "to": "order_items_7_2",
        "weight": 0.8,
    }


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TOTALS.sub(lambda found: found[1] + totals() + found[3], text), encoding="utf-8")
    sys.stdout.write("docs/requirements.md: the totals are written\n")
