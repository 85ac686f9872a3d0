"""`migrate-postgresql`: every row of a PostgreSQL database becomes a memory, once, and is proven by reading it back."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge import logs
from bridge.cli.app import end
from bridge.cli.command_lines import command_line, source_secrets
from bridge.cli.options import DEFAULT_FILE
from bridge.config import Config
from bridge.config import load as load_config
from bridge.console import console as make_console
from bridge.errors import BridgeError, ConfigError, Transient
from bridge.signals import ENDING, on_signals

logger = logging.getLogger(__name__)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

CONNECTION, MAPPING, PERFORMANCE, MIGRATION, MORE = (
    "Connection options",
    "Schema mapping",
    "Performance options",
    "Migration options",
    "Parts of a database",
)
PRINTED = 50
"""Orphans and parked keys that are printed; files have more of them."""

EXIT_CODES = (
    "Exit codes: 0 migrated and checked, 1 failed (run the same command again: it goes on), 2 wrong usage, "
    "3 somebody has to look (the report says at what), 4 more than 1 % differs: a rollback is advised."
)


@app.command(epilog=EXIT_CODES)
def migrate(
    source: Annotated[
        str,
        typer.Option(
            "--source",
            help="PostgreSQL connection string, URI or keyword=value. SELECT is enough; PGPASSWORD and PGPASSFILE keep the "
            "password out of the process list.",
            rich_help_panel=CONNECTION,
        ),
    ],
    target: Annotated[str, typer.Option("--target", help="Engram's HTTP API endpoint.", rich_help_panel=CONNECTION)],
    grpc: Annotated[
        str | None,
        typer.Option(
            "--grpc",
            envvar="ENGRAM_GRPC",
            help="host:port of Engram's gRPC side, which is written; by default the target's host and port 50051.",
            rich_help_panel=CONNECTION,
        ),
    ] = None,
    table_to_space: Annotated[
        str | None,
        typer.Option(
            "--table-to-space",
            metavar="PAIRS",
            help="Other spaces than those named like the tables: users:people,orders:shop.",
            rich_help_panel=MAPPING,
        ),
    ] = None,
    text_columns: Annotated[
        str | None,
        typer.Option(
            "--text-columns",
            metavar="COLUMNS",
            help="Columns that are embedded, by default all of text types: users:name,bio;orders:note (in quotes). Leaving out "
            "large ones makes a migration faster.",
            rich_help_panel=MAPPING,
        ),
    ] = None,
    timestamp_column: Annotated[
        str | None,
        typer.Option(
            "--timestamp-column",
            help="Column that a memory's time of creation comes from. [default: created_at]",
            rich_help_panel=MAPPING,
        ),
    ] = None,
    memory_space: Annotated[
        str | None,
        typer.Option(
            "--memory-space", help="One space for all tables that --table-to-space does not name.", rich_help_panel=MAPPING
        ),
    ] = None,
    single_space: Annotated[
        bool,
        typer.Option(
            "--single-space",
            help="All tables in one space, named by --memory-space or like the database.",
            rich_help_panel=MAPPING,
        ),
    ] = False,
    shards: Annotated[
        str | None,
        typer.Option(
            "--shards",
            metavar="PAIRS",
            help="Spread tables over so many spaces: orders:4. By default those are that would not fit into one.",
            rich_help_panel=MAPPING,
        ),
    ] = None,
    confidence: Annotated[
        str | None,
        typer.Option(
            "--confidence",
            help="verified (0.90), indexed, user_content, derived, or a number from 0.5 to 0.95.",
            rich_help_panel=MAPPING,
        ),
    ] = None,
    embedding_provider: Annotated[
        str | None,
        typer.Option(
            "--embedding-provider",
            metavar="MODEL",
            help="hashing (built in), general, code, scientific, multilingual, minilm, the name of a sentence-transformers "
            "model, a folder with one, or the URL of an endpoint.",
            rich_help_panel=MAPPING,
        ),
    ] = None,
    skip_edges: Annotated[
        bool, typer.Option("--skip-edges", help="Foreign keys become no edges.", rich_help_panel=MAPPING)
    ] = False,
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch-size",
            min=1,
            max=10_000_000,
            help="Rows that are read at once, and read again after a crash. Recommended: 5000. By the size of the tables: under "
            "100k rows 1000, up to 10M 5000 to 10000, beyond 10000 to 20000.",
            rich_help_panel=PERFORMANCE,
        ),
    ] = 1000,
    parallel_workers: Annotated[
        int,
        typer.Option(
            "--parallel-workers",
            min=1,
            max=64,
            help="Connections that read tables at the same time. Few large tables: 1 to 2, which share one table; many small "
            "ones: 4 to 8; mixed: 4 to 6.",
            rich_help_panel=PERFORMANCE,
        ),
    ] = 4,
    checkpoint_file: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint-file",
            help="Where progress is noted, as JSON. The same command with the same file goes on where it was broken off.",
            rich_help_panel=PERFORMANCE,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Check connections, rights, schema and mapping, and print the plan. Writes nothing.",
            rich_help_panel=MIGRATION,
        ),
    ] = False,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate/--no-validate",
            help="Compare both sides afterwards: counts, 1000 rows of each table, edges, vectors. Plan for 10 to 15 % of the "
            "time. Rows are counted either way.",
            rich_help_panel=MIGRATION,
        ),
    ] = True,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Write the report to this file: .html, .json or .txt.", rich_help_panel=MIGRATION),
    ] = None,
    migration_id: Annotated[
        str | None,
        typer.Option(
            "--migration-id",
            help="Stands in every memory and names the migration to `engram-bridge rollback`; by default one is made.",
            rich_help_panel=MIGRATION,
        ),
    ] = None,
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--tables",
            help="Only these, by commas or repeated; patterns (*, ?) too. By default all.",
            rich_help_panel=MORE,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="A delta: only rows whose timestamp column is later. It misses updates and deletes of older rows, and rows that "
            "were committed late with an earlier time; `engram-bridge run` follows all of them.",
            rich_help_panel=MORE,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="TIME",
            help="Only rows whose timestamp column is not later, or empty; without a zone it is UTC, a date alone is its "
            "beginning. Tables without the column are read whole.",
            rich_help_panel=MORE,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="At most so many rows of each table, to try a mapping.", rich_help_panel=MORE),
    ] = None,
    ledger: Annotated[
        str | None,
        typer.Option(
            "--ledger",
            help="What is known of every row: a file's path, or a PostgreSQL URL. [default: engram-bridge.db]",
            rich_help_panel=MIGRATION,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="A bridge.yaml for all else; flags win over it.", rich_help_panel=MIGRATION),
    ] = None,
    json_log: Annotated[
        bool, typer.Option("--json-log", help="Log lines as JSON, for machines.", rich_help_panel=MIGRATION)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="More in the log.", rich_help_panel=MIGRATION)] = False,
) -> int:
    """Migrate a PostgreSQL database to Engram: every row becomes a memory, every foreign key an edge, and each is read back."""
    from bridge.migration import order as orders
    from bridge.migration.attempt import Settings
    from bridge.report import report_form

    console = make_console(stderr=True)
    logs.set_up(logs.LogFormat.JSON if json_log else logs.LogFormat.TEXT, verbose=verbose, console=console)
    if report is not None:
        report_form(report)
    base = _base(config, source, target, grpc, ledger)
    order = orders.Order(
        tables=orders.names(tables),
        spaces=orders.pairs("--table-to-space", table_to_space, orders.NO_MAPPING),
        texts=orders.texts(text_columns),
        shards=orders.shards(shards),
        timestamp=timestamp_column,
        space=memory_space or (orders.space_of_database(_database(base)) if single_space else None),
        confidence=confidence,
        provider=embedding_provider,
        edges=not skip_edges,
        since=orders.moment("--since", since),
        until=orders.moment("--until", until),
        limit=limit,
    )
    orders.require(order)
    settings = Settings(parallel_workers, batch_size, checkpoint_file, migration_id, command=command_line(sys.argv))
    if dry_run:
        return _plan(order, base, settings, validate=validate, report=report)
    return _migrate(order, base, settings, console, validate=validate, report=report)


def _base(config: Path | None, source: str, target: str, grpc: str | None, ledger: str | None) -> Config:
    """What the file says, with the addresses of the flags. Raises ConfigError."""
    path = config if config is not None or not DEFAULT_FILE.exists() else DEFAULT_FILE
    base = load_config(path, source=source, target=target, ledger=ledger)
    if path is not None:
        logger.info("what the flags do not say is read from a file", extra={"file": str(path)})
    if grpc is None:
        return base
    wanted = base.target.model_dump() | {"grpc": grpc}
    try:
        return base.model_copy(update={"target": type(base.target).model_validate(wanted)})
    except ValueError:
        raise ConfigError(f"--grpc: {grpc!r} is no host:port", hint="For example: --grpc localhost:50051") from None


def _database(base: Config) -> str:
    from psycopg.conninfo import conninfo_to_dict

    given = conninfo_to_dict(base.source.url)
    return str(given.get("dbname") or given.get("user") or "postgres")


def _plan(order: Any, base: Config, settings: Any, *, validate: bool, report: Path | None) -> int:
    """What would be done, what stands in its way, and what it will take. Writes nothing but the report that is asked for."""
    from bridge.migration.admitting import examine
    from bridge.migration.checkpoint import usable
    from bridge.migration.dry_run import Manner, make_dry_run
    from bridge.report import write_page
    from bridge.report.text import show

    if settings.checkpoint is not None:
        usable(settings.checkpoint)
    examined = examine(order, base)
    plan = make_dry_run(
        examined.chosen.config,
        examined.tables,
        examined.findings,
        Manner(settings.batch, settings.workers, settings.checkpoint, validate),
        rows=examined.rows,
        source=base.source.url,
        ledger=examined.ledger,
    )
    if report is not None:
        write_page(plan.as_dict(), plan.page(), report)
    show(plan.page(), make_console())
    return plan.exit_code


def _migrate(order: Any, base: Config, settings: Any, console: Any, *, validate: bool, report: Path | None) -> int:
    """Do it; Ctrl-C and SIGTERM end it in order, and say how it goes on."""
    from bridge.migration import conduct
    from bridge.migration.attempt import Attempt
    from bridge.report import render_text, write_report

    ending = threading.Event()
    on_signals(ending.set, *ENDING)
    if settings.checkpoint is None:
        logger.warning("no checkpoint file: progress is noted in the ledger alone", extra={"hint": "--checkpoint-file FILE"})
    if "password" in source_secrets(base):
        hint = "Put it into PGPASSWORD or a password file (PGPASSFILE)."
        logger.warning("the password in --source can be read by others in the list of processes", extra={"hint": hint})
    begun = conduct.begin(order, base, settings, console)
    if not isinstance(begun, Attempt):
        document: Any = begun.result
        logger.info("this migration is complete: nothing is read again", extra={"migration": begun.id})
    else:
        try:
            begun.run(ending)
            document = conduct.report(begun, validate=validate, ending=ending) if begun.ended else None
            if document is None:
                _broken_off(begun, "it was interrupted", report)
                return 1
        except BridgeError as error:
            _broken_off(begun, str(error), report)
            raise
        finally:
            begun.carrying.close()
    if report is not None:
        write_report(document, report)
    print(render_text(document, most=PRINTED), end="")
    return int(document["exit_code"])


def _broken_off(attempt: Any, why: str, report: Path | None) -> None:
    """Say how it goes on, and write the report that says so to machines."""
    from bridge.migration.checkpoint import INTERRUPTED
    from bridge.migration.telling import broken_off
    from bridge.report import write_report

    attempt.checkpoint(INTERRUPTED, force=True)  # also where the checks were broken off
    print(f"not complete; what is done is kept. To go on:\n  {attempt.settings.command}", file=sys.stderr)
    if report is not None:
        try:
            write_report(broken_off(attempt, why), report)
        except BridgeError as error:
            logger.error("the report could not be written: %s", error)


def main() -> None:
    """Run it; errors become a sentence, a hint and an exit code. What cannot be reached is a failure: nobody waits here."""
    end(app, lambda error: 1 if isinstance(error, Transient) else error.exit_code, prog_name="migrate-postgresql")


if __name__ == "__main__":
    main()
