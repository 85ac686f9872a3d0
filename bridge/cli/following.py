"""`engram-bridge run`, and `status`, which looks at it from another process."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any

import typer
from rich.console import Console

from bridge import logs
from bridge.adoption import Occupied
from bridge.cli.asking import Yes, confirm_on_target
from bridge.cli.options import (
    AsJson,
    ConfigFile,
    LedgerPlace,
    LogFormat,
    SourceUrl,
    TargetUrl,
    Verbose,
    existing_ledger,
    load,
)
from bridge.cli.serving import Beside, again_as, require_serving
from bridge.config import Config
from bridge.console import LiveView, render_figures
from bridge.console import console as make_console
from bridge.errors import BridgeError, ConfigError, Transient
from bridge.ledger import Ledger
from bridge.ledger.place import ledger_exists
from bridge.pool import TELL_AGAIN
from bridge.signals import ENDING, on_signals

logger = logging.getLogger(__name__)


def run(
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End with 0 once everything up to the start is proven.")
    ] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take over memories that another ledger wrote of these tables; forget what is gone.")
    ] = False,
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Forget everything in spaces that this ledger does not know yet, whoever wrote it.")
    ] = False,
    yes: Yes = False,
    serve: Annotated[bool, typer.Option("--serve", help="Answer reads too, in a process beside this one: see `serve`.")] = False,
    verbose: Verbose = False,
    log_format: LogFormat = logs.LogFormat.TEXT,
) -> int:
    """Load what is there, follow what changes, prove it; go on where it was after any interruption."""

    console = make_console(stderr=True)
    run_id = logs.set_up(log_format, verbose=verbose, console=console)
    settings = load(config, source, target, ledger)
    if serve:
        require_serving(settings)
    logger.info("a run begins", extra={"run": run_id, "version": metadata.version("engram-bridge")})
    ending, again = threading.Event(), threading.Event()
    on_signals(again.set, signal.SIGHUP)
    on_signals(ending.set, *ENDING)
    bridge = _prepare(settings, ending, _occupied(settings, adopt=adopt, wipe=wipe, yes=yes))
    if bridge is None:
        return 0
    options = again_as(config, source, target, ledger, verbose=verbose, log_format=log_format)
    try:
        with Beside(options) if serve else contextlib.nullcontext() as beside:
            _follow(
                bridge,
                ending,
                console,
                until_caught_up=until_caught_up,
                again=again,
                read=lambda: load(config, source, target, ledger),
                beside=beside,
            )
    finally:
        bridge.stop()
    if bridge.failure is not None:
        raise bridge.failure
    return 0


def _occupied(settings: Config, *, adopt: bool, wipe: bool, yes: bool) -> Occupied:
    """What to do about memories of others. Raises ConfigError for both at once, and for what nobody has confirmed."""
    if adopt and wipe:
        raise ConfigError("--adopt keeps what --wipe forgets", hint="Give one of them.")
    if wipe:
        confirm_on_target(
            settings, "everything in the spaces of this configuration that are new to its ledger is forgotten", yes=yes
        )
    return Occupied.ADOPT if adopt else Occupied.WIPE if wipe else Occupied.REFUSE


def _prepare(settings: Config, ending: threading.Event, occupied: Occupied = Occupied.REFUSE) -> Any:
    """Prepare the run. A ledger that has been used waits for source and target; the very first start tells at once."""
    from bridge import running

    resumed = ledger_exists(settings.ledger)
    wait, told = 0.5, -TELL_AGAIN
    while not ending.is_set():
        try:
            return running.prepare(settings, occupied)
        except Transient as error:
            if not resumed:
                raise
            if time.monotonic() - told >= TELL_AGAIN:
                told = time.monotonic()
                logger.warning("waiting to begin: %s", error, extra={"hint": error.hint})
            ending.wait(wait)
            wait = min(wait * 2, 5.0)
    return None


def _follow(
    bridge: Any,
    ending: threading.Event,
    console: Console,
    *,
    until_caught_up: bool,
    again: threading.Event,
    read: Callable[[], Config],
    beside: Beside | None,
) -> None:
    """Until it is to end. `again`: the configuration is to be read again, by `read`, and by the proxy beside it."""
    from bridge.reloading import reload

    bridge.start()
    with LiveView(bridge, console) as view:
        while not ending.is_set() and bridge.failure is None:
            if until_caught_up and bridge.caught_up(bridge.fence):
                break
            if again.is_set():
                again.clear()
                reload(bridge, read)
                if beside is not None:
                    beside.reload()
            view.update()
            ending.wait(0.25)


def status(
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every two seconds, until interrupted.")] = False,
) -> int:
    """How it stands, from the ledger and the slot; also while `run` works in another process."""
    settings = load(config, source, target, ledger)
    console = make_console()
    book = existing_ledger(settings)
    try:
        while True:
            figures, warning = _status(settings, book)
            if as_json:
                print(json.dumps(figures.as_dict(), ensure_ascii=False, indent=None if watch else 2), flush=True)
            else:
                if watch:
                    console.clear()
                console.print(render_figures(figures))
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
    from bridge.figures import collect
    from bridge.wiring import slot_figures

    warning = None
    try:
        slot = slot_figures(settings, book.facts().get("slot", settings.source.slot))
    except BridgeError as error:
        warning, slot = f"PostgreSQL cannot be asked for the slot: {error}", None
    return collect(book, slot, source_error=warning, thresholds=settings.cutover.thresholds()), warning or ""
