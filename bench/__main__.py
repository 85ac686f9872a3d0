"""`python -m bench`: measures, prints one table, and writes `bench/results/latest.json`."""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Figure, Scale, median
from bridge.sandbox.postgres import SandboxPostgres

BENCHES = (
    "reader",
    "reader-wal2json",
    "snapshot",
    "resync",
    "reconcile",
    "ingest",
    "lag",
    "memory",
    "ledger",
    "embedding",
    "recall",
    "proxy-search",
    "repair",
    "proxy",
    "proxy-memory",
)
RESULTS = Path(__file__).parent / "results" / "latest.json"


def main() -> None:
    """Measure what is asked for."""
    arguments = _arguments()
    console = Console(width=None if sys.stdout.isatty() else 120)
    scale = Scale(arguments.rows, arguments.repetitions, arguments.target, arguments.target_grpc)
    only = [arguments.only] if arguments.only else list(BENCHES)
    figures: list[Figure] = []
    started = time.monotonic()
    for name in only:
        bench = importlib.import_module(f"bench.{name.replace('-', '_')}")
        figures += bench.run(scale, lambda text: console.print(f"[dim]{time.monotonic() - started:6.1f} s  {text}[/dim]"))
    console.print(_table(figures))
    seconds = time.monotonic() - started
    console.print(f"{seconds:.0f} s on {os.cpu_count()} cores")
    _write({"machine": machine(), "seconds": round(seconds), "rows": scale.rows, "figures": [f.as_json() for f in figures]}, only)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", choices=BENCHES, help="measure one figure")
    parser.add_argument("--rows", type=int, help="rows of each table, instead of each bench's own number")
    parser.add_argument("--repetitions", type=int, help="how often each pair is measured")
    parser.add_argument("--target", help="HTTP URL of a real Engram server, for ingest and lag")
    parser.add_argument("--target-grpc", help="host:port of its gRPC side")
    return parser.parse_args()


def machine() -> dict[str, Any]:
    """What the absolute numbers depend on."""
    program = SandboxPostgres(Path("unused")).bin_path / "postgres"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "postgresql": version.split()[-1],
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def _write(document: dict[str, Any], only: list[str]) -> None:
    """A whole run replaces the results; a part of one is kept beside them."""
    path = RESULTS if only == list(BENCHES) else RESULTS.with_name(f"latest-{only[0]}.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _table(figures: list[Figure]) -> Table:
    table = Table(title="engram-bridge bench", title_justify="left")
    for heading in ("figure", "ours", "bare", "unit", "ratio", "spread", "goal", "met"):
        table.add_column(heading, justify="right" if heading in ("ours", "bare", "ratio") else "left", no_wrap=True)
    for figure in figures:
        if figure.missing:
            table.add_row(figure.name, "-", "-", "", "-", "", figure.goal, f"not measured: {figure.missing}")
            continue
        ratios = figure.ratios
        met = "[green]yes[/green]" if figure.met else "[red]no[/red]"
        if figure.must_met is not None and not figure.met:
            met = "must only" if figure.must_met else "[red]no, nor must[/red]"
        table.add_row(
            figure.name,
            _number(median(figure.ours)),
            _number(median(figure.bare)),
            figure.unit,
            f"{median(ratios):.2f}",
            f"{min(ratios):.2f}–{max(ratios):.2f}",
            figure.goal,
            met,
        )
    return table


def _number(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.1f}"


if __name__ == "__main__":
    main()
