"""The servers to try things with, and the demo."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from bridge import logs
from bridge.cli.options import extra


def sandbox_postgres(
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 15432,
    data: Annotated[Path, typer.Option(help="Data directory; what is in it stays.")] = Path("postgres-data"),
) -> int:
    """A PostgreSQL to try things with, fit for logical replication. It asks nobody for a password and syncs nothing to disk."""
    with extra("sandbox"):
        from bridge.sandbox.postgres import serve as serve_postgres

    serve_postgres(data=data, port=port)
    return 0


def sandbox_engram(
    port: Annotated[int, typer.Option(help="HTTP port; 0 takes a free one.")] = 7432,
    grpc_port: Annotated[int, typer.Option(help="gRPC port; 0 takes a free one.")] = 50051,
    data: Annotated[Path, typer.Option(help="Data directory.")] = Path("engram-data"),
    capacity: Annotated[int, typer.Option(help="Rows of a space before others are evicted.")] = 100_000,
    faults: Annotated[Path | None, typer.Option(help="A JSON file with a schedule of misbehaviour.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on. It asks nobody for a key.")] = "127.0.0.1",
) -> int:
    """An Engram to try things with, with the real one's bad habits."""
    with extra("sandbox"):
        from bridge.sandbox.engram.server import serve

    rules = json.loads(faults.read_text(encoding="utf-8")) if faults else ()
    serve(port=port, grpc_port=grpc_port, data=data, capacity=capacity, faults=rules, host=host)
    return 0


def demo(
    seconds: Annotated[float, typer.Option(help="How long the application writes.")] = 30.0,
    report: Annotated[Path | None, typer.Option(help="Also write the result as JSON.")] = None,
    target: Annotated[str | None, typer.Option(help="A real Engram's HTTP URL instead of the sandbox.")] = None,
    target_grpc: Annotated[str | None, typer.Option(help="Its gRPC host:port.")] = None,
    restart_command: Annotated[str | None, typer.Option(help="A shell command that restarts the real server.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat the application's writes of an earlier demo.")] = None,
    ledger: Annotated[Literal["sqlite", "postgresql"], typer.Option(help="What the demo's ledger is in.")] = "sqlite",
    model: Annotated[str | None, typer.Option(help="embedding.model of the demo: minilm, a profile, a folder, …")] = None,
    plugin: Annotated[
        Literal["pgoutput", "wal2json"], typer.Option(help="source.plugin; wal2json needs an installed PostgreSQL that has it.")
    ] = "pgoutput",
    keep: Annotated[bool, typer.Option("--keep", help="Go on after the proof, page and all, until Ctrl-C.")] = False,
) -> int:
    """The whole job on a small shop: check, snapshot, stream, reads through the proxy, a killed target in the middle, proof."""
    with extra("serve"):
        import fastapi  # noqa: F401  (the proxy is a process of its own: without it, that would be learnt late)
    with extra("sandbox"):
        from bridge.sandbox.demo import Demo

    logs.set_up(logs.LogFormat.TEXT, verbose=False)
    logging.getLogger("bridge").setLevel(logging.WARNING)
    logging.getLogger("snapshot").setLevel(logging.WARNING)
    return Demo(
        seconds=seconds,
        report=report,
        target=target,
        target_grpc=target_grpc,
        restart_command=restart_command,
        seed=seed,
        model=model,
        ledger=ledger,
        plugin=plugin,
        keep=keep,
    ).run()
