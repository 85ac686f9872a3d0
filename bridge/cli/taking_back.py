"""`engram-bridge rollback`, which takes a migration back, and `migrations`, which lists them."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from bridge import config as configuration
from bridge.cli.asking import Yes, confirm_on_target
from bridge.cli.options import DEFAULT_FILE, AsJson, ConfigFile, LedgerPlace, TargetUrl, carried, open_book
from bridge.config import Config, Target
from bridge.console import QUIET_SECONDS
from bridge.console import console as make_console
from bridge.cutover import me
from bridge.errors import BridgeError, ConfigError, LedgerHeld
from bridge.explain import nearest
from bridge.ledger import FILLING, RETIRED, SERVING, Ledger, Migration, Migrations
from bridge.ledger.migrations import open_tables
from bridge.wiring import open_target

MigrationId = Annotated[str, typer.Option("--migration-id", help="Which one: as `engram-bridge migrations` lists it.")]


def rollback(
    migration_id: MigrationId,
    tables: Annotated[
        list[str] | None, typer.Option("--tables", help="Only in these tables, with commas; by default in all that it wrote.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what the ledger says, and change nothing.")] = False,
    rehearse: Annotated[
        bool,
        typer.Option("--rehearse", help="Look at every memory, say what would be done and how long it takes; change nothing."),
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the report here: .json, else text; by default rollback-ID.json.")
    ] = None,
    id_map: Annotated[
        Path | None,
        typer.Option("--id-map", help="Write every memory of the migration here, as CSV; by default rollback-ID.csv."),
    ] = None,
    config: ConfigFile = None,
    target: TargetUrl = None,
    grpc: Annotated[
        str | None, typer.Option("--grpc", envvar="ENGRAM_GRPC", help="host:port of Engram's gRPC side; wins over the file.")
    ] = None,
    ledger: LedgerPlace = None,
    yes: Yes = False,
) -> int:
    """Forget what one migration wrote and nobody changed since, and prove it gone; the reads go back to PostgreSQL first.

    Exit codes: 0 all of it is gone; 3 memories that somebody has changed were left, and are listed; 1 failure. Killed, or stopped
    by anything, it goes on with the same command. Other migrations' memories stay. PostgreSQL is not touched, nor asked.
    """
    from bridge.migration.conduct import require_sound
    from bridge.rollback.report import Made, document
    from bridge.rollback.taking_back import Rollback

    acts = not (dry_run or rehearse)
    book = _book(config, ledger)
    try:
        migration = _known(book, migration_id)
        labels = _tables(book, migration, tables)
        if acts:
            _hold(book)
        settings = _settings(config, (target, grpc), book.location, migration)
        places = _places(migration_id, report, id_map, acts=acts)
        with closing(open_target(settings)) as engram:
            deed = Rollback(book, engram, migration, labels, who=me(), told=_teller())
            if acts:
                deed.tried = partial(require_sound, engram)
                _confirm(settings, deed, yes=yes)
            began = time.time()
            if acts:
                _carry_out(deed)
            elif not dry_run:
                deed.rehearse()
            made = Made(began, time.time(), acts, looked=not dry_run)
            described = {"url": settings.target.http, "epoch": None if dry_run else engram.epoch()}
        if dry_run:
            _from_the_ledger(deed)
        found = document(deed, made, described)
        _leave(book, migration, found, places)
    finally:
        book.close()
    return int(found["exit_code"])


def _carry_out(deed: Any) -> None:
    try:
        deed.carry_out()
    except BridgeError:
        make_console(stderr=True).print("broken off; what is done is recorded, and the same command goes on", style="yellow")
        raise


def _from_the_ledger(deed: Any) -> None:
    """Nothing was looked at: what the ledger expects is what would be forgotten."""
    for tally in deed.tallies.values():
        tally.forgotten = tally.written


def _book(config: Path | None, ledger: str | None) -> Ledger:
    """The ledger that is named, or that of the configuration, or the one that a migration without either has made here."""
    if config is None and ledger is None and not DEFAULT_FILE.exists():
        ledger = str(Config.model_fields["ledger"].default)
    return open_book(config, ledger)


def _known(book: Ledger, migration_id: str) -> Migration:
    found = Migrations(book).find(migration_id)
    if found is None:
        ids = [one.id for one in Migrations(book).all()]
        if not ids:
            raise ConfigError("this ledger knows of no migration", hint="What was written before ids were kept is of none.")
        raise ConfigError(f"this ledger knows of no migration {migration_id!r}", hint=nearest(migration_id, ids))
    return found


def _require_its_target(migration: Migration, configured: str) -> None:
    """The configuration names the Engram that the migration wrote to: in another one everything is missing, and nothing goes."""
    written = migration.detail.get("target")
    if written is not None and written != configured:
        raise ConfigError(
            f"the migration {migration.id} wrote to {written}, and the configuration names {configured}",
            hint="Name by --target where its memories are.",
        )


def _tables(book: Ledger, migration: Migration, wanted: list[str] | None) -> list[str]:
    """The labels of the tables that are meant: with those of a rollback that was broken off. Raises ConfigError."""
    numbers = {table for number, table in Migrations(book).counts() if number == migration.number}
    own = {record.label for record in book.generations(SERVING, FILLING, RETIRED) if record.number in numbers}
    begun = Migrations(book).rollback_of(migration.number)
    own |= open_tables(migration, begun) & {record.label for record in book.tables()}
    named = [name.strip() for one in wanted or () for name in one.split(",") if name.strip()]
    labels = {carried(book, name) for name in named} if named else own
    strange = sorted(labels - own)
    if strange:
        raise ConfigError(f"the migration {migration.id} wrote nothing in {strange[0]}", hint=nearest(strange[0], sorted(own)))
    if begun is not None and begun["ended"] is None:
        labels |= set(begun["tables"])
    return sorted(labels)


def _hold(book: Ledger) -> None:
    try:
        book.acquire()
    except LedgerHeld as error:
        raise LedgerHeld(
            f"{error}: it would load again what is taken back",
            hint="Stop it, and begin the rollback then; reads go on by `serve`.",
        ) from error


def _settings(config: Path | None, engram: tuple[str | None, str | None], location: str, migration: Migration) -> Config:
    """The configuration; without one, the target that the migration was made to. The source is never connected to.

    `engram`: the flags for its HTTP and gRPC side.
    """
    target, grpc = engram
    path = config if config is not None else DEFAULT_FILE if DEFAULT_FILE.exists() else None
    known = migration.detail
    if path is None and target is None and "target" not in known:
        raise ConfigError("the target is missing", hint="Give --target http://host:7432, or --config.")
    settings = configuration.load(
        path,
        source=None if path is not None else str(known.get("source") or "postgresql:///"),
        target=target if target is not None or path is not None else str(known["target"]),
        ledger=None if path is not None and "://" in location else location,
    )
    if target is None:
        _require_its_target(migration, settings.target.http)
    if not grpc and (path is None or target is not None) and settings.target.http == known.get("target"):
        grpc = known.get("grpc")
    given = Target.model_validate(settings.target.model_dump() | {"grpc": grpc}) if grpc else settings.target
    return settings.model_copy(update={"target": given})


def _places(migration_id: str, report: Path | None, id_map: Path | None, *, acts: bool) -> tuple[Path | None, Path | None]:
    """Where report and map of ids are left: tried before anything is done. Raises ConfigError."""
    if report is not None and report.suffix in (".html", ".htm"):
        raise ConfigError("the report of a rollback is JSON or text", hint="Name a file that ends in .json or .txt.")
    name = "rollback-" + re.sub(r"[^A-Za-z0-9._-]", "_", migration_id)
    places = (report or (Path(f"{name}.json") if acts else None), id_map or (Path(f"{name}.csv") if acts else None))
    for place in places:
        if place is not None:
            known = place.exists()
            try:
                place.open("a", encoding="utf-8").close()
                if not known:
                    place.unlink()
            except OSError as error:
                raise ConfigError(
                    f"{place} cannot be written: {error.strerror}", hint="Name another by --report, --id-map."
                ) from error
    return places


def _confirm(settings: Config, deed: Any, *, yes: bool) -> None:
    count = sum(tally.written for tally in deed.tallies.values())
    named = ", ".join(sorted(deed.tallies)) or "no table"
    confirm_on_target(settings, f"{count:,} memories of the migration {deed.migration.id} are forgotten ({named})", yes=yes)


def _leave(book: Ledger, migration: Migration, found: dict[str, Any], places: tuple[Path | None, Path | None]) -> None:
    from bridge.rollback.report import text, write_id_map

    say = make_console().print
    report, id_map = places
    shown = text(found)
    if report is not None:
        as_json = json.dumps(found, ensure_ascii=False, indent=2) + "\n"
        report.write_text(as_json if report.suffix == ".json" else shown, encoding="utf-8")
    print(shown, end="")
    if id_map is not None:
        count = write_id_map(book, migration, id_map, [table["table"] for table in found["tables"]])
        say(Text(f"{id_map}: {count:,} ids"))
    if report is not None:
        say(Text(f"{report}: the report"))


def _teller() -> Any:
    """A line each ten seconds, on stderr."""
    say, last = make_console(stderr=True).print, [time.monotonic()]

    def told(label: str, done: int, total: int) -> None:
        if time.monotonic() - last[0] >= QUIET_SECONDS:
            last[0] = time.monotonic()
            say(Text(f"{label}: {done:,} of {total:,} memories"))

    return told


def migrations(
    migration_id: Annotated[str | None, typer.Option("--migration-id", help="Only this one.")] = None,
    id_map: Annotated[
        Path | None, typer.Option("--id-map", help="With --migration-id: write every memory of it here, as CSV.")
    ] = None,
    config: ConfigFile = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> int:
    """What has written memories: each `run` and `migrate-postgresql` of this ledger by its id, with what Engram holds of it."""
    from bridge.rollback.report import write_id_map

    if id_map is not None and migration_id is None:
        raise ConfigError("--id-map goes with --migration-id", hint="See `engram-bridge migrations`.")
    book = _book(config, ledger)
    try:
        chosen = [_known(book, migration_id)] if migration_id is not None else Migrations(book).all()
        counts = Migrations(book).counts()
        rows = _rows(book, chosen, counts)
        if id_map is not None:
            count = write_id_map(book, chosen[0], id_map)
            make_console(stderr=True).print(Text(f"{id_map}: {count:,} ids"))
    finally:
        book.close()
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        _show(rows, sum(live for (number, _table), (live, _gone) in counts.items() if number == 0))
    return 0


Counts = dict[tuple[int, int], tuple[int, int]]


def _rows(book: Ledger, chosen: list[Migration], counts: Counts) -> list[dict[str, Any]]:
    labels = {record.number: record.label for record in book.generations(SERVING, FILLING, RETIRED)}
    found = []
    for one in chosen:
        own = {labels[table]: count for (number, table), count in counts.items() if number == one.number and table in labels}
        rolled_back = Migrations(book).rollback_of(one.number)
        found.append(
            {
                "migration_id": one.id,
                "kind": one.kind,
                "began": _time(one.began),
                "ended": _time(one.ended),
                "outcome": one.result.get("outcome") if one.result is not None else None,
                "memories": {label: live for label, (live, _gone) in sorted(own.items())},
                "gone": {label: gone for label, (_live, gone) in sorted(own.items())},
                "rolled_back": None if rolled_back is None else rolled_back | {"ended": _time(rolled_back["ended"])},
            }
        )
    return found


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _show(rows: list[dict[str, Any]], before: int) -> None:
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("migration", "by", "began", "ended", "outcome", "memories", "gone", "rolled back"):
        right, whole = heading in ("memories", "gone"), heading == "migration"  # an id in two halves is copied by nobody
        shown.add_column(heading, justify="right" if right else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        back = row["rolled_back"]
        shown.add_row(
            Text(row["migration_id"]),
            {"migrate": "migrate-postgresql"}.get(row["kind"], row["kind"]),
            row["began"],
            row["ended"] or "–",
            row["outcome"] or "–",
            f"{sum(row['memories'].values()):,}",
            f"{sum(row['gone'].values()):,}",
            "–" if back is None else back["ended"] or "begun, not ended",
        )
    make_console().print(shown if rows else "nothing has written memories by this ledger yet")
    if before:
        make_console().print(f"{before:,} memories were written before ids were kept, and are of no migration")
