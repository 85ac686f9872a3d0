"""The proxy with all its laws against bare FastAPI routes: from Engram and from PostgreSQL, at 1 and at 32 connections.

The bare route does one GET to the same Engram (or one SELECT of the same row) and nothing else; the proxy also asks its ledger,
of either kind. Both are asked in turns, in slices of a second, by one lean process; the machine is shared by all of them, so only
the ratios mean something.
"""

from __future__ import annotations

from bench.database import server
from bench.figures import Figure, Say, Scale, median_ratio
from bench.hammer import Answered, Hammer, Order, hammer
from bench.serving import ALL, NONE, TABLE, Served, served
from bridge.reads import Route

ROWS = 2_000
SLICE = 1.0
WARM = 2.0
"""Seconds before; in them the proxy learns anew how fast Engram mostly is, so that it does not take the load for slowness."""

STARTED = 5.0
"""Seconds of reads after which every process of a proxy takes its part."""

CONNECTIONS = (1, 32)
MOST_P50, LEAST_RATE = 1.25, 0.8
LEDGERS = ("sqlite", "postgresql")
SOURCES: dict[str, Route] = {"engram": ALL, "postgres": NONE}


def run(scale: Scale, say: Say) -> list[Figure]:
    """All ways, and what a second process brings."""
    figures = []
    with server() as postgres, hammer() as asking:
        for ledger in LEDGERS:
            say(f"a table is carried, ledger in {ledger}")
            with served(scale, postgres, ledger, scale.of(ROWS)) as world:
                for source, route in SOURCES.items():
                    world.send(route)
                    for connections in CONNECTIONS:
                        say(f"from {source}, ledger in {ledger}, {connections} connection(s)")
                        name = f"proxy-{source}-{ledger}-{connections}"
                        figures += _pair(name, world, asking, source, connections, scale.times(5))
                if ledger == LEDGERS[0]:
                    say("two processes against one")
                    figures.append(_workers(world, asking, scale.times(3)))
    return figures


def _pair(name: str, world: Served, asking: Hammer, source: str, connections: int, times: int) -> list[Figure]:
    ours, bare = _orders(world, source, connections)
    for order in (ours, bare):
        asking.ask(order.of(WARM))
    answered: tuple[list[Answered], list[Answered]] = ([], [])
    for repetition in range(times):
        pairs = [(0, ours), (1, bare)]
        for place, order in pairs if repetition % 2 else reversed(pairs):
            answered[place].append(asking.ask(order))
    notes = {"connections": connections, "answered otherwise": sum(one.other for one in answered[0])}
    what = f"proxy from {source} against a bare route, {connections} connection(s)"
    times_of = [[one.p50 for one in side] for side in answered]
    rates_of = [[one.rate for one in side] for side in answered]
    return [
        Figure(
            name=f"{name}-p50",
            what=f"p50 of the {what}",
            unit="ms",
            ours=times_of[0],
            bare=times_of[1],
            goal=f"<= {MOST_P50}x",
            met=median_ratio(*times_of) <= MOST_P50,
            notes=notes
            | {"p99": [round(one.p99, 2) for one in answered[0]], "p99 bare": [round(one.p99, 2) for one in answered[1]]},
        ),
        Figure(
            name=f"{name}-rate",
            what=f"answers of the {what}",
            unit="1/s",
            ours=rates_of[0],
            bare=rates_of[1],
            goal=f">= {LEAST_RATE}x",
            met=median_ratio(*rates_of) >= LEAST_RATE,
            notes=notes,
        ),
    ]


def _orders(world: Served, source: str, connections: int) -> tuple[Order, Order]:
    return (
        Order(world.proxy, world.paths(f"/v1/{TABLE}"), connections, SLICE, f"x-served-by: {source}"),
        Order(world.bare, world.paths(f"/{source}"), connections, SLICE),
    )


def _workers(world: Served, asking: Hammer, times: int) -> Figure:
    """Answers from Engram by two processes against one. Client, Engram and bridge want the same cores."""
    world.send(ALL)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _repetition in range(times):
        for workers, found in rates.items():
            world.start_proxy(workers)
            order, _bare = _orders(world, "engram", max(CONNECTIONS))
            asking.ask(order.of(STARTED))
            found.append(asking.ask(order).rate)
    return Figure(
        name="proxy-workers",
        what="answers from Engram by two processes against one, 32 connections; all that takes part shares the cores",
        unit="1/s",
        ours=rates[2],
        bare=rates[1],
        goal="stated",
        met=True,
    )
