"""Facts against which `check` has nothing to say, to be changed one by one."""

from __future__ import annotations

from dataclasses import replace

from bridge.facts import (
    Facts,
    LedgerFacts,
    RoleFacts,
    ServerFacts,
    SlotFacts,
    TableFacts,
    TargetFacts,
)
from bridge.schema import Table

USERS = Table(1, "public", "users", (), key=("id",), identity_columns=("id",))


SERVER = ServerFacts(180000, "shop", system_identifier="7", timeline=1)


ROLE = RoleFacts('o\'neil "x"')


SLOT = SlotFacts("pgoutput", "shop", confirmed=100)


MEMBER = frozenset({("public", "users")})


LEDGER = LedgerFacts("l.db", free=10**12)


OWN = replace(LEDGER, exists=True, system_identifier="7", timeline=1, database="shop", slot="s", confirmed=100)


GOOD = Facts("s", "p", SERVER, ROLE, None, None, (TableFacts(USERS, rows=100, spaces=("users",)),), TargetFacts(), LEDGER)


def facts_with(**parts: object) -> Facts:
    return replace(GOOD, **parts)  # type: ignore[arg-type]


def facts_with_table(**parts: object) -> Facts:
    table_parts = {name: value for name, value in parts.items() if name in Table.__slots__ and name != "rows"}
    fact_parts = {name: value for name, value in parts.items() if name not in table_parts}
    table = replace(USERS, **table_parts)  # type: ignore[arg-type]
    return facts_with(tables=(replace(GOOD.tables[0], table=table, **fact_parts),))  # type: ignore[arg-type]
