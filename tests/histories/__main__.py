"""`make chaos SEEDS=100`, or `MINUTES=10`: as many schedules of faults; the exit status is 0 only if every promise was kept."""

from __future__ import annotations

import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.sandbox.postgres import SandboxPostgres
from tests.histories.play import SECONDS, play
from tests.histories.world import world

PER_WORLD = 20
"""Seeds after which everything is proven, and begins anew."""


def main(
    seeds: Annotated[int, typer.Option(help="How many schedules.")] = 20,
    minutes: Annotated[float | None, typer.Option(help="As many as go into this time, instead.")] = None,
    seed: Annotated[int | None, typer.Option(help="The first one; the others follow it.")] = None,
    ledger: Annotated[str, typer.Option(help="sqlite or postgresql.")] = "sqlite",
    seconds: Annotated[float, typer.Option(help="How long the faults of a seed last.")] = SECONDS,
    report: Annotated[Path | None, typer.Option(help="Also write the summaries as JSON.")] = None,
) -> None:
    """Play histories."""
    first = random.SystemRandom().randrange(10**6) if seed is None else seed
    print(f"first seed {first}, ledger {ledger}", flush=True)
    until = None if minutes is None else time.monotonic() + minutes * 60
    summaries, kept, begun = [], True, first
    while begun < first + seeds if until is None else time.monotonic() < until:
        count = PER_WORLD if until is not None else min(PER_WORLD, first + seeds - begun)
        summary, is_kept = _one_world(begun, count, until, ledger, seconds)
        begun += summary["seeds"]
        summaries.append(summary)
        kept = kept and is_kept
        print(json.dumps(summary), flush=True)
    if report is not None:
        report.write_text(json.dumps(summaries, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if kept else 1)


def _one_world(first: int, count: int, until: float | None, ledger: str, seconds: float) -> tuple[dict[str, Any], bool]:
    def seeds() -> Iterator[int]:
        for seed in range(first, first + count):
            if until is None or time.monotonic() < until or seed == first:
                yield seed

    with tempfile.TemporaryDirectory(prefix="engram-bridge-chaos-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (
            contextlib.closing(_Server(folder / "postgres")) as server,
            world(folder, server.postgres, seed=first, ledger=ledger) as made,
        ):
            made.begin(first)
            played = play(made, seeds(), seconds=seconds, say=lambda text: print(text, flush=True))
    if played.verdict.broken:
        print(played.blame(), flush=True)
    return played.summary(), not played.verdict.broken


class _Server:
    def __init__(self, data: Path) -> None:
        self.postgres = SandboxPostgres(data)
        self.postgres.start()

    def close(self) -> None:
        self.postgres.kill()


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
