"""`engram-bridge ledger export | import | backup`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import ConfigFile, LedgerOnly, ledger_place, open_book
from bridge.console import console as make_console
from bridge.ledger import transfer
from bridge.ledger.place import place_of

NewFile = Annotated[Path, typer.Argument(metavar="FILE", help="A file that is not there yet.")]


def ledger_export(file: NewFile, config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Write everything that the ledger knows to a file, to be imported elsewhere; stop the bridge before, if it is to move."""
    book = open_book(config, ledger)
    try:
        running = book.held_by()
        contents = transfer.export(book, file)
    finally:
        book.close()
    console = make_console()
    console.print(f"{file}: {sum(contents.rows.values()):,} rows, {contents.rows['memories']:,} of them memories")
    if running:
        console.print(f"a bridge is running ({running}): what it does from now on is not in the file")
        console.print("as soon as it has confirmed something, this copy is older than the slot, and refused")
    return 0


def ledger_import(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export.")],
    config: ConfigFile = None,
    ledger: LedgerOnly = None,
    replace: Annotated[bool, typer.Option("--replace", help="In place of the ledger that is there, which is lost.")] = False,
) -> int:
    """Make a ledger of an export, in a file or in PostgreSQL; a bridge goes on with it where the other has stopped."""
    location = ledger_place(config, ledger)
    contents = transfer.bring_in(location, file, replace=replace)
    console = make_console()
    console.print(f"{place_of(location).shown}: {sum(contents.rows.values()):,} rows, {contents.rows['memories']:,} memories")
    console.print("run no bridge with the ledger that this was exported from any more")
    return 0


def ledger_backup(file: NewFile, config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Copy the ledger while the bridge may run: a SQLite file of a SQLite file, an export of one in PostgreSQL."""
    book = open_book(config, ledger)
    try:
        running = book.held_by()
        transfer.backup(book, file)
    finally:
        book.close()
    console = make_console()
    console.print(f"copied to {file}")
    if running:
        console.print(
            "it can be gone on with only until the running bridge confirms the next position: see docs/ledger.md, Backup"
        )
    return 0
