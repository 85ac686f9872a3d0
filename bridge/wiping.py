"""`wipe`: the spaces of a configuration are emptied, for a ledger that is to begin in them.

Only spaces of the mapping are touched. All of them are opened, and so made if they are not there: after a restart Engram lists a
space only once somebody has touched it, so that nothing else tells an empty one from one that is full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bridge.adoption import wipe
from bridge.compiling import compile_mapping
from bridge.config import Config
from bridge.errors import ConfigError, LedgerError
from bridge.mapping import Identity
from bridge.postgres import connect, translated
from bridge.preflight_ledger import ledger_facts
from bridge.selection import select, table_options
from bridge.wiring import open_target
from snapshot import catalog as catalogs


def spaces_to_wipe(config: Config) -> list[str]:
    """The spaces of this configuration.

    Raises ConfigError when a ledger that has begun counts on them, LedgerError when that cannot be known, SourceUnavailable.
    """
    ledger = ledger_facts(config.ledger)
    if ledger.failure:
        raise LedgerError(ledger.failure, hint=ledger.remedy)
    if ledger.holder is not None or ledger.confirmed is not None:  # before there is a slot, nothing is written
        raise ConfigError(
            f"the ledger {ledger.location} says what is in these spaces, and would miss it",
            hint="Move the ledger away first; a new one begins in empty spaces.",
        )
    with connect(config.source.url, application_name="engram-bridge setup") as connection, translated():
        tables = list(catalogs.load(connection).tables.values())
    chosen = select(config, tables)
    numbers = {table.label: number for number, table in enumerate(chosen, 1)}
    identity = Identity("", "", "", config.target.space_prefix)
    return compile_mapping(chosen, table_options(config, tables), identity, numbers).spaces


def other_ledgers(config: Config, spaces: list[str]) -> dict[str, int]:
    """How many memories in these spaces bear the stamp of a ledger, by its id: somebody may still count on them.

    As the list pages tell it. Raises TargetUnavailable.
    """
    target = open_target(config)
    found: Counter[str] = Counter()
    try:
        for space in spaces:
            target.open(space)
            found.update(stamp.ledger for stored in target.scan(space) if (stamp := stored.stamp()) is not None)
    finally:
        target.close()
    return dict(found)


def wiped(config: Config, spaces: list[str]) -> Iterator[tuple[str, int]]:
    """Empty these one after another: name, and how many memories were forgotten and proven gone. Raises Fatal and Transient."""
    target = open_target(config)
    try:
        for space in spaces:
            target.open(space)
            yield space, wipe(target, space)
    finally:
        target.close()
