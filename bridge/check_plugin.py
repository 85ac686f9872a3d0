"""The rules of `check` about what writes the stream on the server: whether it is there, and what it cannot tell. Pure.

wal2json sends the not-finite values of float4, float8 and numeric as null, and text in the database's own encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge.check import Finding, quoted
from bridge.errors import RENEW
from bridge.facts import Facts, TableFacts
from bridge.schema import Column

WAL2JSON = "wal2json"
UNTOLD = frozenset({"float4", "float8", "numeric"})
ENCODINGS = frozenset({"UTF8", "SQL_ASCII"})
PACKAGES = (
    "Install wal2json on the PostgreSQL server (Debian, Ubuntu: apt install postgresql-<version>-wal2json; "
    "Red Hat: dnf install wal2json_<version>), which needs no restart. Or set source.plugin: pgoutput."
)


def plugin_findings(facts: Facts) -> list[Finding]:
    """All findings about the plugin."""
    findings: list[Finding] = []
    if facts.ledger is not None and facts.ledger.plugin not in (None, facts.plugin):
        findings.append(
            Finding(
                "error",
                "ledger.plugin",
                "source.plugin",
                f"this ledger was begun with {facts.ledger.plugin}, and source.plugin says {facts.plugin}",
                f"Set source.plugin: {facts.ledger.plugin}. To change the plugin: {RENEW}",
            )
        )
    if facts.plugin == WAL2JSON:
        findings += _wal2json(facts)
    return findings


def _wal2json(facts: Facts) -> Iterator[Finding]:
    server = facts.server
    if server is not None and server.lacks_plugin:
        yield Finding("error", "source.plugin", WAL2JSON, "the server does not have the output plugin wal2json", PACKAGES)
    if server is not None and server.encoding not in ENCODINGS:
        yield Finding(
            "error",
            "source.plugin_encoding",
            server.database,
            f"the database is {server.encoding}, and wal2json sends its text unconverted",
            "Set source.plugin: pgoutput, which converts it.",
        )
    for table in facts.tables:
        yield from _untold(table)
    read_again = sorted(table.table.label for table in facts.tables if any(_is_untold(c) for c in table.table.columns))
    if read_again:
        yield Finding(
            "info",
            "table.read_again",
            "source.plugin",
            f"rows with a null in a float or numeric column are read again after each change, because wal2json sends NaN and "
            f"infinities as null: {', '.join(read_again)}",
        )


def _untold(facts: TableFacts) -> Iterator[Finding]:
    table, label = facts.table, facts.table.label
    names = [column.name for column in table.columns if _is_untold(column)]
    if not table.key and names:
        yield Finding(
            "error",
            "table.untold",
            label,
            f"{label} has no primary key, and wal2json sends NaN in {', '.join(names)} as NULL: its rows have no identity",
            f"Add a primary key, or set source.plugin: pgoutput, or exclude {quoted(table.schema, table.name)}.",
        )
    in_key = [name for name in names if name in table.key]
    if in_key:
        yield Finding(
            "warning",
            "table.untold_key",
            label,
            f"wal2json does not name a row of {label} whose key column {in_key[0]!r} is NaN or infinite: one stops the table",
            "Keep such values out of the key by a CHECK constraint, or set source.plugin: pgoutput.",
        )


def _is_untold(column: Column) -> bool:
    """Not domains over these types: wal2json sends them as text."""
    return column.type.schema == "pg_catalog" and column.type.name in UNTOLD
