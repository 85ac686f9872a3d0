"""Commands that change what a running bridge does: `resync`, `pause`, `resume`, `snapshot pause | resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import TABLES, ConfigFile, LedgerOnly, carried, existing_ledger, load, open_book
from bridge.console import console as make_console
from bridge.errors import ConfigError
from bridge.ledger import RESYNC_ASKED, Generations


def resync(
    tables: Annotated[list[str] | None, typer.Argument(help=TABLES)] = None,
    config: ConfigFile = None,
    ledger: LedgerOnly = None,
    new_slot: Annotated[
        bool, typer.Option("--new-slot", help="All tables, and from a new slot: the old one, or its history, is lost.")
    ] = False,
    new_source: Annotated[
        bool, typer.Option("--new-source", help="With --new-slot: the same data lives on another server or in another database.")
    ] = False,
) -> int:
    """Read whole tables again and mend what differs; also the way back for a table that was stopped, and for a lost slot."""
    if new_slot:
        return _new_slot(tables, config, ledger, new_source=new_source)
    if new_source or not tables:
        raise ConfigError(
            "--new-source goes with --new-slot" if new_source else "no table is named",
            hint="engram-bridge resync public.orders; or engram-bridge resync --new-slot for all of them.",
        )
    book = open_book(config, ledger)
    try:
        labels = [carried(book, name) for name in tables]
        gone = next((label for label in labels if label in Generations(book).choices().removed), None)
        if gone is not None:
            raise ConfigError(f"{gone} was removed", hint=f"engram-bridge add {gone} carries it again.")
        numbers = {record.label: record.number for record in book.tables()}
        running = book.held_by()
        book.put_facts({f"resync:{numbers[label]}": RESYNC_ASKED for label in labels})
        for label in labels:
            Generations(book).forget_refusals(label)
    finally:
        book.close()
    make_console().print(f"{len(tables)} table(s) will be read again, {'now' if running else 'with the next run'}")
    return 0


def pause(config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Write nothing to Engram from now on, over restarts too, until `resume`. The slot keeps WAL meanwhile."""
    settings = load(config, None, None, ledger) if ledger is None or config is not None else None
    _set_fact(config, ledger, "paused", wanted=True)
    say = make_console().print
    say("nothing is written to Engram until `engram-bridge resume`; PostgreSQL keeps the WAL for it meanwhile")
    if settings is not None and settings.source.on_max_retained == "drop" and settings.source.max_retained_wal:
        say(
            f"source.on_max_retained is drop: once the slot keeps {settings.source.max_retained_wal} (source.max_retained_wal) a"
            " running bridge drops it, paused or not, and ends; a new one compares all tables. To prevent it,"
            " write keep there, and kill -HUP the run"
        )
    return 0


def resume(config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Go on writing to Engram, after `pause`."""
    _set_fact(config, ledger, "paused", wanted=False)
    make_console().print("it goes on")
    return 0


def _new_slot(tables: list[str] | None, config: Path | None, ledger: str | None, *, new_source: bool) -> int:
    """Note that the next run has to make a new slot, and what that will cost."""
    from bridge import renewal

    if tables:
        raise ConfigError("--new-slot is for all tables at once", hint="engram-bridge resync --new-slot")
    settings = load(config, None, None, ledger)
    book = existing_ledger(settings)
    try:
        book.acquire()
        slot = book.facts().get("slot")
        wanted = renewal.ask(settings, book, new_source=new_source)
    finally:
        book.close()
    say = make_console().print
    say("the next run makes a new slot and reads all tables again: what is the same in Engram is not written again")
    if wanted.moved:
        say(f"if the old server still runs, its slot keeps WAL: there, SELECT pg_drop_replication_slot('{slot}');")
    return 0


def snapshot_pause(config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Begin no new chunk from now on, over restarts too, until `snapshot resume`."""
    _set_fact(config, ledger, "snapshot_paused", wanted=True)
    make_console().print("no new chunk is begun until `engram-bridge snapshot resume`; chunks that are being read are finished")
    return 0


def snapshot_resume(config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Go on with the chunks that are left, after `snapshot pause`."""
    _set_fact(config, ledger, "snapshot_paused", wanted=False)
    make_console().print("the snapshot goes on")
    return 0


def _set_fact(config: Path | None, ledger: str | None, name: str, *, wanted: bool) -> None:
    """Set or drop what a running bridge looks for once a second."""
    book = open_book(config, ledger)
    try:
        if wanted:
            book.put_facts({name: "yes"})
        else:
            book.drop_fact(name)
    finally:
        book.close()
