"""The command line: `engram-bridge check | run | status | parked | sandbox | demo`.

Exit codes: 0 done, 1 a person has to act, 2 usage or configuration, 75 source or target cannot be reached now.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bridge import config as configuration
from bridge import logs
from bridge.config import Config
from bridge.console import LiveView, render_status
from bridge.console import console as make_console
from bridge.errors import BridgeError, ConfigError, Transient
from bridge.ledger import RESYNC_ASKED, Ledger
from bridge.ledger.connection import ledger_url
from bridge.pool import TELL_AGAIN

logger = logging.getLogger(__name__)

app = typer.Typer(
    name="engram-bridge",
    help="Keeps an Engram server in step with a live PostgreSQL database, and proves it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
parked_app = typer.Typer(
    help="Keys that could not be applied: list them, try them again, or leave them to PostgreSQL.", no_args_is_help=True
)
sandbox_app = typer.Typer(help="An Engram and a PostgreSQL to try things with.", no_args_is_help=True)
snapshot_app = typer.Typer(
    help="Pause the loading of tables, or let it go on. The stream is followed all the time.", no_args_is_help=True
)
app.add_typer(parked_app, name="parked")
app.add_typer(snapshot_app, name="snapshot")
app.add_typer(sandbox_app, name="sandbox")

DEFAULT_FILE = Path("bridge.yaml")

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration; bridge.yaml when it is there.")]
SourceUrl = Annotated[str | None, typer.Option("--source", help="PostgreSQL URL; wins over the file.")]
TargetUrl = Annotated[str | None, typer.Option("--target", help="Engram's HTTP URL; wins over the file.")]
LedgerPlace = Annotated[str | None, typer.Option("--ledger", help="The ledger's path; wins over the file.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="More in the log.")]
LogFormat = Annotated[logs.LogFormat, typer.Option("--log-format", help="How log lines look.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"engram-bridge {metadata.version('engram-bridge')}")
        raise typer.Exit


@app.callback()
def root(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Keeps an Engram server in step with a live PostgreSQL database, and proves it."""


def main() -> None:
    """Run a command; errors become a sentence, a hint and an exit code."""
    try:
        code = app(standalone_mode=False)
    except BridgeError as error:
        _say(error)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(130)
    except typer.TyperException as error:
        show = getattr(error, "show", None)  # usage errors know their command's synopsis
        if callable(show):
            show()
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


