"""Names of the spaces of a table's next generation, and what the configuration may go on saying of them. Pure."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Mapping
from dataclasses import replace

from bridge.mapping import TablePlan
from bridge.spaces import spaces_of

LONGEST = 64


def configured_spaces(plans: Mapping[str, TablePlan], label: str, shards: int | None, prefix: str) -> list[str]:
    """The spaces that the configuration names for a table, as it is, or with another number of shards."""
    options = {name: plan.options for name, plan in plans.items()}
    if shards is not None:
        options[label] = replace(options[label], shards=shards)
    return list(spaces_of({name: plan.table for name, plan in plans.items()}, options, prefix)[label])


def fresh_spaces(plans: Mapping[str, TablePlan], label: str, shards: int, prefix: str, taken: Collection[str]) -> tuple[str, ...]:
    """Names for a new generation, of which none was ever used: `orders-g2`, or `orders-g2-0` and so on.

    A space that was emptied is not used again: what was forgotten in it can come back with a restart of the server.
    """
    (base,) = configured_spaces(plans, label, 1, prefix)
    for generation in itertools.count(2):
        endings = [f"-g{generation}"] if shards == 1 else [f"-g{generation}-{shard}" for shard in range(shards)]
        room = LONGEST - max(map(len, endings))
        short = base if len(base) <= room else f"{base[: room - 9]}-{hashlib.blake2b(base.encode(), digest_size=4).hexdigest()}"
        used = f"{short}-g{generation}"
        if not any(name == used or name.startswith(f"{used}-") for name in taken):
            return tuple(short + ending for ending in endings)
    raise AssertionError("there is always another number")
