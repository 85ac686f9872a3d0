"""One world, many seeds, one after the other: each finds everything well, plays its faults, leaves mending to the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bridge.sandbox.promises import Fault, Verdict
from bridge.sandbox.serving import explained
from tests.histories.faults import strike
from tests.histories.world import World
from tests.histories.writers import now

SECONDS = 3.0
"""How long the faults of a seed last."""


@dataclass(slots=True)
class Played:
    """What became of some seeds."""

    verdict: Verdict
    seeds: list[tuple[int, float, list[str]]] = field(default_factory=list)
    """Each with the moment when it began, and its faults."""
    faults: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """As a person and a machine read it."""
        times = sorted(self.took)
        return {
            "seeds": len(self.seeds),
            "reads": self.verdict.reads,
            "answered_by": self.verdict.by,
            "excused": self.verdict.excused,
            "broken": {fault.value: self.verdict.count(fault) for fault in Fault},
            "writes": sum(self.writes.values()),
            "faults": dict(self.faults),
            "p50_ms": round(times[len(times) // 2], 2) if times else None,
            "p99_ms": round(times[len(times) * 99 // 100], 2) if times else None,
        }

    def blame(self) -> str:
        """The promises that were broken, with the seed in which each was."""
        lines = []
        for broken in self.verdict.broken[:20]:
            seeds = [(seed, began, faults) for seed, began, faults in self.seeds if began <= broken.read.asked]
            seed, began, faults = seeds[-1] if seeds else (-1, broken.read.asked, [])
            lines.append(f"seed {seed} ({', '.join(faults)}), after {broken.read.asked - began:.1f} s: {explained(broken)}")
        return "\n".join(lines)


def play(
    world: World, seeds: Iterator[int], *, seconds: float = SECONDS, say: Callable[[str], None] = lambda _text: None
) -> Played:
    """Play the seeds, and judge everything at the end. Raises AssertionError when something does not come back."""
    played = Played(Verdict())
    for seed in seeds:
        world.heal()
        began = now()
        faults = strike(world, seed, seconds)
        played.seeds.append((seed, began, faults))
        played.faults.update(faults)
        say(f"seed {seed}: {', '.join(faults)}; {now() - began:.1f} s")
    world.heal()
    played.verdict = world.end()
    for writer in world.writers:
        played.writes.update(writer.counts)
    played.took = [took for reader in world.readers for took in reader.took]
    return played
