"""Commands about whole tables: `add`, `remove`, `reshard`. They write what is asked into the ledger; a running bridge does it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge import additions
from bridge.admission import refuse
from bridge.cli.asking import Yes, confirm
from bridge.cli.options import TABLES, ConfigFile, LedgerOnly, carried, existing_ledger, load, open_book
from bridge.config_sections import Embedding, model_checked
from bridge.console import console as make_console
from bridge.errors import ConfigError
from bridge.ledger import Generations, Ledger
from bridge.postgres import connect

Tables = Annotated[list[str], typer.Argument(help=TABLES)]


def add(tables: Tables, config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Carry tables from now on, whatever `include` and `exclude` say; refused at once when that cannot be."""
    settings = load(config, None, None, ledger)
    book = existing_ledger(settings)
    try:
        labels, found = [], []
        with connect(settings.source.url, application_name="engram-bridge add") as connection:
            answers = additions.answers_of(settings, connection)
            known = additions.carried(settings, book, answers)
            for name in tables:
                table = additions.find(answers, name)
                if table.label in known:
                    raise ConfigError(f"{table.label} is carried already", hint="See `engram-bridge status`.")
                found += additions.errors(settings, answers, additions.draft(settings, book, answers, table))
                labels.append(table.label)
        refuse(found)
        for label in labels:
            Generations(book).ask(label, "add", {})
        _tell(book, f"{_names(labels)} will be loaded and followed")
    finally:
        book.close()
    return 0


def remove(
    tables: Tables,
    keep_memories: Annotated[bool, typer.Option("--keep-memories", help="Leave what Engram holds of it there.")] = False,
    yes: Yes = False,
    config: ConfigFile = None,
    ledger: LedgerOnly = None,
) -> int:
    """Carry tables no more, and forget their memories, or keep them as they are."""
    book = open_book(config, ledger)
    try:
        labels = [carried(book, name) for name in tables]
        if not keep_memories:
            forgotten = f"{_live(book, labels):,} memories of {_names(labels)}"
            confirm(f"{forgotten} are forgotten", f"Forget {forgotten}?", yes=yes, otherwise=", or --keep-memories")
        for label in labels:
            Generations(book).ask(label, "remove", {"keep": keep_memories})
        _tell(book, f"{_names(labels)} will be left alone, the memories are {'kept' if keep_memories else 'forgotten'}")
    finally:
        book.close()
    return 0


def reshard(
    table: Annotated[str, typer.Argument(help="A table as `status` shows it.")],
    shards: Annotated[
        int | None, typer.Argument(min=1, max=256, help="Spaces that it is to be spread over; with --model, as many as now.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Embed its rows by another model, as `embedding.model` names it.")
    ] = None,
    config: ConfigFile = None,
    ledger: LedgerOnly = None,
) -> int:
    """Spread a table over another number of spaces, or embed it anew: new ones are filled, then take the place of the old."""
    book = open_book(config, ledger)
    try:
        label = carried(book, table)
        record = next(record for record in book.tables() if record.label == label)
        if record.state == "stopped":
            raise ConfigError(f"{label} is stopped: {record.reason}", hint=f"engram-bridge resync {label} brings it back.")
        if shards is None and model is None:
            raise ConfigError("neither a number of spaces nor a model is given", hint=f"engram-bridge reshard {label} 4")
        shards = shards or len(record.spaces)
        if len(record.spaces) == shards and model is None:
            raise ConfigError(f"{label} is spread over {shards} space(s) already", hint="Name another number, or a --model.")
        if model is not None:
            _require_model(config, ledger, model)
        Generations(book).ask(label, "reshard", {"shards": shards, "model": model})
        by = f", embedded by {model}" if model else ""
        _tell(book, f"{label} will be spread over {shards} new space(s){by}; until they are filled, the present ones serve it")
    finally:
        book.close()
    return 0


def _require_model(config: Path | None, ledger: str | None, model: str) -> None:
    """Load the model here, as the run will. Raises ConfigError when that cannot be, EmbedderUnavailable."""
    from bridge import embedding

    settings = load(config, None, None, ledger).embedding if ledger is None or config is not None else Embedding()
    try:
        model_checked(model)
    except ValueError as error:
        raise ConfigError(f"--model: {error}") from error
    embedding.make(model, settings.options()).close()


def _live(book: Ledger, labels: list[str]) -> int:
    numbers = {record.number for record in book.tables() if record.label in labels}
    return sum(memories for (number, _shard), memories in book.live_counts().items() if number in numbers)


def _names(labels: list[str]) -> str:
    return ", ".join(labels)


def _tell(book: Ledger, sentence: str) -> None:
    begins = "now, by the running bridge" if book.held_by() else "with the next run"
    make_console().print(f"{sentence}; it begins {begins}, and `engram-bridge status` shows how far it is")
