"""`engram-bridge serve`: the proxy, the operator's page and the metrics; and the same beside `run --serve`."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge import logs
from bridge.cli.options import (
    ConfigFile,
    LedgerPlace,
    LogFormat,
    SourceUrl,
    TargetUrl,
    Verbose,
    existing_ledger,
    extra,
    load,
)
from bridge.config import Config
from bridge.config_serving import Serve
from bridge.console import console as make_console
from bridge.signals import ENDING

logger = logging.getLogger(__name__)

GRACE = 10
SLOWEST_START = 60
"""Seconds in which a worker has to answer its supervisor. It cannot while it imports, which takes a busy machine long."""

AGAIN_AFTER = 1.0


def serve(
    config: ConfigFile = None,
    source: SourceUrl = None,
    target: TargetUrl = None,
    ledger: LedgerPlace = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; wins over serve.host.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port; wins over serve.port.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, max=64, help="Processes that answer.")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="TLS ends at a proxy in front: none is needed here.")
    ] = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True, help="End when standard input does.")] = False,
    verbose: Verbose = False,
    log_format: LogFormat = logs.LogFormat.TEXT,
) -> int:
    """Answer reads: from Engram what is proven right and new enough, from PostgreSQL everything else."""
    logs.set_up(log_format, verbose=verbose, console=make_console(stderr=True))
    early = Early()
    early.listen()
    read = partial(_read, config, source, target, ledger, host, port, workers, behind_proxy=behind_proxy)
    settings = read()
    require_serving(settings)
    existing_ledger(settings).close()
    _run(settings, read, early, log_format, verbose=verbose, with_parent=with_parent)
    return 0


def _read(
    config: Path | None,
    source: str | None,
    target: str | None,
    ledger: str | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    *,
    behind_proxy: bool,
) -> Config:
    """The configuration with what the flags say. Raises ConfigError."""
    return _chosen(load(config, source, target, ledger), host, port, workers, behind_proxy=behind_proxy)


def require_serving(settings: Config) -> None:
    """Raises ConfigError where the read side cannot begin: its packages are missing, or strangers could use it."""
    with extra("serve"):
        from api.access import require_safe
    require_safe(settings.serve)


def _chosen(settings: Config, host: str | None, port: int | None, workers: int | None, *, behind_proxy: bool) -> Config:
    """The configuration with what the flags say."""
    given = {"host": host, "port": port, "workers": workers, "behind_proxy": behind_proxy or None}
    update = {name: value for name, value in given.items() if value is not None}
    return settings.model_copy(update={"serve": settings.serve.model_copy(update=update)})


class Early:
    """SIGHUP before anybody can follow it: kept until then, since a token that it revokes may have been read already."""

    def __init__(self) -> None:
        self.came = False

    def listen(self) -> None:
        """From now on, until somebody else does."""
        signal.signal(signal.SIGHUP, self._note)

    def _note(self, *_: object) -> None:
        self.came = True


def _run(
    settings: Config,
    read: Callable[[], Config],
    early: Early,
    log_format: logs.LogFormat,
    *,
    verbose: bool,
    with_parent: bool,
) -> None:
    import uvicorn

    given = settings.serve
    application = partial(_application, read=read, early=early, log_format=log_format, verbose=verbose)
    server = uvicorn.Config(
        partial(application, settings),
        factory=True,
        host=given.host,
        port=given.port,
        workers=given.workers,
        http="api.bounded:Bounded",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=given.behind_proxy,
        ssl_certfile=given.tls_certificate,
        ssl_keyfile=given.tls_key,
        ssl_context_factory=_tls if given.tls_certificate is not None else None,
        timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=SLOWEST_START,
    )
    listening = server.bind_socket()
    alone = uvicorn.Server(server)
    _hear_until_served(alone)
    if with_parent:
        _end_with_parent()
    scheme = "https" if given.tls_certificate is not None else "http"
    logger.info("the proxy listens", extra={"address": f"{scheme}://{given.host}:{listening.getsockname()[1]}"})
    if given.workers > 1:
        with extra("serve"):
            from api.reloading import Again
            from api.workers import Workers
        workers = Workers(server, [listening], settings, Again(read, _certificate), application)
        if early.came:  # asked last: by now it hears of the next one itself
            workers.signal_queue.append(signal.SIGHUP)
        if alone.should_exit:
            workers.signal_queue.append(signal.SIGTERM)
        workers.run()
    else:
        alone.run(sockets=[listening])


_CONTEXTS: list[ssl.SSLContext] = []
"""What new connections of this process are encrypted by."""


def _tls(_server: Any, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Called in each process that answers."""
    _CONTEXTS.append(make())
    return _CONTEXTS[-1]


def _certificate(given: Serve) -> None:
    """Have new connections of this process use the files as they are now. Raises OSError, and changes nothing then."""
    if given.tls_certificate is not None:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(given.tls_certificate, given.tls_key)
        for context in _CONTEXTS:
            context.load_cert_chain(given.tls_certificate, given.tls_key)


def _application(settings: Config, *, read: Callable[[], Config], early: Early, log_format: logs.LogFormat, verbose: bool) -> Any:
    """Called in each process that answers; one that was spawned has no log yet.

    `settings` are the newest without a mistake: the file is not read here, where a mistake in it would leave tokens that were
    revoked since the start, or nobody to answer.
    """
    from api.app import create_app
    from api.reloading import Again

    early.listen()
    if logs.recent() is None:
        logs.set_up(log_format, verbose=verbose)
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        _end_after(supervisor.join)
    return create_app(settings, Again(read, _certificate, lambda: early.came))


def _hear_until_served(server: Any) -> None:
    """uvicorn takes the signals that end it when it begins to serve: what comes before that would be lost, and is noted for it.

    It raises them once more when it has ended, which then changes nothing.
    """

    def heard(*_: object) -> None:
        server.should_exit = True

    for number in ENDING:
        signal.signal(number, heard)


def _end_with_parent() -> None:
    """Whoever started us holds our standard input, and it ends with them, however they end."""

    def closed() -> None:
        while sys.stdin.buffer.read(4096):
            pass

    _end_after(closed)


def _end_after(wait: Callable[[], object]) -> None:
    """End as if by SIGTERM once this returns, in a thread."""

    def end() -> None:
        wait()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, name="parent", daemon=True).start()


def again_as(
    config: Path | None, source: str | None, target: str | None, ledger: str | None, *, verbose: bool, log_format: logs.LogFormat
) -> list[str]:
    """The options of a command, for `serve`."""
    given = {"--config": config, "--source": source, "--target": target, "--ledger": ledger, "--log-format": log_format.value}
    options = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    return [*options, "--verbose"] if verbose else options


class Beside:
    """The proxy in a process of its own, as long as a run lasts; started again when it dies."""

    def __init__(self, options: Sequence[str]) -> None:
        self._command = [sys.executable, "-P", "-m", "bridge", "serve", "--with-parent", *options]
        self._ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="proxy")

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ending.set()
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
        self._thread.join()

    def reload(self) -> None:
        """Have it read its configuration again."""
        process = self._process
        if process is not None:
            process.send_signal(signal.SIGHUP)

    def _watch(self) -> None:
        while not self._ending.is_set():
            self._process = process = subprocess.Popen(self._command, stdin=subprocess.PIPE)  # noqa: S603  (our own program)
            if self._ending.is_set() and process.stdin is not None:  # while it was started, so that nobody could tell it
                process.stdin.close()
            code = process.wait()
            if not self._ending.is_set():
                logger.error("the proxy has ended and is started again", extra={"code": code})
                self._ending.wait(AGAIN_AFTER)
