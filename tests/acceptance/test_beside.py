"""Law 8 and *Status*: what an operator asks and does from another process while `run` works."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.acceptance.conftest import MakeRig
from tests.rig import Rig

LARGE = "repeat('0123456789', 600000)"


def status(rig: Rig) -> dict[str, Any]:
    """`status --json`."""
    done = rig.command("status", "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def parked(rig: Rig) -> dict[str, dict[str, Any]]:
    """`parked list --json`, by id."""
    done = rig.command("parked", "list", "--json")
    assert done.returncode == 0, done.stderr
    return {one["id"]: one for one in json.loads(done.stdout)}


def test_parked_keys_are_listed_retried_and_dropped_beside_a_run(make_rig: MakeRig) -> None:
    """Status and parked keys are told and handled in another process while the bridge streams; nothing stops for it."""
    rig = make_rig()
    rig.sql(
        "create table files (id int primary key, body text)",
        f"insert into files values (1, 'fits'), (2, {LARGE}), (3, {LARGE})",
    )
    process = rig.start()
    rig.wait_until_proven()
    told = status(rig)
    assert told["phase"] == "consistent"
    assert f"process {process.pid} on" in told["held_by"]
    assert (told["slot"]["exists"], told["slot"]["active"], told["target"]["reachable"]) == (True, True, True)
    (table,) = told["tables"]
    assert (table["name"], table["state"], table["expected"], table["parked"]) == ("public.files", "loaded", 1, 2)
    positions = told["positions"]
    assert positions["confirmed"] == positions["proven"] != "0/0"
    waiting = parked(rig)
    assert {name: one["reason"] for name, one in waiting.items()} == {
        "public.files/2": "too_large",
        "public.files/3": "too_large",
    }

    rig.sql("update files set body = 'fits now' where id = 2")  # waits behind the parked version
    rig.wait_until_proven()
    assert parked(rig)["public.files/2"]["version"] > waiting["public.files/2"]["version"]
    assert rig.command("parked", "retry", "public.files/9").returncode == 2
    assert "by the running bridge" in rig.command("parked", "retry", "public.files/2").stdout
    assert "1 key(s) dropped" in rig.command("parked", "drop", "public.files/3").stdout
    deadline = time.monotonic() + 20
    while "public.files/2" in parked(rig):
        assert time.monotonic() < deadline, rig.tail()
    assert parked(rig)["public.files/3"]["dropped"] is True
    (table,) = status(rig)["tables"]
    assert (table["expected"], table["parked"]) == (2, 0)

    rig.sql("update files set body = 'fits too' where id = 3")  # a dropped key is carried again by its next change
    rig.wait_until_proven()
    assert parked(rig) == {}
    assert process.poll() is None, rig.tail()
    assert rig.stop() == 0, rig.tail()
    assert status(rig)["held_by"] is None
    (one,) = rig.prove()
    assert one.rows == 3
