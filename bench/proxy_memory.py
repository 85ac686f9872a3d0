"""Memory of a proxy under load: it must not grow with the answers that were given.

A minute of reads from Engram over 32 connections, or `--rows SECONDS` of them (600 for ten minutes); resident memory is taken
ten times in that. What the proxy has after the first tenth is compared with what it has at the end.
"""

from __future__ import annotations

from bench.database import server
from bench.figures import Figure, Say, Scale
from bench.hammer import Order, hammer
from bench.serving import ALL, TABLE, served

SECONDS = 60
CONNECTIONS = 32
PARTS = 10
FLAT = 1.05
ROWS = 2_000


def run(scale: Scale, say: Say) -> list[Figure]:
    """The last measurement against the first."""
    seconds = scale.of(SECONDS, least=PARTS)
    samples, answers = [], 0
    with server() as postgres, served(scale, postgres, "sqlite", ROWS) as world, hammer() as asking:
        world.send(ALL)
        order = Order(world.proxy, world.paths(f"/v1/{TABLE}"), CONNECTIONS, seconds / PARTS, "x-served-by: engram")
        for part in range(PARTS):
            say(f"{seconds} s of reads, part {part + 1} of {PARTS}")
            answers += asking.ask(order).requests
            samples.append(world.memory_mb())
    return [
        Figure(
            name="proxy-memory",
            what=f"resident memory of a proxy after {seconds} s of reads against that after {seconds // PARTS} s",
            unit="MB",
            ours=[samples[-1]],
            bare=[samples[0]],
            goal=f"<= {FLAT}x",
            met=samples[-1] <= FLAT * samples[0],
            notes={"answers": answers, "MB": [round(sample, 1) for sample in samples]},
        )
    ]
