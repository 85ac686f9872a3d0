"""What goes wrong: each fault strikes one thing for a while, and is mended. Several of them overlap, as chance has it."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import psutil
import psycopg

from bridge.ledger import RESYNC_ASKED, Ledger
from bridge.reads import Mode, Route
from tests.histories.world import DROPS, EFFECTIVE, NOTICED, World

Fault = Callable[[World, random.Random], AbstractContextManager[None]]


@contextlib.contextmanager
def engram_dead(world: World, chance: random.Random) -> Iterator[None]:
    """kill -9, and a start with its amnesia."""
    world.rig.engram.kill()
    try:
        yield
    finally:
        world.rig.engram.start()


@contextlib.contextmanager
def engram_stopped(world: World, chance: random.Random) -> Iterator[None]:
    """It takes connections and answers nothing."""
    with _stopped(world.rig.engram.pid):
        yield


@contextlib.contextmanager
def engram_slow(world: World, chance: random.Random) -> Iterator[None]:
    """Some answers take long; others are errors, or get lost."""
    seed = chance.randrange(1000)
    rules = [
        {"on": "GET", "do": "slow", "seconds": chance.uniform(0.05, 1.5), "probability": 0.3, "seed": seed},
        {"on": "GET", "do": chance.choice(("5xx", "refuse", "lose_reply")), "probability": 0.3, "seed": seed + 1},
    ]
    with _rules(world, rules):
        yield


@contextlib.contextmanager
def engram_false(world: World, chance: random.Random) -> Iterator[None]:
    """Writes and deletes are acknowledged and not made, or made and not acknowledged."""
    seed = chance.randrange(1000)
    rules = [
        {"on": "Forget", "do": "drop", "probability": 0.3, "seed": seed},
        {"on": "Remember", "do": "drop", "probability": 0.2, "seed": seed + 1},
        {"on": "Remember", "do": "lose_reply", "probability": 0.2, "seed": seed + 2},
    ]
    with _rules(world, rules):
        yield


@contextlib.contextmanager
def bridge_dead(world: World, chance: random.Random) -> Iterator[None]:
    """kill -9: what it has not written, nobody writes."""
    world.rig.kill()
    world.gone("bridge")
    try:
        yield
    finally:
        world.back("bridge")
        world.start_bridge()


@contextlib.contextmanager
def bridge_stopped(world: World, chance: random.Random) -> Iterator[None]:
    """It lives and does nothing, in the midst of whatever it did."""
    assert world.rig.process is not None
    with _stopped(world.rig.process.pid):
        yield


@contextlib.contextmanager
def proxy_dead(world: World, chance: random.Random) -> Iterator[None]:
    """kill -9 of the proxy."""
    world.gone("proxy")
    world.proxy.kill()
    try:
        yield
    finally:
        world.start_proxy()


@contextlib.contextmanager
def proxy_stopped(world: World, chance: random.Random) -> Iterator[None]:
    """It stands still between any two instructions: between what the ledger said and what Engram is asked, too."""
    assert world.proxy.process is not None
    with _stopped(world.proxy.process.pid):
        yield


@contextlib.contextmanager
def postgres_dead(world: World, chance: random.Random) -> Iterator[None]:
    """In an orderly way, or as a crash does."""
    world.gone("postgres")
    world.postgres.stop(chance.choice(("fast", "immediate")))
    try:
        yield
    finally:
        world.postgres.start()
        world.back("postgres", NOTICED)


@contextlib.contextmanager
def postgres_stopped(world: World, chance: random.Random) -> Iterator[None]:
    """All of it stands still, for less long than the proxy waits."""
    postmaster = int((world.postgres.data / "postmaster.pid").read_text().splitlines()[0])
    pids = [postmaster, *(child.pid for child in psutil.Process(postmaster).children())]
    with contextlib.ExitStack() as stopped:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                stopped.enter_context(_stopped(pid))
        yield


@contextlib.contextmanager
def connections_cut(world: World, chance: random.Random) -> Iterator[None]:
    """Everybody's connections end; the server is there all the time."""
    with psycopg.connect(world.postgres.url(), autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
    yield


@contextlib.contextmanager
def table_locked(world: World, chance: random.Random) -> Iterator[None]:
    """PostgreSQL cannot show the rows of a table for a while."""
    name = chance.choice(world.writers).name
    with psycopg.connect(world.rig.source) as connection:
        connection.execute(f"lock table {name} in access exclusive mode".encode())
        yield


@contextlib.contextmanager
def column_added(world: World, chance: random.Random) -> Iterator[None]:
    """With a default, so that every row has a value of which nothing is streamed."""
    world.done["columns"] += 1
    name = chance.choice(world.writers).name
    world.sql(f"alter table {name} add column extra_{world.done['columns']} text default 'x'")
    yield


@contextlib.contextmanager
def resync(world: World, chance: random.Random) -> Iterator[None]:
    """A table is to be read again."""
    label = chance.choice(world.writers).label

    def ask(ledger: Ledger) -> None:
        numbers = {record.label: record.number for record in ledger.tables()}
        ledger.put_facts({f"resync:{numbers[label]}": RESYNC_ASKED})

    world.noted(ask)
    yield


@contextlib.contextmanager
def reshard(world: World, chance: random.Random) -> Iterator[None]:
    """A table moves into other spaces."""
    label = chance.choice(world.writers).label
    world.done["resharded"] += 1
    done = world.rig.command("reshard", label, str(world.done["resharded"] % 3 + 1))
    assert done.returncode in (0, 75), done.stderr
    yield


@contextlib.contextmanager
def rerouted(world: World, chance: random.Random) -> Iterator[None]:
    """An operator changes a table's mode, and changes it back."""
    writer = chance.choice(world.writers)
    mode = chance.choice((Mode.POSTGRES, Mode.SHADOW, Mode.ENGRAM, Mode.ENGRAM_ONLY))
    if mode is Mode.ENGRAM_ONLY:
        world.gone("engram-only")
    world.route(writer.label, Route(mode, chance.choice((0, 1, 50, 99, 100))))
    try:
        yield
    finally:
        if world.route(writer.label, Route(Mode.ENGRAM, 100)):
            world.back("engram-only", EFFECTIVE)


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    process = psutil.Process(pid)
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def _rules(world: World, rules: list[dict[str, object]]) -> Iterator[None]:
    world.rig.engram.faults([*DROPS, *rules])
    try:
        yield
    finally:
        world.rig.engram.faults(DROPS)


FAULTS: tuple[tuple[str, int, Fault], ...] = (
    ("engram", 4, engram_dead),
    ("engram", 2, engram_stopped),
    ("engram", 3, engram_slow),
    ("engram", 2, engram_false),
    ("bridge", 3, bridge_dead),
    ("bridge", 3, bridge_stopped),
    ("proxy", 2, proxy_dead),
    ("proxy", 2, proxy_stopped),
    ("postgres", 3, postgres_dead),
    ("postgres", 2, postgres_stopped),
    ("postgres", 2, connections_cut),
    ("postgres", 1, table_locked),
    ("table", 2, column_added),
    ("table", 2, resync),
    ("table", 1, reshard),
    ("route", 4, rerouted),
)
"""What is struck (one fault at a time), how often, relatively, and the fault."""

LONGEST = {postgres_stopped: 1.5, table_locked: 1.5, proxy_stopped: 1.5}
"""Seconds that a fault may last, where a longer one would be an outage that nobody promises to bridge."""


def schedule(chance: random.Random, seconds: float) -> list[tuple[float, float, Fault]]:
    """Some faults of a seed: when each begins and ends, on different things, in the order of their beginnings."""
    left = list(FAULTS)
    chosen: list[tuple[float, float, Fault]] = []
    for _ in range(chance.randint(2, 4)):
        subject, _weight, fault = chance.choices(left, [weight for _subject, weight, _fault in left])[0]
        left = [one for one in left if one[0] != subject]
        began = chance.uniform(0.0, seconds * 0.6)
        ended = began + min(chance.uniform(0.1, seconds * 0.9), LONGEST.get(fault, seconds))
        chosen.append((began, ended, fault))
    return sorted(chosen, key=lambda one: one[0])


def strike(world: World, seed: int, seconds: float) -> list[str]:
    """Play a seed's schedule; answers the faults' names. Each fault has a thread, so that none waits for another's end.

    Raises what the first of them failed with that did.
    """
    chance = random.Random(seed)
    planned = schedule(chance, seconds)
    with ThreadPoolExecutor(len(planned)) as threads:
        playing = [threads.submit(_play, world, random.Random(chance.random()), *one) for one in planned]
    for one in playing:
        one.result()
    return [fault.__name__ for _began, _ended, fault in planned]


def _play(world: World, chance: random.Random, began: float, ended: float, fault: Fault) -> None:
    time.sleep(began)
    with fault(world, chance):
        time.sleep(ended - began)
