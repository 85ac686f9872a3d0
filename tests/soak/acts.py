"""What happens in a soak, one act at a time, each chosen by chance: what operators, developers and bad luck do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from tests.soak.world import World

CARRIED = ("users", "orders", "order_items", "products", "reviews", "coupons", "shipments")

Act = Callable[[World, random.Random], str]
"""Does something; answers what, in a few words."""


def kill_bridge(world: World, chance: random.Random) -> str:
    """kill -9, and a new start."""
    world.rig.kill()
    time.sleep(chance.uniform(0, 2))
    world.start_bridge()
    return "kill -9 of the bridge"


def restart_bridge(world: World, chance: random.Random) -> str:
    """An orderly stop must end with 0 within 30 s."""
    code = world.rig.stop()
    assert code == 0, f"the bridge ended with {code}\n{world.rig.tail()}"
    world.start_bridge()
    return "orderly restart of the bridge"


def kill_engram(world: World, chance: random.Random) -> str:
    """The target dies and comes back with its amnesia."""
    world.rig.engram.kill()
    time.sleep(chance.uniform(0, 3))
    world.rig.engram.start()
    return "kill -9 of Engram"


def restart_source(world: World, chance: random.Random) -> str:
    """Fast, or as a crash does."""
    mode = chance.choice(("fast", "immediate"))
    world.postgres.restart(mode)  # type: ignore[arg-type]  # one of its modes
    return f"{mode} restart of the source"


def restart_ledger(world: World, chance: random.Random) -> str:
    """Only where the ledger has a server."""
    if world.ledger_server is None:
        return ""
    mode = chance.choice(("fast", "immediate"))
    world.ledger_server.restart(mode)  # type: ignore[arg-type]  # one of its modes
    return f"{mode} restart of the ledger's server"


def add_column(world: World, chance: random.Random) -> str:
    """With a default, so that every row gets a value of which nothing is streamed."""
    table = chance.choice(CARRIED)
    world.made += 1
    world.sql(f"alter table {table} add column extra_{world.made} text default 'value {world.made}'")
    world.columns.append((table, f"extra_{world.made}"))
    return f"add column to {table}"


def drop_column(world: World, chance: random.Random) -> str:
    """The table is stopped, and comes back by a resync and a new start."""
    if not world.columns:
        return ""
    table, column = world.columns.pop(chance.randrange(len(world.columns)))
    world.sql(f"alter table {table} drop column {column}")
    world.wait(f"{table} is stopped", lambda: world.state(table) == "stopped", 120.0)
    world.command("resync", f"public.{table}")
    restart_bridge(world, chance)
    return f"drop column of {table}, resync"


def new_slot(world: World, chance: random.Random) -> str:
    """The slot is lost while the bridge is down; one command mends it."""
    code = world.rig.stop()
    assert code == 0, f"the bridge ended with {code}\n{world.rig.tail()}"
    if chance.random() < 0.5:
        world.sql(f"select pg_drop_replication_slot('{world.rig.slot}')")
    world.command("resync", "--new-slot")
    world.start_bridge()
    return "resync --new-slot"


def resync(world: World, chance: random.Random) -> str:
    """One table is read again."""
    table = chance.choice(CARRIED)
    world.command("resync", f"public.{table}")
    return f"resync {table}"


def make_table(world: World, chance: random.Random) -> str:
    """A table that did not exist is filled and added."""
    world.made += 1
    name = f"soak_{world.made}"
    world.sql(
        f"create table {name} (id int primary key, owner bigint references users on delete set null, note text)",
        f"insert into {name} select n, null, 'note ' || n from generate_series(1, {chance.randint(1, 300)}) n",
    )
    world.command("add", f"public.{name}")
    world.tables[name] = True
    return f"add {name}"


def write_tables(world: World, chance: random.Random) -> str:
    """The soak's own tables change too."""
    for name in world.tables:
        world.sql(f"update {name} set note = note || '.' where id % 7 = {chance.randrange(7)}")
    return f"writes to {len(world.tables)} table(s)" if world.tables else ""


def remove_table(world: World, chance: random.Random) -> str:
    """One of them is taken out, and its memories are forgotten."""
    carried = [name for name, is_carried in world.tables.items() if is_carried]
    if not carried:
        return ""
    name = chance.choice(carried)
    world.command("remove", f"public.{name}", "--yes")
    world.tables[name] = False
    return f"remove {name}"


def reshard(world: World, chance: random.Random) -> str:
    """A table moves into other spaces; one move at a time."""
    table = chance.choice(CARRIED)
    now = next(one for one in world.status()["tables"] if one["name"] == f"public.{table}")
    shards = len(now["spaces"]) % 3 + 1
    world.command("reshard", f"public.{table}", str(shards))
    return f"reshard {table} {shards}"


def pause(world: World, chance: random.Random) -> str:
    """A few seconds without a write to the target."""
    world.command("pause")
    time.sleep(chance.uniform(0.5, 4))
    world.command("resume")
    return "pause and resume"


def hang_up(world: World, chance: random.Random) -> str:
    """SIGHUP without a change."""
    world.require_alive()
    assert world.rig.process is not None
    world.rig.process.send_signal(1)
    return "SIGHUP"


def vacuum_full(world: World, chance: random.Random) -> str:
    """A table is rewritten under the bridge: nothing has changed."""
    table = chance.choice(CARRIED)
    world.sql(f"vacuum full {table}")
    return f"vacuum full {table}"


def add_foreign_key(world: World, chance: random.Random) -> str:
    """A foreign key of a soak's table goes, and comes back."""
    carried = [name for name, is_carried in world.tables.items() if is_carried]
    if not carried:
        return ""
    name = chance.choice(carried)
    world.sql(
        f"alter table {name} drop constraint {name}_owner_fkey",
        f"alter table {name} add constraint {name}_owner_fkey foreign key (owner) references users on delete set null",
    )
    return f"foreign key of {name} dropped and added"


ACTS: tuple[tuple[int, Act], ...] = (
    (4, kill_bridge),
    (2, restart_bridge),
    (4, kill_engram),
    (2, restart_source),
    (2, restart_ledger),
    (3, add_column),
    (1, drop_column),
    (1, new_slot),
    (3, resync),
    (3, make_table),
    (4, write_tables),
    (1, remove_table),
    (3, reshard),
    (1, pause),
    (1, hang_up),
    (1, vacuum_full),
    (1, add_foreign_key),
)
"""How often each comes, relatively."""
