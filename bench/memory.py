"""Peak memory of a process that carries a snapshot to a null target: it must not grow with the number of rows.

Each measurement is a process of its own, `python -m bench.memory URL TABLE`, which prints the peak of its resident memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

from bench.assembly import snapshot_run
from bench.database import make_narrow, server
from bench.figures import Figure, Say, Scale, median_ratio
from bench.null_target import NullTarget

FLAT = 1.2
MOST_MB = 500
FEW, MANY = 100_000, 1_000_000


def run(scale: Scale, say: Say) -> list[Figure]:
    """Peak memory with many rows against a tenth of them. The many rows are loaded once, since that takes a minute."""
    many = scale.of(MANY, least=10)
    few = many // 10
    ours, bare = [], []
    with server() as postgres:
        make_narrow(postgres.url(), "few", few)
        make_narrow(postgres.url(), "many", many)
        for repetition in range(scale.times(1)):
            say(f"peak memory with {few} and {many} rows, repetition {repetition + 1}")
            bare.append(_measure(postgres.url(), "few"))
            ours.append(_measure(postgres.url(), "many"))
    growth = median_ratio(ours, bare)
    return [
        Figure(
            name="memory",
            what=f"peak memory with {many} rows against {few} rows, narrow, null target",
            unit="MB",
            ours=ours,
            bare=bare,
            goal=f"<= {FLAT}x, < {MOST_MB} MB",
            met=growth <= FLAT and max(ours) < MOST_MB,
            notes={"rows": [few, many]},
        )
    ]


def _measure(url: str, table: str) -> float:
    command = [sys.executable, "-m", "bench.memory", url, table]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    if done.returncode != 0:
        raise RuntimeError(f"the measured process failed: {done.stderr[-2000:]}")
    return float(json.loads(done.stdout)["peak_mb"])


def peak_mb() -> float:
    """The peak of this process's resident memory. Linux also counts the parent's at the fork into `ru_maxrss`: not in VmHWM."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _child(url: str, table: str) -> None:
    target = NullTarget()
    with snapshot_run(url, table, target) as snapshot:
        seconds = snapshot.run()
    print(json.dumps({"peak_mb": peak_mb(), "rows": target.stored, "seconds": seconds}))


if __name__ == "__main__":
    _child(*sys.argv[1:])
