"""`engram-bridge parked list | retry | drop`."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer
from rich.table import Table

from bridge.cli.options import AsJson, ConfigFile, LedgerOnly, open_book
from bridge.console import console as make_console
from bridge.cutover import me
from bridge.parking import chosen, parked, retry

ParkedKey = Annotated[
    str, typer.Argument(metavar="TABLE/KEY", help="The key as `parked list` shows it, such as public.customers/9; or `all`.")
]


def parked_list(config: ConfigFile = None, ledger: LedgerOnly = None, as_json: AsJson = False) -> int:
    """The parked keys: which, why, and since when."""
    book = open_book(config, ledger)
    rows = [
        {
            "id": f"{label}/{key[1]}",
            "reason": waiting.reason,
            "detail": waiting.detail,
            "version": waiting.version,
            "since": waiting.since,
            "attempts": waiting.attempts,
            "retry_at": waiting.retry_at,
            "dropped": waiting.dropped,
        }
        for label, key, waiting in parked(book)
    ]
    book.close()
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("key", "reason", "detail", "since"):
        table.add_column(heading)
    for row in rows:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(str(row["since"]))))
        table.add_row(str(row["id"]), str(row["reason"]) + (" (dropped)" if row["dropped"] else ""), str(row["detail"]), since)
    make_console().print(table if rows else "no key is parked")
    return 0


def parked_retry(name: ParkedKey, config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Read the row again and write it; done by the running bridge, or by the next run."""
    book = open_book(config, ledger)
    many = retry(book, name, who=me())
    running = book.held_by()
    book.close()
    make_console().print(f"{many} key(s) will be read again by {'the running bridge' if running else 'the next run'}")
    return 0


def parked_drop(name: ParkedKey, config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Stop waiting for it: Engram keeps what it has of this key, until its next change is applied."""
    book = open_book(config, ledger)
    found = chosen(book, name)
    for _label, key, _waiting in found:
        book.drop_parked(key)
    book.close()
    make_console().print(f"{len(found)} key(s) dropped")
    return 0
