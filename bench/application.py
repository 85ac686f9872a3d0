"""An application that changes one narrow table, one row a transaction, at a rate: half inserts, half updates.

A process of its own, so that it takes no time from the bridge's interpreter: `python -m bench.application URL TABLE FIRST CHANGES
RATE`, where FIRST is the first new key and RATE 0 means as fast as it goes. Prints how long it took, as JSON.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg


def write(url: str, table: str, first: int, changes: int, rate: float) -> float:
    """Make the changes; answers the seconds."""
    chance = random.Random(first)
    insert = f"insert into public.{table} values (%s, %s, %s, %s, %s)".encode()
    update = f"update public.{table} set amount = amount + 1 where id = %s".encode()
    with psycopg.connect(url, autocommit=True) as connection:
        started = time.perf_counter()
        for number in range(changes):
            if rate:
                time.sleep(max(0.0, started + number / rate - time.perf_counter()))
            if number % 2:
                connection.execute(update, (chance.randint(1, first - 1),))
            else:
                connection.execute(insert, (first + number // 2, f"name {number}", f"city {number % 100}", number, True))
        return time.perf_counter() - started


def begin(url: str, table: str, first: int, changes: int, rate: float) -> subprocess.Popen[str]:
    """Start the process."""
    command = [sys.executable, "-m", "bench.application", url, table, str(first), str(changes), str(rate)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for its end, and answer what it printed."""
    output, _none = process.communicate()
    if process.returncode != 0:
        raise RuntimeError("the application of the bench failed")
    said: dict[str, Any] = json.loads(output)
    return said


if __name__ == "__main__":
    _url, _table, _first, _changes, _rate = sys.argv[1:]
    print(json.dumps({"seconds": write(_url, _table, int(_first), int(_changes), float(_rate))}))
