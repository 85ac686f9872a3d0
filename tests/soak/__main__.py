"""`make soak MINUTES=5`: chance does its worst for so many minutes; at the end everything is proven, or the exit status is 1.

Memory and open files of the bridge are sampled all the time: within the life of a process they must stay flat.
"""

from __future__ import annotations

import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.soak import world as worlds
from tests.soak.acts import ACTS
from tests.soak.world import Life, World

PAUSE = (1.0, 8.0)
PARKED_SECONDS = 90.0
"""Within so long every parked key is tried again at least twice."""

"""Seconds between two acts."""

MEMORY_MOST = 500.0
MEMORY_GROWTH = 1.3
FILES_GROWTH = 20
LONG_LIFE = 30
"""Samples from which on a life says something about growth."""


def main(
    minutes: Annotated[float, typer.Option(help="How long chance acts.")] = 5.0,
    seed: Annotated[int | None, typer.Option(help="Repeat the acts and writes of an earlier soak.")] = None,
    ledger: Annotated[str, typer.Option(help="sqlite or postgresql.")] = "sqlite",
    plugin: Annotated[str, typer.Option(help="pgoutput or wal2json.")] = "pgoutput",
    rows: Annotated[int, typer.Option(help="Rows of the shop at first.")] = 4_000,
    rate: Annotated[float, typer.Option(help="Transactions a second of each of the two applications.")] = 12.0,
    report: Annotated[Path | None, typer.Option(help="Also write the summary as JSON.")] = None,
) -> None:
    """Run a soak."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    print(f"seed {seed}, {minutes:g} minutes, ledger {ledger}, plugin {plugin}", flush=True)
    with tempfile.TemporaryDirectory(prefix="engram-bridge-soak-", ignore_cleanup_errors=True) as folder:
        world = worlds.make(Path(folder), ledger=ledger, plugin=plugin, seed=seed, rows=rows, rate=rate)
        try:
            summary = {"seed": seed, "minutes": minutes, "ledger": ledger, "plugin": plugin} | _soak(world, minutes * 60, seed)
        except BaseException:
            sys.stderr.write(f"seed {seed}; the end of the bridge's log:\n{world.rig.tail()}\n")
            raise
        finally:
            _end(world)
    print(json.dumps(summary, indent=2))
    if report is not None:
        report.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if summary["proven"] and summary["flat"] else 1)


def _soak(world: World, seconds: float, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    acts: Counter[str] = Counter()
    for writer in world.writers:
        writer.start()
    world.start_bridge()
    world.wait("the first start", lambda: "streaming" in world.rig.tail(), 60.0)  # from then on it waits for what is away
    world.measure()
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        time.sleep(chance.uniform(*PAUSE))
        world.require_alive()
        act = chance.choices([act for _weight, act in ACTS], [weight for weight, _act in ACTS])[0]
        began = time.monotonic()
        done = act(world, chance)
        if done:
            acts[act.__name__] += 1
            print(f"{began - started:7.1f} s  {done} ({time.monotonic() - began:.1f} s)", flush=True)
    written = sum((writer.stop() for writer in world.writers), Counter())
    print(f"{time.monotonic() - started:7.1f} s  the applications stop; waiting until everything is proven", flush=True)
    world.command("resume")
    world.wait("consistent", lambda: world.status()["phase"] == "consistent")
    world.rig.wait_until_proven(timeout=worlds.SETTLE_SECONDS)
    waited = world.parked()
    world.wait("the timers of what is parked", lambda: not world.parked(), PARKED_SECONDS, required=False)
    parked, counters = world.parked(), world.status()["totals"]
    world.stop_measuring()
    code = world.rig.stop()
    evidence = world.rig.evidence()
    stopped = [table["name"] for table in world.status()["tables"] if table["state"] == "stopped"]
    return {
        "proven": all(one.proven for one in evidence) and code == 0 and not stopped and not parked,
        "exit": code,
        "rows": sum(one.rows for one in evidence),
        "edges": sum(one.edges for one in evidence),
        "deleted": sum(one.deleted for one in evidence),
        "tables": len(evidence),
        "not_proven": [one.table for one in evidence if not one.proven],
        "stopped": stopped,
        "parked": parked,
        "parked_at_first": waited,
        "acts": dict(acts),
        "transactions": sum(written.values()),
        "changes_applied": counters.get("changes_applied", 0),
        "dropped_by_target": counters.get("dropped_by_target", 0),
        "target_restarts": counters.get("target_restarts", 0),
    } | _flatness(world.lives)


def _flatness(lives: list[Life]) -> dict[str, Any]:
    """Whether memory and files stay level in every process that lived for a while: the last quarter against the first."""
    figures = []
    for life in lives:
        if len(life.memory) < LONG_LIFE:
            continue
        quarter = len(life.memory) // 4
        first, last = statistics.median(life.memory[:quarter]), statistics.median(life.memory[-quarter:])
        files = max(life.files[-quarter:]) - max(life.files[:quarter])
        figures.append({"seconds": len(life.memory), "memory_mb": [round(first), round(last)], "files_grown": files})
    most = max((max(life.memory) for life in lives if life.memory), default=0.0)
    flat = most <= MEMORY_MOST and all(
        one["memory_mb"][1] <= one["memory_mb"][0] * MEMORY_GROWTH and one["files_grown"] <= FILES_GROWTH for one in figures
    )
    most_files = max((max(life.files) for life in lives if life.files), default=0)
    return {"flat": flat, "memory_most_mb": round(most), "files_most": most_files, "lives": len(lives), "long_lives": figures}


def _end(world: World) -> None:
    """End everything, whatever of it fails."""
    with contextlib.ExitStack() as ends:
        for server in (world.postgres, world.ledger_server):
            if server is not None:
                ends.callback(server.kill)
        ends.callback(world.rig.close)
        for writer in world.writers:
            ends.callback(writer.stop)
        ends.callback(world.stop_measuring)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
