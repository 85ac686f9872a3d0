"""What is covered stays fresh on a quiet source, and only there where a living bridge says so (law 7)."""

from __future__ import annotations

import json
import time

import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bridge.postgres import connect
from tests.acceptance.conftest import MakeRig
from tests.acceptance.test_plugin import with_plugin
from tests.patience import PATIENCE
from tests.rig import Rig

NOTES = ("create table notes (id int primary key, body text)", "insert into notes select n, 'x' from generate_series(1, 50) n")


def covered(rig: Rig) -> float:
    """The moment that the ledger says."""
    return float(rig.ledger().facts().get("covered", "0"))


def moves(rig: Rig, times: int = 3) -> None:
    """It moves, again and again, and is younger than the proxy's bound: nobody writes anything meanwhile."""
    for _ in range(times):
        before = covered(rig)
        rig.until(lambda before=before: covered(rig) > before)  # type: ignore[misc]
    rig.until(lambda: time.time() - covered(rig) < 5.0)


def stands(rig: Rig) -> float:
    """It stands still: what was under way arrives, and then nothing more for three seconds."""
    last, since = covered(rig), time.monotonic()
    deadline = since + PATIENCE
    while time.monotonic() - since < 3.0:
        if (now := covered(rig)) != last:
            last, since = now, time.monotonic()
        assert time.monotonic() < deadline, "it goes on"
        time.sleep(0.1)
    return last


@pytest.mark.parametrize("seconds", [1.0, 0], ids=["with a heartbeat", "without"])
def test_a_quiet_source_stays_covered(make_rig: MakeRig, seconds: float) -> None:
    """With nobody writing; after a restart too."""
    rig = make_rig(heartbeat={"seconds": seconds})
    rig.sql(*NOTES)
    rig.start()
    rig.wait_until_proven()
    moves(rig)
    assert rig.stop() == 0, rig.tail()
    stands(rig)
    rig.start()
    rig.wait_until_proven()
    moves(rig)
    assert rig.stop() == 0, rig.tail()


def test_wal2json_covers_too(make_rig: MakeRig, wal2json_database: str) -> None:
    """The other plugin sends the heartbeat's transaction as well."""
    rig = make_rig(wal2json_database)
    with_plugin(rig, "wal2json")
    rig.sql(*NOTES)
    rig.start()
    rig.wait_until_proven()
    moves(rig)
    rig.until(lambda: rig.ledger().gauges()["heartbeat"][0]["count"] > 2)
    assert rig.stop() == 0, rig.tail()


def test_a_bridge_that_is_held_up_covers_nothing(make_rig: MakeRig) -> None:
    """Paused, without a target, killed: what is covered stands where it was, and moves again afterwards."""
    rig = make_rig()
    rig.sql(*NOTES)
    rig.start()
    rig.wait_until_proven()
    moves(rig, 1)
    assert rig.command("pause").returncode == 0
    stands(rig)
    assert rig.command("resume").returncode == 0
    moves(rig, 1)
    rig.engram.stop()
    stands(rig)
    rig.engram.start()
    moves(rig, 1)
    rig.kill()
    stands(rig)


def test_a_role_that_may_not_write_messages_is_told_once(make_rig: MakeRig) -> None:
    """Real privileges: nothing ends, what is covered moves, and the operator learns why there is no lag."""
    rig = make_rig()
    with connect(rig.source) as connection:
        flush = ", boolean" if connection.info.server_version >= 170000 else ""
    rig.sql(*NOTES, f"revoke execute on function pg_logical_emit_message(boolean, text, text{flush}) from public")
    role = f"plain_{rig.slot}"
    rig.sql(
        f"create role {role} login replication",
        f"grant create on database {conninfo_to_dict(rig.source)['dbname']} to {role}",
        f"alter table notes owner to {role}",
    )
    document = yaml.safe_load(rig.file.read_text(encoding="utf-8"))
    document["source"]["url"] = make_conninfo(rig.source, user=role)
    rig.file.write_text(yaml.safe_dump(document), encoding="utf-8")
    rig.start()
    rig.wait_until_proven()
    moves(rig)
    assert rig.said("the source refuses messages") == 1
    told = json.loads(rig.command("status", "--json").stdout)
    assert "heartbeat-off" in [one["name"] for one in told["trouble"]]
    assert rig.stop() == 0, rig.tail()
