"""`engram-bridge down`, which takes away what the bridge has made, and `slots`, which shows what keeps WAL."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

from bridge.cli.asking import Yes, confirm, confirm_on_target
from bridge.cli.options import AsJson, ConfigFile, LedgerPlace, SourceUrl, TargetUrl, existing_ledger, load
from bridge.config import Config
from bridge.console import console as make_console
from bridge.console import human_bytes, human_seconds
from bridge.ledger import Ledger
from bridge.preflight_ledger import ledger_facts


def down(
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Forget all memories of this ledger as well, and remove the ledger.")
    ] = False,
    yes: Yes = False,
) -> int:
    """Drop the slot, and the publication if the bridge made it; with --everything nothing of the bridge is left."""
    settings = load(config, source, target, ledger)
    book = existing_ledger(settings)
    try:
        book.acquire()
        _confirm(settings, book, everything=everything, yes=yes)
        _source(settings, book)
        if everything:
            _everything(settings, book)
        else:
            make_console().print(
                "the ledger and the memories stay: `engram-bridge resync --new-slot` and `run` take them up again"
            )
    finally:
        book.close()
    return 0


def _confirm(settings: Config, book: Ledger, *, everything: bool, yes: bool) -> None:
    """Nothing is dropped unasked. Raises ConfigError."""
    from bridge.ending import slot_names

    slot = " and ".join(slot_names(book.facts())) or settings.source.slot
    if everything:
        confirm_on_target(settings, f"the slot {slot} is dropped, the ledger removed, and every memory of it forgotten", yes=yes)
    else:
        question = f"Drop the slot {slot}? What is committed from then on will not be streamed."
        confirm(f"the slot {slot} is dropped", question, yes=yes)


def _source(settings: Config, book: Ledger) -> None:
    from bridge.ending import take_down_source

    taken = take_down_source(settings, book)
    say = make_console().print
    say(f"dropped the slot {' and '.join(taken.dropped)}" if taken.dropped else "there was no slot of this ledger")
    if taken.publication:
        say(f"dropped the publication {taken.publication}")
    if taken.left:
        say(f'the publication {taken.left} was not made by us and stays; if nobody needs it: DROP PUBLICATION "{taken.left}";')


def _everything(settings: Config, book: Ledger) -> None:
    from bridge.ending import forget_everything, remove_ledger

    total = spaces = 0
    for _space, count in forget_everything(settings, book):
        total, spaces = total + count, spaces + 1
    remove_ledger(book)
    say = make_console().print
    say(f"{total:,} memories in {spaces} space(s) were forgotten and are proven gone; the ledger is removed")
    say("a restart of Engram can bring memories of its first run back: only an empty data directory is free of them")


def slots(
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> int:
    """The logical replication slots of the source's database: whose they are, who reads them, how much WAL they keep."""
    from bridge.slot_list import listed

    settings = load(config, source, target, ledger)
    found = listed(settings, ledger_facts(settings.ledger).slot)
    if as_json:
        print(json.dumps([one.as_dict() for one in found], ensure_ascii=False, indent=2))
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("slot", "plugin", "reader", "WAL kept", "until lost", "state"):
        table.add_column(heading, justify="right" if heading in ("WAL kept", "until lost") else "left")
    for one in found:
        idle = f"nobody for {human_seconds(one.idle_seconds)}" if one.idle_seconds is not None else "nobody"
        table.add_row(
            one.name + (" (this ledger's)" if one.ours else ""),
            one.plugin or "–",
            one.holder or ("somebody" if one.active else idle),
            human_bytes(one.retained_wal_bytes),
            human_bytes(one.safe_wal_bytes) if one.safe_wal_bytes is not None else "no limit",
            f"lost: {one.lost}" if one.lost else (one.wal_status or "") + (", failover" if one.failover else ""),
        )
    make_console().print(table if found else "there is no logical slot in this database")
    return 0