@contextlib.contextmanager
def _extra(name: str) -> Iterator[None]:
    """A part whose packages are optional: their absence is a sentence that names the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"this needs the package {error.name!r}, which is not installed", hint=f"pip install 'engram-bridge[{name}]'"
        ) from error


def _say(error: BridgeError) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]error:[/] {_plain(str(error))}")
    if error.hint:
        console.print(f"  [bold]→[/] {_plain(error.hint)}")


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _load(path: Path | None, source: str | None, target: str | None, ledger: str | None) -> Config:
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    return configuration.load(path, source=source, target=target, ledger=ledger)


@app.command()
def check(
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> int:
    """Tell now what would go wrong later. Changes nothing in the source."""
    from bridge import preflight

    report = preflight.run(_load(config, source, target, ledger))
    if as_json:
        print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        report.show(make_console())
    return int(report.exit_code)


@app.command()
def run(
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End with 0 once everything up to the start is proven.")
    ] = False,
    verbose: Verbose = False,
    log_format: LogFormat = logs.LogFormat.TEXT,
) -> int:
    """Load what is there, follow what changes, prove it; go on where it was after any interruption."""

    console = make_console(stderr=True)
    logs.set_up(log_format, verbose=verbose, console=console)
    settings = _load(config, source, target, ledger)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    bridge = _prepare(settings, ending)
    if bridge is None:
        return 0
    try:
        _follow(bridge, ending, console, until_caught_up=until_caught_up)
    finally:
        bridge.stop()
    if bridge.failure is not None:
        raise bridge.failure
    return 0


def _prepare(settings: Config, ending: threading.Event) -> Any:
    """Prepare the run. A ledger that has been used waits for source and target; the very first start tells at once."""
    from bridge import running

    resumed = Path(str(ledger_url(settings.ledger).database)).exists()
    wait, told = 0.5, -TELL_AGAIN
    while not ending.is_set():
        try:
            return running.prepare(settings)
        except Transient as error:
            if not resumed:
                raise
            if time.monotonic() - told >= TELL_AGAIN:
                told = time.monotonic()
                logger.warning("waiting to begin: %s", error, extra={"hint": error.hint})
            ending.wait(wait)
            wait = min(wait * 2, 5.0)
    return None


def _follow(bridge: Any, ending: threading.Event, console: Console, *, until_caught_up: bool) -> None:
    bridge.start()
    with LiveView(bridge, console) as view:
        while not ending.is_set() and bridge.failure is None:
            if until_caught_up and bridge.caught_up(bridge.fence):
                break
            view.update()
            ending.wait(0.25)


@app.command()
def status(
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Every two seconds, until interrupted.")] = False,
) -> int:
    """How it stands, from the ledger and the slot; also while `run` works in another process."""
    settings = _load(config, source, target, ledger)
    console = make_console()
    book = _existing_ledger(settings)
    try:
        while True:
            figures, warning = _status(settings, book)
            if as_json:
                print(json.dumps(figures.as_dict(), ensure_ascii=False, indent=None if watch else 2), flush=True)
            else:
                if watch:
                    console.clear()
                console.print(render_status(figures))
            if warning:
                print(f"warning: {warning}", file=sys.stderr, flush=True)
            if not watch:
                return 0
            time.sleep(2.0)
    except KeyboardInterrupt:
        return 0
    finally:
        book.close()


def _status(settings: Config, book: Ledger) -> tuple[Any, str]:
    """The figures, and what they lack."""
    from bridge.status import collect
    from bridge.wiring import slot_figures

    warning = ""
    try:
        slot = slot_figures(settings, book.facts().get("slot", settings.source.slot))
    except BridgeError as error:
        warning, slot = f"PostgreSQL cannot be asked for the slot: {error}", None
    return collect(book, slot), warning


def _existing_ledger(settings: Config) -> Ledger:
    if not Path(str(ledger_url(settings.ledger).database)).exists():
        raise ConfigError(
            f"there is no ledger at {settings.ledger}", hint="Start `engram-bridge run` first, or name the ledger by --ledger."
        )
    return Ledger(settings.ledger)


LedgerOnly = Annotated[str | None, typer.Option("--ledger", help="The ledger's path; by default that of the configuration.")]
ParkedKey = Annotated[
    str, typer.Argument(metavar="TABLE/KEY", help="The key as `parked list` shows it, such as public.customers/9; or `all`.")
]


def _book(config: Path | None, ledger: str | None) -> Ledger:
    if ledger is None:
        ledger = _load(config, None, None, None).ledger
    if not Path(str(ledger_url(ledger).database)).exists():
        raise ConfigError(f"there is no ledger at {ledger}", hint="Name the ledger by --ledger.")
    return Ledger(ledger)


@parked_app.command("list")
def parked_list(config: ConfigFile = None, ledger: LedgerOnly = None, as_json: AsJson = False) -> int:
    """The parked keys: table and key, reason, latest version that waits, since when."""
    book = _book(config, ledger)
    rows = [
        {
            "id": f"{label}/{key[1]}",
            "reason": parked.reason,
            "detail": parked.detail,
            "version": parked.version,
            "since": parked.since,
            "attempts": parked.attempts,
            "retry_at": parked.retry_at,
            "dropped": parked.dropped,
        }
        for label, key, parked in _parked(book)
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


def _parked(book: Ledger) -> list[tuple[str, tuple[int, str], Any]]:
    labels = {record.number: record.label for record in book.tables()}
    return [(labels[key[0]], key, parked) for key, parked in book.parked_keys()]


def _chosen(book: Ledger, name: str) -> list[tuple[tuple[int, str], Any]]:
    found = [(key, parked) for label, key, parked in _parked(book) if name in ("all", f"{label}/{key[1]}")]
    if not found and name != "all":
        raise ConfigError(f"{name} is not parked", hint="See `engram-bridge parked list`.")
    return found


@parked_app.command("retry")
def parked_retry(name: ParkedKey, config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Read the row again and write it; done by the running bridge, or by the next run."""
    book = _book(config, ledger)
    chosen = _chosen(book, name)
    for key, _parked_key in chosen:
        book.request("retry", key)
    running = book.held_by()
    book.close()
    make_console().print(f"{len(chosen)} key(s) will be read again by {'the running bridge' if running else 'the next run'}")
    return 0


