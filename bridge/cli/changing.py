"""Commands that change what a running bridge does: `resync`, `snapshot pause | resume`."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.cli.options import ConfigFile, LedgerOnly, open_book
from bridge.console import console as make_console
from bridge.errors import ConfigError
from bridge.ledger import RESYNC_ASKED


def resync(
    tables: Annotated[list[str], typer.Argument(help="Tables as `status` shows them: public.orders.")],
    config: ConfigFile = None,
    ledger: LedgerOnly = None,
) -> int:
    """Read whole tables again and mend what differs; also the way back for a table that was stopped."""
    book = open_book(config, ledger)
    known = {record.label: record for record in book.tables()}
    for name in tables:
        if name not in known:
            raise ConfigError(f"{name} is no table of this ledger", hint=f"There is: {', '.join(sorted(known))}.")
    running = book.held_by()
    for name in tables:
        book.put_facts({f"resync:{known[name].number}": RESYNC_ASKED})
    book.close()
    stopped = [name for name in tables if known[name].state == "stopped"]
    if running and stopped:
        make_console().print(f"stop the running bridge and start it again: {', '.join(stopped)} begin(s) anew behind a barrier")
    begins = "now" if running else "with the next run"
    make_console().print(f"{len(tables) - len(stopped if running else [])} table(s) will be read again, {begins}")
    return 0


def pause(config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Write nothing to Engram from now on, over restarts too, until `resume`. The slot keeps WAL meanwhile."""
    book = open_book(config, ledger)
    book.put_facts({"paused": "yes"})
    book.close()
    make_console().print("nothing is written to Engram until `engram-bridge resume`; PostgreSQL keeps the WAL for it meanwhile")
    return 0


def resume(config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Go on writing."""
    book = open_book(config, ledger)
    book.drop_fact("paused")
    book.close()
    make_console().print("it goes on")
    return 0


def snapshot_pause(config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Begin no new chunk from now on, over restarts too, until `snapshot resume`."""
    book = open_book(config, ledger)
    book.put_facts({"snapshot_paused": "yes"})
    book.close()
    make_console().print("no new chunk is begun until `engram-bridge snapshot resume`; chunks that are being read are finished")
    return 0


def snapshot_resume(config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Go on with the chunks that are left."""
    book = open_book(config, ledger)
    book.drop_fact("snapshot_paused")
    book.close()
    make_console().print("the snapshot goes on")
    return 0
