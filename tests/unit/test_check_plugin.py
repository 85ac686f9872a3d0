"""The rules of `check` about the plugin."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.check import source_findings
from bridge.check_plugin import plugin_findings
from bridge.errors import RENEW
from bridge.facts import Facts, LedgerFacts, RoleFacts, ServerFacts, SlotFacts, TableFacts
from bridge.renewal import renewed
from bridge.schema import Column, Table, TypeInfo

NUMERIC = TypeInfo(1700, "pg_catalog", "numeric")
MONEY_LIKE = TypeInfo(9000, "public", "amount", kind="d", base=NUMERIC)
ID = Column("id", TypeInfo(23, "pg_catalog", "int4"), "integer", 1, True)
PRICE = Column("price", NUMERIC, "numeric(10,2)", 2)
SERVER = ServerFacts(150000, "shop")
FACTS = Facts("s", "p", SERVER, RoleFacts("bridge"), plugin="wal2json")
LEDGER = LedgerFacts("l.db", slot="s", confirmed=100, plugin="wal2json", system_identifier="7", database="shop")


def with_table(*columns: Column, key: tuple[str, ...] = ("id",)) -> Facts:
    """Facts with one table."""
    return replace(FACTS, tables=(TableFacts(Table(1, "public", "items", columns, key=key)),))


@pytest.mark.parametrize(
    ("facts", "code", "level", "what", "remedy"),
    [
        (replace(FACTS, server=replace(SERVER, lacks_plugin=True)), "source.plugin", "error", "does not have", "-wal2json"),
        (replace(FACTS, server=replace(SERVER, encoding="LATIN1")), "source.plugin_encoding", "error", "LATIN1", "pgoutput"),
        (with_table(PRICE, key=()), "table.untold", "error", "NaN in price as NULL", "primary key"),
        (with_table(PRICE, key=("price",)), "table.untold_key", "warning", "key column 'price'", "CHECK"),
        (with_table(ID, PRICE), "table.read_again", "info", "read again after each change", ""),
        (replace(FACTS, ledger=replace(LEDGER, plugin="pgoutput")), "ledger.plugin", "error", "begun with pgoutput", RENEW),
        (replace(FACTS, plugin="pgoutput", ledger=LEDGER), "ledger.plugin", "error", "begun with wal2json", RENEW),
    ],
)
def test_a_rule_says_what_and_remedy(facts: Facts, code: str, level: str, what: str, remedy: str) -> None:
    """Each rule is told by its facts alone."""
    (found,) = [finding for finding in plugin_findings(facts) if finding.code == code]
    assert found.level == level
    assert what in found.what
    assert remedy in found.remedy


def test_what_is_right_says_nothing() -> None:
    """Whole tables, a ledger of the same plugin, domains over numeric, which are sent as text; and pgoutput has none of this."""
    assert plugin_findings(replace(with_table(ID, replace(PRICE, type=MONEY_LIKE)), ledger=LEDGER)) == []
    assert plugin_findings(replace(with_table(PRICE, key=("price",)), plugin="pgoutput")) == []


def test_a_slot_is_of_the_ledgers_plugin() -> None:
    """A slot of another plugin is somebody else's, unless it is our ledger's: then the ledger's plugin is what is told."""
    slot = SlotFacts("pgoutput", "shop", confirmed=50)
    assert "slot.other" in {found.code for found in source_findings(replace(FACTS, slot=slot))}
    own = replace(FACTS, slot=slot, ledger=replace(LEDGER, plugin="pgoutput"))
    assert "slot.other" not in {found.code for found in source_findings(own)}


def test_a_new_slot_may_be_of_another_plugin() -> None:
    """When a new slot is asked for, the old one's plugin binds nobody."""
    slot = SlotFacts("pgoutput", "shop", confirmed=50)
    facts = renewed(replace(FACTS, slot=slot, ledger=replace(LEDGER, plugin="pgoutput", renewal=("7", "shop"))))
    assert plugin_findings(facts) == []
    assert "slot.other" not in {found.code for found in source_findings(facts)}
