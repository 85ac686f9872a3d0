"""Law 8 and *Status*: what an operator asks and does from another process while `run` works."""

from __future__ import annotations

import json
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
    rig.until(lambda: "public.files/2" not in parked(rig))
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
    log = rig.log.read_text(encoding="utf-8")
    for key in ("2", "3"):
        assert f"warning a key is parked table=public.files key={key} reason=too_large" in log
    assert "asked to retry a key table=public.files key=2" in log
    assert " rows loaded" in log
    last = log.strip().splitlines()[-1]
    assert "info ended in order proven=" in last
    assert last.endswith("parked=0")


def test_a_comparison_ends_with_one_sentence(make_rig: MakeRig) -> None:
    """After a restart of the target: how many spaces were compared and how many differed, without a line for each of them;
    meanwhile a second `check` says that a run would be refused, and speaks of the running bridge once."""
    rig = make_rig()
    rig.sql(
        "create table notes (id int primary key, body text)",
        "create table calm (id int primary key)",
        "insert into notes select n, 'note ' || n from generate_series(1, 50) n",
        "insert into calm values (1)",
    )
    rig.start()
    rig.wait_until_proven()
    rig.sql("update notes set body = 'changed' where id < 5")
    rig.wait_until_proven()
    rig.engram.kill()
    rig.engram.start()
    rig.wait_for("compared 2 space(s): 1 differed, mended")
    assert "compared a space" not in rig.tail()
    found = json.loads(rig.command("check", "--json").stdout)["findings"]
    told = [one for one in found if one["code"] in ("ledger.held", "slot.active")]
    assert [one["level"] for one in told] == ["warning"], told
    assert "`run` would be refused" in told[0]["what"]
    assert rig.stop() == 0, rig.tail()