@parked_app.command("drop")
def parked_drop(name: ParkedKey, config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Stop waiting for it: PostgreSQL answers for this key until its next change is proven."""
    book = _book(config, ledger)
    chosen = _chosen(book, name)
    for key, _parked_key in chosen:
        book.drop_parked(key)
    book.close()
    make_console().print(f"{len(chosen)} key(s) dropped")
    return 0


@app.command()
def resync(
    tables: Annotated[list[str], typer.Argument(help="Tables as `status` shows them: public.orders.")],
    config: ConfigFile = None,
    ledger: LedgerOnly = None,
) -> int:
    """Read whole tables again and mend what differs; also the way back for a table that was stopped."""
    book = _book(config, ledger)
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


@snapshot_app.command("pause")
def snapshot_pause(config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Begin no new chunk from now on, over restarts too, until `snapshot resume`."""
    book = _book(config, ledger)
    book.put_facts({"snapshot_paused": "yes"})
    book.close()
    make_console().print("no new chunk is begun until `engram-bridge snapshot resume`; chunks that are being read are finished")
    return 0


@snapshot_app.command("resume")
def snapshot_resume(config: ConfigFile = None, ledger: LedgerOnly = None) -> int:
    """Go on with the chunks that are left."""
    book = _book(config, ledger)
    book.drop_fact("snapshot_paused")
    book.close()
    make_console().print("the snapshot goes on")
    return 0


@sandbox_app.command("postgres")
def sandbox_postgres(
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 15432,
    data: Annotated[Path, typer.Option(help="Data directory; what is in it stays.")] = Path("postgres-data"),
) -> int:
    """A PostgreSQL to try things with, fit for logical replication. It asks nobody for a password and syncs nothing to disk."""
    with _extra("sandbox"):
        from bridge.sandbox.postgres import serve as serve_postgres

    serve_postgres(data=data, port=port)
    return 0


@sandbox_app.command("engram")
def sandbox_engram(
    port: Annotated[int, typer.Option(help="HTTP port; 0 takes a free one.")] = 7432,
    grpc_port: Annotated[int, typer.Option(help="gRPC port; 0 takes a free one.")] = 50051,
    data: Annotated[Path, typer.Option(help="Data directory.")] = Path("engram-data"),
    capacity: Annotated[int, typer.Option(help="Rows of a space before others are evicted.")] = 100_000,
    faults: Annotated[Path | None, typer.Option(help="A JSON file with a schedule of misbehaviour.")] = None,
) -> int:
    """An Engram to try things with, with the real one's bad habits."""
    with _extra("sandbox"):
        from bridge.sandbox.engram.server import serve

    rules = json.loads(faults.read_text(encoding="utf-8")) if faults else ()
    serve(port=port, grpc_port=grpc_port, data=data, capacity=capacity, faults=rules)
    return 0


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(help="How long the application writes.")] = 30.0,
    report: Annotated[Path | None, typer.Option(help="Also write the result as JSON.")] = None,
    target: Annotated[str | None, typer.Option(help="A real Engram's HTTP URL instead of the sandbox.")] = None,
    target_grpc: Annotated[str | None, typer.Option(help="Its gRPC host:port.")] = None,
    restart_command: Annotated[str | None, typer.Option(help="A shell command that restarts the real server.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat the application's writes of an earlier demo.")] = None,
) -> int:
    """The whole job on a small shop: check, snapshot, stream, a killed target in the middle, proof."""
    with _extra("sandbox"):
        from bridge.sandbox.demo import Demo

    logs.set_up(logs.LogFormat.TEXT, verbose=False)
    logging.getLogger("bridge").setLevel(logging.WARNING)
    logging.getLogger("snapshot").setLevel(logging.WARNING)
    return Demo(
        seconds=seconds, report=report, target=target, target_grpc=target_grpc, restart_command=restart_command, seed=seed
    ).run()
